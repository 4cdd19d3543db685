//! Owning a label: from a distinguished log entry on, every version of it must be accounted for.

use keyglass_account::problem::Problem;
use keyglass_keytrans::client::{
    CreatedVersions, StateUpdate, UserState, VerifyError, decode_update_responses,
};
use keyglass_keytrans::wire::Wire as _;

use super::{
    context::{Context, now},
    operation::{monitoring_declined, owner_init, owner_monitor},
    outcome::Failure,
};
use crate::{
    http::{OCTETS, Request},
    verdict::Verdict,
};

/// The longest answer to an update that is read, in bytes.
pub(super) const MAX_UPDATE_RESPONSE: usize = 4 << 20;

/// At most so many answers of owner monitoring are taken in one round; each inspects up to 64 distinguished log entries.
const MAX_MONITORINGS: usize = 256;

/// At most so many requests to be told of versions are made in one go.
const MAX_LEARNINGS: usize = 256;

/// A label that may be taken over, and where.
pub(super) struct Beginning {
    /// The distinguished log entry.
    pub start: u64,
    /// The label's greatest version there.
    pub version: Option<u32>,
    /// The retained state with the label owned, of which nothing is stored yet.
    pub state: UserState,
}

/// How far owner monitoring came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Monitored {
    /// Every distinguished log entry there is was inspected, and none held another greatest version than it should.
    Completely,
    /// The log shows no more, for whatever reason: not yet all is well.
    Partly,
}

impl Context {
    /// Proves where a label stands at the rightmost distinguished log entry that has not expired. The head is retained; the
    /// label becomes owned when the caller stores it.
    ///
    /// # Errors
    /// The verdicts of a look-up.
    pub(super) async fn begin_to_own(&mut self, label: &[u8]) -> Result<Beginning, Failure> {
        let heads = self.walk_heads().await?;
        let Some(entry) = heads.recent().last() else {
            let message = "the log has no entry yet from which a label could be owned: try again later";
            return Err(Failure::new(Verdict::Unreachable, "no_distinguished_entry", message));
        };
        let verified = self.perform(&owner_init(label, entry.position)).await?;
        self.retain(StateUpdate { label: None, ..verified.update.clone() })?;
        let mut state = self.state.clone();
        state.apply(verified.update);
        Ok(Beginning { start: entry.position, version: verified.result.version, state })
    }

    /// Owns a label from a distinguished log entry on, with the greatest version that it has there.
    ///
    /// # Errors
    /// The verdicts of a look-up.
    pub(super) async fn own_from(&mut self, label: &[u8], start: u64) -> Result<(), Failure> {
        let verified = self.perform(&owner_init(label, start)).await?;
        self.retain(verified.update)
    }

    /// Inspects the distinguished log entries that came since the last round.
    ///
    /// # Errors
    /// The verdicts of a look-up; [`Verdict::Withheld`] if the log declines.
    pub(super) async fn monitor_owned(&mut self, label: &[u8]) -> Result<Monitored, Failure> {
        for _ in 0..MAX_MONITORINGS {
            let verified = self.perform(&owner_monitor(label)).await.map_err(monitoring_declined)?;
            let progress = !verified.result.inspected.is_empty();
            self.retain(verified.update)?;
            if verified.result.complete {
                return Ok(Monitored::Completely);
            }
            if !progress {
                break;
            }
        }
        Ok(Monitored::Partly)
    }

    /// Takes the versions in that an owned label has beyond those that the owner knows, as `wanted` says; with their
    /// values. Stops before the first that is not wanted.
    ///
    /// # Errors
    /// The verdicts of a request.
    pub(super) async fn learn_versions(
        &mut self,
        label: &[u8],
        wanted: impl Fn(&CreatedVersions) -> bool,
    ) -> Result<(), Failure> {
        for _ in 0..MAX_LEARNINGS {
            let Some(mut request) = self.verifier.update_request(&self.state, label, Vec::new()) else {
                return Err(VerifyError::NotOwned.into());
            };
            let body = request.encode().map_err(|error| Failure::new(Verdict::Failed, "encoding", error))?;
            let answer =
                match self.server.send(MAX_UPDATE_RESPONSE, Request::post("v1/update", OCTETS, body)).await {
                    Err(error) if error.known_problem() == Some(Problem::NoValues) => return Ok(()),
                    answer => answer?,
                };
            let responses = decode_update_responses(&answer, self.verifier.response_context())
                .map_err(|error| Failure::new(Verdict::Invalid, "malformed", error))?;
            for response in responses {
                let verified = self
                    .verifier
                    .verify_update(&self.state, &request, &response, now())
                    .map_err(|error| self.refused(error))?;
                self.require_witnesses(&verified.head)?;
                if !wanted(&verified.result) {
                    return Ok(());
                }
                self.retain(verified.update)?;
                let next = self.verifier.next_update_request(&self.state, &request, &verified.result);
                request = next.ok_or(VerifyError::NotOwned)?;
            }
        }
        Ok(())
    }
}

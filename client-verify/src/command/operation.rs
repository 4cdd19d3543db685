//! The operations of a log beside searching: ask, verify, and where an answer does not fit what is retained, find out why.

use keyglass_account::problem::Problem;
use keyglass_keytrans::{
    algorithms::MonitoringMap,
    client::{
        DistinguishedEntry, OwnerMonitorResult, OwnerStart, UserState, Verified, Verifier, VerifyError,
    },
    prover::RECENT,
    wire::Wire as _,
};
use keyglass_tlog::time::UnixMillis;

use super::{
    context::{Context, now},
    outcome::Failure,
    reconcile::ShownHead,
    search::may_be_a_fork,
    withheld::tree_shrank,
};
use crate::{
    http::{HttpError, OCTETS, Request},
    verdict::Verdict,
};

/// The longest answer that is read, in bytes.
const MAX_RESPONSE: usize = 4 << 20;

/// A question to the log, whose answer is verified against the state that it was made from.
pub(super) trait Operation {
    /// What a verified answer tells.
    type Found;
    /// The path below the server's address.
    const PATH: &'static str;

    /// The label that it is about, if it is about one.
    fn label(&self) -> Option<&[u8]>;

    /// The encoded request, made from `state`.
    ///
    /// # Errors
    /// [`VerifyError::NotOwned`] or [`VerifyError::WrongState`] if the state gives no cause for this question;
    /// [`VerifyError::Wire`].
    fn request(&self, verifier: &Verifier, state: &UserState) -> Result<Vec<u8>, VerifyError>;

    /// Verifies the answer to [`Self::request`] made from the same state.
    ///
    /// # Errors
    /// [`VerifyError`].
    fn verify(
        &self,
        verifier: &Verifier,
        state: &UserState,
        response: &[u8],
        now: UnixMillis,
    ) -> Result<Verified<Self::Found>, VerifyError>;
}

/// The recent distinguished log entries, ascending.
pub(super) struct WalkDistinguished;

impl Operation for WalkDistinguished {
    type Found = Vec<DistinguishedEntry>;
    const PATH: &'static str = "v1/distinguished";

    fn label(&self) -> Option<&[u8]> {
        None
    }

    fn request(&self, verifier: &Verifier, state: &UserState) -> Result<Vec<u8>, VerifyError> {
        Ok(verifier.distinguished_request(state, None).encode()?)
    }

    fn verify(
        &self,
        verifier: &Verifier,
        state: &UserState,
        response: &[u8],
        now: UnixMillis,
    ) -> Result<Verified<Self::Found>, VerifyError> {
        let request = verifier.distinguished_request(state, None);
        verifier.verify_distinguished(state, &request, RECENT, response, now)
    }
}

/// To begin owning a label at a distinguished log entry.
pub(super) struct OwnerInit<'a> {
    /// The label.
    pub label: &'a [u8],
    /// The distinguished log entry.
    pub start: u64,
}

impl Operation for OwnerInit<'_> {
    type Found = OwnerStart;
    const PATH: &'static str = "v1/owner-init";

    fn label(&self) -> Option<&[u8]> {
        Some(self.label)
    }

    fn request(&self, verifier: &Verifier, state: &UserState) -> Result<Vec<u8>, VerifyError> {
        Ok(verifier.owner_init_request(state, self.label, self.start).encode()?)
    }

    fn verify(
        &self,
        verifier: &Verifier,
        state: &UserState,
        response: &[u8],
        now: UnixMillis,
    ) -> Result<Verified<Self::Found>, VerifyError> {
        let request = verifier.owner_init_request(state, self.label, self.start);
        verifier.verify_owner_init(state, &request, response, now)
    }
}

/// One round of owner monitoring.
pub(super) struct OwnerMonitor<'a> {
    /// The label.
    pub label: &'a [u8],
}

impl Operation for OwnerMonitor<'_> {
    type Found = OwnerMonitorResult;
    const PATH: &'static str = "v1/owner-monitor";

    fn label(&self) -> Option<&[u8]> {
        Some(self.label)
    }

    fn request(&self, verifier: &Verifier, state: &UserState) -> Result<Vec<u8>, VerifyError> {
        let request = verifier.owner_monitor_request(state, self.label).ok_or(VerifyError::NotOwned)?;
        Ok(request.encode()?)
    }

    fn verify(
        &self,
        verifier: &Verifier,
        state: &UserState,
        response: &[u8],
        now: UnixMillis,
    ) -> Result<Verified<Self::Found>, VerifyError> {
        let request = verifier.owner_monitor_request(state, self.label).ok_or(VerifyError::NotOwned)?;
        verifier.verify_owner_monitor(state, &request, response, now)
    }
}

/// One round of contact monitoring.
pub(super) struct ContactMonitor<'a> {
    /// The label.
    pub label: &'a [u8],
}

impl Operation for ContactMonitor<'_> {
    type Found = MonitoringMap;
    const PATH: &'static str = "v1/contact-monitor";

    fn label(&self) -> Option<&[u8]> {
        Some(self.label)
    }

    fn request(&self, verifier: &Verifier, state: &UserState) -> Result<Vec<u8>, VerifyError> {
        let request = verifier.contact_monitor_request(state, self.label).ok_or(VerifyError::WrongState)?;
        Ok(request.encode()?)
    }

    fn verify(
        &self,
        verifier: &Verifier,
        state: &UserState,
        response: &[u8],
        now: UnixMillis,
    ) -> Result<Verified<Self::Found>, VerifyError> {
        let request = verifier.contact_monitor_request(state, self.label).ok_or(VerifyError::WrongState)?;
        verifier.verify_contact_monitor(state, &request, response, now)
    }
}

impl Context {
    /// Asks, and verifies the answer. Nothing is retained: that is the caller's to do with the update.
    ///
    /// # Errors
    /// The verdicts of a look-up.
    pub(super) async fn perform<O: Operation>(&self, operation: &O) -> Result<Verified<O::Found>, Failure> {
        let body = operation.request(&self.verifier, &self.state)?;
        let answer = match self.server.send(MAX_RESPONSE, Request::post(O::PATH, OCTETS, body)).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.not_performed(operation, error).await),
        };
        let verified = match operation.verify(&self.verifier, &self.state, &answer, now()) {
            Ok(verified) => verified,
            Err(error) if may_be_a_fork(&error) => {
                return Err(self.reconcile(self.perform_in_quarantine(operation), error.into()).await);
            }
            Err(error) => return Err(self.refused(error)),
        };
        self.require_witnesses(&verified.head)?;
        Ok(verified)
    }

    /// What the lack of an answer means.
    async fn not_performed<O: Operation>(&self, operation: &O, error: HttpError) -> Failure {
        let absence = match (error.known_problem(), operation.label()) {
            (Some(Problem::LastBeyondTree), _) => {
                return self.reconcile(self.perform_in_quarantine(operation), tree_shrank()).await;
            }
            (Some(problem), Some(label)) => self.absence(label, None, problem),
            _ => None,
        };
        absence.unwrap_or_else(|| error.into())
    }

    /// Asks without saying which head is retained, and verifies the answer without asking for witnesses: the head that the
    /// log now shows, to be compared and never used.
    async fn perform_in_quarantine<O: Operation>(&self, operation: &O) -> Result<ShownHead, Failure> {
        let state = UserState { tree: None, labels: self.state.labels.clone() };
        let body = operation.request(&self.quarantine, &state)?;
        let answer = self.server.send(MAX_RESPONSE, Request::post(O::PATH, OCTETS, body)).await?;
        let verified = operation.verify(&self.quarantine, &state, &answer, now())?;
        Ok(ShownHead { head: verified.head, update: verified.update })
    }
}

/// A log that proved what is to be monitored, and now declines to, holds it back. Other failures stay what they are.
pub(super) fn monitoring_declined(failure: Failure) -> Failure {
    if failure.verdict != Verdict::Declined {
        return failure;
    }
    let message = format!("the log would not prove again what it has proven before: {}", failure.message);
    Failure { fields: failure.fields, ..Failure::new(Verdict::Withheld, "monitoring_declined", message) }
}

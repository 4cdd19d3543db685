//! The operations of a log beside searching: ask, verify, and where an answer does not fit what is retained, find out why.

use keyglass_account::problem::Problem;
use keyglass_keytrans::{
    algorithms::MonitoringMap,
    client::{
        DistinguishedEntry, OwnerMonitorResult, OwnerStart, UserState, Verified, Verifier, VerifyError,
    },
    prover::RECENT,
    wire::{ContactMonitorRequest, DistinguishedRequest, OwnerInitRequest, OwnerMonitorRequest, Wire},
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

/// A question to the log, made from the state that its answer is verified against.
pub(super) struct Operation<'a, Q, R, M> {
    /// The path below the server's address.
    path: &'static str,
    /// The label that it is about, if it is about one.
    label: Option<&'a [u8]>,
    /// Makes the request.
    make: M,
    /// Verifies the answer to it.
    verify: Verify<Q, R>,
}

/// Verifies an answer to a request that was made from a state.
type Verify<Q, R> = fn(&Verifier, &UserState, &Q, &[u8], UnixMillis) -> Result<Verified<R>, VerifyError>;

/// The recent distinguished log entries, ascending.
pub(super) fn walk_distinguished()
-> Operation<'static, DistinguishedRequest, Vec<DistinguishedEntry>, impl Make<DistinguishedRequest>> {
    Operation {
        path: "v1/distinguished",
        label: None,
        make: |verifier: &Verifier, state: &UserState| Ok(verifier.distinguished_request(state, None)),
        verify: |verifier, state, request, answer, now| {
            verifier.verify_distinguished(state, request, RECENT, answer, now)
        },
    }
}

/// To begin owning a label at the distinguished log entry `start`.
pub(super) fn owner_init(
    label: &[u8],
    start: u64,
) -> Operation<'_, OwnerInitRequest, OwnerStart, impl Make<OwnerInitRequest>> {
    Operation {
        path: "v1/owner-init",
        label: Some(label),
        make: move |verifier: &Verifier, state: &UserState| {
            Ok(verifier.owner_init_request(state, label, start))
        },
        verify: Verifier::verify_owner_init,
    }
}

/// One round of owner monitoring.
pub(super) fn owner_monitor(
    label: &[u8],
) -> Operation<'_, OwnerMonitorRequest, OwnerMonitorResult, impl Make<OwnerMonitorRequest>> {
    Operation {
        path: "v1/owner-monitor",
        label: Some(label),
        make: move |verifier: &Verifier, state: &UserState| {
            verifier.owner_monitor_request(state, label).ok_or(VerifyError::NotOwned)
        },
        verify: Verifier::verify_owner_monitor,
    }
}

/// One round of contact monitoring.
pub(super) fn contact_monitor(
    label: &[u8],
) -> Operation<'_, ContactMonitorRequest, MonitoringMap, impl Make<ContactMonitorRequest>> {
    Operation {
        path: "v1/contact-monitor",
        label: Some(label),
        make: move |verifier: &Verifier, state: &UserState| {
            verifier.contact_monitor_request(state, label).ok_or(VerifyError::WrongState)
        },
        verify: Verifier::verify_contact_monitor,
    }
}

/// Makes a request; [`VerifyError::NotOwned`] or [`VerifyError::WrongState`] if the state gives no cause for it.
pub(super) trait Make<Q>: Fn(&Verifier, &UserState) -> Result<Q, VerifyError> {}

impl<Q, F: Fn(&Verifier, &UserState) -> Result<Q, VerifyError>> Make<Q> for F {}

impl Context {
    /// Asks, and verifies the answer. Nothing is retained: that is the caller's to do with the update.
    ///
    /// # Errors
    /// The verdicts of a look-up.
    pub(super) async fn perform<Q: Wire, R, M: Make<Q>>(
        &self,
        operation: &Operation<'_, Q, R, M>,
    ) -> Result<Verified<R>, Failure> {
        let request = (operation.make)(&self.verifier, &self.state)?;
        let answer = match self.ask_for(operation.path, &request).await? {
            Ok(answer) => answer,
            Err(error) => return Err(self.not_performed(operation, error).await),
        };
        let verified = match (operation.verify)(&self.verifier, &self.state, &request, &answer, now()) {
            Ok(verified) => verified,
            Err(error) if may_be_a_fork(&error) => {
                return Err(self.reconcile(self.perform_in_quarantine(operation), error.into()).await);
            }
            Err(error) => return Err(self.refused(error)),
        };
        self.require_witnesses(&verified.head)?;
        Ok(verified)
    }

    /// Sends a request and gives the answer's bytes, or why there are none.
    async fn ask_for(
        &self,
        path: &'static str,
        request: &impl Wire,
    ) -> Result<Result<Vec<u8>, HttpError>, Failure> {
        let body = request.encode().map_err(VerifyError::from)?;
        Ok(self.server.send(MAX_RESPONSE, Request::post(path, OCTETS, body)).await)
    }

    /// What the lack of an answer means.
    async fn not_performed<Q: Wire, R, M: Make<Q>>(
        &self,
        operation: &Operation<'_, Q, R, M>,
        error: HttpError,
    ) -> Failure {
        let absence = match (error.known_problem(), operation.label) {
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
    async fn perform_in_quarantine<Q: Wire, R, M: Make<Q>>(
        &self,
        operation: &Operation<'_, Q, R, M>,
    ) -> Result<ShownHead, Failure> {
        let state = UserState { tree: None, labels: self.state.labels.clone() };
        let request = (operation.make)(&self.quarantine, &state)?;
        let answer = self.ask_for(operation.path, &request).await??;
        let verified = (operation.verify)(&self.quarantine, &state, &request, &answer, now())?;
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

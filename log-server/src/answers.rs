//! Answering the draft's requests from the published part of the log.

use std::sync::Arc;

use keyglass_account::problem::Problem;
use keyglass_keytrans::{
    algorithms::Violation,
    config::{CipherSuite, ModeFields},
    prover::{self, ProverError, ServedHead},
    wire::{
        AuditorTreeHead, ContactMonitorRequest, DistinguishedRequest, OwnerInitRequest, OwnerMonitorRequest,
        SearchRequest, TreeHead, UpdateRequest, Wire, WireError,
    },
};
use keyglass_tlog::{
    note::{SignatureLine, Vkey, parse_signature_lines},
    time::UnixSeconds,
};

use crate::{
    http::failure::Failure,
    log::Log,
    proofs::{DataError, SnapshotData},
    store::PublishedHead,
};

/// A request that is answered without changing anything.
pub trait Question: Wire + Send + 'static {
    /// The encoded answer.
    ///
    /// # Errors
    /// [`ProverError`].
    fn answer(&self, data: &SnapshotData<'_>, head: &ServedHead) -> Result<Vec<u8>, ProverError<DataError>>;

    /// The label that it is about.
    fn label(&self) -> Option<&[u8]>;
}

/// Requests whose answer is one structure.
macro_rules! questions {
    ($($request:ty => $answer:path, $label:expr;)*) => {
        $(impl Question for $request {
            fn answer(&self, data: &SnapshotData<'_>, head: &ServedHead) -> Result<Vec<u8>, ProverError<DataError>> {
                Ok($answer(data, head, self)?.encode()?)
            }

            fn label(&self) -> Option<&[u8]> {
                let label: fn(&$request) -> Option<&[u8]> = $label;
                label(self)
            }
        })*
    };
}

questions! {
    SearchRequest => prover::search, |request| Some(&request.label);
    ContactMonitorRequest => prover::contact_monitor, |request| Some(&request.label);
    OwnerInitRequest => prover::owner_init, |request| Some(&request.label);
    OwnerMonitorRequest => prover::owner_monitor, |request| Some(&request.label);
    DistinguishedRequest => prover::distinguished, |_| None;
}

/// Answers a question under the published head.
///
/// # Errors
/// Why it has no answer.
pub async fn answer<Q: Question>(log: &Arc<Log>, question: Q) -> Result<Vec<u8>, Failure> {
    if let Some(label) = question.label() {
        keyglass_account::label::check(label).map_err(|error| Failure::new(error.into()).because(error))?;
    }
    let head = served_head(log, &*log.head()?)?;
    let proofs = Arc::clone(log.proofs());
    log.read(move |snapshot| question.answer(&SnapshotData::new(snapshot, &proofs), &head)).await
}

/// Tells of the versions after `request.greatest_version`, as many structures as log entries. `created` is the greatest
/// version that this very request has created.
///
/// # Errors
/// Why there is no answer.
pub async fn update(
    log: &Arc<Log>,
    request: UpdateRequest,
    created: Option<u32>,
) -> Result<Vec<u8>, Failure> {
    let head = served_head(log, &*log.head()?)?;
    let proofs = Arc::clone(log.proofs());
    log.read(move |snapshot| -> Result<Vec<u8>, ProverError<DataError>> {
        let data = SnapshotData::new(snapshot, &proofs);
        let responses = prover::update_responses(&data, &head, &request, created)?;
        let encoded: Result<Vec<Vec<u8>>, WireError> = responses.iter().map(Wire::encode).collect();
        Ok(encoded?.concat())
    })
    .await
}

/// A head as answers carry it.
///
/// # Errors
/// [`Problem::Unavailable`] if the log's mode needs an auditor's head and there is none.
pub fn served_head(log: &Log, head: &PublishedHead) -> Result<ServedHead, Failure> {
    let configuration = log.configuration();
    let auditor_tree_head = match &configuration.mode {
        ModeFields::ContactMonitoring | ModeFields::ThirdPartyManagement { .. } => None,
        ModeFields::ThirdPartyAuditing(fields) => {
            let none = || {
                Failure::new(Problem::Unavailable)
                    .because("the auditor has not signed this head")
                    .retry_after(5)
            };
            Some(auditor_head(log.suite(), &fields.auditor_public_key, head).ok_or_else(none)?)
        }
    };
    Ok(ServedHead {
        tree_head: TreeHead { tree_size: head.size, signature: head.signature.clone() },
        auditor_tree_head,
        suite: log.suite(),
        monitoring_window: configuration.reasonable_monitoring_window,
        maximum_lifetime: configuration.maximum_lifetime,
    })
}

/// The auditor's cosignature among those of the head, as a head of its own.
fn auditor_head(suite: CipherSuite, key: &[u8], head: &PublishedHead) -> Option<AuditorTreeHead> {
    if suite != CipherSuite::Tlog {
        return None;
    }
    let vkey = Vkey::parse(core::str::from_utf8(key).ok()?).ok()?;
    let of_auditor = |line: &SignatureLine| line.name() == vkey.name() && line.id() == vkey.id();
    let line = parse_signature_lines(&head.signature).ok()?.into_iter().find(of_auditor)?;
    // The publisher has verified it; it starts with its time.
    let (seconds, _) = line.signature().split_first_chunk()?;
    let time = UnixSeconds(u64::from_be_bytes(*seconds)).to_millis()?;
    Some(AuditorTreeHead {
        timestamp: time.0,
        tree_size: head.size,
        signature: format!("{line}\n").into_bytes(),
    })
}

impl From<ProverError<DataError>> for Failure {
    fn from(error: ProverError<DataError>) -> Self {
        let problem = match &error {
            ProverError::BadLast { .. } => Problem::LastBeyondTree,
            ProverError::UnknownLabel => Problem::UnknownLabel,
            ProverError::UnknownVersion => Problem::UnknownVersion,
            ProverError::Erased(_) => Problem::ErasedVersion,
            ProverError::BadGreatestVersion => Problem::GreatestVersionBeyond,
            ProverError::Violation(Violation::Expired) => Problem::ExpiredVersion,
            ProverError::BadMap | ProverError::Violation(_) => Problem::Malformed,
            ProverError::Wire(_)
            | ProverError::Inconsistent
            | ProverError::LogTree(_)
            | ProverError::Data(_) => {
                // The words are for the operator, not for clients.
                tracing::error!(%error, source = ?core::error::Error::source(&error), "no proof could be made");
                return Self::new(Problem::Internal);
            }
        };
        Self::new(problem).because(error)
    }
}

/// Why a request was not decoded.
#[must_use]
pub fn undecodable(error: WireError) -> Failure {
    let problem = match error {
        WireError::Truncated => Problem::Truncated,
        WireError::TrailingBytes => Problem::TrailingBytes,
        WireError::TooLong => Problem::VectorLength,
        WireError::Presence | WireError::Enumeration => Problem::Malformed,
    };
    Failure::new(problem).because(error)
}

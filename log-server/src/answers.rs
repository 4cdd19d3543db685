//! Answering the draft's requests from the published part of the log.

use std::sync::Arc;

use keyglass_account::{
    problem::Problem,
    search_many::{SearchAnswer, SearchManyRequest, encode_answers},
};
use keyglass_keytrans::{
    algorithms::Violation,
    config::ModeFields,
    prover::{self, ProverError, ServedHead},
    wire::{
        AuditorTreeHead, ContactMonitorRequest, DistinguishedRequest, OwnerInitRequest, OwnerMonitorRequest,
        SearchRequest, TreeHead, UpdateRequest, Wire, WireError,
    },
};

use crate::{
    audit::heads::Behind,
    http::failure::Failure,
    log::Log,
    proofs::{DataError, SnapshotData},
    store::{PublishedHead, Snapshot, StoreError},
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
    let (head, serving) = (log.head()?, Arc::clone(log));
    log.read(move |snapshot| -> Result<Vec<u8>, Failure> {
        let head = served_head(&serving, &head, snapshot)?;
        Ok(question.answer(&SnapshotData::new(snapshot, serving.proofs()), &head)?)
    })
    .await
}

/// Answers searches for the greatest versions of several labels under one published head: the first as it is, and each later
/// one as if its sender had verified that head already. What has no answer says so in its place.
///
/// # Errors
/// What concerns all of them.
pub async fn search_many(log: &Arc<Log>, request: SearchManyRequest) -> Result<Vec<u8>, Failure> {
    let (head, serving) = (log.head()?, Arc::clone(log));
    log.read(move |snapshot| -> Result<Vec<u8>, Failure> {
        let head = served_head(&serving, &head, snapshot)?;
        let mut last = request.last;
        let mut answers = Vec::new();
        for label in request.labels {
            let search = SearchRequest { last, label, version: None };
            // Each answer with what it reads itself, as if it were asked for alone.
            let data = SnapshotData::new(snapshot, serving.proofs());
            match search.answer(&data, &head) {
                Ok(response) => {
                    last = Some(head.tree_head.tree_size);
                    answers.push(SearchAnswer::Response(response));
                }
                Err(error) => match Failure::from(error).problem() {
                    // Nothing of what is left could be answered either.
                    problem @ (Problem::Internal | Problem::LastBeyondTree) => return Err(problem.into()),
                    problem => answers.push(SearchAnswer::Problem(problem.uri().to_owned())),
                },
            }
        }
        Ok(encode_answers(&answers))
    })
    .await
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
    let (head, serving) = (log.head()?, Arc::clone(log));
    log.read(move |snapshot| -> Result<Vec<u8>, Failure> {
        let head = served_head(&serving, &head, snapshot)?;
        let data = SnapshotData::new(snapshot, serving.proofs());
        let responses = prover::update_responses(&data, &head, &request, created)?;
        let encoded: Result<Vec<Vec<u8>>, WireError> = responses.iter().map(Wire::encode).collect();
        Ok(encoded.map_err(ProverError::from)?.concat())
    })
    .await
}

/// A head as answers carry it. `snapshot` is not older than the head.
///
/// # Errors
/// [`Problem::AuditorBehind`] if the log's mode needs an auditor's head and there is none that users would accept.
pub fn served_head(log: &Log, head: &PublishedHead, snapshot: &dyn Snapshot) -> Result<ServedHead, Failure> {
    let configuration = log.configuration();
    let auditor_tree_head = match &configuration.mode {
        ModeFields::ContactMonitoring | ModeFields::ThirdPartyManagement { .. } => None,
        ModeFields::ThirdPartyAuditing(_) => Some(auditor_head(log, head, snapshot)?),
    };
    Ok(ServedHead {
        tree_head: TreeHead { tree_size: head.size, signature: head.signature.clone() },
        auditor_tree_head,
        suite: log.suite(),
        monitoring_window: configuration.reasonable_monitoring_window,
        maximum_lifetime: configuration.maximum_lifetime,
    })
}

/// The auditor's newest head, if it is recent enough beside the published one.
fn auditor_head(
    log: &Log,
    head: &PublishedHead,
    snapshot: &dyn Snapshot,
) -> Result<AuditorTreeHead, Failure> {
    let rightmost = snapshot.entry(head.size.saturating_sub(1))?;
    let rightmost = rightmost.ok_or(StoreError::Corrupt("a log entry is missing"))?.timestamp;
    let served = log.auditor().map_or(Err(Behind::Nothing), |heads| heads.served(rightmost));
    served.map_err(|behind| Failure::new(Problem::AuditorBehind).because(behind).retry_after(1))
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

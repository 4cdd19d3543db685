//! The witness at work: one request at a time for each log, durable before it is signed.

use std::sync::Arc;

use keyglass_tlog::{
    cosignature::{CosignError, Cosigner, MAX_TIME},
    evidence::Evidence,
    note::{NoteError, SignatureLine, format_signature_lines},
    witness::AddCheckpoint,
};
use thiserror::Error;

use crate::{
    clock::Clock,
    decide::{Refusal, authenticate, decide},
    head::{Head, OriginHash},
    http::{Answer, Problem, Responder},
    logs::Logs,
    metrics::Metrics,
    store::{HeadStore, StoreError},
};

/// Why a request got no cosignature.
#[derive(Debug, Clone, Error)]
pub enum Failure {
    /// The specification demands it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log makes more requests than its share.
    #[error("the log makes too many requests")]
    TooManyRequests,
    /// The head could not be read or stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The clock is not set: there is no time that a cosignature could carry.
    #[error("the witness's clock is not set")]
    NotCosigned(#[from] CosignError),
    /// A stored note leaves no room for the cosignatures.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// An honest witness.
pub struct Witness<S, C> {
    cosigners: Vec<Cosigner>,
    logs: Logs,
    store: S,
    clock: C,
    metrics: Arc<Metrics>,
}

impl<S: HeadStore, C: Clock> Witness<S, C> {
    /// A witness for these logs. Its cosigners sign the same checkpoints, each with its key.
    #[must_use]
    pub fn new(cosigners: Vec<Cosigner>, logs: Logs, store: S, clock: C, metrics: Arc<Metrics>) -> Self {
        metrics.logs(logs.len());
        Self { cosigners, logs, store, clock, metrics }
    }

    /// Runs a request: the signature lines to answer with.
    ///
    /// The future must be run to its end: dropped in the middle, it may have stored a head that was never cosigned, which
    /// is safe, but whoever asked learns of it only from the next 409.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn add_checkpoint(&self, request: AddCheckpoint) -> Result<String, Failure> {
        let origin = request.checkpoint().origin().to_owned();
        let log = self.logs.get(&origin).ok_or(Refusal::UnknownOrigin)?;
        // The log's signature comes before its share of requests: else anyone could use that share up.
        let authentic = authenticate(request, Some(log.keys()))?;
        if !log.admits() {
            return Err(Failure::TooManyRequests);
        }
        // From here on, one request of this log at a time: compare, check, persist, and only then sign.
        let _turn = log.turn().await;
        let last = self.store.load(OriginHash::of(&origin))?;
        let note = authentic.request().note().clone();
        let next = decide(authentic, last.as_ref(), self.clock.now()).inspect_err(|refusal| {
            if matches!(refusal, Refusal::RootsDiffer | Refusal::WrongEmptyRoot)
                && let Some(evidence) = Evidence::of_notes(last.as_ref().map_or(&note, Head::note), &note)
            {
                tracing::warn!(origin, evidence = %evidence, "the log has equivocated");
            }
        })?;
        if next.time().0 == 0 || next.time() > MAX_TIME {
            return Err(Failure::NotCosigned(CosignError::BadTime));
        }
        self.store.commit(&next).await?;
        let lines = self.cosignatures(&next)?;
        self.metrics.cosigned();
        tracing::debug!(origin, size = next.checkpoint().tree_size(), "cosigned");
        Ok(format_signature_lines(&lines))
    }

    /// The last cosigned checkpoint of a log, with the log's verified lines and the cosignatures that were returned:
    /// Ed25519 signs the same bytes the same way again.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn latest(&self, origin: OriginHash) -> Result<Option<String>, Failure> {
        let Some(head) = self.store.load(origin)? else {
            return Ok(None);
        };
        Ok(Some(head.cosigned(self.cosignatures(&head)?)?.to_string()))
    }

    fn cosignatures(&self, head: &Head) -> Result<Vec<SignatureLine>, CosignError> {
        self.cosigners.iter().map(|cosigner| cosigner.cosign(head.checkpoint(), head.time())).collect()
    }
}

impl<S: HeadStore, C: Clock> Responder for Witness<S, C> {
    async fn add_checkpoint(&self, request: AddCheckpoint) -> Answer {
        match self.add_checkpoint(request).await {
            Ok(lines) => Answer::Cosignatures(lines),
            Err(failure) => failure.into(),
        }
    }

    async fn latest(&self, origin: OriginHash) -> Answer {
        match self.latest(origin) {
            Ok(Some(checkpoint)) => Answer::Checkpoint(checkpoint),
            Ok(None) => Answer::Problem(Problem::NEVER_COSIGNED),
            Err(failure) => failure.into(),
        }
    }

    fn is_ready(&self) -> bool {
        self.store.is_healthy()
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(Refusal::Conflict { latest }) => Self::Size(latest),
            Failure::Refused(refusal) => Self::Problem(refusal.into()),
            Failure::TooManyRequests => Self::Problem(Problem::TOO_MANY_REQUESTS),
            Failure::NotCosigned(_) => Self::Problem(Problem::NO_TIME),
            // What exactly is wrong with the disk is for the operator, not for the network.
            Failure::Store(error) => {
                tracing::error!(%error, "a request failed");
                Self::Problem(Problem::STORE_FAILED)
            }
            Failure::Note(error) => {
                tracing::error!(%error, "a request failed");
                Self::Problem(Problem::STORE_FAILED)
            }
        }
    }
}

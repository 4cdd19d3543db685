//! The witness at work: one request at a time for each log, durable before it is answered.

use std::sync::Arc;

use keyglass_gossip::{book::Book, evidence::EvidenceId, holdings::Summary};
use keyglass_tlog::{
    cosignature::{CosignError, Cosigner, MAX_TIME},
    evidence::Evidence,
    note::{NoteError, SignatureLine, SignedNote, Vkey, format_signature_lines},
    policy::Policy,
    witness::AddCheckpoint,
};
use thiserror::Error;

use crate::{
    clock::{Clock, ClockGuard, ClockJumped, TOLERANCE},
    decide::{Refusal, authenticate, decide},
    head::{Head, OriginHash},
    http::{Ages, Answer, Problem, Responder, Status},
    kept::{Kept, Suspended},
    logs::{Change, Logs},
    metrics::Metrics,
    overview, rollback,
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
    /// The witness may have signed more for this log than its state says.
    #[error("the state for this log is older than what was signed; its operator must confirm it")]
    RolledBack,
    /// There is evidence that the log signed two histories, which no operator has resolved.
    #[error("evidence is held that the log signed two histories: {0}")]
    EvidenceHeld(EvidenceId),
    /// The head could not be read or stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The clock is not to be believed.
    #[error(transparent)]
    ClockJumped(#[from] ClockJumped),
    /// The clock is not set, or the origin is one that no key of the witness can sign.
    #[error(transparent)]
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
    clock_guard: ClockGuard,
    metrics: Arc<Metrics>,
    evidence: Option<Arc<Book>>,
}

impl<S: HeadStore, C: Clock> Witness<S, C> {
    /// A witness for these logs. Its cosigners sign the same checkpoints, each with its key, and answer in their order.
    #[must_use]
    pub fn new(cosigners: Vec<Cosigner>, logs: Logs, store: S, clock: C, metrics: Arc<Metrics>) -> Self {
        metrics.logs(logs.len());
        let clock_guard = ClockGuard::new(&clock);
        Self { cosigners, logs, store, clock, clock_guard, metrics, evidence: None }
    }

    /// The same witness with evidence: what is held there stops it from cosigning, and what it finds itself goes there.
    #[must_use]
    pub fn with_evidence(self, book: Arc<Book>) -> Self {
        Self { evidence: Some(book), ..self }
    }

    /// Witnesses the logs of another policy from now on; see [`Logs::replace`]. What is stored of logs that are gone
    /// stays, so that they go on from there when they come back.
    pub fn replace_logs(&self, policy: &Policy) -> Change {
        let change = self.logs.replace(policy);
        self.metrics.logs(self.logs.len());
        change
    }

    /// Runs a request: the signature lines to answer with.
    ///
    /// The future must be run to its end: dropped in the middle, it may have stored a head whose cosignatures nobody got,
    /// which is safe, but whoever asked learns of it only from the next 409.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn add_checkpoint(&self, request: AddCheckpoint) -> Result<String, Failure> {
        let log = self.logs.get(request.checkpoint().origin()).ok_or(Refusal::UnknownOrigin)?;
        // The log's signature comes before its share of requests: else anyone could use that share up.
        let authentic = authenticate(request, Some(log.keys()))?;
        if !log.admits() {
            return Err(Failure::TooManyRequests);
        }
        // From here on, one request of this log at a time: compare, check, sign, persist, and only then answer.
        let _turn = log.turn().await.ok_or(Failure::TooManyRequests)?;
        let submitted = authentic.head().clone();
        let (origin, note) = (submitted.origin_hash(), authentic.request().note().clone());
        let kept = self.store.load(origin)?;
        if matches!(kept, Kept::Suspended(_)) {
            return Err(Failure::RolledBack);
        }
        let submitted_origin = submitted.checkpoint().origin();
        if let Some(book) = &self.evidence {
            if let Some(stops) = book.stops(submitted_origin) {
                return Err(Failure::EvidenceHeld(stops.id));
            }
            // A new policy is taken over by the book first, so that evidence about a log that has left it does not count any
            // more, while the log is still served: it is as unknown there as it is about to be here.
            if book.trust().log(submitted_origin).is_none() {
                return Err(Refusal::UnknownOrigin.into());
            }
        }
        if let Some(suspended) = rollback::proven_by(&note, &submitted, kept.head(), &self.vkeys()) {
            return Err(self.suspend(origin, suspended).await);
        }
        let time = self.clock_guard.read(&self.clock);
        let next = match decide(authentic, kept.head(), time.unwrap_or_default()) {
            Ok(next) => next,
            Err(refusal) => {
                // Whatever is wrong with the request, the log has signed this checkpoint.
                if let Some(evidence) = Evidence::of_notes(kept.head().map_or(&note, Head::note), &note) {
                    self.equivocated(evidence).await;
                }
                return Err(refusal.into());
            }
        };
        time?;
        let lines = self.cosign(&next)?;
        let answer = format_signature_lines(&lines);
        let timer = self.metrics.start();
        let committed = self.store.commit(origin, &Kept::Head(next.with_cosignatures(lines))).await;
        self.metrics.committed(timer);
        committed?;
        self.metrics.cosigned();
        let checkpoint = submitted.checkpoint();
        tracing::debug!(origin = checkpoint.origin(), size = checkpoint.tree_size(), "cosigned");
        Ok(answer)
    }

    /// The last cosigned checkpoint of a log, with the log's verified lines and the cosignatures that were returned.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn latest(&self, origin: OriginHash) -> Result<Option<String>, Failure> {
        let head = match self.store.load(origin)? {
            Kept::Nothing => return Ok(None),
            Kept::Suspended(_) => return Err(Failure::RolledBack),
            Kept::Head(head) => head,
        };
        let lines = match head.cosignatures() {
            [] => self.cosign(&head)?,
            lines => lines.to_vec(),
        };
        Ok(Some(head.cosigned(lines)?.to_string()))
    }

    /// The head that is kept for a log, with the cosignatures that were returned.
    #[must_use]
    pub fn own_head(&self, origin: &str) -> Option<SignedNote> {
        let kept = self.store.load(OriginHash::of(origin)).ok()?;
        let head = kept.head()?;
        Some(head.cosigned(head.cosignatures().to_vec()).unwrap_or_else(|_| head.note().clone()))
    }

    /// Keeps evidence that a log brought against itself.
    async fn equivocated(&self, evidence: Evidence) {
        tracing::warn!(evidence = %evidence, "the log has equivocated");
        let Some(book) = self.evidence.clone() else { return };
        match tokio::task::spawn_blocking(move || book.keep(evidence)).await {
            Ok(Ok(_)) => self.count_evidence(),
            Ok(Err(error)) => tracing::error!(%error, "evidence was not kept"),
            Err(error) => tracing::error!(%error, "evidence was not kept"),
        }
    }

    /// Has the metrics say how much evidence there is.
    pub fn count_evidence(&self) {
        if let Some(book) = &self.evidence {
            self.metrics.evidence(&book.holdings());
        }
    }

    fn vkeys(&self) -> Vec<&Vkey> {
        self.cosigners.iter().map(Cosigner::vkey).collect()
    }

    /// The lines of all keys that can sign for this origin.
    fn cosign(&self, head: &Head) -> Result<Vec<SignatureLine>, CosignError> {
        let (mut lines, mut too_long) = (Vec::new(), None);
        for cosigner in &self.cosigners {
            match cosigner.cosign(head.checkpoint(), head.time()) {
                Ok(line) => lines.push(line),
                Err(error @ CosignError::OriginTooLong) => too_long = Some(error),
                Err(error) => return Err(error),
            }
        }
        match too_long {
            Some(error) if lines.is_empty() => Err(error),
            _ => Ok(lines),
        }
    }

    async fn suspend(&self, origin: OriginHash, suspended: Suspended) -> Failure {
        let size = |head: &Option<Head>| head.as_ref().map_or(0, |head| head.checkpoint().tree_size());
        tracing::error!(
            origin = suspended.proof.as_ref().map(|proof| proof.checkpoint().origin()),
            state = size(&suspended.head),
            signed = size(&suspended.proof),
            "a cosignature of this witness is beyond its state, which must be a copy from before: nothing more is \
             signed for this log until `keyglass-witness confirm`"
        );
        match self.store.commit(origin, &Kept::Suspended(suspended)).await {
            Ok(()) => {
                self.metrics.suspended();
                Failure::RolledBack
            }
            Err(error) => error.into(),
        }
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

    fn status(&self, page: usize) -> Option<Status> {
        let stops = |origin: &str| -> Option<Summary> { self.evidence.as_ref()?.stops(origin) };
        Some(overview::status(&self.vkeys(), &self.logs, &self.store, stops, self.clock.now(), page))
    }

    fn evidence_list(&self, after: Option<EvidenceId>) -> Option<String> {
        self.evidence.as_ref().map(|book| book.listing(after))
    }

    fn evidence(&self, id: &EvidenceId) -> Answer {
        match self.evidence.as_ref().map(|book| book.text(id)) {
            Some(Ok(Some(text))) => Answer::Evidence(text),
            Some(Ok(None)) | None => Answer::Problem(Problem::NO_SUCH_PATH),
            Some(Err(error)) => {
                tracing::error!(%error, "evidence cannot be read");
                Answer::Problem(Problem::STORE_FAILED)
            }
        }
    }

    fn ages(&self) -> Ages {
        overview::ages(&self.logs, &self.store)
    }

    fn unready(&self) -> Option<&'static str> {
        if !self.store.is_healthy() {
            return Some("the last head could not be stored");
        }
        match self.clock_guard.read(&self.clock) {
            Err(ClockJumped { .. }) => Some("the clock has jumped ahead"),
            Ok(now) if now.0 == 0 || now > MAX_TIME => Some("the clock is not set"),
            Ok(now) if now.0.saturating_add(TOLERANCE.as_secs()) < self.store.newest_at_start().0 => {
                Some("the clock is far behind the newest cosignature")
            }
            Ok(_) => None,
        }
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(Refusal::Conflict { latest }) => Self::Size(latest),
            Failure::Refused(refusal) => Self::Problem(refusal.into()),
            Failure::TooManyRequests => Self::Problem(Problem::TOO_MANY_REQUESTS),
            Failure::RolledBack => Self::Problem(Problem::STATE_ROLLED_BACK),
            Failure::EvidenceHeld(id) => Self::Problem(Problem::evidence_held(&id)),
            Failure::ClockJumped(error) => {
                tracing::error!(%error, "nothing is signed");
                Self::Problem(Problem::CLOCK_JUMPED)
            }
            Failure::NotCosigned(CosignError::BadTime) => Self::Problem(Problem::NO_TIME),
            Failure::NotCosigned(CosignError::OriginTooLong) => Self::Problem(Problem::ORIGIN_TOO_LONG),
            // What exactly is wrong is for the operator, not for the network.
            Failure::NotCosigned(error @ CosignError::Failed(_)) => {
                tracing::error!(%error, "a request failed");
                Self::Problem(Problem::STORE_FAILED)
            }
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

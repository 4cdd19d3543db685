//! The logs that are followed, as everybody else in the process sees them: where heads and evidence are handed in, and where
//! what is known is read. One log's trouble stays its own: each has its memory, its lock and its bounds.

mod refusal;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use keyglass_gossip::book::Book;
use keyglass_tlog::{
    checkpoint::Checkpoint, evidence::Evidence, note::SignedNote, time::UnixMillis, witness::checkpoint_path,
};
use serde::Serialize;
use tokio::sync::{Notify, Semaphore, watch};

pub use self::refusal::Refusal;
use crate::{
    clock::Clock,
    follow::{AuditError, SharedRecords},
    head::{HeadError, SignedHead},
    overview::{AuditorOverview, History, LogOverview, Overview, status::LogStatus},
    records::{Admission, Records, Source, Standing},
    report::{ConvictionReport, Report, WitnessState},
    trust::Trust,
};

/// Heads and evidence of one log that are verified and compared at a time; more are refused, to be sent again.
const MAX_COMPARING: usize = 8;
/// Notes that are read at a time before it is known which log they are of.
const MAX_READING: usize = 16;

/// What became of a head that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// `agrees`, `open` (larger than what was replayed), `disputed` (does not agree, no evidence yet) or `contradicts`
    /// (does not agree, and there is evidence).
    pub standing: Standing,
    /// Its size.
    pub tree_size: u64,
    /// The entries that were replayed.
    pub verified_size: u64,
}

/// What became of evidence that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// It convicts the log, and is kept: it is the first, or names a witness that none before named.
    Kept,
    /// It convicts the log, and says nothing that evidence kept before does not say.
    Known,
}

/// One log that is followed.
pub struct Followed {
    trust: Arc<Trust>,
    clock: Arc<dyn Clock>,
    status: LogStatus,
    /// Whether this is the auditor that the log's configuration names.
    signs: bool,
    /// Absent while the log's directory cannot be opened.
    records: RwLock<Option<SharedRecords>>,
    /// Told when the next round should not be waited for.
    wake: Notify,
    comparing: Semaphore,
    changed: Arc<watch::Sender<u64>>,
}

impl Followed {
    /// A log of which nothing is open yet.
    #[must_use]
    pub fn new(
        status: LogStatus,
        trust: Arc<Trust>,
        clock: Arc<dyn Clock>,
        signs: bool,
        changed: Arc<watch::Sender<u64>>,
    ) -> Self {
        let (records, wake, comparing) = (RwLock::new(None), Notify::new(), Semaphore::new(MAX_COMPARING));
        Self { trust, clock, status, signs, records, wake, comparing, changed }
    }

    /// The log's keys and bounds.
    #[must_use]
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// What is known about it.
    #[must_use]
    pub fn status(&self) -> &LogStatus {
        &self.status
    }

    /// Whether this is the auditor that the log's configuration names.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.signs
    }

    /// All of it, for pages.
    #[must_use]
    pub fn overview(&self) -> LogOverview {
        self.status.overview(self.clock.now())
    }

    /// What is remembered.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] while the log's directory cannot be opened.
    pub fn records(&self) -> Result<SharedRecords, Refusal> {
        self.records.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Refusal::Unavailable)
    }

    /// Hands over what is remembered, once it is open, the history that was kept in it included.
    pub fn opened(&self, records: SharedRecords) {
        match records.store().history().map(|kept| kept.map(|bytes| History::decode(&bytes))) {
            Ok(None) => {}
            Ok(Some(Some(history))) => self.status.resume(history),
            Ok(Some(None)) => tracing::warn!("the history of a log is of another version; a new one begins"),
            // The rounds will fail with it, too.
            Err(error) => tracing::error!(%error, "the history of a log cannot be read"),
        }
        *self.records.write().unwrap_or_else(PoisonError::into_inner) = Some(records);
    }

    /// Gives up what is remembered, so that it can be opened again after it failed.
    pub fn close(&self) {
        *self.records.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes note of a finished round. What has to be kept of it is durable before anybody is told.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn observe(&self, report: Arc<Report>) -> Result<(), AuditError> {
        if let (Some(history), Ok(records)) = (self.status.observe(report), self.records()) {
            let history = history.encode();
            records.with(move |records| Ok(records.store().put_history(&history)?)).await?;
        }
        self.tell();
        Ok(())
    }

    /// Takes note that a round could not be finished.
    pub fn fail(&self, why: String) {
        self.status.fail(why);
        self.tell();
    }

    /// Waits until the next round should begin at once.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes a head of this log from somebody, compares it with all that was seen, and keeps it. A contradiction becomes
    /// evidence before this returns. Nothing is asked of the log on behalf of the giver.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn take_head(&self, note: SignedNote, source: Source) -> Result<Compared, Refusal> {
        let _permit = self.comparing.try_acquire().map_err(|_| Refusal::Unavailable)?;
        let (records, now) = (self.records()?, self.clock.now());
        let (trust, from) = (Arc::clone(&self.trust), source.clone());
        let read = tokio::task::spawn_blocking(move || SignedHead::verify(&note, &trust));
        let head = read.await.map_err(|_| Refusal::Failed)??;
        let size = head.size();
        let compare = move |records: &mut Records| {
            let before = records.evidence().convictions().count();
            let admission = records.admit(head, from, now)?;
            let found = records.evidence().convictions().count() > before;
            Ok((admission, found, records.position()?.size))
        };
        let (admission, found, verified_size) = records.with(compare).await.map_err(failed)?;
        if found {
            self.wake.notify_one();
        }
        let Admission::Stands(standing) = admission else { return Err(Refusal::NoRoom) };
        self.status.heard(&source, shown_as(standing), size, now);
        self.tell();
        Ok(Compared { standing, tree_size: size, verified_size })
    }

    /// Takes evidence against this log from somebody: it is verified with the log's keys before it is kept.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn take_evidence(&self, evidence: Evidence) -> Result<Taken, Refusal> {
        let _permit = self.comparing.try_acquire().map_err(|_| Refusal::Unavailable)?;
        let trust = Arc::clone(&self.trust);
        // Before anything is locked: what proves nothing keeps nobody from the records.
        let verify = move || {
            let keys: Vec<_> = trust.log_keys().iter().collect();
            let proven = evidence.verify(&keys, Some(trust.policy())).is_ok();
            proven.then_some(evidence)
        };
        let evidence = tokio::task::spawn_blocking(verify).await.map_err(|_| Refusal::Failed)?;
        let evidence = evidence.ok_or(Refusal::Unproven)?;
        let take = move |records: &mut Records| {
            let before = records.evidence().convictions().count();
            let convicts = records.take_evidence(&evidence)?;
            Ok((convicts, records.evidence().convictions().count() > before))
        };
        match self.records()?.with(take).await.map_err(failed)? {
            (false, _) => Err(Refusal::Unproven),
            (true, false) => Ok(Taken::Known),
            (true, true) => {
                self.wake.notify_one();
                self.tell();
                Ok(Taken::Kept)
            }
        }
    }

    /// The heads that others should see: the largest that everything was replayed under, and whatever does not agree with it
    /// or cannot be compared yet, with the signature lines of everybody who showed them.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn heads(&self) -> Result<Vec<SignedHead>, Refusal> {
        let gather = |records: &mut Records| {
            let largest = records.standing(Standing::Agrees).next_back();
            let others = [Standing::Disputed, Standing::Contradicts, Standing::Open];
            let others = others.into_iter().flat_map(|standing| records.standing(standing));
            Ok(largest.into_iter().chain(others).map(|known| known.head.clone()).collect())
        };
        self.records()?.with(gather).await.map_err(failed)
    }

    /// The checkpoint that this auditor cosigned last, as a note; none while it has cosigned none.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn cosigned(&self) -> Result<Option<SignedNote>, Refusal> {
        let read = |records: &mut Records| Ok(records.store().cosigned()?);
        let cosigned = self.records()?.with(read).await.map_err(failed)?;
        Ok(cosigned.map(|(head, _)| head.note().clone()))
    }

    /// What evidence there is, and its files' texts by [`Followed::evidence_text`].
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn convictions(&self) -> Result<Vec<ConvictionReport>, Refusal> {
        let list = |records: &mut Records| Ok(ConvictionReport::of(records.evidence()));
        self.records()?.with(list).await.map_err(failed)
    }

    /// The text of a file of evidence, if there is one of that name.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn evidence_text(&self, file: String) -> Result<Option<Vec<u8>>, Refusal> {
        let read = move |records: &mut Records| Ok(records.evidence().text(&file)?);
        self.records()?.with(read).await.map_err(failed)
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

fn failed(error: AuditError) -> Refusal {
    tracing::error!(%error, "what was handed in was not compared");
    Refusal::Failed
}

fn shown_as(standing: Standing) -> WitnessState {
    match standing {
        Standing::Agrees => WitnessState::Agrees,
        Standing::Open => WitnessState::Ahead,
        Standing::Disputed => WitnessState::Disputed,
        Standing::Contradicts => WitnessState::Contradicts,
    }
}

/// All logs of this auditor.
pub struct Logs {
    auditor: AuditorOverview,
    clock: Arc<dyn Clock>,
    started: UnixMillis,
    logs: Vec<Arc<Followed>>,
    by_origin: HashMap<String, usize>,
    by_id: HashMap<String, usize>,
    by_path: HashMap<String, usize>,
    changed: Arc<watch::Sender<u64>>,
    reading: Semaphore,
    book: Option<Arc<Book>>,
}

impl Logs {
    /// These logs, which have different origins and tell `changed` of whatever happens.
    #[must_use]
    pub fn new(
        auditor: AuditorOverview,
        clock: Arc<dyn Clock>,
        logs: Vec<Arc<Followed>>,
        changed: Arc<watch::Sender<u64>>,
    ) -> Self {
        let index = |key: &dyn Fn(&Followed) -> String| {
            logs.iter().enumerate().map(|(i, log)| (key(log), i)).collect::<HashMap<_, _>>()
        };
        let by_origin = index(&|log| log.trust.origin().to_owned());
        let by_id = index(&|log| hex::encode(log.trust.id()));
        let by_path = index(&|log| checkpoint_path(log.trust.origin()));
        let (started, reading) = (clock.now(), Semaphore::new(MAX_READING));
        Self { auditor, clock, started, logs, by_origin, by_id, by_path, changed, reading, book: None }
    }

    /// The same logs, with the evidence about them that is passed on to peers.
    #[must_use]
    pub fn passing_on(self, book: Arc<Book>) -> Self {
        Self { book: Some(book), ..self }
    }

    /// The evidence that is passed on.
    #[must_use]
    pub fn book(&self) -> Option<&Arc<Book>> {
        self.book.as_ref()
    }

    /// All of them, in the order of the configuration.
    #[must_use]
    pub fn all(&self) -> &[Arc<Followed>] {
        &self.logs
    }

    /// The only one, if there is one only.
    #[must_use]
    pub fn only(&self) -> Option<&Arc<Followed>> {
        if let [log] = self.logs.as_slice() { Some(log) } else { None }
    }

    /// The log with this origin.
    #[must_use]
    pub fn by_origin(&self, origin: &str) -> Option<&Arc<Followed>> {
        self.logs.get(*self.by_origin.get(origin)?)
    }

    /// The log whose configuration has this hash, in lower-case hexadecimal.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Arc<Followed>> {
        self.logs.get(*self.by_id.get(id)?)
    }

    /// The log whose checkpoint is at this path under C2SP tlog-witness.
    #[must_use]
    pub fn by_checkpoint_path(&self, path: &str) -> Option<&Arc<Followed>> {
        self.logs.get(*self.by_path.get(path)?)
    }

    /// Everything there is to show.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let logs = self.logs.iter().map(|log| log.overview()).collect();
        let (now_ms, started_ms) = (self.clock.now().0, self.started.0);
        Overview { auditor: self.auditor.clone(), now_ms, started_ms, logs }
    }

    /// Told whenever something in [`Logs::overview`] has changed, other than the time.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes a head of any of the logs, as bytes from anybody: a signed note.
    ///
    /// # Errors
    /// [`Refusal`]; [`HeadError::OtherOrigin`] for a log that is not followed.
    pub async fn take_head(&self, note: &[u8], source: Source) -> Result<Compared, Refusal> {
        let (note, log) = {
            let _permit = self.reading.try_acquire().map_err(|_| Refusal::Unavailable)?;
            let note = SignedNote::parse(note).map_err(HeadError::from)?;
            let checkpoint = Checkpoint::from_note(&note).map_err(HeadError::from)?;
            let log = self.by_origin(checkpoint.origin()).ok_or(HeadError::OtherOrigin)?;
            (note, log)
        };
        log.take_head(note, source).await
    }

    /// Takes evidence against any of the logs, as bytes from anybody: a file as `docs/evidence.md` has it.
    ///
    /// # Errors
    /// [`Refusal`]; [`HeadError::OtherOrigin`] for a log that is not followed.
    pub async fn take_evidence(&self, file: &[u8]) -> Result<Taken, Refusal> {
        let (evidence, log) = {
            let _permit = self.reading.try_acquire().map_err(|_| Refusal::Unavailable)?;
            let evidence = Evidence::parse(file)?;
            // The second note is a checkpoint in every kind that has two.
            let checkpoint = Checkpoint::from_note(evidence.b().unwrap_or_else(|| evidence.a()));
            let checkpoint = checkpoint.map_err(HeadError::from)?;
            let log = self.by_origin(checkpoint.origin()).ok_or(HeadError::OtherOrigin)?;
            (evidence, log)
        };
        log.take_evidence(evidence).await
    }
}

//! One round of an audit: ask the log and its witnesses, replay what is new, compare, and report.

mod audit;
mod catch_up;
mod compare;
mod shared;
mod sign;
mod vantage;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use keyglass_tlog::{
    cosignature::Cosigner,
    note::SignedNote,
    time::UnixMillis,
    witnessed::{JudgeError, Judged},
};
use thiserror::Error;
use tokio::time::Instant;

pub use self::shared::SharedRecords;
use crate::{
    clock::Clock,
    fetch::{FetchError, LogSource, Shown, VantageSource, WitnessSource},
    finding::Finding,
    head::SignedHead,
    progress::{Meter, Replayed},
    records::{Admission, RecordsError, Source, Standing, store::Store},
    report::{
        self, AuditReport, ConvictionReport, Facts, Report, ShownReport, VantageReport, WitnessReport,
        WitnessState,
    },
    signing::Signer,
    trust::Trust,
    updates::Limits,
};

/// Witnesses that are asked at a time.
const WITNESSES_AT_A_TIME: usize = 64;
/// How long a round waits for tiles that would explain what it cannot explain by itself.
const MAX_COMPARING: Duration = Duration::from_secs(30);

/// Why a round could not be finished. Whatever others do is a finding; this is about this machine.
#[derive(Debug, Error)]
pub enum AuditError {
    /// What is remembered cannot be read or written.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// A task ended before its work was done.
    #[error("a task of this process failed")]
    Task,
}

/// An auditor of one log.
pub struct Follower {
    trust: Arc<Trust>,
    records: SharedRecords,
    log: LogSource,
    witnesses: Vec<WitnessSource>,
    /// Other places that show the log's heads.
    others: Vec<VantageSource>,
    clock: Arc<dyn Clock>,
    /// Where progress is noted.
    meter: Arc<Meter>,
    /// How long a round may replay entries before it goes on to compare, and then changes.
    patience: Duration,
    /// How large updates may be.
    limits: Limits,
    /// The key that signs heads, if this is the log's auditor.
    signer: Option<Arc<Signer>>,
    /// The key that cosigns what was replayed.
    cosigner: Option<Arc<Cosigner>>,
    /// Where the replay of updates stands.
    store: Arc<Store>,
}

/// How a follower audits.
#[derive(Debug, Clone)]
pub struct Auditing {
    /// How long one round replays entries, and then updates: a log that is slow on purpose must not keep the auditor from
    /// comparing.
    pub patience: Duration,
    /// How large updates may be.
    pub limits: Limits,
    /// The key that signs heads, if this is the log's auditor.
    pub signer: Option<Arc<Signer>>,
    /// The key that cosigns what was replayed; none: nothing is cosigned.
    pub cosigner: Option<Arc<Cosigner>>,
}

/// What a round learned from others than the log.
#[derive(Default)]
struct Beside {
    witnesses: Vec<WitnessReport>,
    others: Vec<VantageReport>,
}

/// What a round learned from the log.
#[derive(Default)]
struct LogView {
    shown: Option<(SignedHead, ShownReport)>,
    /// When it was shown.
    seen: Option<UnixMillis>,
    /// Whether all that was replayed is known to be a part of the tree of that head.
    proven: bool,
    findings: Vec<Finding>,
    replayed: u64,
}

impl Follower {
    /// Puts an auditor together.
    #[must_use]
    pub fn new(
        trust: Arc<Trust>,
        records: SharedRecords,
        log: LogSource,
        witnesses: Vec<WitnessSource>,
        clock: Arc<dyn Clock>,
        auditing: Auditing,
    ) -> Self {
        let store = records.store();
        let Auditing { patience, limits, signer, cosigner } = auditing;
        let (others, meter) = (Vec::new(), Arc::new(Meter::default()));
        Self {
            trust,
            records,
            log,
            witnesses,
            others,
            clock,
            meter,
            patience,
            limits,
            signer,
            cosigner,
            store,
        }
    }

    /// Asks these places, too.
    #[must_use]
    pub fn beside(self, others: Vec<VantageSource>) -> Self {
        Self { others, ..self }
    }

    /// Notes progress here.
    #[must_use]
    pub fn measured_by(self, meter: Arc<Meter>) -> Self {
        Self { meter, ..self }
    }

    /// One round.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn round(&self) -> Result<Report, AuditError> {
        let began = Instant::now();
        let until = began.checked_add(self.patience).unwrap_or(began);
        let (mut log, shown, reachable) = if self.trust.has_checkpoints() {
            self.see(until).await?
        } else {
            (LogView::default(), Beside::default(), true)
        };
        let verified = self.records.with(|records| records.position()).await?;
        let size = log.shown.as_ref().map(|(head, _)| head.size());
        self.meter.note(Replayed::Entries, verified.size, size, Instant::now());
        // What the log does not let us verify now is verified in another round.
        let known = self.trust.has_checkpoints().then_some(verified.size);
        // Entries that come slowly take no time from their changes.
        let until = Instant::now().checked_add(self.patience).unwrap_or(until);
        let mut audited =
            if reachable { self.audit(known, until).await? } else { self.audited_before().await? };
        log.findings.append(&mut audited.findings);
        let position = if self.trust.has_checkpoints() { verified } else { audited.position() };
        let current = match &log.shown {
            Some((head, _)) => head.size() == position.size,
            None => !self.trust.has_checkpoints() && audited.complete,
        };
        let facts = move |records: &mut crate::records::Records| {
            let kept = |standing| records.standing(standing).cloned().collect::<Vec<_>>();
            let convictions = ConvictionReport::of(records.evidence());
            let refused = records.refused().files()?;
            Ok((kept(Standing::Disputed), kept(Standing::Open), convictions, refused))
        };
        let (disputed, open, convictions, refused) = self.records.with(facts).await?;
        let (proven, (shown_head, shown_report)) = (log.proven, log.shown.unzip());
        let mut report = report::conclude(Facts {
            trust: &self.trust,
            now: self.clock.now(),
            seen: log.seen.unwrap_or_else(|| self.clock.now()),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            position,
            current,
            entries_replayed: log.replayed,
            shown: shown_report,
            findings: log.findings,
            witnesses: shown.witnesses,
            vantage_points: shown.others,
            disputed,
            open,
            convictions,
            audit: AuditReport::new(&audited.position(), audited.replayed, refused),
        });
        self.sign(&mut report, &audited, proven).await?;
        self.cosign(&mut report, &audited, shown_head).await?;
        Ok(report)
    }

    /// Asks the log and its witnesses, replays the entries that are new, and compares. Says whether the log answered.
    async fn see(&self, until: Instant) -> Result<(LogView, Beside, bool), AuditError> {
        let asking: Vec<_> = self.witnesses.iter().map(|witness| timed(witness.ask(&self.trust))).collect();
        let asking = stream::iter(asking).buffered(WITNESSES_AT_A_TIME).collect::<Vec<_>>();
        let (answer, shown, others) = futures::join!(self.log.checkpoint(), asking, self.ask_others());
        let reachable = answer.is_ok();
        let mut log = self.see_log(answer, until).await?;
        let mut witnesses = Vec::new();
        for (witness, (shown, latency)) in self.witnesses.iter().zip(shown) {
            let report = self.see_witness(witness, shown).await?;
            let answered = !matches!(report.state, WitnessState::Unreachable | WitnessState::NoUrl);
            let (url, latency_ms) = (witness.url().map(str::to_owned), answered.then_some(latency));
            witnesses.push(WitnessReport { url, latency_ms, ..report });
        }
        let mut others = self.see_others(others).await?;
        let ahead = |witness: &WitnessReport| witness.state == WitnessState::Ahead;
        if reachable && witnesses.iter().any(ahead) {
            // A witness cosigns a head before the log publishes it: perhaps the log has done so by now.
            let replayed = log.replayed;
            log = self.see_log(self.log.checkpoint().await, until).await?;
            log.replayed = log.replayed.saturating_add(replayed);
        }
        if reachable {
            let comparing = self.compare_by_tiles(log.shown.as_ref().map(|(head, _)| head));
            // What is not compared in time is compared in the next round; the log cannot hold up this one's report.
            if let Ok(compared) = tokio::time::timeout(MAX_COMPARING, comparing).await {
                compared?;
            }
        }
        self.restate(witnesses.iter_mut().chain(others.iter_mut().map(|other| &mut other.witness))).await?;
        Ok((log, Beside { witnesses, others }, reachable))
    }

    /// Judges what the log shows, and replays what is new in it.
    async fn see_log(
        &self,
        answer: Result<Vec<u8>, FetchError>,
        until: Instant,
    ) -> Result<LogView, AuditError> {
        let now = self.clock.now();
        let mut view = LogView { seen: Some(now), ..LogView::default() };
        let head = match answer {
            Err(error) => {
                view.findings.push(Finding::of_checkpoint(error));
                return Ok(view);
            }
            Ok(bytes) => self.judge(&bytes, now, &mut view),
        };
        let Some(head) = head else { return Ok(view) };
        let admitted = head.clone();
        let admit = move |records: &mut crate::records::Records| {
            let admission = records.admit(admitted, Source::Log, now)?;
            Ok((admission, records.position()?))
        };
        let (admission, position) = self.records.with(admit).await?;
        if head.size() < position.size {
            view.findings.push(Finding::WentBack { before: position.size, size: head.size() });
        } else if head.size() > position.size {
            let caught_up = self.catch_up(&head, until).await?;
            view.findings.extend(caught_up.findings);
            (view.replayed, view.proven) = (caught_up.replayed, caught_up.proven);
            self.records.with(move |records| records.settle(now)).await?;
        } else {
            view.proven = admission == Admission::Stands(Standing::Agrees);
        }
        Ok(view)
    }

    /// Judges a note as a client would. What the log did not sign is nothing; what it signed is compared in any case.
    fn judge(&self, bytes: &[u8], now: UnixMillis, view: &mut LogView) -> Option<SignedHead> {
        let note = SignedNote::parse(bytes).map_err(crate::head::HeadError::from);
        let head = note.and_then(|note| Ok((SignedHead::verify(&note, &self.trust)?, note)));
        let (head, note) = match head {
            Ok(head) => head,
            Err(error) => {
                view.findings.push(Finding::BadHead(error));
                return None;
            }
        };
        if !head.checkpoint().extensions().is_empty() {
            view.findings.push(Finding::Extensions);
        }
        let witnessed = match self.trust.judge(now).judge(&note) {
            Ok(Judged::Witnessed(_)) => true,
            Ok(Judged::LogSigned(_)) => false,
            Err(JudgeError::QuorumNotMet { have, missing, .. }) => {
                let have = have.iter().map(|cosigned| cosigned.witness.to_string()).collect();
                view.findings.push(Finding::Unwitnessed { have, missing });
                false
            }
            Err(error) => {
                view.findings.push(Finding::BadCheckpoint(error));
                false
            }
        };
        let report = ShownReport {
            tree_size: head.size(),
            root: report::root_text(&head),
            witnessed,
            cosigners: report::names(&head.cosigners(self.trust.policy())),
        };
        view.shown = Some((head.clone(), report));
        Some(head)
    }

    /// Compares what a witness shows.
    async fn see_witness(&self, witness: &WitnessSource, shown: Shown) -> Result<WitnessReport, AuditError> {
        let name = witness.witness().name().clone();
        let report = |state, detail| WitnessReport {
            name: name.to_string(),
            state,
            tree_size: None,
            root: None,
            cosigned_at: None,
            url: None,
            latency_ms: None,
            detail,
        };
        let detail = shown.to_string();
        let (head, cosigned_at) = match shown {
            Shown::Never => return Ok(report(WitnessState::Never, None)),
            Shown::NoUrl => return Ok(report(WitnessState::NoUrl, None)),
            Shown::Failed(_) => return Ok(report(WitnessState::Unreachable, Some(detail))),
            Shown::NoHead(_) => return Ok(report(WitnessState::Invalid, Some(detail))),
            Shown::NotCosigned(head) => (*head, None),
            Shown::Head(head, time) => (*head, Some(time.0)),
        };
        let (tree_size, root) = (Some(head.size()), Some(report::root_text(&head)));
        let now = self.clock.now();
        let source = Source::Witness(name.clone());
        let admission = self.records.with(move |records| records.admit(head, source, now)).await?;
        let state = match (state_of(admission), cosigned_at) {
            (WitnessState::Agrees | WitnessState::Ahead, None) => WitnessState::Invalid,
            (state, _) => state,
        };
        let detail = cosigned_at.is_none().then_some(detail);
        Ok(WitnessReport { tree_size, root, cosigned_at, ..report(state, detail) })
    }
}

/// How a head that was admitted stands to the log, in a report.
fn state_of(admission: Admission) -> WitnessState {
    match admission {
        Admission::Stands(Standing::Contradicts) => WitnessState::Contradicts,
        Admission::Stands(Standing::Disputed) => WitnessState::Disputed,
        Admission::Stands(Standing::Agrees) => WitnessState::Agrees,
        Admission::Stands(Standing::Open) | Admission::NoRoom => WitnessState::Ahead,
    }
}

/// An answer, and how many milliseconds it took.
async fn timed<T>(asking: impl Future<Output = T>) -> (T, u64) {
    let began = Instant::now();
    let answer = asking.await;
    (answer, u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}

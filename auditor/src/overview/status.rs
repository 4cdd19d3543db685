//! What is known about one log: written by its follower and by whoever hands in heads, read by pages.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use keyglass_tlog::{policy::Name, time::UnixMillis};
use tokio::time::Instant;

use super::{
    CosignedOverview, EvidenceOverview, Growth, HeadOverview, History, LogOverview, VantageKind,
    VantageOverview, WitnessOverview, conditions,
};
use crate::{
    incident::{Hysteresis, Incident, Incidents},
    progress::Meter,
    quorum::QuorumMargin,
    records::Source,
    report::{Report, WitnessReport, WitnessState},
    trust::Trust,
    verdict::Verdict,
};

/// The longest time in milliseconds after which the history is kept again, although nothing but the growth has changed.
const KEEP_EVERY_MS: u64 = 60_000;
/// The most vantage points that are remembered. All but clients have names out of files.
const MAX_VANTAGE_POINTS: usize = 1024;

/// What tells a vantage point.
type Place = (VantageKind, String);

/// The status of one log.
pub struct LogStatus {
    name: String,
    urls: Vec<String>,
    trust: Arc<Trust>,
    meter: Arc<Meter>,
    state: Mutex<State>,
}

struct State {
    report: Option<Arc<Report>>,
    failure: Option<String>,
    rounds: u64,
    growth: Growth,
    hysteresis: Hysteresis,
    incidents: Incidents,
    /// When the history was kept last, and what [`Incidents::transitions`] was then.
    kept: Option<(u64, u64)>,
    /// The root of the head that the log showed last, and since when it shows it.
    head_since: Option<(String, u64)>,
    /// How many entries and changes were replayed, and when that became so.
    advanced: Option<((u64, u64), UnixMillis)>,
    /// The largest size with nothing against it, and when it was so last.
    verified: Option<(u64, u64)>,
    quorum: Option<QuorumMargin>,
    witness_answers: BTreeMap<String, u64>,
    vantage_points: BTreeMap<Place, VantageOverview>,
}

impl LogStatus {
    /// The status of a log of which nothing is known yet.
    #[must_use]
    pub fn new(name: String, urls: Vec<String>, trust: Arc<Trust>, hysteresis: Hysteresis) -> Self {
        let state = State {
            report: None,
            failure: None,
            rounds: 0,
            growth: Growth::default(),
            hysteresis,
            incidents: Incidents::new(hysteresis),
            kept: None,
            head_since: None,
            advanced: None,
            verified: None,
            quorum: None,
            witness_answers: BTreeMap::new(),
            vantage_points: BTreeMap::new(),
        };
        Self { name, urls, trust, meter: Arc::new(Meter::default()), state: Mutex::new(state) }
    }

    /// What the log is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the follower notes how far it came.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The report of the last round.
    #[must_use]
    pub fn report(&self) -> Option<Arc<Report>> {
        self.state().report.clone()
    }

    /// Why the last round could not be finished, if it could not.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    /// Goes on with the history that was kept before a restart. After a round it is too late for that.
    pub fn resume(&self, history: History) {
        let mut state = self.state();
        if state.rounds == 0 {
            state.growth = history.growth;
            state.incidents = Incidents::resume(state.hysteresis, history.incidents);
        }
    }

    /// Takes note of a round. Gives the history, if it is time to keep it: when an incident opened or was resolved, and now and
    /// then.
    pub fn observe(&self, report: Arc<Report>) -> Option<History> {
        let mut state = self.state();
        let now = UnixMillis(report.checked_at_ms);
        (state.failure, state.rounds) = (None, state.rounds.saturating_add(1));
        // While entries are caught up with, the log's size is not that of what was replayed.
        let replayed = (!self.trust.has_checkpoints()).then_some(report.tree_size);
        if let Some(size) = report.shown.as_ref().map(|shown| shown.tree_size).or(replayed) {
            state.growth.push(now, size);
        }
        state.quorum = report.shown.as_ref().and_then(|shown| {
            let names: Vec<Name> = shown.cosigners.iter().map(|name| name.as_str().into()).collect();
            QuorumMargin::of(self.trust.policy(), &names.iter().collect::<BTreeSet<_>>())
        });
        if let Some(shown) = &report.shown
            && state.head_since.as_ref().is_none_or(|(root, _)| *root != shown.root)
        {
            state.head_since = Some((shown.root.clone(), now.0));
        }
        if report.verdict < Verdict::Unaudited {
            state.verified = Some((report.tree_size.min(report.audit.tree_size), now.0));
        }
        for witness in &report.witnesses {
            if !matches!(witness.state, WitnessState::Unreachable | WitnessState::NoUrl) {
                state.witness_answers.insert(witness.name.clone(), now.0);
            }
        }
        for point in &report.vantage_points {
            let kind = if point.is_log { VantageKind::Log } else { VantageKind::Auditor };
            let answered = point.witness.tree_size.is_some();
            let entry = state.place((kind, point.witness.name.clone()));
            let Some(entry) = entry else { continue };
            entry.state = point.witness.state;
            entry.latency_ms = point.witness.latency_ms;
            entry.detail.clone_from(&point.witness.detail);
            if answered {
                (entry.size, entry.seen_at_ms) = (point.witness.tree_size, Some(now.0));
                entry.heads = entry.heads.saturating_add(1);
            }
        }
        if report.verdict < Verdict::Unreconciled {
            state.settle(report.tree_size);
        }
        let replayed = (report.tree_size, report.audit.tree_size);
        let advanced = state.advanced.filter(|(before, at)| *before == replayed && *at <= now);
        let advanced = advanced.map_or(now, |(_, at)| at);
        state.advanced = Some((replayed, advanced));
        let conditions =
            conditions::of_report(&report, state.quorum.as_ref(), &self.trust, &state.growth, advanced);
        state.incidents.observe(conditions, now);
        state.report = Some(report);
        let transitions = state.incidents.transitions();
        let kept = |(at, kept)| kept == transitions && now.0.abs_diff(at) < KEEP_EVERY_MS;
        if state.kept.is_some_and(kept) {
            return None;
        }
        state.kept = Some((now.0, transitions));
        Some(History::new(state.growth.clone(), state.incidents.kept()))
    }

    /// Takes note that a round could not be finished.
    pub fn fail(&self, why: String) {
        self.state().failure = Some(why);
    }

    /// Takes note of a head that somebody handed in. What is asked in every round is noted by the round.
    pub fn heard(&self, source: &Source, standing: WitnessState, size: u64, now: UnixMillis) {
        let place = match source {
            Source::Client => (VantageKind::Client, String::new()),
            Source::Peer(name) => (VantageKind::Peer, name.clone()),
            Source::Log | Source::Mirror(_) | Source::Witness(_) | Source::Auditor(_) => return,
        };
        let mut state = self.state();
        if let Some(entry) = state.place(place) {
            (entry.state, entry.size, entry.seen_at_ms) = (standing, Some(size), Some(now.0));
            entry.heads = entry.heads.saturating_add(1);
        }
    }

    /// All of it.
    #[must_use]
    pub fn overview(&self, now: UnixMillis) -> LogOverview {
        let state = self.state();
        let report = state.report.as_deref();
        let failed = state.failure.is_some();
        let verdict = if failed { Some(Verdict::Failed) } else { report.map(|report| report.verdict) };
        let newest = report.and_then(|report| report.newest_entry_ms);
        let evidence: Vec<EvidenceOverview> = report.map(evidence).unwrap_or_default();
        let first = evidence.first().map(|evidence| evidence.path.clone());
        let linked = |incident: Incident| {
            let path = (incident.verdict == Verdict::Misbehaving).then(|| first.clone()).flatten();
            incident.with_evidence(path)
        };
        LogOverview {
            name: self.name.clone(),
            origin: self.trust.origin().to_owned(),
            id: hex::encode(self.trust.id()),
            suite: format!("0x{:04X}", self.trust.suite().number()),
            urls: self.urls.clone(),
            verdict,
            meaning: verdict.map_or("no round has ended yet", Verdict::meaning),
            failure: state.failure.clone(),
            checked_at_ms: report.map(|report| report.checked_at_ms),
            took_ms: report.map(|report| report.took_ms),
            rounds: state.rounds,
            size: report.map_or(0, |report| report.tree_size),
            root: report.map(|report| report.root.clone()).unwrap_or_default(),
            newest_entry_ms: newest,
            age_ms: newest.map(|newest| now.0.saturating_sub(newest)),
            max_age_ms: self.trust.configuration().max_behind,
            entries_per_minute: state.growth.per_minute(UnixMillis(0), now),
            head: report.and_then(|report| state.head(report)),
            replay: self.meter.read(Instant::now()),
            quorum: state.quorum.clone(),
            witnesses: report.map(|report| state.witnesses(report)).unwrap_or_default(),
            vantage_points: state.vantage_points.values().cloned().collect(),
            cosigned: report.and_then(|report| report.audit.cosigned.as_ref()).map(|cosigned| {
                let path = format!("/{}", keyglass_tlog::witness::checkpoint_path(self.trust.origin()));
                CosignedOverview { size: cosigned.tree_size, at_ms: cosigned.timestamp_ms, path }
            }),
            findings: report.map(|report| report.findings.clone()).unwrap_or_default(),
            incidents: state.incidents.open().into_iter().map(linked).collect(),
            resolved: state.incidents.resolved(),
            evidence,
            growth: state.growth.points().to_vec(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn place(&mut self, place: Place) -> Option<&mut VantageOverview> {
        if !self.vantage_points.contains_key(&place) && self.vantage_points.len() >= MAX_VANTAGE_POINTS {
            return None;
        }
        let (kind, name) = place.clone();
        Some(self.vantage_points.entry(place).or_insert(VantageOverview {
            kind,
            name,
            state: WitnessState::Never,
            size: None,
            seen_at_ms: None,
            latency_ms: None,
            heads: 0,
            detail: None,
        }))
    }

    /// What was newer than what was replayed has been compared by now, and nothing contradicts anything.
    fn settle(&mut self, replayed: u64) {
        for point in self.vantage_points.values_mut() {
            if point.state == WitnessState::Ahead && point.size.is_some_and(|size| size <= replayed) {
                point.state = WitnessState::Agrees;
            }
        }
    }

    fn head(&self, report: &Report) -> Option<HeadOverview> {
        let shown = report.shown.as_ref()?;
        Some(HeadOverview {
            size: shown.tree_size,
            root: shown.root.clone(),
            since_ms: self.head_since.as_ref().map_or(report.checked_at_ms, |(_, since)| *since),
            witnessed: shown.witnessed,
            verified_size: self.verified.map_or(0, |(size, _)| size),
            verified_at_ms: self.verified.map(|(_, at)| at),
        })
    }

    fn witnesses(&self, report: &Report) -> Vec<WitnessOverview> {
        let shown = report.shown.as_ref();
        let faulty = |name: &String| {
            report.convictions.iter().any(|conviction| conviction.faulty_witnesses.contains(name))
        };
        let of = |witness: &WitnessReport| WitnessOverview {
            name: witness.name.clone(),
            url: witness.url.clone(),
            state: witness.state,
            on_head: shown.is_some_and(|shown| shown.cosigners.contains(&witness.name)),
            size: witness.tree_size,
            behind: shown.zip(witness.tree_size).map(|(shown, size)| shown.tree_size.saturating_sub(size)),
            cosigned_at_ms: witness.cosigned_at.and_then(|seconds| seconds.checked_mul(1000)),
            latency_ms: witness.latency_ms,
            answered_at_ms: self.witness_answers.get(&witness.name).copied(),
            detail: witness.detail.clone(),
            faulty: faulty(&witness.name),
        };
        report.witnesses.iter().map(of).collect()
    }
}

fn evidence(report: &Report) -> Vec<EvidenceOverview> {
    let of = |conviction: &crate::report::ConvictionReport| EvidenceOverview {
        file: conviction.file.clone(),
        path: conviction.path.clone(),
        kind: conviction.kind,
        sizes: conviction.sizes,
        faulty_witnesses: conviction.faulty_witnesses.clone(),
    };
    report.convictions.iter().map(of).collect()
}

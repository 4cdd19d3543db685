//! What an operator watches.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use keyglass_gossip::{holdings::Holdings, metrics::GossipMetrics};
use keyglass_service::connections::Connections;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::http::Ages;

/// How long the ages of cosignatures are not read again.
const AGES_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The counters of one witness.
pub struct Metrics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    seconds: Histogram,
    cosigned: Counter,
    logs: Gauge,
    connections: Connections,
    suspended: Gauge,
    reloads: Family<Outcome, Counter>,
    gossip: GossipMetrics,
    stopped: Gauge,
    commits: Histogram,
    newest: Gauge,
    oldest: Gauge,
    never: Gauge,
    ages_read: Mutex<Option<Instant>>,
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
}

/// When a request came.
pub struct Timer(Instant);

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("keyglass_witness");
        let requests = Family::<Outcome, Counter>::default();
        let buckets = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
        let seconds = Histogram::new(buckets);
        let (cosigned, logs, suspended) = (Counter::default(), Gauge::default(), Gauge::default());
        let reloads = Family::<Outcome, Counter>::default();
        registry.register("add_checkpoint_requests", "add-checkpoint requests by outcome", requests.clone());
        registry.register(
            "add_checkpoint_duration_seconds",
            "Time from the head of an add-checkpoint request to its answer",
            seconds.clone(),
        );
        registry.register("cosigned_checkpoints", "Checkpoints stored and cosigned", cosigned.clone());
        registry.register("logs", "Logs that this witness cosigns", logs.clone());
        registry.register("suspended_logs", "Logs that wait for `confirm`", suspended.clone());
        registry.register("policy_reloads", "Policies read on SIGHUP by outcome", reloads.clone());
        let (gossip, stopped) = (GossipMetrics::default(), Gauge::default());
        gossip.register(&mut registry);
        registry.register(
            "stopped_logs",
            "Logs of which nothing is cosigned because of evidence that no operator has resolved",
            stopped.clone(),
        );
        let connections = Connections::default();
        connections.register(&mut registry);
        let commits = Histogram::new(buckets);
        registry.register(
            "commit_duration_seconds",
            "Time from a decision to its head being durable, the wait for others' included",
            commits.clone(),
        );
        let (newest, oldest, never) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register(
            "newest_cosignature_timestamp_seconds",
            "When the log of the policy that was cosigned last was cosigned; 0 if none was",
            newest.clone(),
        );
        registry.register(
            "oldest_cosignature_timestamp_seconds",
            "When the log of the policy that waits the longest was cosigned; 0 if none was",
            oldest.clone(),
        );
        registry.register("never_cosigned_logs", "Logs of the policy never cosigned", never.clone());
        Self {
            registry,
            requests,
            seconds,
            cosigned,
            logs,
            connections,
            suspended,
            reloads,
            gossip,
            stopped,
            commits,
            newest,
            oldest,
            never,
            ages_read: Mutex::default(),
            outcomes: Mutex::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn start(&self) -> Timer {
        Timer(Instant::now())
    }

    pub(crate) fn answered(&self, outcome: &'static str, timer: Timer) {
        self.requests.get_or_create(&Outcome { outcome }).inc();
        self.seconds.observe(timer.0.elapsed().as_secs_f64());
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let count = outcomes.entry(outcome).or_default();
        *count = count.saturating_add(1);
    }

    /// What was answered so far, by outcome: one of a fixed set of names.
    pub(crate) fn outcomes(&self) -> Vec<(&'static str, u64)> {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.iter().map(|(outcome, count)| (*outcome, *count)).collect()
    }

    /// A head was stored, or was not.
    pub(crate) fn committed(&self, timer: Timer) {
        self.commits.observe(timer.0.elapsed().as_secs_f64());
    }

    /// Whether the ages should be read; the caller who is told so is the only one for a while.
    pub(crate) fn ages_are_due(&self) -> bool {
        let mut read = self.ages_read.lock().unwrap_or_else(PoisonError::into_inner);
        let due = read.is_none_or(|read| read.elapsed() >= AGES_EVERY);
        if due {
            *read = Some(Instant::now());
        }
        due
    }

    pub(crate) fn ages(&self, ages: Ages) {
        let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        self.newest.set(signed(ages.newest.0));
        self.oldest.set(signed(ages.oldest.0));
        self.never.set(i64::try_from(ages.never).unwrap_or(i64::MAX));
    }

    /// The counts of connections that [`text`](Self::text) shows, for the server to keep.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    pub(crate) fn cosigned(&self) {
        self.cosigned.inc();
    }

    pub(crate) fn logs(&self, count: usize) {
        self.logs.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn suspended(&self) {
        self.suspended.inc();
    }

    /// How many logs are suspended when the witness starts.
    pub fn suspended_at_start(&self, count: usize) {
        self.suspended.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A policy was read again: taken over, or refused and the one before left in force.
    pub fn reloaded(&self, taken_over: bool) {
        let outcome = if taken_over { "taken-over" } else { "refused" };
        self.reloads.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn gossip(&self) -> &GossipMetrics {
        &self.gossip
    }

    pub(crate) fn evidence(&self, holdings: &Holdings) {
        self.gossip.held(holdings);
        self.stopped.set(i64::try_from(holdings.stopped().count()).unwrap_or(i64::MAX));
    }

    /// All of it as OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

//! What an operator watches.

use std::time::Instant;

use keyglass_service::connections::Connections;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

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
        let connections = Connections::default();
        connections.register(&mut registry);
        Self { registry, requests, seconds, cosigned, logs, connections, suspended, reloads }
    }
}

impl Metrics {
    pub(crate) fn start(&self) -> Timer {
        Timer(Instant::now())
    }

    pub(crate) fn answered(&self, outcome: &'static str, timer: Timer) {
        self.requests.get_or_create(&Outcome { outcome }).inc();
        self.seconds.observe(timer.0.elapsed().as_secs_f64());
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

    /// All of it as OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

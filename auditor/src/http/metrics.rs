//! `GET /metrics`: what an operator watches, in the OpenMetrics text format.

use std::sync::atomic::AtomicU64;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use keyglass_service::connections::Connections;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Problem, Service};
use crate::{
    report::{Report, WitnessState},
    verdict::Verdict,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WitnessLabels {
    witness: String,
}

/// The gauges and counters of an auditor.
pub struct Metrics {
    registry: Registry,
    rounds: Counter,
    replayed: Counter,
    reported: Counter,
    verified: Gauge,
    age: Gauge<f64, AtomicU64>,
    took: Gauge<f64, AtomicU64>,
    evidence: Gauge,
    audited: Gauge,
    signed: Gauge,
    refused: Gauge,
    verdict: Family<VerdictLabels, Gauge>,
    witness_size: Family<WitnessLabels, Gauge>,
    witness_agrees: Family<WitnessLabels, Gauge>,
    connections: Connections,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("keyglass_auditor");
        let (rounds, replayed, reported) = (Counter::default(), Counter::default(), Counter::default());
        registry.register("rounds", "Rounds that were finished", rounds.clone());
        registry.register("replayed_entries", "Entries that were replayed", replayed.clone());
        registry.register("reported_heads", "Heads that clients reported", reported.clone());
        let (verified, evidence) = (Gauge::default(), Gauge::default());
        registry.register("verified_entries", "Entries that are replayed and verified", verified.clone());
        registry.register("evidence_files", "Files of evidence against the log", evidence.clone());
        let (audited, signed, refused) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("audited_entries", "Entries whose changes are verified", audited.clone());
        registry.register("signed_entries", "The size of the head that was signed last", signed.clone());
        registry.register("refused_updates", "Files of updates that did not verify", refused.clone());
        let (age, took) = (Gauge::default(), Gauge::default());
        registry.register("head_age_seconds", "Age of the newest verified entry", age.clone());
        registry.register("round_seconds", "How long the last round took", took.clone());
        let verdict = Family::default();
        registry.register("verdict", "1 for the verdict of the last round, 0 for others", verdict.clone());
        let (witness_size, witness_agrees) = (Family::default(), Family::default());
        registry.register(
            "witness_entries",
            "The size of the head that a witness shows",
            witness_size.clone(),
        );
        registry.register("witness_agrees", "1 if that head is one of the log's", witness_agrees.clone());
        let connections = Connections::default();
        connections.register(&mut registry);
        Self {
            registry,
            rounds,
            replayed,
            reported,
            verified,
            age,
            took,
            evidence,
            audited,
            signed,
            refused,
            verdict,
            witness_size,
            witness_agrees,
            connections,
        }
    }
}

impl Metrics {
    /// Takes note of a report.
    pub fn observe(&self, report: &Report) {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let seconds = |ms: u64| core::time::Duration::from_millis(ms).as_secs_f64();
        self.rounds.inc();
        self.replayed.inc_by(report.entries_replayed);
        self.verified.set(signed(report.tree_size));
        self.age.set(report.head_age_ms.map_or(0.0, seconds));
        self.took.set(seconds(report.took_ms));
        self.evidence.set(i64::try_from(report.evidence.len()).unwrap_or(i64::MAX));
        self.audited.set(signed(report.audit.tree_size));
        self.signed.set(report.audit.head.map_or(0, |head| signed(head.tree_size)));
        self.refused.set(i64::try_from(report.audit.refused.len()).unwrap_or(i64::MAX));
        for verdict in Verdict::ALL {
            let labels = VerdictLabels { verdict: verdict.name() };
            self.verdict.get_or_create(&labels).set(i64::from(verdict == report.verdict));
        }
        for witness in &report.witnesses {
            let labels = WitnessLabels { witness: witness.name.clone() };
            if let Some(size) = witness.tree_size {
                self.witness_size.get_or_create(&labels).set(signed(size));
            }
            let agrees = witness.state == WitnessState::Agrees;
            self.witness_agrees.get_or_create(&labels).set(i64::from(agrees));
        }
    }

    /// The counts of connections that are shown with the rest, for the server to keep.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    pub(super) fn reported(&self) {
        self.reported.inc();
    }
}

pub(super) async fn scrape(State(service): State<Service>) -> Result<Response, Problem> {
    let mut text = String::new();
    encode(&mut text, &service.metrics.registry).map_err(|_| Problem::Internal)?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

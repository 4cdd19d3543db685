//! `GET /metrics`: what an operator watches, in the OpenMetrics text format.

use std::sync::atomic::AtomicU64;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use keyglass_gossip::metrics::GossipMetrics;
use keyglass_service::connections::Connections;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Problem, Service};
use crate::{
    alert::desk::AlertMetrics,
    overview::LogOverview,
    report::{Report, WitnessState},
    verdict::Verdict,
};

/// The label of everything that is about one log: its origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LogLabels {
    log: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    log: String,
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WitnessLabels {
    log: String,
    witness: String,
}

type Count = Family<LogLabels, Counter>;
type Number = Family<LogLabels, Gauge>;
type Seconds = Family<LogLabels, Gauge<f64, AtomicU64>>;

/// The gauges and counters of an auditor.
pub struct Metrics {
    registry: Registry,
    rounds: Count,
    failures: Count,
    replayed: Count,
    reported: Counter,
    handed_in: Counter,
    verified: Number,
    evidence: Number,
    audited: Number,
    signed: Number,
    cosigned: Number,
    refused: Number,
    incidents: Number,
    margin: Number,
    age: Seconds,
    took: Seconds,
    verdict: Family<VerdictLabels, Gauge>,
    witness_size: Family<WitnessLabels, Gauge>,
    witness_agrees: Family<WitnessLabels, Gauge>,
    connections: Connections,
    alerts: AlertMetrics,
    gossip: GossipMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("keyglass_auditor");
        let mut count = |name: &str, help: &str| {
            let family = Count::default();
            registry.register(name, help, family.clone());
            family
        };
        let rounds = count("rounds", "Rounds that were finished");
        let failures = count("failures", "Rounds that this auditor could not finish");
        let replayed = count("replayed_entries", "Entries that were replayed");
        let (reported, handed_in) = (Counter::default(), Counter::default());
        registry.register("reported_heads", "Heads that clients reported", reported.clone());
        registry.register("handed_in_evidence", "Files of evidence that were handed in", handed_in.clone());
        let mut number = |name: &str, help: &str| {
            let family = Number::default();
            registry.register(name, help, family.clone());
            family
        };
        let verified = number("verified_entries", "Entries that are replayed and verified");
        let evidence = number("evidence_files", "Files of evidence against the log");
        let audited = number("audited_entries", "Entries whose changes are verified");
        let signed = number("signed_entries", "The size of the head that was signed last");
        let cosigned = number("cosigned_entries", "The size of the head that was cosigned last");
        let refused = number("refused_updates", "Files of updates that did not verify");
        let incidents = number("incidents", "Incidents that are open");
        let margin =
            number("quorum_margin", "Cosigners that may fail with the quorum still met; -1: it is not");
        let (age, took) = (Seconds::default(), Seconds::default());
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
        let alerts = AlertMetrics::default();
        alerts.register(&mut registry);
        let gossip = GossipMetrics::default();
        gossip.register(&mut registry);
        Self {
            registry,
            rounds,
            failures,
            replayed,
            reported,
            handed_in,
            verified,
            evidence,
            audited,
            signed,
            cosigned,
            refused,
            incidents,
            margin,
            age,
            took,
            verdict,
            witness_size,
            witness_agrees,
            connections,
            alerts,
            gossip,
        }
    }
}

impl Metrics {
    /// Takes note of a report, and of what is known about its log since.
    pub fn observe(&self, report: &Report, overview: &LogOverview) {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let many = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let seconds = |ms: u64| core::time::Duration::from_millis(ms).as_secs_f64();
        let log = || LogLabels { log: report.origin.clone() };
        let set = |family: &Number, value: i64| {
            family.get_or_create(&log()).set(value);
        };
        self.rounds.get_or_create(&log()).inc();
        self.replayed.get_or_create(&log()).inc_by(report.entries_replayed);
        set(&self.verified, signed(report.tree_size));
        set(&self.evidence, many(report.evidence.len()));
        set(&self.audited, signed(report.audit.tree_size));
        set(&self.signed, report.audit.head.map_or(0, |head| signed(head.tree_size)));
        set(&self.cosigned, report.audit.cosigned.map_or(0, |head| signed(head.tree_size)));
        set(&self.refused, many(report.audit.refused.len()));
        set(&self.incidents, many(overview.incidents.len()));
        if let Some(quorum) = &overview.quorum {
            set(&self.margin, quorum.margin.map_or(-1, many));
        }
        match report.head_age_ms {
            Some(age) => {
                self.age.get_or_create(&log()).set(seconds(age));
            }
            // No age is not a young one.
            None => {
                self.age.remove(&log());
            }
        }
        self.took.get_or_create(&log()).set(seconds(report.took_ms));
        for verdict in Verdict::ALL {
            self.verdict(&report.origin, verdict, verdict == report.verdict);
        }
        for witness in &report.witnesses {
            let labels = WitnessLabels { log: report.origin.clone(), witness: witness.name.clone() };
            if let Some(size) = witness.tree_size {
                self.witness_size.get_or_create(&labels).set(signed(size));
            }
            let agrees = witness.state == WitnessState::Agrees;
            self.witness_agrees.get_or_create(&labels).set(i64::from(agrees));
        }
    }

    /// Takes note that a round of this log could not be finished.
    pub fn failed(&self, origin: &str) {
        self.failures.get_or_create(&LogLabels { log: origin.to_owned() }).inc();
        for verdict in Verdict::ALL {
            self.verdict(origin, verdict, verdict == Verdict::Failed);
        }
    }

    fn verdict(&self, origin: &str, verdict: Verdict, is_so: bool) {
        let labels = VerdictLabels { log: origin.to_owned(), verdict: verdict.name() };
        self.verdict.get_or_create(&labels).set(i64::from(is_so));
    }

    /// The counts of connections that are shown with the rest, for the server to keep.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// The counts of alerts that are shown with the rest, for the desk to keep.
    #[must_use]
    pub fn alerts(&self) -> AlertMetrics {
        self.alerts.clone()
    }

    /// The counts of gossip that are shown with the rest, for whoever gossips to keep.
    #[must_use]
    pub fn gossip(&self) -> GossipMetrics {
        self.gossip.clone()
    }

    pub(super) fn reported(&self) {
        self.reported.inc();
    }

    pub(super) fn handed_in(&self) {
        self.handed_in.inc();
    }
}

pub(super) async fn scrape(State(service): State<Service>) -> Result<Response, Problem> {
    let mut text = String::new();
    encode(&mut text, &service.metrics.registry).map_err(|_| Problem::Internal)?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

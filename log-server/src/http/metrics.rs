//! What an operator watches, in the OpenMetrics text format.

use std::sync::{Arc, atomic::AtomicU64};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use keyglass_account::problem::Problem;
use keyglass_service::connections::Connections;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use tokio::time::Instant;

use super::{
    failure::Failure,
    health::{AuditorReport, Watched},
};
use crate::{prekeys, pruning::Status, publisher::Meters};

mod witnesses;

use witnesses::WitnessGauges;

/// The labels of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

/// A refusal's route and its problem type without the common start of the URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProblemLabels {
    route: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

/// What pruning has done; all stay 0 where log entries do not expire.
struct PruningGauges {
    position: Gauge,
    entries: Gauge,
    pages: Gauge,
    versions: Gauge,
    failing: Gauge,
}

impl PruningGauges {
    fn register(registry: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            position: gauge("pruned_position", "The log entry before which everything is pruned"),
            entries: gauge("pruned_entries", "Log entries deleted since the process began"),
            pages: gauge("pruned_pages", "Pages of prefix trees deleted since the process began"),
            versions: gauge("pruned_versions", "Versions whose values were deleted since the process began"),
            failing: gauge("pruning_failing", "1 if the last attempt to prune failed"),
        }
    }

    fn observe(&self, status: Status) {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.position.set(signed(status.position));
        self.entries.set(signed(status.entries));
        self.pages.set(signed(status.pages));
        self.versions.set(signed(status.versions));
        self.failing.set(i64::from(status.failing));
    }
}

/// The gauges and counters of one server.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    problems: Family<ProblemLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    sequenced: Gauge,
    published: Gauge,
    age: Gauge<f64, AtomicU64>,
    missing: Gauge,
    unwitnessed: Gauge,
    failed: Gauge,
    witnesses: WitnessGauges,
    pruning: PruningGauges,
    auditor: AuditorGauges,
    connections: Connections,
}

/// What is watched of the auditor; all 0 for a log without one.
#[derive(Default)]
struct AuditorGauges {
    entries: Gauge,
    lag: Gauge<f64, AtomicU64>,
    behind: Gauge,
    failures: Gauge,
}

impl AuditorGauges {
    fn registered(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        registry.register("auditor_entries", "The size of the auditor's newest head", gauges.entries.clone());
        registry.register(
            "auditor_lag_seconds",
            "How far that head lags behind the last published log entry",
            gauges.lag.clone(),
        );
        registry.register(
            "auditor_behind",
            "1 if clients would refuse it, so that no operation is answered",
            gauges.behind.clone(),
        );
        registry.register("auditor_failures", "Failures in a row of the auditor", gauges.failures.clone());
        gauges
    }

    fn observe(&self, report: &AuditorReport) {
        self.entries.set(i64::try_from(report.tree_size).unwrap_or(i64::MAX));
        self.lag.set(core::time::Duration::from_millis(report.lag_ms.unwrap_or_default()).as_secs_f64());
        self.behind.set(i64::from(report.behind));
        self.failures.set(i64::from(report.failures));
    }
}

fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
}

impl Metrics {
    /// Metrics that include what a publisher and the prekey service count.
    #[must_use]
    pub fn new(meters: &Meters, prekeys: &prekeys::meters::Meters) -> Self {
        let mut registry = Registry::with_prefix("keyglass_log");
        let requests = Family::default();
        registry.register("http_requests", "Requests by route and status", requests.clone());
        let problems = Family::default();
        registry.register("problems", "Refused requests by route and the problem answered", problems.clone());
        let durations: Family<RouteLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(histogram);
        registry.register("http_request_seconds", "Time to answer", durations.clone());
        let (sequenced, published) = (Gauge::default(), Gauge::default());
        registry.register("sequenced_entries", "Log entries that are durable", sequenced.clone());
        registry.register("published_entries", "Log entries under the published head", published.clone());
        let age = Gauge::default();
        registry.register("published_age_seconds", "Age of the last published log entry", age.clone());
        let (missing, unwitnessed, failed) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("missing_witnesses", "Cosignatures that the newest head lacks", missing.clone());
        registry.register("unwitnessed", "1 if the policy requires no witness", unwitnessed.clone());
        registry.register("failed", "1 if the log has to be restarted", failed.clone());
        let witnesses = WitnessGauges::registered(&mut registry);
        meters.register(&mut registry);
        prekeys.register(&mut registry);
        let pruning = PruningGauges::register(&mut registry);
        let auditor = AuditorGauges::registered(&mut registry);
        let connections = Connections::default();
        connections.register(&mut registry);
        Self {
            registry,
            requests,
            problems,
            durations,
            sequenced,
            published,
            age,
            missing,
            unwitnessed,
            failed,
            witnesses,
            pruning,
            auditor,
            connections,
        }
    }

    /// The metrics with what another part counts.
    #[must_use]
    pub fn including(mut self, register: impl FnOnce(&mut Registry)) -> Self {
        register(&mut self.registry);
        self
    }

    /// The counts of connections that are shown with the rest, for the server to keep.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// Brings the gauges up to date.
    fn observe(&self, watched: &Watched) {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let report = watched.report();
        self.sequenced.set(signed(report.sequenced));
        self.published.set(signed(report.published));
        self.age.set(watched.age().map_or(0.0, |age| age.as_secs_f64()));
        self.missing.set(i64::try_from(report.missing_witnesses).unwrap_or(i64::MAX));
        self.unwitnessed.set(i64::from(report.unwitnessed));
        self.failed.set(i64::from(report.failed.is_some()));
        if let Some(pruning) = &watched.pruning {
            self.pruning.observe(*pruning.borrow());
        }
        if let Some(auditor) = &report.auditor {
            self.auditor.observe(auditor);
        }
        let now = watched.clock.now().0;
        report.witnesses.iter().for_each(|witness| self.witnesses.observe(witness, now));
    }
}

/// What `GET /metrics` reads.
#[derive(Clone)]
struct Source {
    metrics: Arc<Metrics>,
    watched: Arc<Watched>,
}

/// `GET /metrics`.
pub fn router(metrics: Arc<Metrics>, watched: Arc<Watched>) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(Source { metrics, watched })
}

async fn scrape(State(source): State<Source>) -> Result<Response, Failure> {
    source.metrics.observe(&source.watched);
    let mut text = String::new();
    encode(&mut text, &source.metrics.registry).map_err(|_| Problem::Internal)?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

/// Counts requests and times them, by route rather than by path, so that the number of series stays small.
pub async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let began = Instant::now();
    let response = next.run(request).await;
    metrics
        .durations
        .get_or_create(&RouteLabels { route: route.clone() })
        .observe(began.elapsed().as_secs_f64());
    if let Some(problem) = response.extensions().get::<Problem>() {
        let labels = ProblemLabels { route: route.clone(), kind: problem.name() };
        metrics.problems.get_or_create(&labels).inc();
    }
    metrics.requests.get_or_create(&RequestLabels { route, status: response.status().as_u16() }).inc();
    response
}

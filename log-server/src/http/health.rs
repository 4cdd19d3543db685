//! Whether the server lives, and whether it does all of its work.
//!
//! `GET /healthz` fails only when a restart is needed. `GET /readyz` fails whenever updates would not be answered or
//! clients would find the head stale; look-ups may still be served then. Both say the same in their bodies.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    audit::{heads::AuditorHeads, poll},
    clock::Clock,
    pruning,
    published::Published,
    publisher, sequencer,
    store::Store,
};

/// What health is judged by.
pub struct Watched {
    /// What is sequenced; absent if the server takes no updates.
    pub sequenced: Option<watch::Receiver<sequencer::State>>,
    /// How publication goes; absent if this server does not publish.
    pub publisher: Option<watch::Receiver<publisher::Status>>,
    /// The auditor; absent if the log has none.
    pub auditor: Option<Audited>,
    /// The published head.
    pub published: Arc<Published>,
    /// Where the timestamp of the head's last entry is.
    pub store: Arc<dyn Store>,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// How old clients let the last entry become.
    pub max_behind: Duration,
    /// How far clients let it be ahead of their clocks.
    pub max_ahead: Duration,
    /// How pruning goes; absent if log entries do not expire.
    pub pruning: Option<watch::Receiver<pruning::Status>>,
}

/// How the log's auditor does.
pub struct Audited {
    /// Its newest head.
    pub heads: Arc<AuditorHeads>,
    /// How it answers.
    pub status: watch::Receiver<poll::Status>,
}

/// The body of both answers.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `ok`, `degraded` (something of the work is not done) or `failed` (needs a restart).
    pub status: &'static str,
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// Log entries that are durable.
    pub sequenced: u64,
    /// Log entries under the published head.
    pub published: u64,
    /// The age of the last published entry; absent before the first.
    pub published_age_ms: Option<u64>,
    /// Cosignatures that the newest head lacks.
    pub missing_witnesses: usize,
    /// Whether the policy says `quorum none`.
    pub unwitnessed: bool,
    /// The witnesses that are asked.
    pub witnesses: Vec<WitnessReport>,
    /// The auditor, in third-party-auditing mode.
    pub auditor: Option<AuditorReport>,
    /// Why a restart is needed.
    pub failed: Option<String>,
}

/// How the auditor does.
#[derive(Debug, Clone, Serialize)]
pub struct AuditorReport {
    /// The size of its newest head; 0 before the first.
    pub tree_size: u64,
    /// How far that head lags behind the last published entry; absent before the first.
    pub lag_ms: Option<u64>,
    /// Whether clients would refuse it.
    pub behind: bool,
    /// How often in a row it has failed.
    pub failures: u32,
    /// How it failed last.
    pub error: Option<String>,
}

/// How a witness does.
#[derive(Debug, Clone, Serialize)]
pub struct WitnessReport {
    /// Its name in the policy.
    pub name: String,
    /// The largest size that it is known to have cosigned.
    pub cosigned: u64,
    /// How many entries of the newest head it lacks.
    pub lag: u64,
    /// Since when it lacks some, in milliseconds since the Unix epoch; absent while it lacks none.
    pub lagging_since_ms: Option<u64>,
    /// When its last cosignature arrived, likewise; absent if none has since this process began.
    pub last_cosigned_ms: Option<u64>,
    /// How often in a row it has failed.
    pub failures: u32,
    /// How it failed last.
    pub error: Option<String>,
}

impl Watched {
    /// The age of the last published entry. Reads one record of the store.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let age = self.clock.now().0.saturating_sub(self.rightmost()?);
        Some(Duration::from_millis(age))
    }

    /// How far the last published entry is ahead of the clock; absent if users would forgive it.
    fn ahead(&self) -> Option<Duration> {
        let ahead = Duration::from_millis(self.rightmost()?.saturating_sub(self.clock.now().0));
        (ahead > self.max_ahead).then_some(ahead)
    }

    /// The timestamp of the last published entry. Reads one record of the store.
    fn rightmost(&self) -> Option<u64> {
        let last = self.published.current()?.size.checked_sub(1)?;
        Some(self.store.snapshot().ok()?.entry(last).ok()??.timestamp)
    }

    fn auditor(&self) -> Option<AuditorReport> {
        let Audited { heads, status } = self.auditor.as_ref()?;
        let rightmost = self.rightmost().unwrap_or_default();
        let failing = status.borrow().failing.clone();
        let (failures, error) = failing.map_or((0, None), |(n, error)| (n, Some(error.to_string())));
        Some(AuditorReport {
            tree_size: heads.size().unwrap_or_default(),
            lag_ms: heads.lag(rightmost),
            behind: heads.served(rightmost).is_err(),
            failures,
            error,
        })
    }

    /// The state of everything.
    #[must_use]
    pub fn report(&self) -> Report {
        let sequenced = self.sequenced.as_ref().map(|state| state.borrow().clone()).unwrap_or_default();
        let publisher = self.publisher.as_ref().map(|status| status.borrow().clone()).unwrap_or_default();
        let published = self.published.current().map_or(0, |head| head.size);
        let age = self.age();
        let failed = sequenced.failed.clone().or_else(|| publisher.failed.clone());

        let mut problems: Vec<String> =
            failed.iter().map(|reason| format!("needs a restart: {reason}")).collect();
        match age {
            None => problems.push("no head is published yet".to_owned()),
            Some(age) if age > self.max_behind => {
                problems.push("the published head is stale: clients refuse it".to_owned());
            }
            Some(_) => {}
        }
        if let Some(jump) = self.clock.jump() {
            problems.push(format!(
                "the machine's clock jumped {jump}: the log goes on by the time before; set the clock right, or restart \
                 the server if it is right now"
            ));
        }
        if let Some(ahead) = self.ahead() {
            problems.push(format!(
                "the last published entry is {} s ahead of the clock: clients refuse what is too far ahead",
                ahead.as_secs()
            ));
        }
        let failing = publisher.witnesses.iter().filter(|witness| witness.failing.is_some()).count();
        if publisher.missing > 0 && failing > 0 {
            problems.push(format!(
                "no quorum of witnesses: {} more must cosign, {failing} do not answer as they should",
                publisher.missing
            ));
        }
        let auditor = self.auditor();
        if auditor.as_ref().is_some_and(|auditor| auditor.behind) {
            problems.push(
                "the auditor has not signed a head that is recent enough: no operation is answered"
                    .to_owned(),
            );
        }
        let witness = |status: publisher::WitnessStatus| {
            let lag = status.lag(publisher.target);
            let (failures, error) =
                status.failing.map_or((0, None), |(n, error)| (n, Some(error.to_string())));
            WitnessReport {
                cosigned: status.cosigned,
                lag,
                lagging_since_ms: status.lagging_since.map(|since| since.0),
                last_cosigned_ms: status.last.map(|last| last.0),
                name: status.name,
                failures,
                error,
            }
        };
        Report {
            status: match (&failed, problems.is_empty()) {
                (Some(_), _) => "failed",
                (None, false) => "degraded",
                (None, true) => "ok",
            },
            problems,
            sequenced: sequenced.size,
            published,
            published_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            missing_witnesses: publisher.missing,
            unwitnessed: publisher.unwitnessed,
            witnesses: publisher.witnesses.into_iter().map(witness).collect(),
            auditor,
            failed: failed.map(|reason| reason.as_ref().to_owned()),
        }
    }
}

/// `GET /healthz` and `GET /readyz`.
pub fn router(watched: Arc<Watched>) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).with_state(watched)
}

async fn healthz(State(watched): State<Arc<Watched>>) -> Response {
    let report = watched.report();
    answer(report.failed.is_none(), report)
}

async fn readyz(State(watched): State<Arc<Watched>>) -> Response {
    let report = watched.report();
    answer(report.problems.is_empty(), report)
}

fn answer(good: bool, report: Report) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

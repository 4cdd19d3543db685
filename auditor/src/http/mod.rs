//! What an auditor serves: its report, its evidence, the head that it signed, and a place to report heads. Bytes in, one call of the domain, bytes
//! or a problem out.

mod auditor_head;
mod evidence;
mod heads;
mod health;
mod limits;
mod metrics;
mod problem;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tokio::sync::{Notify, Semaphore, watch};
use tower_http::{catch_panic::CatchPanicLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

pub use self::{metrics::Metrics, problem::Problem};
use crate::{clock::Clock, follow::SharedRecords, report::Report, trust::Trust};

/// The longest body that is read, in bytes: no note is longer.
pub const MAX_BODY: usize = keyglass_tlog::note::MAX_NOTE_LEN;
/// The longest that an answer may take.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(10);
/// Reported heads that are verified and compared at a time; more are answered 503.
const MAX_COMPARING: usize = 16;

/// What the endpoints work with.
#[derive(Clone)]
pub struct Service {
    trust: Arc<Trust>,
    records: SharedRecords,
    clock: Arc<dyn Clock>,
    latest: watch::Receiver<Option<Arc<Report>>>,
    metrics: Arc<Metrics>,
    comparing: Arc<Semaphore>,
    /// Told when a reported head made new evidence, so that the next round need not be waited for.
    convicted: Arc<Notify>,
    /// Whether this is the log's auditor.
    signs: bool,
}

impl Service {
    /// Puts a service together.
    #[must_use]
    pub fn new(
        trust: Arc<Trust>,
        records: SharedRecords,
        clock: Arc<dyn Clock>,
        latest: watch::Receiver<Option<Arc<Report>>>,
        metrics: Arc<Metrics>,
        convicted: Arc<Notify>,
    ) -> Self {
        let comparing = Arc::new(Semaphore::new(MAX_COMPARING));
        Self { trust, records, clock, latest, metrics, comparing, convicted, signs: false }
    }

    /// The service of the auditor that the log's configuration names: it hands out the heads that it signed.
    #[must_use]
    pub fn signing(self, signs: bool) -> Self {
        Self { signs, ..self }
    }

    /// The endpoints, with bounds around them: one address may ask `rate` times a second.
    pub fn router(self, rate: NonZeroU32) -> Router {
        let limits = Arc::new(limits::RateLimit::per_second(rate));
        Router::new()
            .route("/healthz", get(health::alive))
            .route("/readyz", get(health::ready))
            .route("/metrics", get(metrics::scrape))
            .route("/v1/report", get(health::report))
            .route("/v1/auditor-head", get(auditor_head::serve))
            .route("/v1/heads", post(heads::report))
            .route("/v1/evidence", get(evidence::list))
            .route("/v1/evidence/{file}", get(evidence::download))
            .fallback(|| async { Problem::NotFound })
            .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
            .layer(DefaultBodyLimit::disable())
            .layer(RequestBodyLimitLayer::new(MAX_BODY))
            .layer(TimeoutLayer::with_status_code(axum::http::StatusCode::REQUEST_TIMEOUT, MAX_ANSWER_TIME))
            .layer(CatchPanicLayer::custom(|_| Problem::Internal.into_response()))
            .layer(from_fn_with_state(limits, limits::rate))
            .layer(map_response(explain))
            .with_state(self)
    }
}

/// Gives refusals of the layers above, which are plain text, the form of all others.
async fn explain(response: Response) -> Response {
    let has_form = response.headers().get("content-type").is_some_and(|kind| kind == problem::MEDIA_TYPE);
    match response.status().as_u16() {
        408 if !has_form => Problem::TooSlow.into_response(),
        413 if !has_form => Problem::BodyTooLarge.into_response(),
        _ => response,
    }
}

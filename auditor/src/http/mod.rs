//! What an auditor serves: its report, its evidence, the heads that it signed, and places to report heads and evidence. Bytes
//! in, one call of the domain, bytes or a problem out.

mod auditor_head;
mod checkpoint;
mod evidence;
mod gossip;
mod headers;
mod heads;
mod health;
mod limits;
mod metrics;
mod problem;

use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use keyglass_service::rate::RateLimit;
use serde::Deserialize;
use tower_http::{catch_panic::CatchPanicLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

pub use self::{metrics::Metrics, problem::Problem};
use crate::{dashboard::Pages, fetch::LogSource, followed::Logs, overview::snapshot::Snapshots};

/// The longest body that is read, in bytes: no file of evidence is longer, and no note.
pub const MAX_BODY: usize = 2 * keyglass_tlog::note::MAX_NOTE_LEN + 8192;
/// The longest that an answer may take.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(10);
/// Heads and evidence that one address may hand in within a second: each costs some signature checks.
const HANDED_IN_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();

/// What the endpoints work with.
#[derive(Clone)]
pub struct Service {
    logs: Arc<Logs>,
    metrics: Arc<Metrics>,
    snapshots: Arc<Snapshots>,
    pages: Arc<Pages>,
}

/// Which log is asked about: its id ([`keyglass_keytrans::config::Configuration::log_id`]) in lower-case hexadecimal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    log: Option<String>,
}

impl Service {
    /// Puts a service together.
    #[must_use]
    pub fn new(logs: Arc<Logs>, metrics: Arc<Metrics>) -> Self {
        let snapshots = Arc::new(Snapshots::of(Arc::clone(&logs)));
        let pages = Pages::new(Arc::clone(&logs), Arc::clone(&snapshots), HashMap::new());
        Self { logs, metrics, snapshots, pages }
    }

    /// Has entries of logs shown, which are asked for at these sources, by the logs' ids.
    #[must_use]
    pub fn asking(self, sources: HashMap<String, LogSource>) -> Self {
        let pages = Pages::new(Arc::clone(&self.logs), Arc::clone(&self.snapshots), sources);
        Self { pages, ..self }
    }

    /// The logs.
    #[must_use]
    pub fn logs(&self) -> &Arc<Logs> {
        &self.logs
    }

    /// The endpoints, with bounds around them: one address may ask `rate` times a second.
    pub fn router(self, rate: NonZeroU32) -> Router {
        let asking = Arc::new(RateLimit::per_second(rate));
        let handing_in = Arc::new(limits::HandingIn::per_second(rate.min(HANDED_IN_PER_SECOND)));
        let handed_in = Router::new()
            .route("/v1/heads", post(heads::report))
            .route("/v1/evidence", post(evidence::take))
            .route_layer(from_fn_with_state(handing_in, limits::handing_in));
        Router::new()
            .route("/healthz", get(health::alive))
            .route("/readyz", get(health::ready))
            .route("/metrics", get(metrics::scrape))
            .route("/v1/report", get(health::report))
            .route("/v1/status", get(health::status))
            .route("/v1/auditor-head", get(auditor_head::serve))
            .route("/{hash}/checkpoint", get(checkpoint::serve))
            .route("/v1/evidence", get(evidence::list))
            .route("/v1/evidence/{file}", get(evidence::download))
            .route("/gossip/v1/evidence", get(gossip::list))
            .route("/gossip/v1/evidence/{id}", get(gossip::text))
            .merge(handed_in)
            .merge(Arc::clone(&self.pages).router())
            .fallback(|| async { Problem::NotFound })
            .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
            .layer(DefaultBodyLimit::disable())
            .layer(RequestBodyLimitLayer::new(MAX_BODY))
            .layer(TimeoutLayer::with_status_code(axum::http::StatusCode::REQUEST_TIMEOUT, MAX_ANSWER_TIME))
            .layer(CatchPanicLayer::custom(|_| Problem::Internal.into_response()))
            .layer(from_fn_with_state(asking, limits::asking))
            .layer(map_response(explain))
            .layer(map_response(headers::guard))
            .with_state(self)
    }
}

/// Gives refusals of the layers above and of the router, which are plain text or nothing, the form of all others.
async fn explain(response: Response) -> Response {
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind == problem::MEDIA_TYPE || kind.starts_with("text/html")) {
        return response;
    }
    match response.status().as_u16() {
        // A path that is not text.
        400 | 404 => Problem::NotFound.into_response(),
        408 => Problem::TooSlow.into_response(),
        413 => Problem::BodyTooLarge.into_response(),
        _ => response,
    }
}

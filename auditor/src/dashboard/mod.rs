//! The pages: what is watched, how it stands, and what was found, for people.
//!
//! They are rendered here and work without scripts; scripts of our own and vendored ones ([`assets`]) keep them up to date and
//! draw plots. Nothing is loaded from elsewhere. Whatever others chose (origins, names, evidence) is escaped and bounded.

mod about;
mod alerts;
mod assets;
mod entry;
mod evidence;
mod layout;
mod log;
mod logs;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::Semaphore, time::Instant};

use self::layout::{Place, fragment, page, refusal};
use crate::{
    fetch::LogSource,
    followed::{Followed, Logs},
    http::Problem,
    overview::Overview,
};

/// Where pages may load from: here. Styles and scripts are files; what uPlot sets on its own elements needs no `style=`.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                              connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// How long what is shown may be old, so that many readers cost little more than one.
const FRESH: Duration = Duration::from_millis(250);
/// Entries that are asked of logs at a time, over all readers.
const MAX_ASKING: usize = 8;

/// What the pages work with.
pub struct Pages {
    logs: Arc<Logs>,
    /// Where each log is asked for entries and nodes, by its id.
    sources: HashMap<String, LogSource>,
    shown: Mutex<Option<(Instant, Arc<Overview>)>>,
    asking: Semaphore,
}

/// Which part of a list.
#[derive(Debug, Deserialize)]
struct Part {
    page: Option<usize>,
}

/// Which log.
#[derive(Debug, Deserialize)]
struct OfLog {
    log: Option<String>,
}

impl Pages {
    /// The pages of these logs; of those that have a source, entries are shown with their proofs.
    #[must_use]
    pub fn new(logs: Arc<Logs>, sources: HashMap<String, LogSource>) -> Arc<Self> {
        let (shown, asking) = (Mutex::new(None), Semaphore::new(MAX_ASKING));
        Arc::new(Self { logs, sources, shown, asking })
    }

    /// Where pages are, whatever state the other endpoints have.
    pub fn router<S>(self: Arc<Self>) -> Router<S> {
        Router::new()
            .route("/", get(overview_page))
            .route("/fragments/logs", get(overview_fragment))
            .route("/fragments/banner", get(banner))
            .route("/logs/{id}", get(log_page))
            .route("/fragments/logs/{id}", get(log_fragment))
            .route("/logs/{id}/entry", get(entry::serve))
            .route("/logs/{id}/entry/{file}", get(entry::download))
            .route("/alerts", get(alerts_page))
            .route("/fragments/alerts", get(alerts_fragment))
            .route("/evidence/{file}", get(evidence::serve))
            .route("/about", get(about_page))
            .route("/assets/{hash}/{name}", get(assets::serve))
            .route("/v1/growth", get(growth))
            .layer(map_response(guarded))
            .with_state(self)
    }

    fn overview(&self) -> Arc<Overview> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match &*shown {
            Some((at, overview)) if at.elapsed() < FRESH => Arc::clone(overview),
            _ => {
                let overview = Arc::new(self.logs.overview());
                *shown = Some((Instant::now(), Arc::clone(&overview)));
                overview
            }
        }
    }

    fn log(&self, id: &str) -> Option<&Arc<Followed>> {
        self.logs.by_id(id)
    }

    fn refuse(&self, status: StatusCode, why: &str) -> Response {
        refusal(status, &self.overview(), why)
    }

    fn no_such_log(&self) -> Response {
        self.refuse(StatusCode::NOT_FOUND, "This auditor does not follow a log of that id.")
    }
}

/// What every page and file says to browsers.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn overview_page(
    State(pages): State<Arc<Pages>>,
    part: Result<Query<Part>, QueryRejection>,
) -> Response {
    let overview = pages.overview();
    let Some(part) = logs::part(&overview, part.ok().and_then(|Query(part)| part.page)) else {
        return pages.refuse(StatusCode::NOT_FOUND, "There is no such page of the list.");
    };
    page(&overview, Place::Logs, "Logs", &alerts::banner(&overview), &logs::content(&overview, part))
}

async fn overview_fragment(
    State(pages): State<Arc<Pages>>,
    part: Result<Query<Part>, QueryRejection>,
) -> Response {
    let overview = pages.overview();
    match logs::part(&overview, part.ok().and_then(|Query(part)| part.page)) {
        Some(part) => fragment(logs::table(&overview, part)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn banner(State(pages): State<Arc<Pages>>) -> Response {
    fragment(alerts::banner(&pages.overview()))
}

async fn log_page(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response {
    let overview = pages.overview();
    match overview.logs.iter().find(|log| log.id == id) {
        Some(of) => {
            let content = log::content(of, overview.now_ms, pages.sources.contains_key(&id));
            page(
                &overview,
                Place::Elsewhere,
                &layout::text(&of.name, 60),
                &alerts::banner(&overview),
                &content,
            )
        }
        None => pages.no_such_log(),
    }
}

async fn log_fragment(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response {
    let overview = pages.overview();
    match overview.logs.iter().find(|log| log.id == id) {
        Some(of) => fragment(log::status(of, overview.now_ms)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn alerts_page(State(pages): State<Arc<Pages>>) -> Response {
    let overview = pages.overview();
    page(&overview, Place::Alerts, "Alerts", &alerts::banner(&overview), &alerts::content(&overview))
}

async fn alerts_fragment(State(pages): State<Arc<Pages>>) -> Response {
    fragment(alerts::list(&pages.overview()))
}

async fn about_page(State(pages): State<Arc<Pages>>) -> Response {
    let overview = pages.overview();
    page(
        &overview,
        Place::About,
        "What is watched, and why",
        &alerts::banner(&overview),
        &about::content(&overview),
    )
}

/// `GET /v1/growth?log=<id>`: the sizes of a log over time, oldest first.
async fn growth(
    State(pages): State<Arc<Pages>>,
    which: Result<Query<OfLog>, QueryRejection>,
) -> Result<Response, Problem> {
    let id = which.ok().and_then(|Query(which)| which.log).ok_or(Problem::MalformedQuery)?;
    let overview = pages.overview();
    let log = overview.logs.iter().find(|log| log.id == id).ok_or(Problem::UnknownLog)?;
    let answer = Json(json!({ "log": log.id, "points": log.growth }));
    Ok(([(header::CACHE_CONTROL, "no-cache")], answer).into_response())
}

#[cfg(test)]
mod tests;

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

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use self::layout::{Place, fragment, page, refusal};
use crate::{
    fetch::LogSource,
    followed::{Followed, Logs},
    http::Problem,
    overview::{Overview, snapshot::Snapshots},
};

/// Entries that are asked of logs at a time, over all readers.
const MAX_ASKING: usize = 32;
/// The most of them of one log: one that answers slowly leaves room for others.
const MAX_ASKING_ONE: usize = 4;
/// Files of evidence that are verified and explained at a time.
const MAX_EXPLAINING: usize = 4;

/// What the pages work with.
pub struct Pages {
    logs: Arc<Logs>,
    snapshots: Arc<Snapshots>,
    sources: HashMap<String, Source>,
    asking: Semaphore,
    explaining: Arc<Semaphore>,
}

/// Where a log is asked for entries and nodes.
struct Source {
    log: LogSource,
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
    /// The pages of these logs; of those that have a source, by their ids, entries are shown with their proofs.
    #[must_use]
    pub fn new(logs: Arc<Logs>, snapshots: Arc<Snapshots>, sources: HashMap<String, LogSource>) -> Arc<Self> {
        let source = |log| Source { log, asking: Semaphore::new(MAX_ASKING_ONE) };
        let sources = sources.into_iter().map(|(id, log)| (id, source(log))).collect();
        let (asking, explaining) = (Semaphore::new(MAX_ASKING), Arc::new(Semaphore::new(MAX_EXPLAINING)));
        Arc::new(Self { logs, snapshots, sources, asking, explaining })
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
            .with_state(self)
    }

    fn overview(&self) -> Arc<Overview> {
        Arc::clone(&self.snapshots.now().overview)
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
    Ok(Json(json!({ "log": log.id, "points": log.growth })).into_response())
}

#[cfg(test)]
mod tests;

//! `GET /healthz`, `GET /readyz`, `GET /v1/report` and `GET /v1/status`.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::{Problem, Service, Which};
use crate::verdict::Verdict;

/// The process answers. That a log misbehaves is no fault of it.
pub(super) async fn alive() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

/// There is a report of every log, or why there is none. The verdict is the gravest.
pub(super) async fn ready(State(service): State<Service>) -> Result<Json<serde_json::Value>, Problem> {
    let mut gravest = Verdict::Ok;
    for log in service.logs.all() {
        let status = log.status();
        let verdict = match (status.failure(), status.report()) {
            (Some(_), _) => Verdict::Failed,
            (None, Some(report)) => report.verdict,
            (None, None) => return Err(Problem::Unavailable),
        };
        gravest = gravest.max(verdict);
    }
    Ok(Json(json!({ "status": "ok", "verdict": gravest })))
}

/// The report of the last round of a log, which need not be named if there is one only.
pub(super) async fn report(
    State(service): State<Service>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(which) = which.map_err(|_| Problem::MalformedQuery)?;
    let log = match which.log {
        Some(id) => service.logs.by_id(&id).ok_or(Problem::UnknownLog)?,
        None => service.logs.only().ok_or(Problem::MalformedQuery)?,
    };
    let report = log.status().report().ok_or(Problem::Unavailable)?;
    Ok(Json(&*report).into_response())
}

/// Everything there is to show about all logs.
pub(super) async fn status(State(service): State<Service>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], service.snapshots.now().json()).into_response()
}

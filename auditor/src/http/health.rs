//! `GET /healthz`, `GET /readyz` and `GET /v1/report`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::{Problem, Service};
use crate::report::Report;

/// The process answers. That the log misbehaves is no fault of it.
pub(super) async fn alive() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

/// There is a report.
pub(super) async fn ready(State(service): State<Service>) -> Result<Json<serde_json::Value>, Problem> {
    let report = latest(&service)?;
    Ok(Json(json!({ "status": "ok", "verdict": report.verdict })))
}

/// The report of the last round.
pub(super) async fn report(State(service): State<Service>) -> Result<Response, Problem> {
    let report = latest(&service)?;
    Ok(([(header::CACHE_CONTROL, "no-cache")], Json(&*report)).into_response())
}

fn latest(service: &Service) -> Result<Arc<Report>, Problem> {
    service.latest.borrow().clone().ok_or(Problem::Unavailable)
}

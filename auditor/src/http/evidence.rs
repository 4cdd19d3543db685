//! `GET /v1/evidence`, `GET /v1/evidence/<file>` and `POST /v1/evidence`.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::{Problem, Service, Which, heads::is_text};
use crate::{followed::Refusal, report::ConvictionReport};

/// All evidence, as in a report; of one log, if one is asked for.
pub(super) async fn list(
    State(service): State<Service>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Vec<ConvictionReport>>, Problem> {
    let Query(which) = which.map_err(|_| Problem::MalformedQuery)?;
    if let Some(id) = which.log {
        let log = service.logs.by_id(&id).ok_or(Problem::UnknownLog)?;
        return Ok(Json(log.convictions().await?));
    }
    let mut all = Vec::new();
    for log in service.logs.all() {
        match log.convictions().await {
            Ok(convictions) => all.extend(convictions),
            // One log that cannot be opened does not hide the evidence against others.
            Err(Refusal::Unavailable) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Ok(Json(all))
}

/// One file. Names are looked up among those known, never in the file system.
pub(super) async fn download(
    State(service): State<Service>,
    Path(file): Path<String>,
) -> Result<Response, Problem> {
    for log in service.logs.all() {
        let text = match log.evidence_text(file.clone()).await {
            Err(Refusal::Unavailable) => continue,
            text => text?,
        };
        if let Some(text) = text {
            // To be kept, not read in a browser, which would read a stranger's text.
            let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' };
            let name: String = file.chars().map(plain).collect();
            let kept = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
            let kept = kept.map_err(|_| Problem::Internal)?;
            let kind = HeaderValue::from_static("text/plain; charset=utf-8");
            let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, kept)];
            return Ok((headers, text).into_response());
        }
    }
    Err(Problem::NotFound)
}

/// Anyone hands in evidence, as text/plain. It is verified with the keys of the log that it is about, and kept if it is the
/// first or names a witness that none before named.
pub(super) async fn take(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<serde_json::Value>, Problem> {
    if !is_text(&headers) {
        return Err(Problem::UnsupportedMediaType);
    }
    service.metrics.handed_in();
    let taken = service.logs.take_evidence(&body).await?;
    Ok(Json(json!({ "evidence": taken })))
}

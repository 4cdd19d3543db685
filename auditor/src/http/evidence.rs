//! `GET /v1/evidence` and `GET /v1/evidence/<file>`.

use axum::{
    Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse as _, Response},
};

use super::{Problem, Service};
use crate::{
    records::{Records, RecordsError},
    report::ConvictionReport,
};

/// All evidence, as in a report.
pub(super) async fn list(State(service): State<Service>) -> Result<Json<Vec<ConvictionReport>>, Problem> {
    let list = |records: &mut Records| Ok(ConvictionReport::of(records.evidence()));
    service.records.with(list).await.map(Json).map_err(|_| Problem::Internal)
}

/// One file. Names are looked up among those known, never in the file system.
pub(super) async fn download(
    State(service): State<Service>,
    Path(file): Path<String>,
) -> Result<Response, Problem> {
    let read = move |records: &mut Records| records.evidence().text(&file).map_err(RecordsError::from);
    let text = service.records.with(read).await.map_err(|_| Problem::Internal)?;
    let text = text.ok_or(Problem::NotFound)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

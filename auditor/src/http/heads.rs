//! `POST /v1/heads`: anyone reports a head that they were shown, as a note in text/plain.
//!
//! Only what the log signed is used. It is compared with what was replayed at once; what is larger is kept, within
//! bounds, until the log gets there. Nothing is asked of the log on behalf of the reporter, and nothing about the reporter is
//! kept or logged.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header},
};

use super::{Problem, Service};
use crate::{followed::Compared, records::Source};

pub(super) async fn report(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Compared>, Problem> {
    if !is_text(&headers) {
        return Err(Problem::UnsupportedMediaType);
    }
    service.metrics.reported();
    Ok(Json(service.logs.take_head(&body, Source::Client).await?))
}

/// Whether the body is said to be text/plain, with whatever parameters.
pub(super) fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/plain"))
}

//! `GET /gossip/v1/evidence` and `GET /gossip/v1/evidence/<id>`: what peers pull, as `docs/gossip.md` says.

use std::sync::Arc;

use axum::{
    extract::{Path, RawQuery, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use keyglass_gossip::{evidence::EvidenceId, listing};

use super::{Problem, Service};

/// The list; `after=<id>` is where it goes on.
pub(super) async fn list(
    State(service): State<Service>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let book = service.logs.book().ok_or(Problem::NotFound)?;
    let after = match query.as_deref() {
        None | Some("") => None,
        Some(query) => {
            let id = query.strip_prefix("after=").and_then(EvidenceId::parse);
            Some(id.ok_or(Problem::MalformedQuery)?)
        }
    };
    Ok(([(header::CONTENT_TYPE, listing::MEDIA_TYPE)], book.listing(after)).into_response())
}

/// One text.
pub(super) async fn text(
    State(service): State<Service>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let book = Arc::clone(service.logs.book().ok_or(Problem::NotFound)?);
    let id = EvidenceId::parse(&id).ok_or(Problem::NotFound)?;
    let text = tokio::task::spawn_blocking(move || book.text(&id)).await.map_err(|_| Problem::Internal)?;
    let text = text.map_err(|error| {
        tracing::error!(%error, "evidence cannot be read");
        Problem::Internal
    })?;
    Ok(([(header::CONTENT_TYPE, listing::MEDIA_TYPE)], text.ok_or(Problem::NotFound)?).into_response())
}

//! What auditors ask for.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse as _, Response},
    routing::get,
};
use keyglass_account::problem::Problem;
use serde::Deserialize;

use super::{failure::Failure, operations::MEDIA_TYPE};
use crate::{audit::updates, log::Log};

/// `GET /v1/audit/updates?from=N`.
pub fn router(log: Arc<Log>) -> Router {
    Router::new().route("/v1/audit/updates", get(audit_updates)).with_state(log)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    from: u64,
}

/// The updates of entries `from` and after, concatenated: as many as an answer holds, and none at the log's end.
async fn audit_updates(
    State(log): State<Arc<Log>>,
    start: Result<Query<Start>, QueryRejection>,
) -> Result<Response, Failure> {
    let wanted = "the query must be from=N, the position of a log entry";
    let Query(Start { from }) = start.map_err(|_| Failure::new(Problem::Malformed).because(wanted))?;
    let updates = updates::updates(&log, from).await?;
    // What ends at the log's end may go on a moment later.
    let caching = if updates.full { "public, max-age=31536000, immutable" } else { "no-cache" };
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE), (header::CACHE_CONTROL, caching)], updates.bytes)
        .into_response())
}

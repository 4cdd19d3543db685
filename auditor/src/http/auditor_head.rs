//! `GET /v1/auditor-head?log=<hash>`: the head that this auditor signed last, as an encoded `AuditorTreeHead`.

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse as _, Response},
};
use keyglass_keytrans::wire::Wire as _;
use serde::Deserialize;

use super::{Problem, Service};
use crate::records::{Records, RecordsError};

/// Which log is asked about: its id ([`keyglass_keytrans::config::Configuration::log_id`]) in lower-case hexadecimal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    log: String,
}

pub(super) async fn serve(
    State(service): State<Service>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(which) = which.map_err(|_| Problem::MalformedQuery)?;
    if which.log != hex::encode(service.trust.id()) {
        return Err(Problem::UnknownLog);
    }
    if !service.signs {
        return Err(Problem::NotTheAuditor);
    }
    let read = |records: &mut Records| Ok::<_, RecordsError>(records.store().auditor_head()?);
    let head = service.records.with(read).await.map_err(|_| Problem::Internal)?;
    let head = head.ok_or(Problem::NothingSigned)?.encode().map_err(|_| Problem::Internal)?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, head).into_response())
}

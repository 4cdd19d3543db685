//! `GET /v1/auditor-head?log=<hash>`: the head that this auditor signed last, as an encoded `AuditorTreeHead`.

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse as _, Response},
};
use keyglass_keytrans::wire::Wire as _;

use super::{Problem, Service, Which};
use crate::records::{Records, RecordsError};

pub(super) async fn serve(
    State(service): State<Service>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Which { log: Some(id) }) = which.map_err(|_| Problem::MalformedQuery)? else {
        return Err(Problem::MalformedQuery);
    };
    let log = service.logs.by_id(&id).ok_or(Problem::UnknownLog)?;
    if !log.signs() {
        return Err(Problem::NotTheAuditor);
    }
    let read = |records: &mut Records| Ok::<_, RecordsError>(records.store().auditor_head()?);
    let head = log.records()?.with(read).await.map_err(|_| Problem::Internal)?;
    let head = head.ok_or(Problem::NothingSigned)?.encode().map_err(|_| Problem::Internal)?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((headers, head).into_response())
}

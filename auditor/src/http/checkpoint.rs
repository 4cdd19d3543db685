//! `GET /<hash of the origin>/checkpoint`: the checkpoint that this auditor cosigned last, as a witness serves its own (C2SP
//! tlog-witness, "Monitor Retrieval Mechanism"). There is no add-checkpoint: what a log has not published, nobody can replay.

use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse as _, Response},
};

use super::{Problem, Service};

pub(super) async fn serve(
    State(service): State<Service>,
    Path(hash): Path<String>,
) -> Result<Response, Problem> {
    let log = service.logs.by_checkpoint_path(&format!("{hash}/checkpoint")).ok_or(Problem::NotFound)?;
    let note = log.cosigned().await?.ok_or(Problem::NotFound)?;
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((headers, note.to_string()).into_response())
}

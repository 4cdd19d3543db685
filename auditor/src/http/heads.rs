//! `POST /v1/heads`: anyone reports a head that they were shown, as a note in text/plain.
//!
//! Only what the log signed is used. It is compared with what was replayed at once; what is larger is kept, within
//! bounds, until the log gets there. Nothing is asked of the log on behalf of the reporter.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header},
};
use serde::Serialize;

use super::{Problem, Service};
use crate::{
    head::SignedHead,
    records::{Admission, Records, Source, Standing},
};

/// What became of a reported head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// `agrees`, `open` (larger than what was replayed), `disputed` (does not agree, no evidence yet) or `contradicts`
    /// (does not agree, and there is evidence).
    standing: &'static str,
    /// Its size.
    tree_size: u64,
    /// The entries that were replayed.
    verified_size: u64,
}

pub(super) async fn report(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Compared>, Problem> {
    if !is_text(&headers) {
        return Err(Problem::UnsupportedMediaType);
    }
    let _permit = service.comparing.try_acquire().map_err(|_| Problem::Unavailable)?;
    service.metrics.reported();
    let trust = std::sync::Arc::clone(&service.trust);
    let read = tokio::task::spawn_blocking(move || SignedHead::read(&body, &trust));
    let head = read.await.map_err(|_| Problem::Internal)??;
    let (tree_size, now) = (head.size(), service.clock.now());
    let compare = move |records: &mut Records| {
        let before = records.evidence().convictions().count();
        let admission = records.admit(head, Source::Client, now)?;
        let found = records.evidence().convictions().count() > before;
        Ok((admission, found, records.position()?.size))
    };
    let compared = service.records.with(compare).await;
    let (admission, found, verified_size) = compared.map_err(|error| {
        tracing::error!(%error, "a reported head was not compared");
        Problem::Internal
    })?;
    if found {
        service.convicted.notify_one();
    }
    let standing = match admission {
        Admission::NoRoom => return Err(Problem::Unavailable),
        Admission::Stands(Standing::Agrees) => "agrees",
        Admission::Stands(Standing::Open) => "open",
        Admission::Stands(Standing::Disputed) => "disputed",
        Admission::Stands(Standing::Contradicts) => "contradicts",
    };
    Ok(Json(Compared { standing, tree_size, verified_size }))
}

/// Whether the body is said to be text/plain, with whatever parameters.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/plain"))
}

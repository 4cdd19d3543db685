//! HTTP: bytes in, one call of the domain, bytes or a problem out.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state, map_response},
    response::{IntoResponse as _, Response},
};
use keyglass_account::problem::Problem;
use keyglass_service::rate::RateLimit;
use tower_http::catch_panic::CatchPanicLayer;

pub mod audit;
pub mod body;
pub mod failure;
pub mod health;
pub mod limits;
pub mod metrics;
pub mod operations;
pub mod tiles;

use failure::Failure;
use metrics::Metrics;

/// The longest that any answer may take.
pub const MAX_ANSWER_TIME: Duration = Duration::from_secs(30);

/// Puts bounds around endpoints: problems for unknown paths and methods, a rate limit, a time limit, a body limit,
/// answers even for panics, and a count of everything.
pub fn bounded(endpoints: Router, metrics: Arc<Metrics>, rate: Option<Arc<RateLimit>>) -> Router {
    let mut router = endpoints
        .fallback(|| async { Failure::new(Problem::NotFound) })
        .method_not_allowed_fallback(|| async { Failure::new(Problem::MethodNotAllowed) })
        .layer(CatchPanicLayer::custom(|_| Failure::new(Problem::Internal).into_response()))
        .layer(from_fn(body::read))
        .layer(from_fn_with_state(MAX_ANSWER_TIME, limits::time));
    if let Some(rate) = rate {
        router = router.layer(from_fn_with_state(rate, limits::rate));
    }
    router.layer(map_response(explain)).layer(from_fn_with_state(metrics, metrics::count))
}

/// Gives refusals of the layers above, which are plain text, the form of all others.
async fn explain(response: Response) -> Response {
    let has_form =
        response.headers().get("content-type").is_some_and(|kind| kind == "application/problem+json");
    match response.status().as_u16() {
        413 if !has_form => Failure::new(Problem::BodyTooLarge).into_response(),
        415 if !has_form => Failure::new(Problem::UnsupportedMediaType).into_response(),
        _ => response,
    }
}

//! Bounds that hold for every request: how often one address may ask, and how long an answer may take.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use keyglass_account::problem::Problem;
use keyglass_service::rate::RateLimit;

use super::failure::Failure;

/// Refuses whoever asks too often. Requests without an address (in-process tests) pass.
pub async fn rate(State(limit): State<Arc<RateLimit>>, request: Request, next: Next) -> Response {
    let address =
        request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    match address {
        Some(address) if !limit.allows(address) => {
            Failure::new(Problem::RateLimited).retry_after(1).into_response()
        }
        _ => next.run(request).await,
    }
}

/// Gives up on an answer that takes too long, a slowly sent body included.
pub async fn time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let took = format!("no answer within {} s", limit.as_secs());
            Failure::new(Problem::Unavailable).because(took).retry_after(1).into_response()
        }
    }
}

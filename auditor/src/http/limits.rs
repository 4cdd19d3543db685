//! How often one address may ask, and how much of what is handed in is read at a time.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use keyglass_service::{
    network::{Network, Shares},
    rate::RateLimit,
};
use tokio::sync::Semaphore;

use super::Problem;

/// Heads and evidence that are handed in at a time, over all addresses. Each may be sent as slowly as an answer may take, and is
/// kept in memory meanwhile.
const MAX_HANDED_IN: usize = 128;
/// The most of them that one address may hand in at a time.
pub(super) const MAX_HANDED_IN_BY_ONE: usize = 16;

/// The bounds of what is handed in.
pub(super) struct HandingIn {
    rate: RateLimit,
    shares: Shares,
    all: Semaphore,
}

impl HandingIn {
    pub(super) fn per_second(rate: NonZeroU32) -> Self {
        let (rate, shares) = (RateLimit::per_second(rate), Shares::new(MAX_HANDED_IN_BY_ONE));
        Self { rate, shares, all: Semaphore::new(MAX_HANDED_IN) }
    }
}

/// Whoever asks. Without an address nobody can be told apart: then all share one.
fn address(request: &Request) -> IpAddr {
    let known = request.extensions().get::<ConnectInfo<SocketAddr>>();
    known.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())
}

pub(super) async fn asking(State(rate): State<Arc<RateLimit>>, request: Request, next: Next) -> Response {
    if rate.allows(address(&request)) {
        next.run(request).await
    } else {
        Problem::RateLimited.into_response()
    }
}

pub(super) async fn handing_in(
    State(limits): State<Arc<HandingIn>>,
    request: Request,
    next: Next,
) -> Response {
    let address = address(&request);
    if !limits.rate.allows(address) {
        return Problem::RateLimited.into_response();
    }
    let Some(_share) = limits.shares.take(Network::of(address)) else {
        return Problem::RateLimited.into_response();
    };
    let Ok(_place) = limits.all.try_acquire() else { return Problem::Unavailable.into_response() };
    next.run(request).await
}

//! Bounds that hold for every request: how often one address may ask, and how long an answer may take.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use keyglass_account::problem::Problem;
use keyglass_service::network::Network;

use super::failure::Failure;

/// Refusals between two lines in the log.
const REFUSALS_PER_LINE: u64 = 1000;
/// Requests between two sweeps of addresses that have not asked lately.
const REQUESTS_PER_SWEEP: u64 = 10_000;

/// Requests per second that one address may make. Bursts of one second's worth are let through.
pub struct RateLimit {
    limiter: DefaultKeyedRateLimiter<Network>,
    requests: AtomicU64,
    refused: AtomicU64,
}

impl RateLimit {
    /// Lets each address ask this often per second.
    #[must_use]
    pub fn per_second(rate: NonZeroU32) -> Self {
        let limiter = RateLimiter::keyed(Quota::per_second(rate));
        Self { limiter, requests: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    fn allows(&self, address: IpAddr) -> bool {
        if self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(REQUESTS_PER_SWEEP) {
            self.limiter.retain_recent();
        }
        let address = Network::of(address);
        let allowed = self.limiter.check_key(&address).is_ok();
        if !allowed && self.refused.fetch_add(1, Ordering::Relaxed).is_multiple_of(REFUSALS_PER_LINE) {
            tracing::warn!(%address, "requests are refused: the address asks too often");
        }
        allowed
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_refused_when_its_burst_is_used_up() {
        let limit = RateLimit::per_second(NonZeroU32::new(5).unwrap());
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        assert_eq!((0..50).filter(|_| limit.allows(a)).count(), 5);
        assert!(limit.allows(b));
    }
}

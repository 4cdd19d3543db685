//! How often one address may ask.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Problem;

/// Requests between two sweeps of addresses that have not asked lately.
const REQUESTS_PER_SWEEP: u64 = 4096;

/// Requests per second that one address may make.
pub(super) struct RateLimit {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    requests: AtomicU64,
}

impl RateLimit {
    pub(super) fn per_second(rate: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_second(rate)), requests: AtomicU64::new(0) }
    }

    fn admits(&self, address: IpAddr) -> bool {
        if self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(REQUESTS_PER_SWEEP) {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&network(address)).is_ok()
    }
}

/// Whose address it is: one subscriber has 2^64 addresses of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into()),
        v4 => v4,
    }
}

pub(super) async fn rate(State(limit): State<Arc<RateLimit>>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    // Without an address nobody can be told apart: then all share one limit.
    let address = address.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    if limit.admits(address) { next.run(request).await } else { Problem::RateLimited.into_response() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_limits_of_their_own() {
        let limit = RateLimit::per_second(NonZeroU32::new(2).unwrap());
        let [a, b]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        assert!(limit.admits(a) && limit.admits(a) && !limit.admits(a));
        assert!(limit.admits(b));
        let [c, d]: [IpAddr; 2] = ["2001:db8::1", "2001:db8::2"].map(|address| address.parse().unwrap());
        assert!(limit.admits(c) && limit.admits(d) && !limit.admits(c), "one network");
    }
}

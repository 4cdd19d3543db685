//! How often a network may ask.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::network::Network;

/// Refusals between two lines in the log.
const REFUSALS_PER_LINE: u64 = 1000;
/// Requests between two sweeps of networks that have not asked lately.
const REQUESTS_PER_SWEEP: u64 = 4096;

/// Requests per second that one network may make. Bursts of one second's worth are let through. It remembers the networks that
/// asked within the last second or the last few thousand requests, and no others.
pub struct RateLimit {
    limiter: DefaultKeyedRateLimiter<Network>,
    requests: AtomicU64,
    refused: AtomicU64,
}

impl RateLimit {
    /// Lets each network ask this often per second.
    #[must_use]
    pub fn per_second(rate: NonZeroU32) -> Self {
        let limiter = RateLimiter::keyed(Quota::per_second(rate));
        Self { limiter, requests: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// Counts a request, and says whether it is one too many.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        if self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(REQUESTS_PER_SWEEP) {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let network = Network::of(address);
        let allowed = self.limiter.check_key(&network).is_ok();
        if !allowed && self.refused.fetch_add(1, Ordering::Relaxed).is_multiple_of(REFUSALS_PER_LINE) {
            tracing::warn!(%network, "requests are refused: the network asks too often");
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_refused_when_its_burst_is_used_up() {
        let limit = RateLimit::per_second(NonZeroU32::new(5).unwrap());
        let of = |address: &str| address.parse().unwrap();
        assert_eq!((0..50).filter(|_| limit.allows(of("192.0.2.1"))).count(), 5);
        assert!(limit.allows(of("192.0.2.2")));
        // One subscriber has 2^64 addresses of IPv6.
        let many = (0..50).filter(|i| limit.allows(of(&format!("2001:db8::{i:x}"))));
        assert_eq!(many.count(), 5);
    }
}

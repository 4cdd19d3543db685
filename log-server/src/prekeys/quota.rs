//! How often somebody may do something.
//!
//! Each count fills up again evenly over its period (the generic cell rate algorithm), so there is no moment at which
//! everybody's count starts anew. A count is one number: when all of it will be back. What limits one-time prekeys is
//! stored with the pop that it counts, so that a restart forgives nobody; what only limits the server's work is counted
//! in memory.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use keyglass_crypto::hash::sha256;
use keyglass_tlog::time::UnixMillis;
use lru::LruCache;

/// Names that are counted in memory at a time, about 100 bytes each. Beyond it the one that was idle longest is forgotten.
const REMEMBERED: usize = 200_000;

/// Nanoseconds of the longest period, 146 years: twice as much after now can still be counted.
const MAX_PERIOD: u64 = 1 << 62;

/// So many times in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many times at once, and in the long run per period.
    pub count: u32,
    /// The period.
    pub period: Duration,
}

/// A quota, ready to be counted with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Nanoseconds for one count to come back.
    interval: u64,
    /// Nanoseconds for all of them.
    full: u64,
}

impl Rate {
    pub(crate) fn new(quota: Quota) -> Self {
        let full = u64::try_from(quota.period.as_nanos()).unwrap_or(u64::MAX).min(MAX_PERIOD);
        let interval = full.checked_div(u64::from(quota.count)).unwrap_or(u64::MAX);
        Self { interval, full }
    }

    /// Takes one count of somebody whose counts will all be back at `all_back`, Unix nanoseconds. Says when they will be
    /// then; `None` if none is left.
    pub(crate) fn take(&self, all_back: u64, now: UnixMillis) -> Option<u64> {
        let now = now.0.saturating_mul(1_000_000);
        // After a clock that was ahead, a stored count is back within a period all the same.
        let all_back = all_back.clamp(now, now.saturating_add(self.full));
        let taken = all_back.saturating_add(self.interval);
        (taken.saturating_sub(now) <= self.full).then_some(taken)
    }
}

/// Counts by name, in memory.
pub(crate) struct Counts {
    rate: Rate,
    /// For the hash of each name, when in Unix nanoseconds all its counts will be back.
    back: Mutex<LruCache<[u8; 16], u64>>,
}

impl Counts {
    pub(crate) fn new(quota: Quota) -> Self {
        // Room is taken as names come: most services never count so many.
        Self { rate: Rate::new(quota), back: Mutex::new(LruCache::unbounded()) }
    }

    /// Takes one count of `name`, unless none is left.
    pub(crate) fn take(&self, name: &[u8], now: UnixMillis) -> bool {
        let name = short(name);
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        match self.rate.take(back.get(&name).copied().unwrap_or(0), now) {
            None => false,
            Some(taken) => {
                back.put(name, taken);
                if back.len() > REMEMBERED {
                    back.pop_lru();
                }
                true
            }
        }
    }

    /// Gives `count` counts back.
    pub(crate) fn give_back(&self, name: &[u8], count: u64) {
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all_back) = back.get_mut(&short(name)) {
            *all_back = all_back.saturating_sub(self.rate.interval.saturating_mul(count));
        }
    }
}

/// Half a hash: long names take no more room than short ones.
fn short(name: &[u8]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = sha256(&[name]);
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(1_700_000_000_000);

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis(START.0 + seconds * 1000)
    }

    #[test]
    fn a_quota_is_used_up_and_comes_back_evenly() {
        let counts = Counts::new(Quota { count: 10, period: Duration::from_secs(100) });
        assert_eq!((0..100).filter(|_| counts.take(b"a", START)).count(), 10);
        assert!(counts.take(b"b", START), "another name");
        assert!(!counts.take(b"a", at(9)));
        assert!(counts.take(b"a", at(10)));
        assert!(!counts.take(b"a", at(19)));
        assert_eq!((0..100).filter(|_| counts.take(b"a", at(1000))).count(), 10);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let counts = Counts::new(Quota { count: 1, period: Duration::from_secs(100) });
        assert!(counts.take(b"a", START) && !counts.take(b"a", START));
        counts.give_back(b"a", 1);
        assert!(counts.take(b"a", START) && !counts.take(b"a", START));
        counts.give_back(b"never taken", 1);
        assert!(counts.take(b"never taken", START) && !counts.take(b"never taken", START));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_away_and_takes_no_more_than_a_period() {
        let counts = Counts::new(Quota { count: 2, period: Duration::from_secs(100) });
        assert!(counts.take(b"a", at(100)) && counts.take(b"a", at(100)));
        assert!(!counts.take(b"a", at(0)));
        assert!(!counts.take(b"a", UnixMillis(0)));
        // A stored count from a clock that was years ahead: nothing now, and everything a period later.
        let rate = Rate::new(Quota { count: 2, period: Duration::from_secs(100) });
        let ahead = rate.take(0, at(1_000_000_000)).unwrap();
        assert_eq!(rate.take(ahead, START), None);
        let exhausted = rate.take(0, START).and_then(|back| rate.take(back, START)).unwrap();
        assert_eq!(rate.take(exhausted, START), None);
        assert!(rate.take(exhausted, at(50)).is_some());
    }

    #[test]
    fn extreme_quotas_do_not_overflow() {
        let none = Counts::new(Quota { count: 0, period: Duration::from_secs(1) });
        assert!(!none.take(b"a", START));
        let long = Counts::new(Quota { count: 1, period: Duration::MAX });
        assert!(long.take(b"a", START) && !long.take(b"a", START));
        let many = Counts::new(Quota { count: u32::MAX, period: Duration::from_nanos(1) });
        assert!(many.take(b"a", START) && many.take(b"a", UnixMillis(u64::MAX)));
    }
}

//! How often somebody may do something.
//!
//! Counted in memory: a restart forgives. Each count fills up again evenly over its period (the generic cell rate
//! algorithm), so there is no moment at which everybody's count starts anew.

use std::{
    hash::Hash,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use keyglass_tlog::time::UnixMillis;
use lru::LruCache;

use super::Settings;
use crate::tokens::DeviceName;

/// Names that are counted at a time. Beyond it the one that was idle longest is forgotten.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(200_000 - 1);

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

/// Counts by name.
pub(crate) struct Counts<K> {
    /// Nanoseconds for one count to come back.
    interval: u64,
    /// Nanoseconds for all of them.
    full: u64,
    /// For each name, when in Unix nanoseconds all its counts will be back.
    back: Mutex<LruCache<K, u64>>,
}

impl<K: Hash + Eq> Counts<K> {
    pub(crate) fn new(quota: Quota) -> Self {
        let full = u64::try_from(quota.period.as_nanos()).unwrap_or(u64::MAX).min(MAX_PERIOD);
        let interval = full.checked_div(u64::from(quota.count)).unwrap_or(u64::MAX);
        Self { interval, full, back: Mutex::new(LruCache::new(REMEMBERED)) }
    }

    /// Takes one count of `name`, unless none is left.
    pub(crate) fn take(&self, name: K, now: UnixMillis) -> bool {
        let now = now.0.saturating_mul(1_000_000);
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        let all_back = back.get(&name).copied().unwrap_or(0).max(now);
        let taken = all_back.saturating_add(self.interval);
        if taken.saturating_sub(now) > self.full {
            return false;
        }
        back.put(name, taken);
        true
    }

    /// Gives one count back.
    pub(crate) fn give_back(&self, name: &K) {
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all_back) = back.get_mut(name) {
            *all_back = all_back.saturating_sub(self.interval);
        }
    }
}

/// The quotas of fetching.
pub(super) struct Quotas {
    requesters: Counts<Vec<u8>>,
    pairs: Counts<(Vec<u8>, DeviceName)>,
    targets: Counts<DeviceName>,
    uploaders: Counts<DeviceName>,
}

impl Quotas {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            requesters: Counts::new(settings.per_requester),
            pairs: Counts::new(settings.per_pair),
            targets: Counts::new(settings.per_target),
            uploaders: Counts::new(settings.per_uploader),
        }
    }

    /// Whether the account may fetch one more bundle.
    pub(super) fn take_bundle(&self, requester: &DeviceName, now: UnixMillis) -> bool {
        self.requesters.take(requester.label.clone(), now)
    }

    /// Undoes [`Self::take_bundle`].
    pub(super) fn give_bundle_back(&self, requester: &DeviceName) {
        self.requesters.give_back(&requester.label);
    }

    /// Whether the account may have one more one-time prekey of the device.
    pub(super) fn take_one_time(&self, requester: &DeviceName, target: &DeviceName, now: UnixMillis) -> bool {
        let pair = (requester.label.clone(), target.clone());
        if !self.pairs.take(pair.clone(), now) {
            return false;
        }
        let taken = self.targets.take(target.clone(), now);
        if !taken {
            self.pairs.give_back(&pair);
        }
        taken
    }

    /// Whether the device may upload one more batch or signed prekey.
    pub(super) fn take_upload(&self, uploader: &DeviceName, now: UnixMillis) -> bool {
        self.uploaders.take(uploader.clone(), now)
    }

    /// Undoes [`Self::take_upload`] `count` times.
    pub(super) fn give_uploads_back(&self, uploader: &DeviceName, count: usize) {
        for _ in 0..count {
            self.uploaders.give_back(uploader);
        }
    }

    /// Undoes [`Self::take_one_time`].
    pub(super) fn give_one_time_back(&self, requester: &DeviceName, target: &DeviceName) {
        self.pairs.give_back(&(requester.label.clone(), target.clone()));
        self.targets.give_back(target);
    }
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
        assert_eq!((0..100).filter(|_| counts.take("a", START)).count(), 10);
        assert!(counts.take("b", START), "another name");
        assert!(!counts.take("a", at(9)));
        assert!(counts.take("a", at(10)));
        assert!(!counts.take("a", at(19)));
        assert_eq!((0..100).filter(|_| counts.take("a", at(1000))).count(), 10);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let counts = Counts::new(Quota { count: 1, period: Duration::from_secs(100) });
        assert!(counts.take("a", START) && !counts.take("a", START));
        counts.give_back(&"a");
        assert!(counts.take("a", START) && !counts.take("a", START));
        counts.give_back(&"never taken");
        assert!(counts.take("never taken", START) && !counts.take("never taken", START));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_away() {
        let counts = Counts::new(Quota { count: 2, period: Duration::from_secs(100) });
        assert!(counts.take("a", at(100)) && counts.take("a", at(100)));
        assert!(!counts.take("a", at(0)));
        assert!(!counts.take("a", UnixMillis(0)));
    }

    #[test]
    fn extreme_quotas_do_not_overflow() {
        let none = Counts::new(Quota { count: 0, period: Duration::from_secs(1) });
        assert!(!none.take("a", START));
        let long = Counts::new(Quota { count: 1, period: Duration::MAX });
        assert!(long.take("a", START) && !long.take("a", START));
        let many = Counts::new(Quota { count: u32::MAX, period: Duration::from_nanos(1) });
        assert!(many.take("a", START) && many.take("a", UnixMillis(u64::MAX)));
    }
}

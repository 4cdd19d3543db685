//! Where the time of a cosignature comes from, and when it is not to be believed.

use core::time::Duration;
use std::sync::{Mutex, PoisonError};

pub use keyglass_service::clock::SystemClock;
use keyglass_tlog::time::UnixSeconds;
use thiserror::Error;

/// How far the clock may run ahead of the time since boot before it has jumped, and how far behind the newest cosignature
/// it may be before somebody should look.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// A source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// The current time; 0 if it is not known.
    fn now(&self) -> UnixSeconds;

    /// The time since the machine was started, sleep included, which nobody can set.
    fn since_boot(&self) -> Duration;
}

impl Clock for SystemClock {
    fn now(&self) -> UnixSeconds {
        // Before 1970 the clock is not set: 0 says so, and no cosignature may carry it.
        self.seconds()
    }

    fn since_boot(&self) -> Duration {
        SystemClock::since_boot(*self)
    }
}

/// The clock is further ahead than the time since boot allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the witness's clock has jumped {ahead} seconds ahead")]
pub struct ClockJumped {
    /// How far.
    pub ahead: u64,
}

/// Believes a clock for as long as it does not run ahead of the time since boot.
///
/// The times of a log's cosignatures never go back, so one that is a year ahead would make all that follow a year ahead
/// too. A clock that is behind needs no such care: the last time given is given again.
pub(crate) struct ClockGuard {
    /// The last reading that was as expected: the time, and the time since boot. `None` while the clock is not set.
    anchor: Mutex<Option<(UnixSeconds, Duration)>>,
}

impl ClockGuard {
    /// Starts by what the clock says.
    pub(crate) fn new(clock: &impl Clock) -> Self {
        let guard = Self { anchor: Mutex::new(None) };
        let _ = guard.read(clock);
        guard
    }

    /// The time.
    ///
    /// # Errors
    /// [`ClockJumped`], until the clock is back where it should be.
    pub(crate) fn read(&self, clock: &impl Clock) -> Result<UnixSeconds, ClockJumped> {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, since_boot) = (clock.now(), clock.since_boot());
        if let Some((then, booted_then)) = *anchor {
            let expected = then.0.saturating_add(since_boot.saturating_sub(booted_then).as_secs());
            let (ahead, behind) = (now.0.saturating_sub(expected), expected.saturating_sub(now.0));
            if ahead > TOLERANCE.as_secs() {
                return Err(ClockJumped { ahead });
            }
            // A clock that was set back may come forward again.
            if behind > TOLERANCE.as_secs() {
                return Ok(now);
            }
        }
        if now.0 > 0 {
            *anchor = Some((now, since_boot));
        }
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Hands {
        now: AtomicU64,
        since_boot: AtomicU64,
    }

    impl Hands {
        fn at(&self, now: u64, since_boot: u64) -> &Self {
            self.now.store(now, Ordering::Relaxed);
            self.since_boot.store(since_boot, Ordering::Relaxed);
            self
        }
    }

    impl Clock for Hands {
        fn now(&self) -> UnixSeconds {
            UnixSeconds(self.now.load(Ordering::Relaxed))
        }

        fn since_boot(&self) -> Duration {
            Duration::from_secs(self.since_boot.load(Ordering::Relaxed))
        }
    }

    const T: u64 = 1_700_000_000;
    const YEAR: u64 = 365 * 24 * 3600;

    #[test]
    fn what_the_time_since_boot_allows_is_believed() {
        let hands = Hands::default();
        let guard = ClockGuard::new(hands.at(T, 100));
        for (now, since_boot) in [(T, 100), (T + 50, 150), (T + 50 + YEAR, 150 + YEAR)] {
            assert_eq!(guard.read(hands.at(now, since_boot)), Ok(UnixSeconds(now)));
        }
        // Corrections up to the tolerance are followed, again and again.
        let (mut now, mut since_boot) = (T + 50 + YEAR, 150 + YEAR);
        for _ in 0..5 {
            (now, since_boot) = (now + 10 + TOLERANCE.as_secs(), since_boot + 10);
            assert_eq!(guard.read(hands.at(now, since_boot)), Ok(UnixSeconds(now)));
        }
        let jumped = ClockJumped { ahead: TOLERANCE.as_secs() + 1 };
        assert_eq!(guard.read(hands.at(now + jumped.ahead, since_boot)), Err(jumped));
    }

    #[test]
    fn a_jump_ends_when_the_clock_is_right_again() {
        let hands = Hands::default();
        let guard = ClockGuard::new(hands.at(T, 0));
        for since_boot in [1, 2, 10_000] {
            let jumped = Err(ClockJumped { ahead: YEAR });
            assert_eq!(guard.read(hands.at(T + since_boot + YEAR, since_boot)), jumped);
        }
        assert_eq!(guard.read(hands.at(T + 10_001, 10_001)), Ok(UnixSeconds(T + 10_001)));
        // Back, and forward to where it should be.
        assert_eq!(guard.read(hands.at(T - YEAR, 10_002)), Ok(UnixSeconds(T - YEAR)));
        assert_eq!(guard.read(hands.at(T + 10_003, 10_003)), Ok(UnixSeconds(T + 10_003)));
        // Another process knows nothing of it.
        assert_eq!(ClockGuard::new(hands.at(T + YEAR, 10_004)).read(&hands), Ok(UnixSeconds(T + YEAR)));
    }

    #[test]
    fn a_clock_that_is_not_set_may_be_set_to_anything() {
        let hands = Hands::default();
        let guard = ClockGuard::new(hands.at(0, 5));
        assert_eq!(guard.read(hands.at(0, 6)), Ok(UnixSeconds(0)));
        assert_eq!(guard.read(hands.at(T, 7)), Ok(UnixSeconds(T)));
        assert!(guard.read(hands.at(T + YEAR, 8)).is_err());
    }
}

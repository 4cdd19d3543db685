//! A clock that does not follow jumps.
//!
//! Timestamps of a log never go back, so one entry that is a year ahead would make every later one a year ahead as well,
//! and users refuse such heads: a clock that is wrong for a second would end the log. While the process runs, the time
//! since boot tells whether the machine's clock has been set; across a restart nothing does.

use core::{fmt, time::Duration};
use std::sync::{Mutex, PoisonError};

use keyglass_tlog::time::UnixMillis;

use super::{Clock, SystemClock};

/// How far the machine's clock is from where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// It is ahead.
    Ahead(Duration),
    /// It is behind.
    Behind(Duration),
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead(by) => write!(f, "{} s ahead", by.as_secs()),
            Self::Behind(by) => write!(f, "{} s back", by.as_secs()),
        }
    }
}

/// Where a [`SteadyClock`] takes the time from.
pub trait Sources: Send + Sync + 'static {
    /// The machine's clock.
    fn wall(&self) -> UnixMillis;
    /// The time since the machine was started, sleep included, which nobody can set.
    fn since_boot(&self) -> Duration;
}

/// The operating system.
#[derive(Debug, Clone, Copy)]
pub struct Machine;

impl Sources for Machine {
    fn wall(&self) -> UnixMillis {
        SystemClock.millis()
    }

    fn since_boot(&self) -> Duration {
        SystemClock.since_boot()
    }
}

/// The last reading that was believed.
struct Anchor {
    wall: UnixMillis,
    since_boot: Duration,
    jump: Option<Jump>,
}

/// The machine's clock for as long as it agrees with the time since boot. From a jump on, the time before it goes on,
/// until the machine's clock has come back to it or the process is started again.
pub struct SteadyClock<S = Machine> {
    sources: S,
    tolerance: Duration,
    anchor: Mutex<Anchor>,
}

impl<S: Sources> SteadyClock<S> {
    /// Starts by what these sources say. Corrections up to `tolerance` at a time are followed.
    pub fn of(sources: S, tolerance: Duration) -> Self {
        let anchor = Anchor { wall: sources.wall(), since_boot: sources.since_boot(), jump: None };
        Self { sources, tolerance, anchor: Mutex::new(anchor) }
    }

    fn read(&self) -> (UnixMillis, Option<Jump>) {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, since_boot) = (self.sources.wall(), self.sources.since_boot());
        let expected = anchor.wall.saturating_add(since_boot.saturating_sub(anchor.since_boot));
        let ahead = Duration::from_millis(wall.0.saturating_sub(expected.0));
        let behind = Duration::from_millis(expected.0.saturating_sub(wall.0));
        let jump = if ahead > self.tolerance {
            Some(Jump::Ahead(ahead))
        } else {
            (behind > self.tolerance).then_some(Jump::Behind(behind))
        };
        if jump.is_some() != anchor.jump.is_some() {
            match jump {
                Some(jump) => tracing::error!(%jump, "the machine's clock jumped; its time before goes on"),
                None => tracing::info!("the machine's clock is back where it should be"),
            }
        }
        anchor.jump = jump;
        if jump.is_some() {
            return (expected, jump);
        }
        (anchor.wall, anchor.since_boot) = (wall, since_boot);
        (wall, None)
    }
}

impl SteadyClock {
    /// [`SteadyClock::of`] the operating system.
    #[must_use]
    pub fn new(tolerance: Duration) -> Self {
        Self::of(Machine, tolerance)
    }
}

impl<S: Sources> Clock for SteadyClock<S> {
    fn now(&self) -> UnixMillis {
        self.read().0
    }

    fn jump(&self) -> Option<Jump> {
        self.read().1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    };

    use proptest::prelude::*;

    use super::*;

    const YEAR: u64 = 365 * 24 * 3_600_000;
    const TOLERANCE: u64 = 60_000;

    /// A machine in a test's hands; both in milliseconds.
    #[derive(Clone, Default)]
    struct Hands {
        wall: Arc<AtomicU64>,
        boot: Arc<AtomicU64>,
    }

    impl Hands {
        fn passes(&self, ms: u64) {
            self.wall.fetch_add(ms, Relaxed);
            self.boot.fetch_add(ms, Relaxed);
        }

        fn clock(&self) -> SteadyClock<Self> {
            SteadyClock::of(self.clone(), Duration::from_millis(TOLERANCE))
        }
    }

    impl Sources for Hands {
        fn wall(&self) -> UnixMillis {
            UnixMillis(self.wall.load(Relaxed))
        }

        fn since_boot(&self) -> Duration {
            Duration::from_millis(self.boot.load(Relaxed))
        }
    }

    fn hands() -> Hands {
        let hands = Hands::default();
        hands.wall.store(50 * YEAR, Relaxed);
        hands.boot.store(7_000, Relaxed);
        hands
    }

    #[test]
    fn a_year_ahead_is_not_believed_and_the_time_before_goes_on() {
        let hands = hands();
        let clock = hands.clock();
        hands.passes(1_000);
        assert_eq!((clock.now().0, clock.jump()), (50 * YEAR + 1_000, None));
        hands.wall.fetch_add(YEAR, Relaxed);
        hands.passes(2_000);
        assert_eq!(clock.now().0, 50 * YEAR + 3_000);
        assert_eq!(clock.jump(), Some(Jump::Ahead(Duration::from_millis(YEAR))));
        hands.wall.fetch_sub(YEAR, Relaxed);
        hands.passes(500);
        assert_eq!((clock.now().0, clock.jump()), (50 * YEAR + 3_500, None));
    }

    #[test]
    fn an_hour_back_is_not_believed_either() {
        let hands = hands();
        let clock = hands.clock();
        hands.wall.fetch_sub(3_600_000, Relaxed);
        assert_eq!(clock.now().0, 50 * YEAR);
        assert_eq!(clock.jump(), Some(Jump::Behind(Duration::from_secs(3600))));
        assert_eq!(hands.clock().now().0, 50 * YEAR - 3_600_000, "a new process begins by the clock");
    }

    #[test]
    fn corrections_are_followed_and_add_up() {
        let hands = hands();
        let clock = hands.clock();
        for n in 1..=100 {
            hands.wall.fetch_add(TOLERANCE, Relaxed);
            assert_eq!((clock.now().0, clock.jump()), (50 * YEAR + n * TOLERANCE, None));
        }
    }

    #[test]
    fn a_machine_that_slept_has_not_jumped() {
        let hands = hands();
        let clock = hands.clock();
        hands.passes(30 * 24 * 3_600_000);
        assert_eq!(clock.jump(), None);
    }

    #[test]
    fn the_machine_itself_agrees_with_its_clock() {
        let clock = SteadyClock::new(Duration::from_secs(60));
        let before = SystemClock.now();
        let now = clock.now();
        assert!(before <= now && now <= SystemClock.now());
        assert_eq!(clock.jump(), None);
    }

    proptest! {
        /// Whatever the machine's clock does, the time that is told is within the tolerance of it or of the true time.
        #[test]
        fn no_jump_is_ever_followed(steps in prop::collection::vec((0..100_000_u64, -200_000..200_000_i64), 1..40)) {
            let hands = hands();
            let clock = hands.clock();
            let mut told = clock.now().0;
            for (passes, set) in steps {
                hands.passes(passes);
                hands.wall.fetch_add_signed(set);
                let now = clock.now().0;
                prop_assert!(now.abs_diff(told + passes) <= TOLERANCE, "{now} after {told} and {passes}");
                told = now;
            }
        }
    }

    trait AddSigned {
        fn fetch_add_signed(&self, by: i64);
    }

    impl AddSigned for AtomicU64 {
        fn fetch_add_signed(&self, by: i64) {
            self.store(self.load(Relaxed).saturating_add_signed(by), Relaxed);
        }
    }
}

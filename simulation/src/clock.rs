//! Simulated time, and clocks that differ from it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use keyglass_log_server::clock::Clock;
use keyglass_tlog::time::UnixMillis;

/// A minute in milliseconds.
pub const MINUTE: u64 = 60_000;
/// An hour in milliseconds.
pub const HOUR: u64 = 60 * MINUTE;
/// A day in milliseconds.
pub const DAY: u64 = 24 * HOUR;

/// When every history begins, in milliseconds since the Unix epoch.
const BEGINNING: u64 = 1_700_000_000_000;

/// The true time, which only the simulation knows. Nobody sleeps: it moves between steps.
#[derive(Debug, Clone)]
pub struct Time(Arc<AtomicU64>);

impl Default for Time {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(BEGINNING)))
    }
}

impl Time {
    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Milliseconds since the beginning of the history.
    #[must_use]
    pub fn elapsed(&self) -> u64 {
        self.now() - BEGINNING
    }

    /// Lets time pass.
    pub fn pass(&self, milliseconds: u64) {
        self.0.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

/// A party's clock, off by some time.
#[derive(Debug, Clone)]
pub struct PartyClock {
    time: Time,
    skew: Arc<AtomicI64>,
}

impl PartyClock {
    /// A clock that is off by so many milliseconds.
    #[must_use]
    pub fn new(time: &Time, skew: i64) -> Self {
        Self { time: time.clone(), skew: Arc::new(AtomicI64::new(skew)) }
    }

    /// Sets how far it is off.
    pub fn set_skew(&self, skew: i64) {
        self.skew.store(skew, Ordering::Relaxed);
    }

    /// How far it is off.
    #[must_use]
    pub fn skew(&self) -> i64 {
        self.skew.load(Ordering::Relaxed)
    }
}

impl Clock for PartyClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.time.now().saturating_add_signed(self.skew()))
    }
}

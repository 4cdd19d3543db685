//! Where the time of a cosignature comes from.

use std::time::{SystemTime, UNIX_EPOCH};

use keyglass_tlog::time::UnixSeconds;

/// A source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// The current time; 0 if it is not known.
    fn now(&self) -> UnixSeconds;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixSeconds {
        // Before 1970 the clock is not set: 0 says so, and no cosignature may carry it.
        UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

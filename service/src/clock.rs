//! The machine's clocks. Whatever reads them takes a `Clock` of its own crate, which this implements there.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use keyglass_tlog::time::{UnixMillis, UnixSeconds};
use rustix::time::{ClockId, clock_gettime};

/// The machine's clock. Before 1970, where it is not set, it reads 1970.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Now.
    #[must_use]
    pub fn millis(self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Now, in whole seconds.
    #[must_use]
    pub fn seconds(self) -> UnixSeconds {
        UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    /// The time since the machine was started, sleep included, which nobody can set.
    #[must_use]
    pub fn since_boot(self) -> Duration {
        // Linux has this clock and gives no negative times.
        Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
    }
}

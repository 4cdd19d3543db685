//! The time, as an argument: whatever reads a clock takes one of these.

mod steady;

use std::time::{SystemTime, UNIX_EPOCH};

use keyglass_tlog::time::UnixMillis;

pub use self::steady::{Jump, Machine, Sources, SteadyClock};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixMillis;

    /// The jump that this clock has seen and did not follow.
    fn jump(&self) -> Option<Jump> {
        None
    }
}

/// The machine's clock. Before 1970 it reads 1970.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

//! The time, as an argument: whatever reads a clock takes one of these.

mod steady;

pub use keyglass_service::clock::SystemClock;
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

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        self.millis()
    }
}

//! The time, as an argument: whatever reads a clock takes one of these.

pub use keyglass_service::clock::SystemClock;
use keyglass_tlog::time::UnixMillis;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixMillis;
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        self.millis()
    }
}

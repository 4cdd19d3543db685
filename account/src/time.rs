//! Points in time: those of the log, whose timestamps and records share one clock.

pub use keyglass_tlog::time::UnixMillis;

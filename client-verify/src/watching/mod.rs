//! Keeping watch over labels: when to look again, and what has changed, in words that a layperson understands.
//!
//! All of it is pure: the clock, random numbers and what the last look came to are arguments.

pub mod schedule;
pub mod words;

pub use keyglass_tlog::time::Date;
pub use schedule::{Looked, Schedule};

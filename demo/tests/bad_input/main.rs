//! Bad input to the real programs: each is refused with a type of its own, and changes nothing.
//!
//! Everything that can be seen of the log (sizes, versions, prekeys, mailboxes) is compared before and after. Heartbeats
//! are off, so that the log grows by updates only. All cases of a test run even if one of them fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod bench;
mod directories;
mod mailbox;
mod operations;
mod policies;
mod prekeys;
mod records;
mod requests;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each test program uses another part")]
mod support;

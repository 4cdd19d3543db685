//! The log-server: a transparency log of account records, witnessed, and the services beside it.
//!
//! From the bottom up:
//! - [`store`]: what is kept, and its backends; [`log_tree`] reads it as a tree;
//! - [`sequencer`]: from updates to durable log entries; [`publisher`]: from entries to a witnessed head
//!   ([`published`]);
//! - [`tokens`] (who asks), [`prekeys`] and [`mailbox`]: the services beside the log;
//! - [`http`]: the endpoints.
//!
//! A server is put together from these parts; `main` is one way to do it.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)
)]

pub mod answers;
pub mod clock;
pub mod data_dir;
pub mod http;
pub mod init;
pub mod log;
pub mod log_tree;
pub mod mailbox;
pub mod pages;
pub mod prekeys;
pub mod proofs;
pub mod published;
pub mod publisher;
pub mod sequencer;
pub mod store;
pub mod tokens;
pub mod updates;
pub mod values;

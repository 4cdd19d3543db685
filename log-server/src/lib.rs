//! The log-server: a transparency log of account records, witnessed, and the services beside it.
//!
//! From the bottom up:
//! - [`store`]: what is kept, and its backends; [`log_tree`] reads it as a tree;
//! - [`sequencer`]: from updates to durable log entries; [`publisher`]: from entries to a witnessed head
//!   ([`published`]); [`pruning`]: what has expired leaves the store;
//! - [`log`]: the log as endpoints see it: [`answers`] to questions, [`updates`] of [`values`] that are account records;
//! - [`audit`]: what the log and its auditors give each other;
//! - [`prekeys`], [`mailbox`], [`tokens`]: the services beside it, for the devices of its [`accounts`];
//! - [`registration`]: who may begin an account, and under which labels.
//! - [`http`]: the endpoints; [`operator`]: commands on this machine, [`erasure`] among them.
//!
//! [`server`] puts all of it together on a [`data_dir`] with the log's [`signing_keys`]; others can put together parts of it.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::as_conversions
    )
)]

pub mod accounts;
pub mod answers;
pub mod audit;
pub mod clock;
pub mod data_dir;
pub mod erasure;
pub mod handover;
pub mod http;
pub mod init;
pub mod log;
pub mod log_tree;
pub mod mailbox;
pub mod operator;
pub mod pages;
pub mod prekeys;
pub mod proofs;
pub mod pruning;
pub mod published;
pub mod publisher;
pub mod registration;
pub mod sequencer;
pub mod server;
pub mod signing_keys;
pub mod store;
pub mod tokens;
pub mod updates;
pub mod values;

#[cfg(test)]
mod testkit;

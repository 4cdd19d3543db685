//! IETF KEYTRANS (draft-ietf-keytrans-protocol at commit 526cc8a), for those who prove and those who verify.
//!
//! - [`wire`] and [`config`]: the structures and their encoding;
//! - [`ibst`], [`ladder`], [`log_hash`], [`log_tree`], [`prefix_tree`]: the trees and the proofs from them;
//! - [`view`] and [`algorithms`]: each algorithm, written once for both sides;
//! - [`client`]: a user's requests, and verifying the responses;
//! - [`prover`]: the log's responses;
//! - [`audit`]: an auditor's replay of a log.
//!
//! Everything here is pure: time and randomness are arguments, and nothing reads or writes anything.
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

pub mod algorithms;
pub mod audit;
pub mod client;
pub mod config;
pub mod ibst;
pub mod ladder;
pub mod log_hash;
pub mod log_tree;
pub mod prefix_tree;
pub mod prover;
pub mod retention;
pub mod view;
pub mod wire;

#[cfg(test)]
mod lies;
#[cfg(test)]
mod vectors;

//! The verifying client of Keyglass: from a log's proof to an encrypted first message, and the `keyglass` command.
//!
//! Without default features this is the verifying half alone: pure code, no I/O, no clock, no random numbers.
//!
//! - [`prekeys`]: the life of a device's prekeys: when they are made, and what is done when the server's idea of them differs.
//! - [`proven`]: the key gate; each step from a search response to a usable bundle is a type of its own.
//! - [`x3dh`]: the handshake over a proven bundle, and the first message.
//! - [`messaging`]: first messages in a world that delays, repeats and loses them, step by step.
//! - [`state`]: what is remembered; the documents, and with the feature `cli` the home directory that holds them.
//! - [`watching`]: when to look again, and what has changed in words.
//! - [`verdict`]: what can be the case, each with its exit code and plain words.
#![cfg_attr(feature = "cli", doc = "- [`http`]: bounded requests to a log-server.")]
#![cfg_attr(feature = "cli", doc = "- [`command`]: the `keyglass` command.")]
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

pub mod messaging;
pub mod prekeys;
pub mod proven;
pub mod state;
pub mod verdict;
pub mod watching;
pub mod x3dh;

#[cfg(feature = "cli")]
pub mod command;
#[cfg(feature = "cli")]
pub mod http;

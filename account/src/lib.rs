//! Account records, prekeys and request authentication: the formats that clients and servers share.
//!
//! Pure code: no clock, no randomness, no I/O. Everything is encoded big-endian in the presentation language of
//! TLS (RFC 8446 section 3), has bounds on every vector and admits no trailing bytes, so that one value has one encoding; what is
//! stored or signed starts with a format number. Every signature covers a tag of its own ([`tag`]), the origin of the log
//! ([`origin`]) and the label, so that nothing signed for one purpose, log or account serves another.
//!
//! - [`label`]: the names of accounts, and the one form that each way of typing one has.
//! - [`record`]: what the log holds for a label, and [`device`] what belongs to it; [`chain`] how its identity keys follow
//!   from one another; [`verify`] whether a version is valid; [`root`] what a first contact must search for; [`author`] how the
//!   owner makes the next version.
//! - [`prekey`]: signed prekeys, batches of one-time prekeys under a signed Merkle root ([`merkle`]), bundles; [`pool`] what a
//!   server holds of a device's, in one digest.
//! - [`auth`]: requests signed by a device, and the tokens that stand in for them.
//! - [`link`]: how a new device offers itself to an account, as [`text_code`].
//! - [`safety_number`]: what two people compare outside of any server.
//! - [`api`] and [`problem`]: the JSON of the prekey and mailbox service, and its error types; [`receipt`] why a first message
//!   was not opened; [`search_many`] several look-ups in one request.
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

pub mod api;
pub mod auth;
pub mod author;
pub mod chain;
pub mod codec;
pub mod device;
pub mod label;
pub mod link;
pub mod merkle;
pub mod origin;
pub mod pool;
pub mod prekey;
pub mod problem;
pub mod receipt;
pub mod record;
pub mod root;
pub mod safety_number;
pub mod search_many;
mod succession;
pub mod tag;
pub mod text_code;
pub mod time;
pub mod verify;

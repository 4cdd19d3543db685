//! What every server needs and none should write again: an address with bounded connections ([`server`]), TLS whose
//! certificate is renewed while it runs ([`tls`]), keys on disk that nobody else can read ([`key_file`]), and options of
//! the command line for all of it.
//!
//! The accept loop is our own, not `axum-server`'s: connections are bounded in number, handshakes and request heads in
//! time, and both are counted, none of which that crate offers.
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

pub mod clock;
pub mod connections;
pub mod key_file;
pub mod network;
pub mod passphrase;
pub mod private_file;
pub mod rate;
pub mod server;
mod taking;
pub mod tls;

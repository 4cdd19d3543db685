//! The transparency-log formats of C2SP, one module per specification, and the RFC 6962 tree below them.
//!
//! Everything here is pure: no clock, no randomness, no I/O. What comes from outside is bounded before it is
//! copied, and decoded strictly: one value has one spelling, so that text that parses formats back to itself.
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

pub mod checkpoint;
pub mod cosignature;
pub mod evidence;
pub mod handover;
pub mod note;
pub mod policy;
pub mod proof;
pub mod relate;
pub mod rfc6962;
pub mod shown;
pub mod tile;
pub mod time;
pub mod witness;
pub mod witnessed;

#[cfg(test)]
mod testkit;
mod text;

pub use keyglass_crypto::hash::Digest;

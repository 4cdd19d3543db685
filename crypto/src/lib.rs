//! The cryptographic primitives of Keyglass: hashes, signatures, key agreement, commitments and the VRF.
//!
//! Nothing here knows a protocol, a clock or a source of randomness: random bytes are arguments. Every decoder is
//! strict; every secret is erased when dropped and prints nothing.
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

pub mod aead;
pub mod commitment;
pub mod dh;
pub mod hash;
pub mod kdf;
pub mod ml_dsa;
mod point;
pub mod secret;
pub mod sign;
#[cfg(test)]
mod vectors;
pub mod vrf;

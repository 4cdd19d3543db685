//! The cryptographic primitives of Keyglass: hashes, signatures, key agreement, commitments and the VRF.
//!
//! Nothing here knows a protocol, a clock or a source of randomness: random bytes are arguments. Every decoder is
//! strict, so that a key has one encoding; every secret is erased when dropped and prints nothing.
//!
//! | To | use |
//! |---|---|
//! | hash | [`hash`]: SHA-256, SHA-512 |
//! | sign heads, records and prekeys | [`sign`]: Ed25519, verified strictly |
//! | give a label a private, provable place | [`vrf`]: ECVRF |
//! | bind the log to a value and hide it | [`commitment`]: HMAC-SHA256 under a fixed key |
//! | agree on a secret | [`dh`]: X25519 |
//! | agree on a secret that a quantum computer does not find | [`kem`]: ML-KEM-768, beside X25519 |
//! | make keys of a secret, or authenticate under one | [`kdf`]: HKDF-SHA256, HMAC-SHA256 |
//! | encrypt a message | [`aead`]: ChaCha20-Poly1305 |
//! | keep a key on disk under a passphrase | [`sealed`]: argon2id, ChaCha20-Poly1305 |
//! | hold and compare secret bytes | [`secret`] |
//! | sign or verify a post-quantum cosignature | [`ml_dsa`]: ML-DSA-44 |
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
pub mod kem;
pub mod ml_dsa;
mod point;
pub mod sealed;
pub mod secret;
pub mod sign;
#[cfg(test)]
mod vectors;
pub mod vrf;

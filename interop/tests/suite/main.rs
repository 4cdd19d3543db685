//! What others' programs and libraries say of Keyglass, and Keyglass of theirs. Each test says so where it was skipped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod kit;
mod notes;
mod policies;
mod proofs;
mod tiles;
mod trees;
mod witnesses;

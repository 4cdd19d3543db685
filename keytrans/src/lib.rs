//! Keyglass keytrans.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions))]

pub mod ibst;
pub mod ladder;
pub mod log_hash;
pub mod log_tree;

#[cfg(test)]
mod vectors;

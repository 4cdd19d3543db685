//! The formats of an account, their rules, and the attacks that the rules stop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    missing_docs
)]

mod api;
mod auth;
mod cast;
mod first_contact;
mod kem_prekey;
mod prekey;
mod record_attacks;
mod record_changes;
mod record_format;
mod stability;

//! The witness from the outside: as functions, as a service, over HTTP, and as a process that dies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod client;
mod crash;
mod decide;
mod http;
mod log;
mod lying;
mod process;
mod race;
mod secrets;
mod stores;

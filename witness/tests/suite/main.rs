//! The witness from the outside: as functions, as a service, over HTTP, and as a process that dies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod client;
mod clock;
mod crash;
mod decide;
mod evidence;
mod flood;
mod full_disk;
mod gossip;
mod http;
mod keys;
mod log;
mod lying;
mod overview;
mod process;
mod race;
mod reload;
mod restored;
mod secrets;
mod specification;
mod stores;

//! An unreliable, hostile world around the real code: accounts, devices and messages, simulated from seeds.
//!
//! Log, prover, prekey service, mailbox, witnesses' decision, verification, proven keys, handshakes, messaging and state
//! documents are the ones that the programs run. Simulated are the network ([`env`](mod@env)), the clocks ([`clock`]), the disks
//! ([`disk`]), the people ([`history`]) and the server's lies ([`deceit`], [`attack`], [`lies`]). What is true is known to the
//! [`oracle`] alone, by which every step is checked ([`check`]).
//!
//! A history is a function of its seed: no thread, no sleep, no socket, no system clock is in it. `keyglass-simulation replay
//! SEED` shows what happened in one.
//!
//! This crate is a test. What cannot happen in it panics, and a panic is a finding like any other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

pub mod attack;
pub mod branch;
pub mod check;
pub mod client;
pub mod clock;
pub mod deceit;
pub mod dice;
pub mod disk;
pub mod env;
pub mod faults;
pub mod history;
pub mod lies;
pub mod oracle;
pub mod seeds;
pub mod services;
pub mod setting;
pub mod trace;
pub mod witness;

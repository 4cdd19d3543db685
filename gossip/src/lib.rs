//! Gossip between witnesses and auditors: each pulls the latest checkpoints and the evidence that others hold, so that a
//! log that shows different parties different trees is found out by whoever hears of both, and is known to be guilty by
//! everybody soon after. `docs/gossip.md` has the protocol, its bounds and what was simulated and proven of it.
//!
//! The core is pure: [`decide`](decide::decide) is how one head relates to another, [`node::Node`] what is known of others'
//! heads, [`holdings::Holdings`] which evidence is held, [`evidence::Held`] evidence that was verified. Time, chance and
//! the network are arguments, so that a simulation runs the very code that servers run. With the feature `servers`, `store` keeps
//! evidence on disk, `book` joins the two, and `net` asks others over HTTP.
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

#[cfg(feature = "servers")]
pub mod book;
pub mod decide;
pub mod evidence;
pub mod head;
pub mod hex;
pub mod holdings;
pub mod listing;
#[cfg(feature = "servers")]
pub mod metrics;
#[cfg(feature = "servers")]
pub mod net;
pub mod node;
pub mod peers;
pub mod schedule;
#[cfg(feature = "servers")]
pub mod store;
pub mod trust;

#[cfg(test)]
mod testkit;

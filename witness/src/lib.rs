//! A witness of transparency logs (C2SP tlog-witness): it cosigns a checkpoint only if the tree behind it extends every
//! tree that it cosigned for that log before.
//!
//! [`decide`] is the specification as a pure function. [`service`] runs it: compare, check, sign and persist happen in
//! one critical section per log, and nothing leaves before it is durable. [`store`] keeps what is known of each log
//! ([`kept`]), and refuses copies of itself; [`rollback`] is what the witness's own cosignatures say about its state.
//! [`gossip`] is what the witness hears of others, and evidence for which it cosigns no more. [`http`] turns requests and answers into bytes; it serves any [`http::Responder`], so that tests can put a lying
//! witness behind the same endpoints without touching the honest one.
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

pub mod clock;
pub mod decide;
pub mod gossip;
pub mod head;
pub mod http;
pub mod kept;
pub mod key;
pub mod logs;
pub mod metrics;
mod overview;
pub mod rollback;
pub mod service;
pub mod store;

//! An auditor of a Keyglass log: it replays every entry, compares what the log and its witnesses show, and keeps
//! evidence of whatever contradicts itself.
//!
//! What concludes is pure ([`relate`], [`replay`] and [`chunk`] of the log's entries, [`updates`] and [`audited`] of what they
//! changed, [`signing`], [`report`]); [`records`] remembers, [`fetch`] asks others, [`follow`] puts them together into a
//! round, [`serve`] does so for many logs ([`followed`]), [`overview`] is what there is to show about them, and [`http`] lets
//! others ask and report.
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

pub mod alert;
pub mod audited;
pub mod check;
pub mod chunk;
pub mod cli;
pub mod clock;
pub mod dashboard;
pub mod data_dir;
pub mod durable;
pub mod fetch;
pub mod finding;
pub mod follow;
pub mod followed;
pub mod gossip;
pub mod head;
pub mod http;
pub mod incident;
pub mod overview;
pub mod plan;
pub mod progress;
mod progress_shown;
pub mod quorum;
pub mod records;
pub mod refused;
pub mod relate;
pub mod replay;
pub mod report;
pub mod rounds;
pub mod run;
pub mod serve;
pub mod settings;
pub mod signing;
pub mod trust;
pub mod updates;
pub mod verdict;
mod words;

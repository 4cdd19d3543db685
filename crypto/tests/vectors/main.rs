//! The vectors of the RFCs and of Wycheproof. Those of the log's own specification are beside the code that they test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod rfc;
mod wycheproof;

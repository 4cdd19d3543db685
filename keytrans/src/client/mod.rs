//! The user's side of every operation: making requests, verifying responses ("User Operations").
//!
//! A [`Verifier`] knows whom to trust and nothing else; a [`UserState`] is what the user retains. A verified response
//! yields its result and a [`StateUpdate`]: the state changes when that is applied, never before everything, the
//! signature and the clock included, was verified.

mod distinguished;
mod error;
mod head;
mod monitor;
mod operation;
mod owner;
mod proof_view;
mod search;
mod state;
mod trust;
mod update;

#[cfg(test)]
pub(crate) mod session;
#[cfg(test)]
pub(crate) mod tests;

pub use distinguished::{Agreement, DistinguishedEntry, compare_roots};
pub use error::{HeadError, ProofError, VerifyError};
pub use head::VerifiedHead;
pub use operation::Verified;
pub use owner::{OwnerMonitorResult, OwnerStart};
pub use search::SearchResult;
pub use state::{KnownVersion, LabelState, StateUpdate, TreeState, UserState};
pub use trust::{ConfigurationError, Verifier};
pub use update::{CreatedVersions, decode_update_responses};

//! The draft's algorithms, each written once over a [`View`](crate::view::View).
//!
//! They are pure: no I/O, no clock, no randomness. Every loop is bounded by the depth of the implicit binary search
//! tree or by the lengths of what the caller passes in.

mod contact;
mod distinguished;
mod fixed;
mod greatest;
mod lookups;
mod owner;
mod tree;
mod update;

#[cfg(test)]
pub(crate) mod tests;

pub use contact::{MonitoringMap, OwnerContext, contact_monitor};
pub use distinguished::{Recent, walk_distinguished};
pub use fixed::fixed_version_search;
pub use greatest::greatest_version_search;
pub use owner::{OwnerKnowledge, OwnerProgress, owner_init_entries, owner_init_ladders, owner_monitor};
pub use tree::Tree;
pub use update::{NewVersions, UpdateOutcome, update_label};

use thiserror::Error;

use crate::{ibst, view::View};

/// A response breaks the rule that the variant names. An honest log gives no cause for any of these, but for
/// [`Violation::NotFound`] and [`Violation::Expired`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    /// A log of no entries answers nothing.
    #[error("the log is empty")]
    EmptyLog,
    /// A version above the claimed greatest one exists at this position (greatest-version search, step 2).
    #[error("entry {0} holds a version above the claimed greatest one")]
    GreaterVersionExists(u64),
    /// The claimed greatest version is not in the rightmost log entry (greatest-version search, step 2).
    #[error("the rightmost entry lacks the claimed greatest version")]
    GreatestVersionMissing,
    /// The version does not exist (fixed-version search, step 6).
    #[error("the version does not exist")]
    NotFound,
    /// The version can no longer be vouched for (fixed-version search, steps 5.2 and 6.2).
    #[error("the version is expired")]
    Expired,
    /// A monitored version is gone from this position (contact algorithm, step 3.2).
    #[error("entry {0} lacks a monitored version")]
    MonitoredVersionMissing(u64),
    /// Two monitored versions meet at this position and the one to the right is not the greater (contact algorithm,
    /// step 3.1.2).
    #[error("monitored versions meet out of order at entry {0}")]
    MonitoredVersionsOutOfOrder(u64),
    /// The starting position is beyond the log, expired or not distinguished ("Owner Initialization").
    #[error("entry {0} is no place to start from: it is expired, not distinguished or not there")]
    BadStart(u64),
    /// More versions were claimed than entries are inspected, or they do not descend (owner algorithm, step 2).
    #[error("the claimed greatest versions do not fit the entries inspected")]
    BadGreatestVersions,
    /// At this position another version is the greatest than the owner expects (owner algorithms).
    #[error("entry {0} has another greatest version than expected")]
    UnexpectedVersion(u64),
    /// New versions are not to the right of what the owner knows already ("Updating a Label", verification step 1).
    #[error("position {0} is not to the right of the previous version")]
    BadPosition(u64),
    /// Not every lookup of a ladder in this log entry was answered. No view does that; should one, nothing follows.
    #[error("the binary ladder of entry {0} is not finished")]
    LadderUnfinished(u64),
    /// A new version is not in the log entry that is said to have created it ("Updating a Label", steps 3 and 4).
    #[error("entry {0} lacks a new version")]
    NewVersionMissing(u64),
}

/// Brings the user's view from `last` (a tree size) to `size` ("Updating Views of the Tree"). The monotonicity of the
/// timestamps is the view's to check, since it concerns all of them.
///
/// # Errors
/// Those of the view.
pub fn update_view<V: View>(view: &mut V, size: u64, last: Option<u64>) -> Result<(), V::Error> {
    if last == Some(size) {
        return Ok(());
    }
    for position in ibst::update_view(size, last) {
        view.timestamp(position)?;
    }
    Ok(())
}

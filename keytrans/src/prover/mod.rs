//! The log's side of every operation: answering requests from a snapshot of its data.
//!
//! The algorithms are those that the user runs ([`crate::algorithms`]), over a view that records what they ask for.

mod audit;
mod data;
mod monitor;
mod owner;
mod recording;
mod search;
mod update;

#[cfg(test)]
mod histories;
#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use audit::auditor_update;
pub use data::{OpenedVersion, ProverData, ServedHead};
pub use monitor::{contact_monitor, distinguished};
pub use owner::{owner_init, owner_monitor};
pub use search::search;
pub use update::{MAX_UPDATE_RESPONSES, update_responses};

use crate::{
    algorithms::{Recent, Violation},
    log_tree::LogTreeError,
    wire::{FullTreeHead, WireError},
};

/// What counts as a recent distinguished log entry, for users and logs alike ("Walking Distinguished Heads" leaves it
/// to the application): the ten rightmost.
pub const RECENT: Recent = Recent { count: 10 };

/// Why a request has no answer. All but the last two are the requester's doing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProverError<E> {
    /// `last` is zero, or larger than the log.
    #[error("the advertised tree size {last} is not one of this log, which has {size} entries")]
    BadLast {
        /// The advertised size.
        last: u64,
        /// The log's.
        size: u64,
    },
    /// The label has no version.
    #[error("the label has no version")]
    UnknownLabel,
    /// The label has no such version.
    #[error("the label has no such version")]
    UnknownVersion,
    /// The version's opening and value were erased.
    #[error("version {0} was erased")]
    Erased(u32),
    /// Entries of a monitoring map are out of order, repeated, or not where their versions can be monitored.
    #[error("the monitoring map is not one of this log")]
    BadMap,
    /// The greatest version advertised is not the owner's to know, or too far behind where owning began.
    #[error("the advertised greatest version does not fit the label")]
    BadGreatestVersion,
    /// What was asked for breaks a rule of the algorithm: a bad starting position, an expired version.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The answer is too long for its wire format.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The data contradict themselves.
    #[error("the log's data are inconsistent")]
    Inconsistent,
    /// The log tree has no such proof.
    #[error(transparent)]
    LogTree(#[from] LogTreeError),
    /// The data could not be read.
    #[error("the log's data could not be read")]
    Data(E),
}

/// The head to answer with: the one that the user has already, or the served one.
fn full_tree_head<E>(head: &ServedHead, last: Option<u64>) -> Result<FullTreeHead, ProverError<E>> {
    let size = head.tree_head.tree_size;
    match last {
        Some(last) if last == 0 || last > size => Err(ProverError::BadLast { last, size }),
        Some(last) if last == size => Ok(FullTreeHead::Same),
        _ => Ok(FullTreeHead::Updated {
            tree_head: head.tree_head.clone(),
            auditor_tree_head: head.auditor_tree_head.clone(),
        }),
    }
}

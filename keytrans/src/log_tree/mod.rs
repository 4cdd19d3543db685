//! The log tree: its nodes, what a batch proof contains, and how one is verified (section "Log Tree" of "Tree Proofs").
//!
//! Proofs hold only heads of balanced subtrees, so a node is named by a [`NodeId`] for good: its value never changes
//! once its last leaf is in the log, and the server may store it under that name.

mod append;
mod batch;
mod node;
mod verify;

#[cfg(test)]
mod tests;

use thiserror::Error;

pub use append::Appender;
pub use batch::plan;
pub use node::{NodeId, full_subtrees, root};
pub use verify::{Proven, verify};

/// Why a batch proof proves nothing, or why none can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LogTreeError {
    /// A log without entries has no root.
    #[error("the log is empty")]
    EmptyLog,
    /// A log to append to has more than 2^63 entries.
    #[error("the log is too large to append to")]
    TooLarge,
    /// Leaves are not in ascending order, are given twice, or are beyond the log's size.
    #[error("the leaves are not ascending positions in the log")]
    Leaves,
    /// The size of the retained tree head is zero or greater than the log's.
    #[error("the retained size is not between 1 and the size of the log")]
    RetainedSize,
    /// There are more or fewer retained heads than a log of the retained size has full subtrees.
    #[error("the number of retained heads does not fit the retained size")]
    RetainedHeads,
    /// The auditor's size is zero or greater than the log's.
    #[error("the auditor's size is not between 1 and the size of the log")]
    AuditorSize,
    /// The proof has too few elements.
    #[error("the proof lacks an element")]
    MissingElement,
    /// The proof has elements that nothing needs.
    #[error("the proof has elements to spare")]
    SpareElements,
    /// A retained head was computed from the proof and is another: the proof is of a different log.
    #[error("the proof contradicts a retained head")]
    RetainedMismatch,
}

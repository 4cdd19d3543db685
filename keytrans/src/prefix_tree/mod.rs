//! The prefix tree: proofs of searches, and copy-on-write pages in which every version of it can be searched
//! (sections "Prefix Tree").
//!
//! A page is stored under the position of the log entry whose change wrote it, and names the positions of the pages
//! below it. So a version of the tree is a [`TreeRoot`], and versions share what they have in common. What a version
//! supersedes may be deleted once no version before it is needed.
//!
//! A subtree of one key is its leaf, a tree of one key the leaf at depth 0, and a tree without keys has the root
//! [`ABSENT`].

mod build;
mod difference;
mod node;
mod page;
mod page_key;
mod proof;
mod search;
mod source;
mod transition;

#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use build::{Change, NextVersion, apply, insert};
pub use difference::{Difference, difference};
pub use node::{ABSENT, MAX_DEPTH, SearchKey, leaf_value, parent_value};
pub use page::{Page, PageError};
pub use page_key::{LEVELS_PER_PAGE, PageKey, PageKeyError};
pub use proof::evaluate;
pub use search::{nearest_leaves, prove};
pub use source::{PageSource, TreeError, TreeRoot, TreeRootError};
pub use transition::{Transition, evaluate_transition};

/// Why a proof from a prefix tree proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PrefixProofError {
    /// There are more or fewer results than searches.
    #[error("the proof does not have one result for each search")]
    ResultCount,
    /// A search ended at its key's leaf, but the verifier was given no commitment for it.
    #[error("the commitment of an included key is not known")]
    MissingCommitment,
    /// A search is said to end at a leaf that is not on its path.
    #[error("a search ends at a leaf that is not on its path")]
    LeafOffPath,
    /// A search is said to fail at the leaf of the very key.
    #[error("the leaf of a key is given as proof that the key is not included")]
    LeafOfKey,
    /// Two searches cannot both end as they are said to.
    #[error("two results contradict each other")]
    Contradiction,
    /// The proof has too few elements.
    #[error("the proof lacks an element")]
    MissingElement,
    /// The proof has elements that nothing needs.
    #[error("the proof has elements to spare")]
    SpareElements,
    /// Added or removed keys are not ascending, or are given twice.
    #[error("the keys are not in ascending order")]
    Unsorted,
    /// A key was added that was in the tree and is not removed.
    #[error("an added key was already in the tree")]
    AddedKeyIncluded,
    /// A key was removed that was not in the tree.
    #[error("a removed key was not in the tree")]
    RemovedKeyNotIncluded,
    /// What remains beside the removed keys is not known to be a leaf or not: see [`evaluate_transition`].
    #[error("the proof does not show what remains beside removed keys")]
    HiddenSibling,
    /// Two keys share so many bits that a proof could not say the depth of their leaves.
    #[error("two keys are too close to each other")]
    KeysTooClose,
}

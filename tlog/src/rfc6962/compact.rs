//! A tree reduced to its frontier: enough to append and to compute the root.

use thiserror::Error;

use super::{empty_root, node_hash};
use crate::Digest;

/// Why a frontier was not taken, or a leaf not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrontierError {
    /// The number of hashes is not the number of one bits of the size.
    #[error("a tree of {size} leaves has {expected} full subtrees, not {found}")]
    WrongCount {
        /// The tree's size.
        size: u64,
        /// The number of its full subtrees.
        expected: u32,
        /// The number of hashes given.
        found: usize,
    },
    /// The tree has 2^64 - 1 leaves.
    #[error("the tree is full")]
    Full,
}

/// The roots of a tree's full subtrees, from the left, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompactTree {
    size: u64,
    frontier: Vec<Digest>,
}

impl CompactTree {
    /// The tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree of `size` leaves with these full subtrees, as [`CompactTree::frontier`] gave them.
    ///
    /// # Errors
    /// [`FrontierError::WrongCount`]. Wrong hashes cannot be noticed here.
    pub fn from_frontier(size: u64, frontier: Vec<Digest>) -> Result<Self, FrontierError> {
        let expected = size.count_ones();
        if usize::try_from(expected).ok() == Some(frontier.len()) {
            Ok(Self { size, frontier })
        } else {
            Err(FrontierError::WrongCount { size, expected, found: frontier.len() })
        }
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the full subtrees, from the left.
    #[must_use]
    pub fn frontier(&self) -> &[Digest] {
        &self.frontier
    }

    /// Appends a leaf by its hash.
    ///
    /// # Errors
    /// [`FrontierError::Full`].
    pub fn append(&mut self, leaf_hash: Digest) -> Result<(), FrontierError> {
        self.append_with(leaf_hash, |_, _, _| {})
    }

    /// Appends a leaf, and tells `completed` every node that becomes complete by it, the leaf first: its level (0 for
    /// leaves), its index on that level, and its hash.
    ///
    /// # Errors
    /// [`FrontierError::Full`].
    pub fn append_with(
        &mut self,
        leaf_hash: Digest,
        mut completed: impl FnMut(u8, u64, &Digest),
    ) -> Result<(), FrontierError> {
        let next = self.size.checked_add(1).ok_or(FrontierError::Full)?;
        let (mut hash, mut level, mut index) = (leaf_hash, 0u8, self.size);
        completed(level, index, &hash);
        // Every trailing one bit of the old size is a full subtree that now gets its right sibling.
        while index & 1 == 1 {
            let Some(left) = self.frontier.pop() else { break };
            hash = node_hash(&left, &hash);
            level = level.saturating_add(1);
            index >>= 1;
            completed(level, index, &hash);
        }
        self.frontier.push(hash);
        self.size = next;
        Ok(())
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Digest {
        fold_frontier(&self.frontier)
    }
}

/// The root over full subtrees given from the left; of none, the empty tree's.
pub(super) fn fold_frontier(frontier: &[Digest]) -> Digest {
    let mut from_the_right = frontier.iter().rev();
    match from_the_right.next() {
        None => empty_root(),
        Some(last) => from_the_right.fold(*last, |right, left| node_hash(left, &right)),
    }
}

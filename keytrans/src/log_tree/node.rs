//! Nodes that head balanced subtrees.

use keyglass_crypto::hash::Digest;

use crate::log_hash::{LogHash, LogNode};

/// The head of a balanced subtree of the log: the one with leaves `index << level .. (index + 1) << level`.
///
/// Ordered by level, then from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    level: u8,
    index: u64,
}

impl NodeId {
    /// The highest level of a node in a log whose size is a `u64`.
    pub const MAX_LEVEL: u8 = 63;

    /// The node at `level` (0 for leaves), `index` nodes to the right of the leftmost. None if its leaves' positions
    /// would exceed 64 bits.
    #[must_use]
    pub fn new(level: u8, index: u64) -> Option<Self> {
        (level <= Self::MAX_LEVEL && index <= u64::MAX >> level).then_some(Self { level, index })
    }

    /// The leaf at `position`.
    #[must_use]
    pub fn leaf(position: u64) -> Self {
        Self { level: 0, index: position }
    }

    /// The distance to the leaves.
    #[must_use]
    pub fn level(self) -> u8 {
        self.level
    }

    /// The number of nodes of this level to the left.
    #[must_use]
    pub fn index(self) -> u64 {
        self.index
    }

    /// Whether this is a leaf of the log.
    #[must_use]
    pub fn is_leaf(self) -> bool {
        self.level == 0
    }

    /// The position of the leftmost leaf.
    #[must_use]
    pub fn first_leaf(self) -> u64 {
        self.index << self.level
    }

    /// The position of the rightmost leaf.
    #[must_use]
    pub fn last_leaf(self) -> u64 {
        self.first_leaf() | ((1 << self.level) - 1)
    }

    /// The children; none for a leaf.
    #[must_use]
    pub fn children(self) -> Option<(Self, Self)> {
        let level = self.level.checked_sub(1)?;
        let index = self.index << 1;
        Some((Self { level, index }, Self { level, index: index | 1 }))
    }

    /// The parent, if this is a right child.
    pub(super) fn completes(self) -> Option<Self> {
        (self.index & 1 == 1).then_some(Self { level: self.level + 1, index: self.index >> 1 })
    }

    /// This node with its `value`, as its parent hashes it.
    pub(super) fn with_value(self, value: Digest) -> LogNode {
        LogNode { value, is_leaf: self.is_leaf() }
    }
}

/// The full subtrees of a log of `n` entries, left to right: the largest balanced ones, at most 64.
#[must_use]
pub fn full_subtrees(n: u64) -> Vec<NodeId> {
    (0..=NodeId::MAX_LEVEL)
        .rev()
        .filter(|level| (n >> level) & 1 == 1)
        .map(|level| NodeId { level, index: (n >> level) ^ 1 })
        .collect()
}

/// The root of a log of `n` entries from the values of its full subtrees, left to right. None for an empty log and
/// if the number of values does not fit.
#[must_use]
pub fn root(hash: LogHash, n: u64, values: &[Digest]) -> Option<Digest> {
    let heads = full_subtrees(n);
    if heads.len() != values.len() {
        return None;
    }
    let nodes = heads.iter().zip(values).map(|(head, value)| head.with_value(*value));
    nodes
        .rev()
        .reduce(|right, left| LogNode { value: hash.parent(&left, &right), is_leaf: false })
        .map(|node| node.value)
}

//! Appending to the log tree.

use keyglass_crypto::hash::Digest;

use super::{
    LogTreeError,
    node::{NodeId, full_subtrees, root},
};
use crate::log_hash::LogHash;

/// A log tree as whoever extends it holds it: its size and the heads of its full subtrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appender {
    hash: LogHash,
    size: u64,
    heads: Vec<(NodeId, Digest)>,
}

impl Appender {
    /// An empty log.
    #[must_use]
    pub fn new(hash: LogHash) -> Self {
        Self { hash, size: 0, heads: Vec::new() }
    }

    /// A log of `size` entries with full subtrees of these values, left to right.
    ///
    /// # Errors
    /// [`LogTreeError::RetainedHeads`] if there are more or fewer than a log of that size has;
    /// [`LogTreeError::TooLarge`] above 2^63 entries, so that no number of appends can exceed 64 bits.
    pub fn resume(hash: LogHash, size: u64, heads: &[Digest]) -> Result<Self, LogTreeError> {
        if size > 1 << 63 {
            return Err(LogTreeError::TooLarge);
        }
        let ids = full_subtrees(size);
        if ids.len() != heads.len() {
            return Err(LogTreeError::RetainedHeads);
        }
        Ok(Self { hash, size, heads: ids.into_iter().zip(heads.iter().copied()).collect() })
    }

    /// Appends a leaf of this value and gives the nodes that now have one, the leaf first. Nodes are given once in
    /// the log's life.
    pub fn append(&mut self, leaf: Digest) -> Vec<(NodeId, Digest)> {
        let mut new = (NodeId::leaf(self.size), leaf);
        let mut nodes = vec![new];
        while let Some(parent) = new.0.completes()
            && let Some((id, value)) = self.heads.pop()
        {
            let value = self.hash.parent(&id.with_value(value), &new.0.with_value(new.1));
            new = (parent, value);
            nodes.push(new);
        }
        self.heads.push(new);
        self.size += 1;
        nodes
    }

    /// The number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The values of the full subtrees, left to right.
    #[must_use]
    pub fn full_subtrees(&self) -> Vec<Digest> {
        self.heads.iter().map(|(_, value)| *value).collect()
    }

    /// The root; none for an empty log.
    #[must_use]
    pub fn root(&self) -> Option<Digest> {
        root(self.hash, self.size, &self.full_subtrees())
    }
}

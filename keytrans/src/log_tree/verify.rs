//! Verifying a batch proof.

use keyglass_crypto::hash::Digest;

use super::{
    LogTreeError,
    batch::{Known, Question, Source},
    node::{NodeId, full_subtrees, root},
};
use crate::log_hash::LogHash;

/// What a batch proof proves, given that a signature covers its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The root of the log.
    pub root: Digest,
    /// The values of the log's full subtrees, left to right: what to retain with the tree head.
    pub full_subtrees: Vec<Digest>,
    /// The root at the auditor's size, if there was one.
    pub auditor_root: Option<Digest>,
    nodes: Nodes,
}

impl Proven {
    /// The root that the log had at `size` entries. None unless all of that log's full subtrees are known: those of
    /// the retained size, and of the size just after a leaf that was proven, always are.
    #[must_use]
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        self.nodes.root_at(size)
    }
}

/// Verifies a batch proof for a log of `n` entries as far as it goes without a signature, and gives the root.
///
/// `leaves` are ascending positions and the leaves' values, `last` the size of the retained tree head and the values
/// of its full subtrees, `auditor` the size of the auditor's tree head. Exactly all of `elements` are used, and every
/// retained head that is also computed is compared. The work is at most 64 hashes for each value given.
///
/// # Errors
/// If the arguments are not of a log of `n` entries, or the proof does not fit them.
pub fn verify(
    hash: LogHash,
    n: u64,
    leaves: &[(u64, Digest)],
    last: Option<(u64, &[Digest])>,
    auditor: Option<u64>,
    elements: &[Digest],
) -> Result<Proven, LogTreeError> {
    let question = Question::new(n, last.map(|(size, _)| size), auditor)?;
    let retained = last.map_or(&[][..], |(_, values)| values);
    if retained.len() != question.retained.len() {
        return Err(LogTreeError::RetainedHeads);
    }
    let positions: Vec<u64> = leaves.iter().map(|(position, _)| *position).collect();
    let known = question.known(&positions)?;
    let mut computation = Computation {
        hash,
        leaves: leaves.iter(),
        retained: retained.iter(),
        elements: elements.iter(),
        nodes: Nodes { hash, values: Vec::new() },
    };
    let mut full = Vec::new();
    for head in full_subtrees(n) {
        full.push(computation.value(head, known.within(head))?);
    }
    if computation.elements.next().is_some() {
        return Err(LogTreeError::SpareElements);
    }
    let nodes = computation.nodes;
    // Both follow from what has been computed, so neither can be missing.
    let root = root(hash, n, &full).ok_or(LogTreeError::MissingElement)?;
    let auditor_root =
        auditor.map(|size| nodes.root_at(size).ok_or(LogTreeError::MissingElement)).transpose()?;
    Ok(Proven { root, full_subtrees: full, auditor_root, nodes })
}

/// The walk, left to right, so that every kind of value is a queue.
struct Computation<'a> {
    hash: LogHash,
    leaves: std::slice::Iter<'a, (u64, Digest)>,
    retained: std::slice::Iter<'a, Digest>,
    elements: std::slice::Iter<'a, Digest>,
    nodes: Nodes,
}

impl Computation<'_> {
    /// The value of `node`. Recursion ends at the leaves, 64 levels down at most, and goes only where values lie.
    fn value(&mut self, node: NodeId, known: Known<'_>) -> Result<Digest, LogTreeError> {
        let (value, is_compared) = match known.source(node) {
            Source::Leaf => (self.leaves.next().map(|(_, value)| *value), known.is_retained(node)),
            Source::Retained => (self.retained.next().copied(), false),
            Source::Element => (self.elements.next().copied(), false),
            Source::Children(left, right) => {
                let left = left.with_value(self.value(left, known.within(left))?);
                let right = right.with_value(self.value(right, known.within(right))?);
                (Some(self.hash.parent(&left, &right)), known.is_retained(node))
            }
        };
        let value = value.ok_or(LogTreeError::MissingElement)?;
        if is_compared && self.retained.next() != Some(&value) {
            return Err(LogTreeError::RetainedMismatch);
        }
        self.nodes.values.push((node, value));
        Ok(value)
    }
}

/// All values known or computed, in post-order: by rightmost leaf, then by level.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Nodes {
    hash: LogHash,
    values: Vec<(NodeId, Digest)>,
}

impl Nodes {
    fn get(&self, node: NodeId) -> Option<Digest> {
        let key = |node: &NodeId| (node.last_leaf(), node.level());
        let found = self.values.binary_search_by_key(&key(&node), |(id, _)| key(id)).ok()?;
        self.values.get(found).map(|(_, value)| *value)
    }

    fn root_at(&self, size: u64) -> Option<Digest> {
        let heads: Option<Vec<Digest>> = full_subtrees(size).into_iter().map(|head| self.get(head)).collect();
        root(self.hash, size, &heads?)
    }
}

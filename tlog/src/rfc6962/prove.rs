//! Making proofs out of the complete subtrees of a tree, wherever they are stored.

use thiserror::Error;

use super::{bit_length, compact::fold_frontier};
use crate::Digest;

/// A complete subtree: the leaves from `index` * 2^`level`, 2^`level` of them. Level 0 is the leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// The height above the leaves, at most 63.
    pub level: u8,
    /// The position among the nodes of its level, from the left.
    pub index: u64,
}

/// Why no proof was made. `E` is the error of the place where nodes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProveError<E> {
    /// The leaf, or the old size, is not in the tree.
    #[error("the tree does not reach that far")]
    OutOfRange,
    /// A node could not be had.
    #[error(transparent)]
    Node(E),
}

/// The complete subtrees that cover the leaves from `start` to before `end`, from the left, where `start` is a multiple
/// of a power of two that is not below `end - start` rounded up to one: the shape of every node of an RFC 6962 tree.
/// An empty range has none.
#[must_use]
pub fn range_nodes(start: u64, end: u64) -> Vec<NodeId> {
    let mut nodes = Vec::new();
    let mut next = start;
    let mut left = end.saturating_sub(start);
    while left != 0 {
        let level = left.ilog2();
        nodes.push(NodeId { level: u8::try_from(level).unwrap_or(u8::MAX), index: next >> level });
        let width = 1u64 << level;
        next = next.saturating_add(width);
        left = left.saturating_sub(width);
    }
    nodes
}

/// The ranges of leaves whose hashes are the inclusion proof, from the leaf's sibling upwards.
fn inclusion_ranges(index: u64, size: u64) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0u64, size);
    while end.saturating_sub(start) > 1 {
        let split = start.saturating_add(largest_power_below(end.saturating_sub(start)));
        if index < split {
            ranges.push((split, end));
            end = split;
        } else {
            ranges.push((start, split));
            start = split;
        }
    }
    ranges.reverse();
    ranges
}

/// The ranges of leaves whose hashes are the consistency proof, in the order of RFC 6962 section 2.1.2.
fn consistency_ranges(old: u64, new: u64) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    if old == 0 || old == new {
        return ranges;
    }
    let (mut start, mut end) = (0u64, new);
    // Walks down to the subtree that ends where the old tree ended; `start` is its beginning in the end.
    while old != end {
        let split = start.saturating_add(largest_power_below(end.saturating_sub(start)));
        if old <= split {
            ranges.push((split, end));
            end = split;
        } else {
            ranges.push((start, split));
            start = split;
        }
    }
    // That subtree is the whole old tree if the walk never went right; then the verifier has its hash.
    if start != 0 {
        ranges.push((start, end));
    }
    ranges.reverse();
    ranges
}

/// The largest power of two below `n`, which is at least 2.
fn largest_power_below(n: u64) -> u64 {
    1u64.checked_shl(bit_length(n.saturating_sub(1)).saturating_sub(1)).unwrap_or(1)
}

fn nodes_of(ranges: &[(u64, u64)]) -> Vec<NodeId> {
    ranges.iter().flat_map(|&(start, end)| range_nodes(start, end)).collect()
}

fn hashes_of<E>(
    ranges: &[(u64, u64)],
    mut node: impl FnMut(NodeId) -> Result<Digest, E>,
) -> Result<Vec<Digest>, ProveError<E>> {
    let mut hash = |&(start, end): &(u64, u64)| {
        let nodes: Result<Vec<Digest>, E> = range_nodes(start, end).into_iter().map(&mut node).collect();
        Ok(fold_frontier(&nodes.map_err(ProveError::Node)?))
    };
    ranges.iter().map(&mut hash).collect()
}

/// The nodes that [`inclusion_proof`] will ask for, so that they can be fetched at once; empty if out of range.
#[must_use]
pub fn inclusion_nodes(index: u64, size: u64) -> Vec<NodeId> {
    if index < size { nodes_of(&inclusion_ranges(index, size)) } else { Vec::new() }
}

/// The nodes that [`consistency_proof`] will ask for, so that they can be fetched at once; empty if out of range.
#[must_use]
pub fn consistency_nodes(old: u64, new: u64) -> Vec<NodeId> {
    if old <= new { nodes_of(&consistency_ranges(old, new)) } else { Vec::new() }
}

/// The proof that leaf `index` is in the tree of `size` leaves: its hashes from the leaf's sibling upwards.
///
/// `node` must give the hash of any complete subtree within the first `size` leaves.
///
/// # Errors
/// [`ProveError`].
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    node: impl FnMut(NodeId) -> Result<Digest, E>,
) -> Result<Vec<Digest>, ProveError<E>> {
    if index >= size {
        return Err(ProveError::OutOfRange);
    }
    hashes_of(&inclusion_ranges(index, size), node)
}

/// The proof that the tree of `new` leaves extends the one of `old`; empty if `old` is 0 or `new`.
///
/// `node` must give the hash of any complete subtree within the first `new` leaves.
///
/// # Errors
/// [`ProveError`].
pub fn consistency_proof<E>(
    old: u64,
    new: u64,
    node: impl FnMut(NodeId) -> Result<Digest, E>,
) -> Result<Vec<Digest>, ProveError<E>> {
    if old > new {
        return Err(ProveError::OutOfRange);
    }
    hashes_of(&consistency_ranges(old, new), node)
}

/// The root over the first `size` leaves.
///
/// # Errors
/// [`ProveError::Node`].
pub fn root_at<E>(
    size: u64,
    mut node: impl FnMut(NodeId) -> Result<Digest, E>,
) -> Result<Digest, ProveError<E>> {
    let nodes: Result<Vec<Digest>, E> = range_nodes(0, size).into_iter().map(&mut node).collect();
    Ok(fold_frontier(&nodes.map_err(ProveError::Node)?))
}

//! What an auditor computes of a change of the tree (steps 2 to 4, 6 and 7 of "Auditing").

use keyglass_crypto::hash::Digest;

use super::{
    PrefixProofError,
    node::{ABSENT, MAX_DEPTH, leaf_value, parent_value, split},
    proof::Terminal,
};
use crate::wire::{PrefixLeaf, PrefixSearchResult};

/// The roots of a tree before and after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The root of the tree in which the searches end as the proof says.
    pub before: Digest,
    /// The root of the same tree without the removed and with the added leaves.
    pub after: Digest,
}

/// Evaluates the change that takes out `removed` and then puts in `added`, both ascending by search key.
///
/// `results` are of the searches of the tree before, for the keys of `added`, then of `removed`; `elements` complete
/// that tree's root. A key may be in both lists: then its leaf is replaced.
///
/// A leaf whose sibling subtree is removed moves up, so what remains beside removed keys must be known: if it is a
/// leaf, it has to be in both lists itself, unchanged. A mere element beside them is refused, since nothing says
/// whether it is a leaf.
///
/// # Errors
/// If the lists are out of order, the searches do not end as such a change requires, or the proof is malformed.
pub fn evaluate_transition(
    added: &[PrefixLeaf],
    removed: &[PrefixLeaf],
    results: &[PrefixSearchResult],
    elements: &[Digest],
) -> Result<Transition, PrefixProofError> {
    let ascending = |leaves: &[PrefixLeaf]| leaves.is_sorted_by(|a, b| a.vrf_output < b.vrf_output);
    if !ascending(added) || !ascending(removed) {
        return Err(PrefixProofError::Unsorted);
    }
    if Some(results.len()) != added.len().checked_add(removed.len()) {
        return Err(PrefixProofError::ResultCount);
    }
    let (of_added, of_removed) = results.split_at(added.len());
    let mut changes = Vec::with_capacity(results.len());
    for (leaf, result) in added.iter().zip(of_added) {
        let replaced = removed.binary_search_by_key(&leaf.vrf_output, |leaf| leaf.vrf_output).ok();
        let replaced = replaced.and_then(|found| removed.get(found)).map(|leaf| leaf.commitment);
        if result.is_inclusion() && replaced.is_none() {
            return Err(PrefixProofError::AddedKeyIncluded);
        }
        let terminal = Terminal::new(&leaf.vrf_output, replaced, result)?;
        changes.push(Change { terminal, added: Some(*leaf) });
    }
    for (leaf, result) in removed.iter().zip(of_removed) {
        if !result.is_inclusion() {
            return Err(PrefixProofError::RemovedKeyNotIncluded);
        }
        let terminal = Terminal::new(&leaf.vrf_output, Some(leaf.commitment), result)?;
        changes.push(Change { terminal, added: None });
    }
    changes.sort_unstable_by_key(|change| change.terminal.key);
    let mut elements = elements.iter();
    let (before, after) = change_below(&changes, 0, &mut elements)?;
    if elements.next().is_some() {
        return Err(PrefixProofError::SpareElements);
    }
    Ok(Transition { before, after: after.value() })
}

/// One search, and what its key's leaf becomes.
struct Change<'a> {
    terminal: Terminal<'a>,
    /// The leaf to put in; none if the key's leaf is taken out.
    added: Option<PrefixLeaf>,
}

/// What a node becomes, as far as its parent has to know.
#[derive(Debug, Clone, Copy)]
enum After {
    /// No key is left.
    Nothing,
    /// A leaf of this value.
    Leaf(Digest),
    /// A parent of this value.
    Parent(Digest),
    /// An element: not changed, and either a leaf or a parent.
    Element(Digest),
}

impl After {
    fn value(self) -> Digest {
        match self {
            Self::Nothing => ABSENT,
            Self::Leaf(value) | Self::Parent(value) | Self::Element(value) => value,
        }
    }
}

/// The value of the node at `depth` below which `changes` lie, and what it becomes. Recursion and work are bounded
/// as in `evaluate`.
fn change_below(
    changes: &[Change<'_>],
    depth: u16,
    elements: &mut std::slice::Iter<'_, Digest>,
) -> Result<(Digest, After), PrefixProofError> {
    if changes.is_empty() {
        let value = elements.next().copied().ok_or(PrefixProofError::MissingElement)?;
        return Ok((value, if value == ABSENT { After::Nothing } else { After::Element(value) }));
    }
    if let Some(leaf) = Terminal::shared(changes, |change| &change.terminal, depth)? {
        return Ok((leaf.as_ref().map_or(ABSENT, leaf_value), change_at(leaf, changes, depth)?));
    }
    let (left, right) = split(changes, depth, |change| change.terminal.key);
    let (left_before, left) = change_below(left, depth + 1, elements)?;
    let (right_before, right) = change_below(right, depth + 1, elements)?;
    let before = parent_value(&left_before, &right_before);
    let after = match (left, right) {
        (After::Nothing, After::Nothing) => After::Nothing,
        (After::Nothing, leaf @ After::Leaf(_)) | (leaf @ After::Leaf(_), After::Nothing) => leaf,
        // An element beside nothing at all is a parent. Beside what was removed it may be a leaf that moves up.
        (After::Nothing, After::Element(_)) if left_before != ABSENT => {
            return Err(PrefixProofError::HiddenSibling);
        }
        (After::Element(_), After::Nothing) if right_before != ABSENT => {
            return Err(PrefixProofError::HiddenSibling);
        }
        _ if left.value() == left_before && right.value() == right_before => After::Parent(before),
        _ => After::Parent(parent_value(&left.value(), &right.value())),
    };
    Ok((before, after))
}

/// What the node at `depth`, at which all searches end, becomes: the subtree of its leaf, if there is one that is
/// not removed, and the added leaves.
fn change_at(
    leaf: Option<PrefixLeaf>,
    changes: &[Change<'_>],
    depth: u16,
) -> Result<After, PrefixProofError> {
    let mut leaves: Vec<PrefixLeaf> = changes.iter().filter_map(|change| change.added).collect();
    if let Some(leaf) = leaf
        && !changes.iter().any(|change| *change.terminal.key == leaf.vrf_output)
    {
        let place = leaves.partition_point(|added| added.vrf_output < leaf.vrf_output);
        leaves.insert(place, leaf);
    }
    match leaves.as_slice() {
        [] => Ok(After::Nothing),
        [leaf] => Ok(After::Leaf(leaf_value(leaf))),
        _ => Ok(After::Parent(subtree_value(&leaves, depth)?)),
    }
}

/// The value of the subtree at `depth` of `leaves`, which are ascending. Recursion ends where keys differ, at depth
/// 255 at most.
pub(super) fn subtree_value(leaves: &[PrefixLeaf], depth: u16) -> Result<Digest, PrefixProofError> {
    match leaves {
        [] => Ok(ABSENT),
        [leaf] => Ok(leaf_value(leaf)),
        _ if depth == MAX_DEPTH => Err(PrefixProofError::KeysTooClose),
        _ => {
            let (left, right) = split(leaves, depth, |leaf| &leaf.vrf_output);
            Ok(parent_value(&subtree_value(left, depth + 1)?, &subtree_value(right, depth + 1)?))
        }
    }
}

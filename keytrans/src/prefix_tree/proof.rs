//! Evaluating proofs (section "Prefix Tree" of "Tree Proofs").

use keyglass_crypto::hash::Digest;

use super::{
    PrefixProofError,
    node::{ABSENT, SearchKey, leaf_value, parent_value, shared_bits, split},
};
use crate::wire::{PrefixLeaf, PrefixProof, PrefixSearchKind, PrefixSearchResult};

/// The root of the tree in which the searches end as `proof` says. What the results say is true of the tree whose
/// root that is, and of no other.
///
/// `searches` are the keys in the order of `proof.results` with the commitment of each key's version, as far as it is
/// known: it is needed, and used, where the result is inclusion. Exactly all elements are used; the work is at most
/// one hash for each of them and two for each result.
///
/// # Errors
/// If the results are malformed, contradict each other, or do not fit the elements.
pub fn evaluate(
    searches: &[(SearchKey, Option<Digest>)],
    proof: &PrefixProof,
) -> Result<Digest, PrefixProofError> {
    if searches.len() != proof.results.len() {
        return Err(PrefixProofError::ResultCount);
    }
    let mut terminals = Vec::with_capacity(searches.len());
    for ((key, commitment), result) in searches.iter().zip(&proof.results) {
        terminals.push(Terminal::new(key, *commitment, result)?);
    }
    terminals.sort_unstable_by_key(|terminal| terminal.key);
    let mut elements = proof.elements.iter();
    let root = value(&terminals, 0, &mut elements)?;
    if elements.next().is_some() {
        return Err(PrefixProofError::SpareElements);
    }
    Ok(root)
}

/// The value of the node at `depth` below which `terminals` lie. Recursion ends at their depths, 255 at most, and
/// every parent uses up an element or divides the terminals.
fn value(
    terminals: &[Terminal<'_>],
    depth: u16,
    elements: &mut std::slice::Iter<'_, Digest>,
) -> Result<Digest, PrefixProofError> {
    if terminals.is_empty() {
        return elements.next().copied().ok_or(PrefixProofError::MissingElement);
    }
    if let Some(leaf) = Terminal::shared(terminals, |terminal| terminal, depth)? {
        return Ok(leaf.as_ref().map_or(ABSENT, leaf_value));
    }
    let (left, right) = split(terminals, depth, |terminal| terminal.key);
    let left = value(left, depth + 1, elements)?;
    let right = value(right, depth + 1, elements)?;
    Ok(parent_value(&left, &right))
}

/// Where a search ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terminal<'a> {
    /// The key searched for: its first `depth` bits are the place.
    pub(super) key: &'a SearchKey,
    depth: u16,
    /// What is there; none for a missing child.
    leaf: Option<PrefixLeaf>,
}

impl<'a> Terminal<'a> {
    /// Where the search for `key`, of which `commitment` is the leaf's if it is included, ended by `result`.
    pub(super) fn new(
        key: &'a SearchKey,
        commitment: Option<Digest>,
        result: &PrefixSearchResult,
    ) -> Result<Self, PrefixProofError> {
        let depth = u16::from(result.depth);
        let leaf = match result.kind {
            PrefixSearchKind::Inclusion => {
                let commitment = commitment.ok_or(PrefixProofError::MissingCommitment)?;
                Some(PrefixLeaf { vrf_output: *key, commitment })
            }
            PrefixSearchKind::NonInclusionLeaf(leaf) => {
                if leaf.vrf_output == *key {
                    return Err(PrefixProofError::LeafOfKey);
                }
                if shared_bits(&leaf.vrf_output, key) < depth {
                    return Err(PrefixProofError::LeafOffPath);
                }
                Some(leaf)
            }
            PrefixSearchKind::NonInclusionParent => None,
        };
        Ok(Self { key, depth, leaf })
    }

    /// What is at the node at `depth` if the searches of `items`, which go at least there, end there; none if they go
    /// on.
    pub(super) fn shared<T>(
        items: &[T],
        terminal: impl Fn(&T) -> &Self,
        depth: u16,
    ) -> Result<Option<Option<PrefixLeaf>>, PrefixProofError> {
        let mut terminals = items.iter().map(terminal);
        let Some(first) = terminals.next() else { return Ok(None) };
        // Whichever ends above another is found out when it comes first.
        if first.depth > depth {
            return Ok(None);
        }
        if first.depth < depth || !terminals.all(|other| other.depth == depth && other.leaf == first.leaf) {
            return Err(PrefixProofError::Contradiction);
        }
        Ok(Some(first.leaf))
    }
}

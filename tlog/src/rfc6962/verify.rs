//! Verifying proofs: the number of hashes must be exactly the one that the sizes determine.

use thiserror::Error;

use super::{bit_length, empty_root, node_hash};
use crate::Digest;

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The index is not below the tree's size.
    #[error("the index is not in the tree")]
    IndexOutOfRange,
    /// The old tree is larger than the new one.
    #[error("the old tree is larger than the new one")]
    OldTreeLarger,
    /// Too few or too many hashes.
    #[error("the proof has {found} hashes, not {expected}")]
    WrongLength {
        /// The number that index and size, or both sizes, determine.
        expected: usize,
        /// The number in the proof.
        found: usize,
    },
    /// The old root is not the one that the proof leads to.
    #[error("the proof does not lead to the old root")]
    OldRootMismatch,
    /// The root, or the new root, is not the one that the proof leads to.
    #[error("the proof does not lead to the root")]
    RootMismatch,
}

/// How many hashes stand beside the path of leaf `index` in a tree of `size`: within the part that it shares with the
/// last leaf's subtree, and to the left above it.
pub(super) fn path_lengths(index: u64, size: u64) -> (u32, u32) {
    let inner = bit_length(index ^ size.saturating_sub(1));
    let border = index.checked_shr(inner).unwrap_or(0).count_ones();
    (inner, border)
}

fn expect_length(proof: &[Digest], expected: u32) -> Result<(), ProofError> {
    let expected = usize::try_from(expected).unwrap_or(usize::MAX);
    if proof.len() == expected {
        Ok(())
    } else {
        Err(ProofError::WrongLength { expected, found: proof.len() })
    }
}

/// Climbs from `hash` at `index` with the hashes beside it, one a level, left or right by the bits of `index`.
fn climb(hash: Digest, index: u64, beside: &[Digest]) -> Digest {
    beside.iter().zip(bits(index)).fold(hash, |hash, (other, is_right)| {
        if is_right { node_hash(other, &hash) } else { node_hash(&hash, other) }
    })
}

/// Climbs like [`climb`], but only where `hash` is the right child: the root of the tree that ended with it.
fn climb_right(hash: Digest, index: u64, beside: &[Digest]) -> Digest {
    beside
        .iter()
        .zip(bits(index))
        .filter(|(_, is_right)| *is_right)
        .fold(hash, |hash, (left, _)| node_hash(left, &hash))
}

/// Climbs where every other hash is to the left.
fn climb_border(hash: Digest, beside: &[Digest]) -> Digest {
    beside.iter().fold(hash, |hash, left| node_hash(left, &hash))
}

/// The bits of `index`, lowest first.
fn bits(index: u64) -> impl Iterator<Item = bool> {
    (0..u64::BITS).map(move |bit| (index >> bit) & 1 == 1)
}

fn split(proof: &[Digest], inner: u32) -> (&[Digest], &[Digest]) {
    usize::try_from(inner).ok().and_then(|at| proof.split_at_checked(at)).unwrap_or((proof, &[]))
}

/// Verifies that `leaf_hash` is leaf `index` of the tree of `size` leaves with this root (RFC 6962, section 2.1.1).
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    leaf_hash: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfRange);
    }
    let (inner, border) = path_lengths(index, size);
    expect_length(proof, inner.saturating_add(border))?;
    let (beside, left) = split(proof, inner);
    let computed = climb_border(climb(*leaf_hash, index, beside), left);
    if computed == *root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// Verifies that the tree of `new_size` leaves with `new_root` extends the one of `old_size` with `old_root` (RFC 6962,
/// section 2.1.2). From size 0 and between equal sizes the proof is empty.
///
/// # Errors
/// [`ProofError`].
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::OldTreeLarger);
    }
    if old_size == 0 {
        expect_length(proof, 0)?;
        if *old_root != empty_root() {
            return Err(ProofError::OldRootMismatch);
        }
        let is_empty = new_size == 0;
        return if is_empty && *new_root != empty_root() { Err(ProofError::RootMismatch) } else { Ok(()) };
    }
    if old_size == new_size {
        expect_length(proof, 0)?;
        return if old_root == new_root { Ok(()) } else { Err(ProofError::RootMismatch) };
    }
    // The old tree ends with a full subtree of 2^level leaves; the proof climbs from that subtree's root.
    let level = old_size.trailing_zeros();
    let index = old_size.saturating_sub(1) >> level;
    let (inner, border) = path_lengths(old_size.saturating_sub(1), new_size);
    let inner = inner.saturating_sub(level);
    // If that subtree is the whole old tree, its root is the old root and the proof leaves it out.
    let whole = old_size.is_power_of_two();
    expect_length(proof, inner.saturating_add(border).saturating_add(u32::from(!whole)))?;
    let (seed, rest) = match proof.split_first() {
        Some((seed, rest)) if !whole => (seed, rest),
        _ => (old_root, proof),
    };
    let (beside, left) = split(rest, inner);
    if climb_border(climb_right(*seed, index, beside), left) != *old_root {
        return Err(ProofError::OldRootMismatch);
    }
    if climb_border(climb(*seed, index, beside), left) != *new_root {
        return Err(ProofError::RootMismatch);
    }
    Ok(())
}

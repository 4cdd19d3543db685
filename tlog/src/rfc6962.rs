//! The Merkle tree of RFC 6962, section 2.1: hashes, proofs, and their strict verification.
//!
//! Sizes go up to 2^64 - 1 and indices below that; nothing here recurses or allocates by what a proof claims.

mod compact;
mod prove;
mod verify;

use keyglass_crypto::hash::sha256;

pub use self::{
    compact::{CompactTree, FrontierError},
    prove::{
        NodeId, ProveError, consistency_nodes, consistency_proof, inclusion_nodes, inclusion_proof,
        range_nodes, root_at,
    },
    verify::{ProofError, verify_consistency, verify_inclusion},
};
use crate::Digest;

/// The most hashes that an inclusion or consistency proof can have: one per level, and one more for consistency.
pub const MAX_PROOF_LEN: usize = 65;

/// The hash of a leaf with these contents: SHA-256(0x00 ‖ entry).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Digest {
    sha256(&[&[0x00], entry])
}

/// The hash of a node with these children: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    sha256(&[&[0x01], left, right])
}

/// The root of the tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Digest {
    sha256(&[])
}

/// The number of bits that `x` takes; 0 for 0.
fn bit_length(x: u64) -> u32 {
    u64::BITS.saturating_sub(x.leading_zeros())
}

#[cfg(test)]
mod tests;

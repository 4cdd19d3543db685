//! The Merkle tree over a batch of one-time prekeys: RFC 6962 section 2.
//!
//! `rs_merkle` builds trees and paths. It does not verify them: its verifier accepts trailing hashes and indices
//! past the size, ours does not.

use keyglass_crypto::hash::{Digest, sha256};
use rs_merkle::{Hasher, MerkleTree};
use thiserror::Error;

/// A path does not lead from a leaf to a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// The index is not below the number of leaves.
    #[error("the leaf's index is past the batch's size")]
    IndexOutOfRange,
    /// The path has more or fewer hashes than index and size require.
    #[error("the path has the wrong length")]
    WrongLength,
    /// The path leads to another root.
    #[error("the path leads to another root")]
    WrongRoot,
}

/// RFC 6962's hash: leaves behind 0x00, nodes behind 0x01; a node without a right sibling moves up unchanged.
#[derive(Debug, Clone)]
struct Rfc6962;

impl Hasher for Rfc6962 {
    type Hash = Digest;

    fn hash(data: &[u8]) -> Digest {
        leaf_hash(data)
    }

    fn concat_and_hash(left: &Digest, right: Option<&Digest>) -> Digest {
        right.map_or(*left, |right| node_hash(left, right))
    }
}

fn leaf_hash(leaf: &[u8]) -> Digest {
    sha256(&[&[0], leaf])
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    sha256(&[&[1], left, right])
}

/// A tree over all leaves of a batch.
pub(crate) struct Tree(MerkleTree<Rfc6962>);

impl Tree {
    pub(crate) fn new<L: AsRef<[u8]>>(leaves: impl Iterator<Item = L>) -> Self {
        let hashes: Vec<Digest> = leaves.map(|leaf| leaf_hash(leaf.as_ref())).collect();
        Self(MerkleTree::from_leaves(&hashes))
    }

    /// The root; absent for a tree without leaves.
    pub(crate) fn root(&self) -> Option<Digest> {
        self.0.root()
    }

    /// The path of a leaf that the tree has.
    pub(crate) fn path(&self, index: u16) -> Vec<Digest> {
        self.0.proof(&[usize::from(index)]).proof_hashes().to_vec()
    }
}

/// Checks that `leaf` is number `index` of the `size` leaves under `root` (RFC 9162 section 2.1.3.2, whose trees
/// are those of RFC 6962).
///
/// # Errors
/// [`PathError`].
pub fn verify_path(
    root: &Digest,
    leaf: &[u8],
    index: u16,
    size: u16,
    path: &[Digest],
) -> Result<(), PathError> {
    if index >= size {
        return Err(PathError::IndexOutOfRange);
    }
    // `position` and `last` are the indices, at the level reached, of the node on the path and of the last node.
    let mut position = index;
    let mut last = size.saturating_sub(1);
    let mut hash = leaf_hash(leaf);
    for sibling in path {
        if last == 0 {
            return Err(PathError::WrongLength);
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(PathError::WrongLength);
    }
    if hash == *root { Ok(()) } else { Err(PathError::WrongRoot) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(size: u16) -> Vec<Vec<u8>> {
        (0..size).map(|i| i.to_be_bytes().to_vec()).collect()
    }

    /// RFC 6962 section 2.1, read off the page.
    fn naive_root(leaves: &[Vec<u8>]) -> Digest {
        match leaves {
            [leaf] => leaf_hash(leaf),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(&naive_root(&leaves[..split]), &naive_root(&leaves[split..]))
            }
        }
    }

    /// RFC 6962 section 2.1.1, read off the page.
    fn naive_path(index: usize, leaves: &[Vec<u8>]) -> Vec<Digest> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let split = leaves.len().next_power_of_two() / 2;
        let (mut path, sibling) = if index < split {
            (naive_path(index, &leaves[..split]), naive_root(&leaves[split..]))
        } else {
            (naive_path(index - split, &leaves[split..]), naive_root(&leaves[..split]))
        };
        path.push(sibling);
        path
    }

    #[test]
    fn trees_and_paths_are_those_of_rfc_6962() {
        for size in 1..=130 {
            let leaves = leaves(size);
            let tree = Tree::new(leaves.iter().cloned());
            assert_eq!(tree.root(), Some(naive_root(&leaves)), "size {size}");
            for index in 0..size {
                let path = tree.path(index);
                assert_eq!(path, naive_path(usize::from(index), &leaves), "size {size}, index {index}");
                let leaf = &leaves[usize::from(index)];
                assert_eq!(verify_path(&tree.root().unwrap(), leaf, index, size, &path), Ok(()));
            }
        }
    }

    #[test]
    fn a_trailing_hash_is_refused() {
        for size in 1..=20 {
            let leaves = leaves(size);
            let tree = Tree::new(leaves.iter().cloned());
            for index in 0..size {
                let mut path = tree.path(index);
                path.push([0; 32]);
                let leaf = &leaves[usize::from(index)];
                let verdict = verify_path(&tree.root().unwrap(), leaf, index, size, &path);
                assert_eq!(verdict, Err(PathError::WrongLength));
            }
        }
    }

    #[test]
    fn a_missing_hash_is_refused() {
        for size in 2..=20 {
            let leaves = leaves(size);
            let tree = Tree::new(leaves.iter().cloned());
            for index in 0..size {
                let path = tree.path(index);
                for gone in 0..path.len() {
                    let mut shorter = path.clone();
                    shorter.remove(gone);
                    let leaf = &leaves[usize::from(index)];
                    assert!(verify_path(&tree.root().unwrap(), leaf, index, size, &shorter).is_err());
                }
            }
        }
    }

    #[test]
    fn an_index_past_the_size_is_refused() {
        let leaves = leaves(5);
        let tree = Tree::new(leaves.iter().cloned());
        for index in 5..64 {
            let verdict = verify_path(&tree.root().unwrap(), &leaves[4], index, 5, &tree.path(4));
            assert_eq!(verdict, Err(PathError::IndexOutOfRange));
        }
        assert_eq!(verify_path(&[0; 32], b"", 0, 0, &[]), Err(PathError::IndexOutOfRange));
    }

    #[test]
    fn no_leaf_passes_at_anothers_index_or_in_a_tree_of_another_depth() {
        for size in 2..=17 {
            let leaves = leaves(size);
            let tree = Tree::new(leaves.iter().cloned());
            let root = tree.root().unwrap();
            for index in 0..size {
                let leaf = &leaves[usize::from(index)];
                let path = tree.path(index);
                for other in (0..size).filter(|other| *other != index) {
                    assert!(
                        verify_path(&root, leaf, other, size, &path).is_err(),
                        "{index} as {other} of {size}"
                    );
                }
                let deeper = (size.next_power_of_two() + 1).max(3);
                assert!(verify_path(&root, leaf, index, deeper, &path).is_err());
            }
        }
    }

    #[test]
    fn an_inner_node_is_no_leaf() {
        let leaves = leaves(2);
        let root = Tree::new(leaves.iter().cloned()).root().unwrap();
        let inner = [leaf_hash(&leaves[0]), leaf_hash(&leaves[1])].concat();
        assert_eq!(verify_path(&root, &inner, 0, 1, &[]), Err(PathError::WrongRoot));
    }
}

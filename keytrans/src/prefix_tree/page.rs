//! Pages: four levels of the tree each, as they are stored.
//!
//! A page is its subtree in pre-order, without the pages below:
//!
//! | Byte | Node | Followed by |
//! |---|---|---|
//! | 0 | a child that does not exist | |
//! | 1 | a leaf | search key, commitment |
//! | 2 | a parent in the page | its value, two levels below the page's top only; both children |
//! | 3 | a parent four levels below the top, in a page of its own | that page's position (8 bytes), the value |
//!
//! The values in the middle make up for those that are left out: what is beside a path through the page takes two
//! hashes, not eleven.

use std::sync::Arc;

use keyglass_crypto::hash::Digest;
use thiserror::Error;

use super::{
    node::{ABSENT, SearchKey, leaf_value, parent_value, prefix, shared_bits, sibling},
    page_key::{LEVELS_PER_PAGE, PageKey},
};
use crate::wire::PrefixLeaf;

/// The level, counted from the page's top, whose parents are stored with their values.
pub(super) const MIDDLE: u8 = 2;

const ABSENT_TAG: u8 = 0;
const LEAF_TAG: u8 = 1;
const PARENT_TAG: u8 = 2;
const CHILD_TAG: u8 = 3;

/// Why bytes are not a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PageError {
    /// The bytes end inside a node.
    #[error("the page is truncated")]
    Truncated,
    /// Bytes follow the last node.
    #[error("bytes follow the page")]
    TrailingBytes,
    /// A byte says no kind of node, or one that cannot be there.
    #[error("the page has a node of a kind that cannot be there")]
    Kind,
    /// A leaf's key does not lead to it.
    #[error("the page has a leaf whose key does not lead there")]
    Misplaced,
    /// A subtree of fewer than two keys is not stored as its leaf.
    #[error("the page has a parent of fewer than two keys")]
    NotMinimal,
    /// A value is not that of the nodes below it.
    #[error("the page has a wrong value")]
    Value,
}

/// Four levels of one version of the tree. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page(Arc<[u8]>);

/// What a subtree is, as far as its parent has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subtree {
    /// Without keys.
    Absent,
    /// Of one key.
    Leaf(PrefixLeaf),
    /// Of several keys, with this value.
    Parent(Digest),
}

impl Subtree {
    pub(super) fn value(&self) -> Digest {
        match self {
            Self::Absent => ABSENT,
            Self::Leaf(leaf) => leaf_value(leaf),
            Self::Parent(value) => *value,
        }
    }
}

/// A node as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'a> {
    Absent,
    Leaf(StoredLeaf<'a>),
    /// Its children follow. The value is stored in the middle only.
    Parent(Option<&'a Digest>),
    /// In the page that `position` wrote.
    Child {
        position: u64,
        value: &'a Digest,
    },
}

/// A leaf as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredLeaf<'a> {
    key: &'a SearchKey,
    commitment: &'a Digest,
}

impl StoredLeaf<'_> {
    pub(super) fn to_leaf(self) -> PrefixLeaf {
        PrefixLeaf { vrf_output: *self.key, commitment: *self.commitment }
    }
}

impl Page {
    /// The page of this encoding, that is stored under `key`.
    ///
    /// Everything but the values is checked; see [`Page::check_values`].
    ///
    /// # Errors
    /// If the bytes are not exactly what a page is encoded as, as may be when the store is corrupt.
    pub fn decode(key: &PageKey, bytes: &[u8]) -> Result<Self, PageError> {
        let mut rest = bytes;
        let top = check(&mut rest, 0, u16::from(key.depth()), key.prefix())?;
        if !rest.is_empty() {
            return Err(PageError::TrailingBytes);
        }
        // Only the root page may hold a single key, none does without any: the page above would hold it.
        let is_needed = match top {
            Kind::Absent => false,
            Kind::Leaf => key.depth() == 0,
            Kind::Parent => true,
        };
        if is_needed { Ok(Self(bytes.into())) } else { Err(PageError::NotMinimal) }
    }

    /// What has been written by the functions here.
    pub(super) fn from_written(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Computes the value of the page's topmost node from the bottom and compares the values stored on the way.
    ///
    /// # Errors
    /// [`PageError::Value`] if one differs.
    pub fn check_values(&self) -> Result<Digest, PageError> {
        check_values(&mut self.as_bytes(), 0)
    }
}

/// Reads the node at `level` of a page off the front of `bytes`; a parent's children follow.
pub(super) fn read<'a>(bytes: &mut &'a [u8], level: u8) -> Result<Node<'a>, PageError> {
    let (&tag, rest) = bytes.split_first().ok_or(PageError::Truncated)?;
    *bytes = rest;
    match tag {
        ABSENT_TAG => Ok(Node::Absent),
        LEAF_TAG => Ok(Node::Leaf(StoredLeaf { key: take(bytes)?, commitment: take(bytes)? })),
        PARENT_TAG if level == MIDDLE => Ok(Node::Parent(Some(take(bytes)?))),
        PARENT_TAG if level < LEVELS_PER_PAGE => Ok(Node::Parent(None)),
        CHILD_TAG if level == LEVELS_PER_PAGE => {
            Ok(Node::Child { position: u64::from_be_bytes(*take(bytes)?), value: take(bytes)? })
        }
        _ => Err(PageError::Kind),
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; N], PageError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(PageError::Truncated)?;
    *bytes = rest;
    Ok(taken)
}

/// Reads past the subtree at `level` of a page.
pub(super) fn skip(bytes: &mut &[u8], level: u8) -> Result<(), PageError> {
    if let Node::Parent(_) = read(bytes, level)? {
        skip(bytes, level + 1)?;
        skip(bytes, level + 1)?;
    }
    Ok(())
}

/// Reads the subtree at `level` of a page.
pub(super) fn read_subtree(bytes: &mut &[u8], level: u8) -> Result<Subtree, PageError> {
    Ok(match read(bytes, level)? {
        Node::Absent => Subtree::Absent,
        Node::Leaf(leaf) => Subtree::Leaf(leaf.to_leaf()),
        Node::Child { value, .. } => Subtree::Parent(*value),
        Node::Parent(Some(value)) => {
            skip(bytes, level + 1)?;
            skip(bytes, level + 1)?;
            Subtree::Parent(*value)
        }
        Node::Parent(None) => {
            let left = read_subtree(bytes, level + 1)?.value();
            let right = read_subtree(bytes, level + 1)?.value();
            Subtree::Parent(parent_value(&left, &right))
        }
    })
}

fn check_values(bytes: &mut &[u8], level: u8) -> Result<Digest, PageError> {
    match read(bytes, level)? {
        Node::Absent => Ok(ABSENT),
        Node::Leaf(leaf) => Ok(leaf_value(&leaf.to_leaf())),
        Node::Child { value, .. } => Ok(*value),
        Node::Parent(stored) => {
            let left = check_values(bytes, level + 1)?;
            let right = check_values(bytes, level + 1)?;
            let value = parent_value(&left, &right);
            if stored.is_none_or(|stored| *stored == value) { Ok(value) } else { Err(PageError::Value) }
        }
    }
}

/// How many keys a subtree has: none, one, or at least two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Absent,
    Leaf,
    Parent,
}

/// Checks the subtree at `level` of a page and `depth` of the tree, `place` being the bits that lead there.
fn check(bytes: &mut &[u8], level: u8, depth: u16, place: &SearchKey) -> Result<Kind, PageError> {
    match read(bytes, level)? {
        Node::Absent => Ok(Kind::Absent),
        Node::Leaf(leaf) if depth > 255 || shared_bits(leaf.key, place) < depth => Err(PageError::Misplaced),
        Node::Leaf(_) => Ok(Kind::Leaf),
        Node::Child { .. } if depth > 255 => Err(PageError::Kind),
        Node::Child { .. } => Ok(Kind::Parent),
        Node::Parent(_) => {
            let left = prefix(place, depth);
            let right = sibling(&left, depth + 1);
            match (check(bytes, level + 1, depth + 1, &left)?, check(bytes, level + 1, depth + 1, &right)?) {
                (Kind::Absent, Kind::Absent | Kind::Leaf) | (Kind::Leaf, Kind::Absent) => {
                    Err(PageError::NotMinimal)
                }
                _ => Ok(Kind::Parent),
            }
        }
    }
}

/// Writing a page, in pre-order.
pub(super) mod write {
    use super::{
        ABSENT_TAG, CHILD_TAG, Digest, LEAF_TAG, MIDDLE, PARENT_TAG, PrefixLeaf, Subtree, parent_value,
    };

    pub(in super::super) fn absent(page: &mut Vec<u8>) -> Subtree {
        page.push(ABSENT_TAG);
        Subtree::Absent
    }

    pub(in super::super) fn leaf(page: &mut Vec<u8>, leaf: PrefixLeaf) -> Subtree {
        page.push(LEAF_TAG);
        page.extend_from_slice(&leaf.vrf_output);
        page.extend_from_slice(&leaf.commitment);
        Subtree::Leaf(leaf)
    }

    /// A subtree that has a page of its own, which `position` wrote.
    pub(in super::super) fn child(page: &mut Vec<u8>, position: u64, value: Digest) -> Subtree {
        page.push(CHILD_TAG);
        page.extend_from_slice(&position.to_be_bytes());
        page.extend_from_slice(&value);
        Subtree::Parent(value)
    }

    /// Begins a parent at `level`. Its children are to be written next, then [`end_parent`] with what this returns.
    pub(in super::super) fn begin_parent(page: &mut Vec<u8>, level: u8) -> usize {
        let start = page.len();
        page.push(PARENT_TAG);
        if level == MIDDLE {
            page.extend_from_slice(&[0; 32]);
        }
        start
    }

    /// Ends the parent that begins at `start`. If its children have fewer than two keys, what is left takes its place.
    pub(in super::super) fn end_parent(
        page: &mut Vec<u8>,
        level: u8,
        start: usize,
        left: Subtree,
        right: Subtree,
    ) -> Subtree {
        match (left, right) {
            (Subtree::Absent, Subtree::Absent) => {
                page.truncate(start);
                absent(page)
            }
            (Subtree::Leaf(only), Subtree::Absent) | (Subtree::Absent, Subtree::Leaf(only)) => {
                page.truncate(start);
                leaf(page, only)
            }
            _ => {
                let value = parent_value(&left.value(), &right.value());
                if level == MIDDLE
                    && let Some(stored) = page.get_mut(start..).and_then(|parent| parent.get_mut(1..33))
                {
                    stored.copy_from_slice(&value);
                }
                Subtree::Parent(value)
            }
        }
    }
}

//! How the log tree is hashed: the one point in which the cipher suites differ.

use keyglass_crypto::hash::{Digest, sha256};

/// How the values of the log tree's nodes are computed. Both hash with SHA-256 over a tree of the same shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogHash {
    /// As the draft does (section "Log Tree" of "Cryptographic Computations"), for suite `0x0002`: a parent marks
    /// whether each of its children is a leaf.
    Draft,
    /// As RFC 6962 does (section 2.1), for suite `0xF001`: every node marks whether it is a leaf itself.
    Rfc6962,
}

/// A node of the log tree as its parent sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogNode {
    /// Its value.
    pub value: Digest,
    /// Whether it is a leaf: a log entry, not a parent.
    pub is_leaf: bool,
}

impl LogNode {
    /// What the draft's hash puts before the value.
    fn marker(&self) -> u8 {
        u8::from(!self.is_leaf)
    }
}

impl LogHash {
    /// The value of a leaf: a log entry of `timestamp_ms` (milliseconds since the Unix epoch) and the root of its
    /// prefix tree.
    #[must_use]
    pub fn leaf(self, timestamp_ms: u64, prefix_root: &Digest) -> Digest {
        let timestamp = timestamp_ms.to_be_bytes();
        match self {
            Self::Draft => sha256(&[&timestamp, prefix_root]),
            Self::Rfc6962 => sha256(&[&[0], &timestamp, prefix_root]),
        }
    }

    /// The value of the parent of two nodes.
    #[must_use]
    pub fn parent(self, left: &LogNode, right: &LogNode) -> Digest {
        match self {
            Self::Draft => sha256(&[&[left.marker()], &left.value, &[right.marker()], &right.value]),
            Self::Rfc6962 => sha256(&[&[1], &left.value, &right.value]),
        }
    }
}

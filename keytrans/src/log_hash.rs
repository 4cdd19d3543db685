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
    /// Writes the 33 bytes that stand for this node in the draft's hash of its parent.
    fn write_marked(&self, content: &mut [u8]) {
        if let Some((marker, value)) = content.split_first_mut() {
            *marker = u8::from(!self.is_leaf);
            value.copy_from_slice(&self.value);
        }
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
        // In one piece, which is hashed faster than several.
        match self {
            Self::Draft => {
                let mut content = [0; 66];
                let (first, second) = content.split_at_mut(33);
                left.write_marked(first);
                right.write_marked(second);
                sha256(&[&content])
            }
            Self::Rfc6962 => {
                let mut content = [1; 65];
                let (_, values) = content.split_at_mut(1);
                let (first, second) = values.split_at_mut(32);
                first.copy_from_slice(&left.value);
                second.copy_from_slice(&right.value);
                sha256(&[&content])
            }
        }
    }
}

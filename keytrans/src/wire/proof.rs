//! Proofs from the trees ("Tree Proofs").

use keyglass_crypto::hash::Digest;

use super::codec::{Prefix, Reader, Wire, WireError, Writer};

/// A leaf of the log tree, before hashing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEntry {
    /// Milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// The root of the prefix tree as of this entry.
    pub prefix_tree: Digest,
}

impl LogEntry {
    /// The encoding, of 40 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (timestamp, root) = bytes.split_at_mut(8);
        timestamp.copy_from_slice(&self.timestamp.to_be_bytes());
        root.copy_from_slice(&self.prefix_tree);
        bytes
    }
}

impl Wire for LogEntry {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.bytes(&self.to_bytes());
        Ok(())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { timestamp: r.u64()?, prefix_tree: r.array()? })
    }
}

/// A leaf of the prefix tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixLeaf {
    /// The search key: the VRF output of a label-version pair.
    pub vrf_output: [u8; 32],
    /// The commitment to that version's value.
    pub commitment: Digest,
}

impl Wire for PrefixLeaf {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.bytes(&self.vrf_output);
        w.bytes(&self.commitment);
        Ok(())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { vrf_output: r.array()?, commitment: r.array()? })
    }
}

/// Where a search of the prefix tree ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixSearchKind {
    /// At the leaf of the search key.
    Inclusion,
    /// At the leaf of another key, given here.
    NonInclusionLeaf(PrefixLeaf),
    /// At a parent that lacks the child.
    NonInclusionParent,
}

/// The result of one search of the prefix tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixSearchResult {
    /// Where it ended.
    pub kind: PrefixSearchKind,
    /// The depth of the terminal node, or of the missing child; the root has depth 0.
    pub depth: u8,
}

impl PrefixSearchResult {
    /// Whether the search key is in the tree, as far as this result says.
    #[must_use]
    pub fn is_inclusion(&self) -> bool {
        matches!(self.kind, PrefixSearchKind::Inclusion)
    }
}

impl Wire for PrefixSearchResult {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        match &self.kind {
            PrefixSearchKind::Inclusion => w.u8(1),
            PrefixSearchKind::NonInclusionLeaf(leaf) => {
                w.u8(2);
                leaf.write(w)?;
            }
            PrefixSearchKind::NonInclusionParent => w.u8(3),
        }
        w.u8(self.depth);
        Ok(())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let kind = match r.u8()? {
            1 => PrefixSearchKind::Inclusion,
            2 => PrefixSearchKind::NonInclusionLeaf(PrefixLeaf::read(r)?),
            3 => PrefixSearchKind::NonInclusionParent,
            _ => return Err(WireError::Enumeration),
        };
        Ok(Self { kind, depth: r.u8()? })
    }
}

/// Proof of one or more searches of one prefix tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrefixProof {
    /// The results, in the order of the searches; at most 255.
    pub results: Vec<PrefixSearchResult>,
    /// The values that complete the root, left to right.
    pub elements: Vec<Digest>,
}

impl Wire for PrefixProof {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.vector(Prefix::U8, &self.results, |w, result| result.write(w))?;
        write_hashes(w, Prefix::U16, &self.elements)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            results: r.vector(Prefix::U8, PrefixSearchResult::read)?,
            elements: read_hashes(r, Prefix::U16)?,
        })
    }
}

/// The values of log tree nodes that complete a root. Not RFC 6962's inclusion proof.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InclusionProof {
    /// Heads of balanced subtrees, left to right.
    pub elements: Vec<Digest>,
}

impl Wire for InclusionProof {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        write_hashes(w, Prefix::U16, &self.elements)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { elements: read_hashes(r, Prefix::U16)? })
    }
}

/// Everything that the algorithms of one operation consume, in the order in which they do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CombinedTreeProof {
    /// Timestamps of log entries, in milliseconds; at most 255.
    pub timestamps: Vec<u64>,
    /// Searches of log entries' prefix trees; at most 255.
    pub prefix_proofs: Vec<PrefixProof>,
    /// Prefix tree roots of the entries that have a timestamp but no proof, left to right; at most 255.
    pub prefix_roots: Vec<Digest>,
    /// What completes the log tree's root.
    pub inclusion: InclusionProof,
}

impl Wire for CombinedTreeProof {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.vector(Prefix::U8, &self.timestamps, |w, timestamp| {
            w.u64(*timestamp);
            Ok(())
        })?;
        w.vector(Prefix::U8, &self.prefix_proofs, |w, proof| proof.write(w))?;
        write_hashes(w, Prefix::U8, &self.prefix_roots)?;
        self.inclusion.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            timestamps: r.vector(Prefix::U8, Reader::u64)?,
            prefix_proofs: r.vector(Prefix::U8, PrefixProof::read)?,
            prefix_roots: read_hashes(r, Prefix::U8)?,
            inclusion: InclusionProof::read(r)?,
        })
    }
}

pub(super) fn write_hashes(w: &mut Writer, prefix: Prefix, hashes: &[Digest]) -> Result<(), WireError> {
    w.vector(prefix, hashes, |w, hash| {
        w.bytes(hash);
        Ok(())
    })
}

pub(super) fn read_hashes(r: &mut Reader<'_>, prefix: Prefix) -> Result<Vec<Digest>, WireError> {
    r.vector(prefix, Reader::array)
}

//! Search ("Search").

use keyglass_crypto::{commitment::OPENING_LEN, hash::Digest, vrf::VrfProof};

use super::{
    codec::{Prefix, Reader, Wire, WireError, Writer},
    head::FullTreeHead,
    proof::CombinedTreeProof,
    value::UpdateValue,
};

/// Asks for a label's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRequest {
    /// The tree size that the user last verified.
    pub last: Option<u64>,
    /// At most 255 bytes.
    pub label: Vec<u8>,
    /// The version wanted, or the greatest.
    pub version: Option<u32>,
}

impl Wire for SearchRequest {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        write_u64(w, self.last)?;
        w.opaque(Prefix::U8, &self.label)?;
        write_u32(w, self.version)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            last: r.optional(Reader::u64)?,
            label: r.opaque(Prefix::U8)?,
            version: r.optional(Reader::u32)?,
        })
    }
}

/// What is known of one version in a binary ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryLadderStep {
    /// Proves the version's search key.
    pub proof: VrfProof,
    /// The commitment to the version's value, where the version exists and the user cannot compute it.
    pub commitment: Option<Digest>,
}

impl Wire for BinaryLadderStep {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.bytes(&self.proof.0);
        w.optional(self.commitment.as_ref(), |w, commitment| {
            w.bytes(commitment);
            Ok(())
        })
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { proof: VrfProof(r.array()?), commitment: r.optional(Reader::array)? })
    }
}

/// Answers a [`SearchRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchResponse {
    /// The head that the proof is about.
    pub full_tree_head: FullTreeHead,
    /// The greatest version, present exactly if the request named none.
    pub version: Option<u32>,
    /// Opens the commitment to the target version.
    pub opening: [u8; OPENING_LEN],
    /// The target version's value.
    pub value: UpdateValue,
    /// One step per version of the target's binary ladder.
    pub binary_ladder: Vec<BinaryLadderStep>,
    /// The view update and the search.
    pub search: CombinedTreeProof,
}

impl Wire for SearchResponse {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.full_tree_head.write(w)?;
        if let Some(version) = self.version {
            w.u32(version);
        }
        w.bytes(&self.opening);
        self.value.write(w)?;
        w.vector(Prefix::U8, &self.binary_ladder, |w, step| step.write(w))?;
        self.search.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            full_tree_head: FullTreeHead::read(r)?,
            version: if r.context().version_requested { None } else { Some(r.u32()?) },
            opening: r.array()?,
            value: UpdateValue::read(r)?,
            binary_ladder: r.vector(Prefix::U8, BinaryLadderStep::read)?,
            search: CombinedTreeProof::read(r)?,
        })
    }
}

pub(super) fn write_u64(w: &mut Writer, value: Option<u64>) -> Result<(), WireError> {
    w.optional(value.as_ref(), |w, value| {
        w.u64(*value);
        Ok(())
    })
}

pub(super) fn write_u32(w: &mut Writer, value: Option<u32>) -> Result<(), WireError> {
    w.optional(value.as_ref(), |w, value| {
        w.u32(*value);
        Ok(())
    })
}

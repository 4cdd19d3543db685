//! Credentials ("Credentials"): their encoding only. No operation here makes or accepts one yet.

use keyglass_crypto::commitment::OPENING_LEN;

use super::{
    codec::{Prefix, Reader, Wire, WireError, Writer},
    head::TreeHead,
    proof::{CombinedTreeProof, PrefixProof},
    search::BinaryLadderStep,
    value::UpdateValue,
};

/// What a credential proves its value against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// A distinguished log entry that the verifier knows.
    Standard {
        /// Searches of that entry's prefix tree.
        distinguished: PrefixProof,
    },
    /// A head beyond the last distinguished log entry.
    Provisional {
        /// The head.
        tree_head: TreeHead,
        /// The search under it.
        search: CombinedTreeProof,
    },
}

/// A search result that users pass to one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// At most 255 bytes.
    pub label: Vec<u8>,
    /// The greatest version.
    pub version: u32,
    /// Opens its commitment.
    pub opening: [u8; OPENING_LEN],
    /// Its value.
    pub value: UpdateValue,
    /// One step per version of the ladder.
    pub binary_ladder: Vec<BinaryLadderStep>,
    /// The distinguished log entry.
    pub position: u64,
    /// The proof.
    pub kind: CredentialKind,
}

impl Wire for Credential {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.opaque(Prefix::U8, &self.label)?;
        w.u32(self.version);
        w.bytes(&self.opening);
        self.value.write(w)?;
        w.vector(Prefix::U8, &self.binary_ladder, |w, step| step.write(w))?;
        w.u64(self.position);
        match &self.kind {
            CredentialKind::Standard { distinguished } => {
                w.u8(1);
                distinguished.write(w)
            }
            CredentialKind::Provisional { tree_head, search } => {
                w.u8(2);
                tree_head.write(w)?;
                search.write(w)
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            label: r.opaque(Prefix::U8)?,
            version: r.u32()?,
            opening: r.array()?,
            value: UpdateValue::read(r)?,
            binary_ladder: r.vector(Prefix::U8, BinaryLadderStep::read)?,
            position: r.u64()?,
            kind: match r.u8()? {
                1 => CredentialKind::Standard { distinguished: PrefixProof::read(r)? },
                2 => CredentialKind::Provisional {
                    tree_head: TreeHead::read(r)?,
                    search: CombinedTreeProof::read(r)?,
                },
                _ => return Err(WireError::Enumeration),
            },
        })
    }
}

/// Extends the proof of a provisional credential to a distinguished log entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialUpdate {
    /// The view update and, in contact-monitoring mode, the contact algorithm.
    pub monitor: CombinedTreeProof,
}

impl Wire for CredentialUpdate {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.monitor.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { monitor: CombinedTreeProof::read(r)? })
    }
}

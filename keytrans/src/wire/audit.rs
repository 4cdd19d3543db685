//! What an auditor is told of each log entry ("Auditing").

use keyglass_crypto::hash::Digest;

use super::{
    codec::{Prefix, Reader, Wire, WireError, Writer},
    proof::{PrefixLeaf, PrefixProof, PrefixSearchResult, read_hashes, write_hashes},
};

/// The change that one log entry made to the prefix tree; at most 255 leaves are added and removed together, since
/// `proof.results` holds no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditorUpdate {
    /// The log entry's timestamp, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// Leaves added, by ascending search key.
    pub added: Vec<PrefixLeaf>,
    /// Leaves removed, by ascending search key.
    pub removed: Vec<PrefixLeaf>,
    /// Searches of the previous entry's prefix tree for the keys of `added`, then of `removed`.
    pub proof: PrefixProof,
}

impl Wire for AuditorUpdate {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.u64(self.timestamp);
        w.vector(Prefix::U16, &self.added, |w, leaf| leaf.write(w))?;
        w.vector(Prefix::U16, &self.removed, |w, leaf| leaf.write(w))?;
        self.proof.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            timestamp: r.u64()?,
            added: r.vector(Prefix::U16, PrefixLeaf::read)?,
            removed: r.vector(Prefix::U16, PrefixLeaf::read)?,
            proof: PrefixProof::read(r)?,
        })
    }
}

/// [`PrefixProof`] with 32-bit counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchPrefixProof {
    /// The results, in the order of the searches.
    pub results: Vec<PrefixSearchResult>,
    /// The values that complete the root, left to right.
    pub elements: Vec<Digest>,
}

impl Wire for BatchPrefixProof {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.vector(Prefix::U32, &self.results, |w, result| result.write(w))?;
        write_hashes(w, Prefix::U32, &self.elements)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            results: r.vector(Prefix::U32, PrefixSearchResult::read)?,
            elements: read_hashes(r, Prefix::U32)?,
        })
    }
}

/// [`AuditorUpdate`] with 32-bit counts, for suite 0xF001, whose log entries hold any number of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchAuditorUpdate {
    /// The log entry's timestamp, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// Leaves added, by ascending search key.
    pub added: Vec<PrefixLeaf>,
    /// Leaves removed, by ascending search key.
    pub removed: Vec<PrefixLeaf>,
    /// Searches of the previous entry's prefix tree for the keys of `added`, then of `removed`.
    pub proof: BatchPrefixProof,
}

impl Wire for BatchAuditorUpdate {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.u64(self.timestamp);
        w.vector(Prefix::U32, &self.added, |w, leaf| leaf.write(w))?;
        w.vector(Prefix::U32, &self.removed, |w, leaf| leaf.write(w))?;
        self.proof.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            timestamp: r.u64()?,
            added: r.vector(Prefix::U32, PrefixLeaf::read)?,
            removed: r.vector(Prefix::U32, PrefixLeaf::read)?,
            proof: BatchPrefixProof::read(r)?,
        })
    }
}

impl TryFrom<BatchAuditorUpdate> for AuditorUpdate {
    type Error = WireError;

    /// The update as the draft encodes it.
    ///
    /// # Errors
    /// [`WireError::TooLong`] if it is of more leaves than the draft's counts allow.
    fn try_from(update: BatchAuditorUpdate) -> Result<Self, WireError> {
        let BatchAuditorUpdate { timestamp, added, removed, proof } = update;
        let fits = proof.results.len() <= 0xff && proof.elements.len() <= 0xffff;
        let proof = PrefixProof { results: proof.results, elements: proof.elements };
        if fits { Ok(Self { timestamp, added, removed, proof }) } else { Err(WireError::TooLong) }
    }
}

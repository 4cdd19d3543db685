//! Monitoring and walking distinguished heads ("Contact Monitor" to "Owner Monitoring", "Walking Distinguished Heads").

use keyglass_crypto::hash::Digest;

use super::{
    codec::{Prefix, Reader, Wire, WireError, Writer},
    head::FullTreeHead,
    proof::{CombinedTreeProof, read_hashes, write_hashes},
    search::{BinaryLadderStep, write_u32, write_u64},
};

/// The greatest version of a label that was proven to exist at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonitorMapEntry {
    /// The position of a log entry.
    pub position: u64,
    /// The version proven there.
    pub version: u32,
}

impl Wire for MonitorMapEntry {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.u64(self.position);
        w.u32(self.version);
        Ok(())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { position: r.u64()?, version: r.u32()? })
    }
}

/// Asks for proof that what a contact was shown is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactMonitorRequest {
    /// The tree size that the user last verified.
    pub last: Option<u64>,
    /// At most 255 bytes.
    pub label: Vec<u8>,
    /// The user's monitoring map, by ascending position.
    pub entries: Vec<MonitorMapEntry>,
}

impl Wire for ContactMonitorRequest {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        write_u64(w, self.last)?;
        w.opaque(Prefix::U8, &self.label)?;
        w.vector(Prefix::U8, &self.entries, |w, entry| entry.write(w))
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            last: r.optional(Reader::u64)?,
            label: r.opaque(Prefix::U8)?,
            entries: r.vector(Prefix::U8, MonitorMapEntry::read)?,
        })
    }
}

/// Answers a [`ContactMonitorRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactMonitorResponse {
    /// The head that the proof is about.
    pub full_tree_head: FullTreeHead,
    /// The view update and the contact algorithm.
    pub monitor: CombinedTreeProof,
}

impl Wire for ContactMonitorResponse {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.full_tree_head.write(w)?;
        self.monitor.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { full_tree_head: FullTreeHead::read(r)?, monitor: CombinedTreeProof::read(r)? })
    }
}

/// Asks for what an owner needs to begin monitoring a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerInitRequest {
    /// The tree size that the user last verified.
    pub last: Option<u64>,
    /// At most 255 bytes.
    pub label: Vec<u8>,
    /// Where ownership begins: an unexpired distinguished log entry.
    pub start: u64,
}

impl Wire for OwnerInitRequest {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        write_u64(w, self.last)?;
        w.opaque(Prefix::U8, &self.label)?;
        w.u64(self.start);
        Ok(())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { last: r.optional(Reader::u64)?, label: r.opaque(Prefix::U8)?, start: r.u64()? })
    }
}

/// Answers an [`OwnerInitRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerInitResponse {
    /// The head that the proof is about.
    pub full_tree_head: FullTreeHead,
    /// The greatest version at each inspected entry, ending where the label does not exist yet.
    pub greatest_versions: Vec<u32>,
    /// One step per version that the ladders look up, by ascending version.
    pub binary_ladder: Vec<BinaryLadderStep>,
    /// The view update and the owner's first algorithm.
    pub init: CombinedTreeProof,
}

impl Wire for OwnerInitResponse {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.full_tree_head.write(w)?;
        w.vector(Prefix::U8, &self.greatest_versions, |w, version| {
            w.u32(*version);
            Ok(())
        })?;
        w.vector(Prefix::U16, &self.binary_ladder, |w, step| step.write(w))?;
        self.init.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            full_tree_head: FullTreeHead::read(r)?,
            greatest_versions: r.vector(Prefix::U8, Reader::u32)?,
            binary_ladder: r.vector(Prefix::U16, BinaryLadderStep::read)?,
            init: CombinedTreeProof::read(r)?,
        })
    }
}

/// Asks for proof that no version was made behind the owner's back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerMonitorRequest {
    /// The tree size that the user last verified.
    pub last: Option<u64>,
    /// At most 255 bytes.
    pub label: Vec<u8>,
    /// The owner's monitoring map, by ascending position.
    pub entries: Vec<MonitorMapEntry>,
    /// The rightmost distinguished log entry that the owner verified.
    pub start: u64,
    /// The greatest version that the owner knows.
    pub greatest_version: Option<u32>,
}

impl Wire for OwnerMonitorRequest {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        write_u64(w, self.last)?;
        w.opaque(Prefix::U8, &self.label)?;
        w.vector(Prefix::U8, &self.entries, |w, entry| entry.write(w))?;
        w.u64(self.start);
        write_u32(w, self.greatest_version)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            last: r.optional(Reader::u64)?,
            label: r.opaque(Prefix::U8)?,
            entries: r.vector(Prefix::U8, MonitorMapEntry::read)?,
            start: r.u64()?,
            greatest_version: r.optional(Reader::u32)?,
        })
    }
}

/// Answers an [`OwnerMonitorRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerMonitorResponse {
    /// The head that the proof is about.
    pub full_tree_head: FullTreeHead,
    /// The view update, the contact algorithm and the owner's second algorithm.
    pub monitor: CombinedTreeProof,
}

impl Wire for OwnerMonitorResponse {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.full_tree_head.write(w)?;
        self.monitor.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { full_tree_head: FullTreeHead::read(r)?, monitor: CombinedTreeProof::read(r)? })
    }
}

/// Asks for the recent distinguished log entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinguishedRequest {
    /// The tree size that the user last verified.
    pub last: Option<u64>,
    /// Where the walk may stop.
    pub stop: Option<u64>,
}

impl Wire for DistinguishedRequest {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        write_u64(w, self.last)?;
        write_u64(w, self.stop)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { last: r.optional(Reader::u64)?, stop: r.optional(Reader::u64)? })
    }
}

/// Answers a [`DistinguishedRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinguishedResponse {
    /// The head that the proof is about.
    pub full_tree_head: FullTreeHead,
    /// The view update and the walk.
    pub distinguished: CombinedTreeProof,
}

impl Wire for DistinguishedResponse {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.full_tree_head.write(w)?;
        self.distinguished.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { full_tree_head: FullTreeHead::read(r)?, distinguished: CombinedTreeProof::read(r)? })
    }
}

/// Log roots at recent distinguished entries, for comparing views ("Detecting Forks").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinguishedHead {
    /// Roots, left to right; at most 255.
    pub heads: Vec<Digest>,
}

impl Wire for DistinguishedHead {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        write_hashes(w, Prefix::U8, &self.heads)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { heads: read_hashes(r, Prefix::U8)? })
    }
}

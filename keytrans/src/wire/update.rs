//! Updating a label ("Updating a Label" in "User Operations", "Management").

use keyglass_crypto::commitment::OPENING_LEN;

use super::{
    codec::{Prefix, Reader, Wire, WireError, Writer},
    head::FullTreeHead,
    proof::CombinedTreeProof,
    search::{BinaryLadderStep, write_u32, write_u64},
    value::{UpdateSuffix, UpdateValue},
};
use crate::config::DeploymentMode;

/// A value to store under a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelValue {
    /// The application's bytes.
    pub value: Vec<u8>,
}

impl Wire for LabelValue {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.opaque(Prefix::U32, &self.value)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { value: r.opaque(Prefix::U32)? })
    }
}

/// Asks for new versions of a label, or for those that exist already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateRequest {
    /// The tree size that the user last verified.
    pub last: Option<u64>,
    /// At most 255 bytes.
    pub label: Vec<u8>,
    /// The greatest version that the user knows.
    pub greatest_version: Option<u32>,
    /// The values to store; empty to be told of existing versions only.
    pub values: Vec<LabelValue>,
}

impl Wire for UpdateRequest {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        write_u64(w, self.last)?;
        w.opaque(Prefix::U8, &self.label)?;
        write_u32(w, self.greatest_version)?;
        w.vector(Prefix::U8, &self.values, |w, value| value.write(w))
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            last: r.optional(Reader::u64)?,
            label: r.opaque(Prefix::U8)?,
            greatest_version: r.optional(Reader::u32)?,
            values: r.vector(Prefix::U8, LabelValue::read)?,
        })
    }
}

/// What the log chose for a new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateInfo {
    /// Opens the version's commitment.
    pub opening: [u8; OPENING_LEN],
    /// The mode's addition.
    pub suffix: UpdateSuffix,
}

impl Wire for UpdateInfo {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.bytes(&self.opening);
        self.suffix.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { opening: r.array()?, suffix: UpdateSuffix::read(r)? })
    }
}

/// Answers an [`UpdateRequest`]: the versions that one log entry created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateResponse {
    /// The head that the proof is about.
    pub full_tree_head: FullTreeHead,
    /// The log entry that created the versions.
    pub position: u64,
    /// How many versions were skipped, present exactly in third-party-management mode.
    pub skipped_versions: Option<u32>,
    /// The values of existing versions; empty if the requested ones were created.
    pub values: Vec<LabelValue>,
    /// One for each unskipped version.
    pub info: Vec<UpdateInfo>,
    /// VRF proofs, by ascending version.
    pub binary_ladder: Vec<BinaryLadderStep>,
    /// The view update and the update algorithm.
    pub update: CombinedTreeProof,
}

impl Wire for UpdateResponse {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.full_tree_head.write(w)?;
        w.u64(self.position);
        if let Some(skipped) = self.skipped_versions {
            w.u32(skipped);
        }
        w.vector(Prefix::U8, &self.values, |w, value| value.write(w))?;
        w.vector(Prefix::U8, &self.info, |w, info| info.write(w))?;
        w.vector(Prefix::U8, &self.binary_ladder, |w, step| step.write(w))?;
        self.update.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            full_tree_head: FullTreeHead::read(r)?,
            position: r.u64()?,
            skipped_versions: match r.context().mode {
                DeploymentMode::ThirdPartyManagement => Some(r.u32()?),
                DeploymentMode::ContactMonitoring | DeploymentMode::ThirdPartyAuditing => None,
            },
            values: r.vector(Prefix::U8, LabelValue::read)?,
            info: r.vector(Prefix::U8, UpdateInfo::read)?,
            binary_ladder: r.vector(Prefix::U8, BinaryLadderStep::read)?,
            update: CombinedTreeProof::read(r)?,
        })
    }
}

/// An [`UpdateRequest`] on its way to a third-party manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerUpdateRequest {
    /// The tree size that the user last verified.
    pub last: Option<u64>,
    /// At most 255 bytes.
    pub label: Vec<u8>,
    /// The greatest version that the user knows.
    pub greatest_version: Option<u32>,
    /// The values, each with the service operator's signature.
    pub values: Vec<UpdateValue>,
    /// The version that the first signature covers; 0 if there is none.
    pub signed_version: u32,
}

impl Wire for ManagerUpdateRequest {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        write_u64(w, self.last)?;
        w.opaque(Prefix::U8, &self.label)?;
        write_u32(w, self.greatest_version)?;
        w.vector(Prefix::U8, &self.values, |w, value| value.write(w))?;
        w.u32(self.signed_version);
        Ok(())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            last: r.optional(Reader::u64)?,
            label: r.opaque(Prefix::U8)?,
            greatest_version: r.optional(Reader::u32)?,
            values: r.vector(Prefix::U8, UpdateValue::read)?,
            signed_version: r.u32()?,
        })
    }
}

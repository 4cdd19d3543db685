//! What a leaf of the prefix tree commits to ("Update Format", "Commitment", "Verifiable Random Function").

use keyglass_crypto::{
    commitment::{OPENING_LEN, commit},
    hash::Digest,
};

use super::codec::{Prefix, Reader, Wire, WireError, Writer};
use crate::config::{Configuration, DeploymentMode};

/// What the deployment mode adds to a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateSuffix {
    /// The service operator's signature over [`UpdateTbs`], present exactly in third-party-management mode.
    pub signature: Option<Vec<u8>>,
}

impl Wire for UpdateSuffix {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.signature.as_ref().map_or(Ok(()), |signature| w.opaque(Prefix::U16, signature))
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let signature = match r.context().mode {
            DeploymentMode::ThirdPartyManagement => Some(r.opaque(Prefix::U16)?),
            DeploymentMode::ContactMonitoring | DeploymentMode::ThirdPartyAuditing => None,
        };
        Ok(Self { signature })
    }
}

/// The value of a label-version pair.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateValue {
    /// The application's bytes.
    pub value: Vec<u8>,
    /// The mode's addition.
    pub suffix: UpdateSuffix,
}

impl Wire for UpdateValue {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.opaque(Prefix::U32, &self.value)?;
        self.suffix.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { value: r.opaque(Prefix::U32)?, suffix: UpdateSuffix::read(r)? })
    }
}

/// What the service operator signs in third-party-management mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateTbs {
    /// The log's configuration.
    pub config: Configuration,
    /// At most 255 bytes.
    pub label: Vec<u8>,
    /// The version that the value is for.
    pub version: u32,
    /// The application's bytes.
    pub value: Vec<u8>,
}

impl Wire for UpdateTbs {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.config.write(w)?;
        w.opaque(Prefix::U8, &self.label)?;
        w.u32(self.version);
        w.opaque(Prefix::U32, &self.value)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            config: Configuration::read(r)?,
            label: r.opaque(Prefix::U8)?,
            version: r.u32()?,
            value: r.opaque(Prefix::U32)?,
        })
    }
}

/// What a commitment opens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentValue {
    /// `Nc` random bytes.
    pub opening: [u8; OPENING_LEN],
    /// At most 255 bytes.
    pub label: Vec<u8>,
    /// The version of the label.
    pub version: u32,
    /// The value at that version.
    pub update: UpdateValue,
}

impl CommitmentValue {
    /// The commitment.
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn commitment(&self) -> Result<Digest, WireError> {
        Ok(commit(&[&self.encode()?]))
    }
}

impl Wire for CommitmentValue {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.bytes(&self.opening);
        w.opaque(Prefix::U8, &self.label)?;
        w.u32(self.version);
        self.update.write(w)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            opening: r.array()?,
            label: r.opaque(Prefix::U8)?,
            version: r.u32()?,
            update: UpdateValue::read(r)?,
        })
    }
}

/// What the VRF is evaluated on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VrfInput {
    /// At most 255 bytes.
    pub label: Vec<u8>,
    /// The version of the label.
    pub version: u32,
}

impl Wire for VrfInput {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.opaque(Prefix::U8, &self.label)?;
        w.u32(self.version);
        Ok(())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { label: r.opaque(Prefix::U8)?, version: r.u32()? })
    }
}

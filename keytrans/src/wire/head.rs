//! Tree heads ("Tree Head Signature", "Auditor Tree Head Signature", "Full Tree Head Verification").

use keyglass_crypto::hash::Digest;

use super::codec::{Prefix, Reader, Wire, WireError, Writer};
use crate::config::{Configuration, DeploymentMode};

/// The head of a log: its size and what signs it.
///
/// Under suite 0x0002 `signature` is the signature over [`TreeHeadTbs`]; under 0xF001 it holds the signature lines of
/// a signed note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHead {
    /// The number of log entries.
    pub tree_size: u64,
    /// At most 65,535 bytes.
    pub signature: Vec<u8>,
}

impl Wire for TreeHead {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.u64(self.tree_size);
        w.opaque(Prefix::U16, &self.signature)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { tree_size: r.u64()?, signature: r.opaque(Prefix::U16)? })
    }
}

/// What the log signs under suite 0x0002.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHeadTbs {
    /// The log's configuration.
    pub config: Configuration,
    /// The number of log entries.
    pub tree_size: u64,
    /// The log tree's root at that size.
    pub root: Digest,
}

impl Wire for TreeHeadTbs {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.config.write(w)?;
        w.u64(self.tree_size);
        w.bytes(&self.root);
        Ok(())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { config: Configuration::read(r)?, tree_size: r.u64()?, root: r.array()? })
    }
}

/// A third-party auditor's view of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditorTreeHead {
    /// Milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// How many entries the auditor has processed.
    pub tree_size: u64,
    /// At most 65,535 bytes.
    pub signature: Vec<u8>,
}

impl Wire for AuditorTreeHead {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.u64(self.timestamp);
        w.u64(self.tree_size);
        w.opaque(Prefix::U16, &self.signature)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { timestamp: r.u64()?, tree_size: r.u64()?, signature: r.opaque(Prefix::U16)? })
    }
}

/// What the auditor signs under suite 0x0002.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditorTreeHeadTbs {
    /// The log's configuration.
    pub config: Configuration,
    /// Milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// How many entries the auditor has processed.
    pub tree_size: u64,
    /// The log tree's root at that size.
    pub root: Digest,
}

impl Wire for AuditorTreeHeadTbs {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.config.write(w)?;
        w.u64(self.timestamp);
        w.u64(self.tree_size);
        w.bytes(&self.root);
        Ok(())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            config: Configuration::read(r)?,
            timestamp: r.u64()?,
            tree_size: r.u64()?,
            root: r.array()?,
        })
    }
}

/// The head that a response is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FullTreeHead {
    /// The one that the request advertised.
    Same,
    /// A larger one.
    Updated {
        /// The log's head.
        tree_head: TreeHead,
        /// The auditor's, present exactly in third-party-auditing mode.
        auditor_tree_head: Option<AuditorTreeHead>,
    },
}

impl Wire for FullTreeHead {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        match self {
            Self::Same => {
                w.u8(1);
                Ok(())
            }
            Self::Updated { tree_head, auditor_tree_head } => {
                w.u8(2);
                tree_head.write(w)?;
                auditor_tree_head.as_ref().map_or(Ok(()), |head| head.write(w))
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        match r.u8()? {
            1 => Ok(Self::Same),
            2 => {
                let tree_head = TreeHead::read(r)?;
                let auditor_tree_head = match r.context().mode {
                    DeploymentMode::ThirdPartyAuditing => Some(AuditorTreeHead::read(r)?),
                    DeploymentMode::ContactMonitoring | DeploymentMode::ThirdPartyManagement => None,
                };
                Ok(Self::Updated { tree_head, auditor_tree_head })
            }
            _ => Err(WireError::Enumeration),
        }
    }
}

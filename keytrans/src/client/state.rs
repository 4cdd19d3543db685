//! What a user retains between operations.

use std::collections::BTreeMap;

use keyglass_crypto::{hash::Digest, vrf::VrfOutput};

use crate::{
    algorithms::{MonitoringMap, OwnerKnowledge},
    config::DeploymentMode,
    wire::{
        AuditorTreeHead, Context, LogEntry, MonitorMapEntry, Prefix, Reader, TreeHead, Wire, WireError,
        Writer,
    },
};

/// The last head that a user verified ("Updating Views of the Tree").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeState {
    /// The log's head with everything that signed it, so that a changed policy can judge it again.
    pub tree_head: TreeHead,
    /// The auditor's head, where there is an auditor.
    pub auditor_tree_head: Option<AuditorTreeHead>,
    /// The head values of the log tree's full subtrees, left to right.
    pub full_subtrees: Vec<Digest>,
    /// The log entries of the frontier with their positions, left to right.
    pub frontier: Vec<(u64, LogEntry)>,
}

impl TreeState {
    /// The number of log entries.
    #[must_use]
    pub fn tree_size(&self) -> u64 {
        self.tree_head.tree_size
    }

    /// The timestamp of the rightmost log entry, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn rightmost_timestamp(&self) -> u64 {
        self.frontier.last().map_or(0, |(_, entry)| entry.timestamp)
    }
}

/// What is known of one version of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownVersion {
    /// Its search key, proven by the VRF.
    pub key: VrfOutput,
    /// The commitment to its value, if the log gave one.
    pub commitment: Option<Digest>,
    /// Whether a proof showed that commitment in a prefix tree. If not, it is the log's word: good for the proofs to
    /// come, which fail if it was a lie, and for nothing else.
    pub shown: bool,
}

/// What a user retains of a label that it monitors or owns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelState {
    /// What is still to be watched.
    pub map: MonitoringMap,
    /// What the user knows as the label's owner, if it is.
    pub owner: Option<OwnerKnowledge>,
    /// The versions that monitoring looks up.
    pub versions: BTreeMap<u32, KnownVersion>,
}

impl LabelState {
    /// Whether nothing here is worth keeping.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.map.is_empty() && self.owner.is_none()
    }
}

/// All that a user retains of one log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserState {
    /// The last head, none before the first operation.
    pub tree: Option<TreeState>,
    /// The labels that the user monitors or owns.
    pub labels: BTreeMap<Vec<u8>, LabelState>,
}

/// What a verified response changes in the user's state. Until it is applied, and stored, the response has not
/// happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a verified response changes the state only when its update is applied"]
pub struct StateUpdate {
    /// The head to retain.
    pub tree: TreeState,
    /// The state of the label that the operation was about.
    pub label: Option<(Vec<u8>, LabelState)>,
}

impl UserState {
    /// The size of the last tree verified, for the `last` field of requests.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.tree.as_ref().map(TreeState::tree_size)
    }

    /// The versions of `label` that are to be watched, or that the user owns.
    #[must_use]
    pub fn label(&self, label: &[u8]) -> Option<&LabelState> {
        self.labels.get(label)
    }

    /// Applies an update made from this state.
    pub fn apply(&mut self, update: StateUpdate) {
        self.tree = Some(update.tree);
        if let Some((label, state)) = update.label {
            if state.is_idle() {
                self.labels.remove(&label);
            } else {
                self.labels.insert(label, state);
            }
        }
    }

    /// The state as bytes, for storing. Versioned; read back by [`Self::decode`].
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        Wire::encode(self)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`WireError`]; a format of another version is [`WireError::Enumeration`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        // The context decides nothing here: the presence of the auditor's head is in the bytes.
        Wire::decode(bytes, Context::new(DeploymentMode::ContactMonitoring))
    }
}

/// The version of the stored format.
const FORMAT: u8 = 1;

impl Wire for TreeState {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        self.tree_head.write(w)?;
        w.optional(self.auditor_tree_head.as_ref(), |w, head| head.write(w))?;
        w.vector(Prefix::U8, &self.full_subtrees, |w, head| {
            w.bytes(head);
            Ok(())
        })?;
        w.vector(Prefix::U8, &self.frontier, |w, (position, entry)| {
            w.u64(*position);
            entry.write(w)
        })
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            tree_head: TreeHead::read(r)?,
            auditor_tree_head: r.optional(AuditorTreeHead::read)?,
            full_subtrees: r.vector(Prefix::U8, Reader::array)?,
            frontier: r.vector(Prefix::U8, |r| Ok((r.u64()?, LogEntry::read(r)?)))?,
        })
    }
}

impl Wire for OwnerKnowledge {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.u64(self.start);
        w.optional(self.version_at_start.as_ref(), |w, version| {
            w.u32(*version);
            Ok(())
        })?;
        w.vector(Prefix::U32, &self.later_versions, |w, (position, version)| {
            w.u64(*position);
            w.u32(*version);
            Ok(())
        })
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            start: r.u64()?,
            version_at_start: r.optional(Reader::u32)?,
            later_versions: r.vector(Prefix::U32, |r| Ok((r.u64()?, r.u32()?)))?,
        })
    }
}

impl Wire for KnownVersion {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.bytes(&self.key);
        w.optional(self.commitment.as_ref(), |w, commitment| {
            w.bytes(commitment);
            Ok(())
        })?;
        w.u8(u8::from(self.shown));
        Ok(())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            key: r.array()?,
            commitment: r.optional(Reader::array)?,
            shown: match r.u8()? {
                0 => false,
                1 => true,
                _ => return Err(WireError::Presence),
            },
        })
    }
}

impl Wire for LabelState {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        let entries: Vec<MonitorMapEntry> = self.map.entries().collect();
        w.vector(Prefix::U16, &entries, |w, entry| entry.write(w))?;
        w.optional(self.owner.as_ref(), |w, owner| owner.write(w))?;
        let versions: Vec<(&u32, &KnownVersion)> = self.versions.iter().collect();
        w.vector(Prefix::U32, &versions, |w, (version, known)| {
            w.u32(**version);
            known.write(w)
        })
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            map: MonitoringMap::new(r.vector(Prefix::U16, MonitorMapEntry::read)?),
            owner: r.optional(OwnerKnowledge::read)?,
            versions: r
                .vector(Prefix::U32, |r| Ok((r.u32()?, KnownVersion::read(r)?)))?
                .into_iter()
                .collect(),
        })
    }
}

impl Wire for UserState {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.u8(FORMAT);
        w.optional(self.tree.as_ref(), |w, tree| tree.write(w))?;
        let labels: Vec<(&Vec<u8>, &LabelState)> = self.labels.iter().collect();
        w.vector(Prefix::U32, &labels, |w, (label, state)| {
            w.opaque(Prefix::U8, label)?;
            state.write(w)
        })
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        if r.u8()? != FORMAT {
            return Err(WireError::Enumeration);
        }
        Ok(Self {
            tree: r.optional(TreeState::read)?,
            labels: r
                .vector(Prefix::U32, |r| Ok((r.opaque(Prefix::U8)?, LabelState::read(r)?)))?
                .into_iter()
                .collect(),
        })
    }
}

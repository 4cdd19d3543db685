//! What the prover reads: the published part of the store, and VRF proofs.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use keyglass_crypto::{
    hash::Digest,
    vrf::{VrfOutput, VrfProof, VrfSecretKey},
};
use keyglass_keytrans::{
    log_tree::NodeId,
    prefix_tree::{self, TreeError},
    prover::{OpenedVersion, ProverData},
    wire::{LogEntry, PrefixProof, UpdateSuffix, UpdateValue, VrfInput, Wire as _, WireError},
};
use lru::LruCache;
use thiserror::Error;

use crate::{
    log::Limits,
    pages::{Pages, RecentPages},
    store::{Snapshot, StoreError, VersionRecord},
};

/// Why data could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DataError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A prefix tree could not be searched.
    #[error(transparent)]
    Tree(#[from] TreeError<StoreError>),
    /// The label has no encoding.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What a VRF proof is about.
type LabelVersion = (Vec<u8>, u32);

/// VRF proofs and pages that were asked for lately. Neither ever changes.
pub struct ProofCache {
    key: Arc<VrfSecretKey>,
    vrf: Mutex<LruCache<LabelVersion, (VrfOutput, VrfProof)>>,
    pages: RecentPages,
}

impl ProofCache {
    /// Remembers as much as `limits` say; 0 is taken as 1.
    #[must_use]
    pub fn new(key: Arc<VrfSecretKey>, limits: &Limits) -> Self {
        let entries = NonZeroUsize::new(limits.vrf_proofs).unwrap_or(NonZeroUsize::MIN);
        Self { key, vrf: Mutex::new(LruCache::new(entries)), pages: RecentPages::new(limits.pages) }
    }

    /// A version's place in the prefix tree, with its proof.
    ///
    /// # Errors
    /// [`WireError`] if the label is too long.
    pub fn search_key(&self, label: &[u8], version: u32) -> Result<(VrfOutput, VrfProof), WireError> {
        let entry = (label.to_vec(), version);
        if let Some(known) = self.vrf.lock().unwrap_or_else(PoisonError::into_inner).get(&entry) {
            return Ok(*known);
        }
        // Not under the lock: it takes longer than everything else here.
        let input = VrfInput { label: label.to_vec(), version }.encode()?;
        let (proof, output) = self.key.prove(&input);
        self.vrf.lock().unwrap_or_else(PoisonError::into_inner).put(entry, (output, proof));
        Ok((output, proof))
    }
}

/// A snapshot as the prover reads it, for one answer.
pub struct SnapshotData<'a> {
    snapshot: &'a dyn Snapshot,
    proofs: &'a ProofCache,
    /// Versions read for this answer: commitment and opening are asked for apart.
    versions: Mutex<BTreeMap<u32, VersionRecord>>,
}

impl<'a> SnapshotData<'a> {
    /// Reads from `snapshot`; VRF proofs and pages also from `proofs`.
    #[must_use]
    pub fn new(snapshot: &'a dyn Snapshot, proofs: &'a ProofCache) -> Self {
        Self { snapshot, proofs, versions: Mutex::default() }
    }

    fn version(&self, label: &[u8], version: u32) -> Result<VersionRecord, DataError> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = versions.get(&version) {
            return Ok(known.clone());
        }
        let missing = StoreError::Corrupt("a version of a label is missing");
        let record = self.snapshot.version(label, version)?.ok_or(missing)?;
        versions.insert(version, record.clone());
        Ok(record)
    }
}

impl ProverData for SnapshotData<'_> {
    type Error = DataError;

    fn log_entries(&self, positions: &[u64]) -> Result<Vec<LogEntry>, DataError> {
        let entries = self.snapshot.entries(positions)?.into_iter().map(|entry| {
            let entry = entry.ok_or(StoreError::Corrupt("a log entry is missing"))?;
            Ok(LogEntry { timestamp: entry.timestamp, prefix_tree: *entry.tree.value() })
        });
        entries.collect()
    }

    fn log_nodes(&self, nodes: &[NodeId]) -> Result<Vec<Digest>, DataError> {
        let missing = || StoreError::Corrupt("a node of the log tree is missing");
        self.snapshot.nodes(nodes)?.into_iter().map(|node| Ok(node.ok_or_else(missing)?)).collect()
    }

    fn prefix_proof(&self, position: u64, keys: &[VrfOutput]) -> Result<PrefixProof, DataError> {
        let entry = self.snapshot.entry(position)?.ok_or(StoreError::Corrupt("a log entry is missing"))?;
        let source = Pages::new(self.snapshot, &self.proofs.pages);
        Ok(prefix_tree::prove(&source, &entry.tree, keys)?)
    }

    fn greatest_below(&self, label: &[u8], size: u64) -> Result<Option<u32>, DataError> {
        Ok(self.snapshot.greatest_below(label, size)?)
    }

    fn position_of(&self, label: &[u8], version: u32) -> Result<u64, DataError> {
        let missing = StoreError::Corrupt("a version of a label has no position");
        Ok(self.snapshot.position_of(label, version)?.ok_or(missing)?)
    }

    fn search_key(&self, label: &[u8], version: u32) -> Result<(VrfOutput, VrfProof), DataError> {
        Ok(self.proofs.search_key(label, version)?)
    }

    fn commitment(&self, label: &[u8], version: u32) -> Result<Digest, DataError> {
        Ok(self.version(label, version)?.commitment)
    }

    fn opened(&self, label: &[u8], version: u32) -> Result<Option<OpenedVersion>, DataError> {
        let open = |opened: crate::store::OpenedValue| OpenedVersion {
            opening: opened.opening,
            update: UpdateValue { value: opened.value, suffix: UpdateSuffix::default() },
        };
        Ok(self.version(label, version)?.opened.map(open))
    }
}

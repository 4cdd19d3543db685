//! A naive log for tests: every log entry keeps its whole prefix tree, and log nodes are computed from all leaves. It
//! does not mind being told what no honest log would hold.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use keyglass_crypto::{
    hash::Digest,
    sign::SigningKey,
    vrf::{VrfOutput, VrfProof, VrfSecretKey},
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, NoteSigner},
    time::UnixSeconds,
};

use super::{OpenedVersion, ProverData, ServedHead};
use crate::{
    config::{AuditingFields, CipherSuite, Configuration, DeploymentMode, ModeFields},
    log_tree::{Appender, NodeId},
    prefix_tree::model::Model,
    retention::keeps_entry,
    wire::{
        AuditorTreeHead, AuditorTreeHeadTbs, CommitmentValue, LogEntry, PrefixProof, TreeHead, TreeHeadTbs,
        UpdateSuffix, UpdateTbs, UpdateValue, VrfInput, Wire,
    },
};

/// A version of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// Where it was created.
    pub(crate) position: u64,
    pub(crate) opening: [u8; 16],
    /// None for a version that third-party management skipped.
    pub(crate) update: Option<UpdateValue>,
    pub(crate) erased: bool,
}

/// A label, a version of it, and its value; none if it is skipped.
pub(crate) type NewVersion<'a> = (&'a [u8], u32, Option<&'a [u8]>);

/// A log entry with its prefix tree.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) timestamp: u64,
    pub(crate) tree: Model,
    root: Digest,
}

type LabelVersion = (Vec<u8>, u32);

/// The signing keys of every log of this kind, so that a liar can sign what it likes.
pub(crate) fn log_key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn vrf_key() -> VrfSecretKey {
    VrfSecretKey::from_seed(&[2; 32])
}

pub(crate) fn auditor_key() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

fn operator_key() -> SigningKey {
    SigningKey::from_seed(&[4; 32])
}

pub(crate) fn auditor() -> Cosigner {
    Cosigner::new(KeyName::new("auditor.example").unwrap(), auditor_key())
}

thread_local! {
    /// One VRF key serves all logs, so what it gave once need not be computed again.
    static SEARCH_KEYS: RefCell<HashMap<LabelVersion, (VrfOutput, VrfProof)>> = RefCell::default();
}

/// The search key of a version in every log of this kind, with its proof.
pub(crate) fn search_key(label: &[u8], version: u32) -> (VrfOutput, VrfProof) {
    SEARCH_KEYS.with_borrow_mut(|keys| {
        *keys.entry((label.to_vec(), version)).or_insert_with(|| {
            let input = VrfInput { label: label.to_vec(), version }.encode().unwrap();
            let (proof, output) = vrf_key().prove(&input);
            (output, proof)
        })
    })
}

#[derive(Debug, Clone)]
pub(crate) struct NaiveLog {
    pub(crate) config: Configuration,
    pub(crate) entries: Vec<Entry>,
    /// The versions of a label need not be without gaps.
    pub(crate) labels: BTreeMap<Vec<u8>, BTreeMap<u32, Version>>,
    /// How many of the entries the auditor has not signed for, where there is one.
    pub(crate) unaudited: u64,
    /// Whether it panics when a prover asks for what a log with a maximum lifetime may have deleted.
    pub(crate) pruned: bool,
}

impl NaiveLog {
    pub(crate) fn new(suite: CipherSuite, window: u64, lifetime: Option<u64>) -> Self {
        Self::in_mode(suite, DeploymentMode::ContactMonitoring, window, lifetime)
    }

    pub(crate) fn in_mode(
        suite: CipherSuite,
        mode: DeploymentMode,
        window: u64,
        lifetime: Option<u64>,
    ) -> Self {
        let mode = match mode {
            DeploymentMode::ContactMonitoring => ModeFields::ContactMonitoring,
            DeploymentMode::ThirdPartyManagement => ModeFields::ThirdPartyManagement {
                leaf_public_key: operator_key().verifying_key().to_bytes().to_vec(),
            },
            DeploymentMode::ThirdPartyAuditing => ModeFields::ThirdPartyAuditing(AuditingFields {
                max_auditor_lag: 100_000,
                auditor_start_pos: 0,
                auditor_public_key: match suite {
                    CipherSuite::Draft => auditor_key().verifying_key().to_bytes().to_vec(),
                    CipherSuite::Tlog => auditor().vkey().to_string().into_bytes(),
                },
            }),
        };
        let config = Configuration {
            ciphersuite: suite.number(),
            signature_public_key: log_key().verifying_key().to_bytes().to_vec(),
            vrf_public_key: vrf_key().public_key().to_bytes().to_vec(),
            mode,
            max_ahead: 1000,
            max_behind: 1_000_000,
            reasonable_monitoring_window: window,
            maximum_lifetime: lifetime,
        };
        let mut log =
            Self { config, entries: Vec::new(), labels: BTreeMap::new(), unaudited: 0, pruned: false };
        log.reconfigure(|_| ());
        log
    }

    /// Changes the configuration; under 0xF001 the origin follows.
    pub(crate) fn reconfigure(&mut self, change: impl FnOnce(&mut Configuration)) {
        change(&mut self.config);
        if self.suite() == CipherSuite::Tlog {
            self.config.signature_public_key = self.signer(log_key()).vkey().to_string().into_bytes();
        }
    }

    pub(crate) fn origin(&self) -> String {
        self.config.origin("log.example").unwrap()
    }

    fn signer(&self, key: SigningKey) -> NoteSigner {
        NoteSigner::new(KeyName::new(&self.origin()).unwrap(), key)
    }

    pub(crate) fn suite(&self) -> CipherSuite {
        CipherSuite::from_number(self.config.ciphersuite).unwrap()
    }

    pub(crate) fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The first log entry that a pruned log holds whole.
    fn first_held(&self) -> u64 {
        let lifetime = self.config.maximum_lifetime.filter(|_| self.pruned);
        let expired =
            |entry: &&Entry| lifetime.is_some_and(|lifetime| self.now() - entry.timestamp >= lifetime);
        self.entries.iter().take_while(expired).count() as u64
    }

    /// The rightmost entry's timestamp.
    pub(crate) fn now(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.timestamp)
    }

    pub(crate) fn timestamps(&self) -> Vec<u64> {
        self.entries.iter().map(|entry| entry.timestamp).collect()
    }

    pub(crate) fn greatest(&self, label: &[u8]) -> Option<u32> {
        self.labels.get(label)?.keys().next_back().copied()
    }

    pub(crate) fn value(&self, label: &[u8], version: u32) -> &[u8] {
        &self.labels[label][&version].update.as_ref().unwrap().value
    }

    /// Adds a log entry with the next versions of labels, in that order.
    pub(crate) fn append(&mut self, timestamp: u64, updates: &[(&[u8], &[u8])]) {
        let updates: Vec<_> = updates.iter().map(|(label, value)| (*label, Some(*value))).collect();
        self.append_with_skipped(timestamp, &updates);
    }

    /// As [`Self::append`]; a version without a value is skipped.
    pub(crate) fn append_with_skipped(&mut self, timestamp: u64, updates: &[(&[u8], Option<&[u8]>)]) {
        let mut next = BTreeMap::new();
        let mut versions = Vec::new();
        for (label, value) in updates {
            let first = self.greatest(label).map_or(0, |greatest| greatest + 1);
            let version = next.entry(label).or_insert(first);
            versions.push((*label, *version, *value));
            *version += 1;
        }
        self.append_versions(timestamp, &versions);
    }

    /// Adds a log entry with any versions of labels.
    pub(crate) fn append_versions(&mut self, timestamp: u64, versions: &[NewVersion<'_>]) {
        let mut tree = self.entries.last().map(|entry| entry.tree.clone()).unwrap_or_default();
        let position = self.size();
        for &(label, version, value) in versions {
            let update = value.map(|value| self.update_value(label, version, value));
            let opening = [version as u8; 16];
            let version_of = self.labels.entry(label.to_vec()).or_default();
            version_of.insert(version, Version { position, opening, update, erased: false });
            tree.0.insert(search_key(label, version).0, self.commitment(label, version).unwrap());
        }
        self.push(timestamp, tree);
    }

    /// Adds a log entry with any prefix tree.
    pub(crate) fn push(&mut self, timestamp: u64, tree: Model) {
        let root = tree.root();
        self.entries.push(Entry { timestamp, tree, root });
    }

    /// Changes the prefix tree of one log entry and no other.
    pub(crate) fn rewrite(&mut self, position: u64, change: impl FnOnce(&mut Model)) {
        let entry = &mut self.entries[position as usize];
        change(&mut entry.tree);
        entry.root = entry.tree.root();
    }

    /// Takes a version out of one log entry.
    pub(crate) fn hide(&mut self, position: u64, label: &[u8], version: u32) {
        self.rewrite(position, |tree| assert!(tree.0.remove(&search_key(label, version).0).is_some()));
    }

    /// Takes a version out of all log entries from `position` on.
    pub(crate) fn hide_from(&mut self, position: u64, label: &[u8], version: u32) {
        (position..self.size()).for_each(|position| self.hide(position, label, version));
    }

    /// Puts a version into one log entry, whether or not it has another commitment there.
    pub(crate) fn plant(&mut self, position: u64, label: &[u8], version: u32, commitment: Digest) {
        self.rewrite(position, |tree| tree.0.extend([(search_key(label, version).0, commitment)]));
    }

    /// Puts a version into all log entries from `position` on.
    pub(crate) fn plant_from(&mut self, position: u64, label: &[u8], version: u32, commitment: Digest) {
        (position..self.size()).for_each(|position| self.plant(position, label, version, commitment));
    }

    /// What the leaf of a version commits to, with the operator's signature where one is needed.
    pub(crate) fn update_value(&self, label: &[u8], version: u32, value: &[u8]) -> UpdateValue {
        let signature = matches!(self.config.mode, ModeFields::ThirdPartyManagement { .. }).then(|| {
            let (config, label, value) = (self.config.clone(), label.to_vec(), value.to_vec());
            let tbs = UpdateTbs { config, label, version, value };
            operator_key().sign(&tbs.encode().unwrap()).0.to_vec()
        });
        UpdateValue { value: value.to_vec(), suffix: UpdateSuffix { signature } }
    }

    /// The root of the first `size` entries.
    pub(crate) fn root(&self, size: u64) -> Digest {
        let mut appender = Appender::new(self.suite().log_hash());
        for entry in &self.entries[..size as usize] {
            appender.append(self.suite().log_hash().leaf(entry.timestamp, &entry.root));
        }
        appender.root().unwrap()
    }

    /// What signs a head, by any key.
    pub(crate) fn sign_head(&self, key: SigningKey, size: u64, root: Digest) -> Vec<u8> {
        match self.suite() {
            CipherSuite::Draft => {
                let tbs = TreeHeadTbs { config: self.config.clone(), tree_size: size, root };
                key.sign(&tbs.encode().unwrap()).0.to_vec()
            }
            CipherSuite::Tlog => {
                let text = Checkpoint::new(&self.origin(), size, root).unwrap().text();
                format!("{}\n", self.signer(key).sign(&text)).into_bytes()
            }
        }
    }

    /// An auditor's head at `timestamp`, which under 0xF001 is of whole seconds.
    pub(crate) fn auditor_head(&self, timestamp: u64, size: u64, root: Digest) -> AuditorTreeHead {
        let signature = match self.suite() {
            CipherSuite::Draft => {
                let config = self.config.clone();
                let tbs = AuditorTreeHeadTbs { config, timestamp, tree_size: size, root };
                auditor_key().sign(&tbs.encode().unwrap()).0.to_vec()
            }
            CipherSuite::Tlog => {
                let checkpoint = Checkpoint::new(&self.origin(), size, root).unwrap();
                let line = auditor().cosign(&checkpoint, UnixSeconds(timestamp / 1000)).unwrap();
                format!("{line}\n").into_bytes()
            }
        };
        AuditorTreeHead { timestamp, tree_size: size, signature }
    }

    /// The auditor's head of a log whose rightmost `unaudited` entries it has not signed for.
    fn honest_auditor_head(&self) -> Option<AuditorTreeHead> {
        matches!(self.config.mode, ModeFields::ThirdPartyAuditing(_)).then(|| {
            let size = self.size().saturating_sub(self.unaudited).max(1);
            let audited = self.entries[size as usize - 1].timestamp;
            let timestamp = match self.suite() {
                CipherSuite::Draft => audited,
                // A cosigner signs at full seconds, after the entries that it signs for.
                CipherSuite::Tlog => audited.div_ceil(1000) * 1000,
            };
            self.auditor_head(timestamp, size, self.root(size))
        })
    }

    pub(crate) fn head(&self) -> ServedHead {
        let (size, root) = (self.size(), self.root(self.size()));
        ServedHead {
            tree_head: TreeHead { tree_size: size, signature: self.sign_head(log_key(), size, root) },
            auditor_tree_head: self.honest_auditor_head(),
            suite: self.suite(),
            monitoring_window: self.config.reasonable_monitoring_window,
            maximum_lifetime: self.config.maximum_lifetime,
        }
    }
}

impl ProverData for NaiveLog {
    type Error = std::convert::Infallible;

    fn log_entries(&self, positions: &[u64]) -> Result<Vec<LogEntry>, Self::Error> {
        let first = self.first_held();
        let entry = |&position: &u64| {
            assert!(keeps_entry(position, first), "entry {position} is gone, {first} is the first");
            let Entry { timestamp, root, .. } = &self.entries[position as usize];
            LogEntry { timestamp: *timestamp, prefix_tree: *root }
        };
        Ok(positions.iter().map(entry).collect())
    }

    fn log_nodes(&self, nodes: &[NodeId]) -> Result<Vec<Digest>, Self::Error> {
        let mut values = HashMap::new();
        let mut appender = Appender::new(self.suite().log_hash());
        for entry in &self.entries {
            values.extend(appender.append(self.suite().log_hash().leaf(entry.timestamp, &entry.root)));
        }
        Ok(nodes.iter().map(|node| values[node]).collect())
    }

    fn prefix_proof(&self, position: u64, keys: &[VrfOutput]) -> Result<PrefixProof, Self::Error> {
        assert!(position >= self.first_held(), "the prefix tree of entry {position} is gone");
        Ok(self.entries[position as usize].tree.prove(keys))
    }

    fn greatest_below(&self, label: &[u8], size: u64) -> Result<Option<u32>, Self::Error> {
        let Some(versions) = self.labels.get(label) else { return Ok(None) };
        Ok(versions.iter().rev().find(|(_, version)| version.position < size).map(|(version, _)| *version))
    }

    fn position_of(&self, label: &[u8], version: u32) -> Result<u64, Self::Error> {
        Ok(self.labels[label][&version].position)
    }

    fn search_key(&self, label: &[u8], version: u32) -> Result<(VrfOutput, VrfProof), Self::Error> {
        Ok(search_key(label, version))
    }

    fn commitment(&self, label: &[u8], version: u32) -> Result<Digest, Self::Error> {
        let Version { opening, update, .. } = self.labels[label][&version].clone();
        let Some(update) = update else { return Ok([0; 32]) };
        let label = label.to_vec();
        Ok(CommitmentValue { opening, label, version, update }.commitment().unwrap())
    }

    fn opened(&self, label: &[u8], version: u32) -> Result<Option<OpenedVersion>, Self::Error> {
        let Version { opening, update, erased, .. } = self.labels[label][&version].clone();
        Ok(update.filter(|_| !erased).map(|update| OpenedVersion { opening, update }))
    }
}

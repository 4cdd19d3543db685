//! A naive log for tests: every log entry keeps its whole prefix tree, and log nodes are computed from all leaves.

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
    note::{KeyName, NoteSigner},
};

use super::{OpenedVersion, ProverData, ServedHead};
use crate::{
    config::{CipherSuite, Configuration, ModeFields},
    log_tree::{Appender, NodeId},
    prefix_tree::model::Model,
    wire::{
        CommitmentValue, LogEntry, PrefixProof, TreeHead, TreeHeadTbs, UpdateSuffix, UpdateValue, VrfInput,
        Wire,
    },
};

/// A version: where it was created, its opening and its value.
type Version = (u64, [u8; 16], Vec<u8>);

type LabelVersion = (Vec<u8>, u32);

pub(crate) struct NaiveLog {
    pub(crate) config: Configuration,
    key: SigningKey,
    vrf: VrfSecretKey,
    entries: Vec<(u64, Model)>,
    labels: BTreeMap<Vec<u8>, Vec<Version>>,
    keys: RefCell<HashMap<LabelVersion, (VrfOutput, VrfProof)>>,
}

impl NaiveLog {
    pub(crate) fn new(suite: CipherSuite, window: u64, lifetime: Option<u64>) -> Self {
        let key = SigningKey::from_seed(&[1; 32]);
        let vrf = VrfSecretKey::from_seed(&[2; 32]);
        let mut config = Configuration {
            ciphersuite: suite.number(),
            signature_public_key: key.verifying_key().to_bytes().to_vec(),
            vrf_public_key: vrf.public_key().to_bytes().to_vec(),
            mode: ModeFields::ContactMonitoring,
            max_ahead: 1000,
            max_behind: 1_000_000,
            reasonable_monitoring_window: window,
            maximum_lifetime: lifetime,
        };
        if suite == CipherSuite::Tlog {
            let origin = config.origin("log.example").unwrap();
            let signer = NoteSigner::new(KeyName::new(&origin).unwrap(), SigningKey::from_seed(&[1; 32]));
            config.signature_public_key = signer.vkey().to_string().into_bytes();
        }
        Self { config, key, vrf, entries: Vec::new(), labels: BTreeMap::new(), keys: RefCell::default() }
    }

    fn suite(&self) -> CipherSuite {
        CipherSuite::from_number(self.config.ciphersuite).unwrap()
    }

    pub(crate) fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn now(&self) -> u64 {
        self.entries.last().map_or(0, |(timestamp, _)| *timestamp)
    }

    pub(crate) fn greatest(&self, label: &[u8]) -> Option<u32> {
        self.labels.get(label).and_then(|versions| (versions.len() as u32).checked_sub(1))
    }

    pub(crate) fn value(&self, label: &[u8], version: u32) -> &[u8] {
        &self.labels[label][version as usize].2
    }

    pub(crate) fn append(&mut self, timestamp: u64, updates: &[(&[u8], &[u8])]) {
        let mut tree = self.entries.last().map(|(_, tree)| tree.clone()).unwrap_or_default();
        let position = self.size();
        for (label, value) in updates {
            let versions = self.labels.entry(label.to_vec()).or_default();
            let version = versions.len() as u32;
            versions.push((position, [version as u8; 16], value.to_vec()));
            let (key, _) = self.search_key(label, version).unwrap();
            tree.0.insert(key, self.commitment(label, version).unwrap());
        }
        self.entries.push((timestamp, tree));
    }

    /// The root of the first `size` entries.
    fn root(&self, size: u64) -> Digest {
        let mut appender = Appender::new(self.suite().log_hash());
        for (timestamp, tree) in &self.entries[..size as usize] {
            appender.append(self.suite().log_hash().leaf(*timestamp, &tree.root()));
        }
        appender.root().unwrap()
    }

    pub(crate) fn head(&self) -> ServedHead {
        let (size, root) = (self.size(), self.root(self.size()));
        let signature = match self.suite() {
            CipherSuite::Draft => {
                let tbs = TreeHeadTbs { config: self.config.clone(), tree_size: size, root };
                self.key.sign(&tbs.encode().unwrap()).0.to_vec()
            }
            CipherSuite::Tlog => {
                let origin = self.config.origin("log.example").unwrap();
                let text = Checkpoint::new(&origin, size, root).unwrap().text();
                let signer = NoteSigner::new(KeyName::new(&origin).unwrap(), SigningKey::from_seed(&[1; 32]));
                format!("{}\n", signer.sign(&text)).into_bytes()
            }
        };
        ServedHead {
            tree_head: TreeHead { tree_size: size, signature },
            auditor_tree_head: None,
            suite: self.suite(),
            monitoring_window: self.config.reasonable_monitoring_window,
            maximum_lifetime: self.config.maximum_lifetime,
        }
    }
}

impl ProverData for NaiveLog {
    type Error = std::convert::Infallible;

    fn log_entries(&self, positions: &[u64]) -> Result<Vec<LogEntry>, Self::Error> {
        let entry = |&position: &u64| {
            let (timestamp, tree) = &self.entries[position as usize];
            LogEntry { timestamp: *timestamp, prefix_tree: tree.root() }
        };
        Ok(positions.iter().map(entry).collect())
    }

    fn log_nodes(&self, nodes: &[NodeId]) -> Result<Vec<Digest>, Self::Error> {
        let mut values = HashMap::new();
        let mut appender = Appender::new(self.suite().log_hash());
        for (timestamp, tree) in &self.entries {
            values.extend(appender.append(self.suite().log_hash().leaf(*timestamp, &tree.root())));
        }
        Ok(nodes.iter().map(|node| values[node]).collect())
    }

    fn prefix_proof(&self, position: u64, keys: &[VrfOutput]) -> Result<PrefixProof, Self::Error> {
        Ok(self.entries[position as usize].1.prove(keys))
    }

    fn greatest_below(&self, label: &[u8], size: u64) -> Result<Option<u32>, Self::Error> {
        let created =
            |versions: &Vec<Version>| versions.iter().filter(|(position, ..)| *position < size).count();
        Ok(self.labels.get(label).map_or(0, created).checked_sub(1).map(|greatest| greatest as u32))
    }

    fn position_of(&self, label: &[u8], version: u32) -> Result<u64, Self::Error> {
        Ok(self.labels[label][version as usize].0)
    }

    fn search_key(&self, label: &[u8], version: u32) -> Result<(VrfOutput, VrfProof), Self::Error> {
        let mut keys = self.keys.borrow_mut();
        let (output, proof) = keys.entry((label.to_vec(), version)).or_insert_with(|| {
            let input = VrfInput { label: label.to_vec(), version }.encode().unwrap();
            let (proof, output) = self.vrf.prove(&input);
            (output, proof)
        });
        Ok((*output, *proof))
    }

    fn commitment(&self, label: &[u8], version: u32) -> Result<Digest, Self::Error> {
        let (_, opening, value) = &self.labels[label][version as usize];
        let update = UpdateValue { value: value.clone(), suffix: UpdateSuffix::default() };
        Ok(CommitmentValue { opening: *opening, label: label.to_vec(), version, update }
            .commitment()
            .unwrap())
    }

    fn opened(&self, label: &[u8], version: u32) -> Result<Option<OpenedVersion>, Self::Error> {
        let (_, opening, value) = &self.labels[label][version as usize];
        let update = UpdateValue { value: value.clone(), suffix: UpdateSuffix::default() };
        Ok(Some(OpenedVersion { opening: *opening, update }))
    }
}

//! A log in memory, answering with the prover of the draft's algorithms: honest in its proofs, whatever it is told to
//! put into itself.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    time::{SystemTime, UNIX_EPOCH},
};

use keyglass_crypto::{
    hash::Digest,
    sign::SigningKey,
    vrf::{VrfOutput, VrfProof, VrfSecretKey},
};
use keyglass_keytrans::{
    config::{CipherSuite, Configuration, ModeFields},
    log_hash::LogHash,
    log_tree::{Appender, NodeId},
    prefix_tree::{self, Page, PageKey, PageSource, TreeRoot},
    prover::{OpenedVersion, ProverData, ServedHead},
    wire::{
        CommitmentValue, LogEntry, PrefixLeaf, PrefixProof, TreeHead, UpdateSuffix, UpdateValue, VrfInput,
        Wire,
    },
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    handover::Handover,
    note::{KeyName, NoteSigner, SignedNote, Vkey},
    rfc6962,
    tile::{Content, Tile, encode_bundle, encode_tile},
    time::UnixSeconds,
};

/// How long the entries of the log live that comes after the others, in milliseconds: what makes it another log.
const SECOND_LIFETIME: u64 = 2_592_000_000;

pub const WITNESSES: [&str; 3] = ["w1", "w2", "w3"];

/// Milliseconds since the Unix epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

#[derive(Clone)]
struct Version {
    position: u64,
    opening: [u8; 16],
    value: Vec<u8>,
    erased: bool,
}

#[derive(Clone, Default)]
struct Pages(BTreeMap<PageKey, Page>);

impl PageSource for Pages {
    type Error = Infallible;

    fn pages(&self, keys: &[PageKey]) -> Result<Vec<Page>, Infallible> {
        Ok(keys.iter().map(|key| self.0[key].clone()).collect())
    }
}

#[derive(Clone)]
pub struct TestLog {
    entries: Vec<(u64, TreeRoot)>,
    pages: Pages,
    labels: BTreeMap<Vec<u8>, Vec<Version>>,
    /// The witnesses that cosign, by their numbers.
    pub cosigning: Vec<usize>,
    /// What is added to the clock for new entries.
    skew: i64,
    /// How long its entries live, in milliseconds, if not for ever.
    lifetime: Option<u64>,
}

impl TestLog {
    /// A log with one entry.
    pub fn new() -> Self {
        Self::with_skew(0)
    }

    /// A log with one entry, whose entries live so many milliseconds.
    pub fn with_lifetime(lifetime: u64) -> Self {
        Self { lifetime: Some(lifetime), ..Self::new() }
    }

    /// The log that comes after the others, with one entry.
    pub fn second() -> Self {
        Self::with_lifetime(SECOND_LIFETIME)
    }

    /// Declares the end of the log as it is.
    pub fn hand_over(&self, to: Vkey) -> Handover {
        let last = SignedNote::parse(self.note().as_bytes()).unwrap();
        Handover::declare(&signer(&self.own_origin()), last, to).unwrap()
    }

    /// A log with one entry, whose clock is off by so many milliseconds.
    pub fn with_skew(skew: i64) -> Self {
        let mut log = Self {
            entries: Vec::new(),
            pages: Pages::default(),
            labels: BTreeMap::new(),
            cosigning: vec![0, 1, 2],
            skew,
            lifetime: None,
        };
        log.append(&[]);
        log
    }

    fn vrf() -> VrfSecretKey {
        VrfSecretKey::from_seed(&[2; 32])
    }

    pub fn configuration() -> Configuration {
        Self::configuration_with(None)
    }

    /// The configuration of a log whose entries live so many milliseconds.
    fn configuration_with(maximum_lifetime: Option<u64>) -> Configuration {
        let mut config = Configuration {
            ciphersuite: CipherSuite::Tlog.number(),
            signature_public_key: Vec::new(),
            vrf_public_key: Self::vrf().public_key().to_bytes().to_vec(),
            mode: ModeFields::ContactMonitoring,
            max_ahead: 10_000,
            max_behind: 600_000,
            reasonable_monitoring_window: 86_400_000,
            maximum_lifetime,
        };
        let origin = config.origin("log.example").unwrap();
        config.signature_public_key = signer(&origin).vkey().to_string().into_bytes();
        config
    }

    pub fn origin() -> String {
        Self::configuration().origin("log.example").unwrap()
    }

    /// This log's own configuration.
    pub fn config(&self) -> Configuration {
        Self::configuration_with(self.lifetime)
    }

    fn own_origin(&self) -> String {
        self.config().origin("log.example").unwrap()
    }

    /// This log's own policy.
    pub fn own_policy(&self) -> String {
        policy_for(&signer(&self.own_origin()).vkey().to_string())
    }

    pub fn vkey() -> String {
        signer(&Self::origin()).vkey().to_string()
    }

    /// A policy in which two of the three witnesses suffice.
    pub fn policy() -> String {
        policy_for(&Self::vkey())
    }

    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn greatest(&self, label: &[u8]) -> Option<u32> {
        self.labels.get(label).map(|versions| versions.len() as u32 - 1)
    }

    pub fn value(&self, label: &[u8], version: u32) -> &[u8] {
        &self.labels[label][version as usize].value
    }

    /// Adds a log entry with one more version of each label.
    pub fn append(&mut self, updates: &[(&[u8], Vec<u8>)]) {
        let position = self.size();
        let mut leaves = Vec::new();
        for (label, value) in updates {
            let versions = self.labels.entry(label.to_vec()).or_default();
            let version = versions.len() as u32;
            let (opening, value) = ([version as u8; 16], value.clone());
            versions.push(Version { position, opening, value, erased: false });
            let (vrf_output, _) = self.search_key(label, version).unwrap();
            leaves.push(PrefixLeaf { vrf_output, commitment: self.commitment(label, version).unwrap() });
        }
        leaves.sort_by_key(|leaf| leaf.vrf_output);
        let root = self.entries.last().map_or(TreeRoot::EMPTY, |(_, root)| *root);
        let next = prefix_tree::insert(&self.pages, &root, position, &leaves).unwrap();
        self.pages.0.extend(next.pages);
        let timestamp = now().saturating_add_signed(self.skew);
        self.entries.push((timestamp, next.root));
    }

    /// Adds empty entries until there are so many.
    pub fn grow_to(&mut self, size: u64) {
        while self.size() < size {
            self.append(&[]);
        }
    }

    /// Forgets a version's opening and value.
    pub fn erase(&mut self, label: &[u8], version: u32) {
        self.labels.get_mut(label).unwrap()[version as usize].erased = true;
    }

    /// Adds a log entry in which the newest version of a label is gone, as if it had never been.
    pub fn hide_newest(&mut self, label: &[u8]) {
        self.labels.get_mut(label).unwrap().pop().unwrap();
        let mut leaves = Vec::new();
        for (label, versions) in &self.labels {
            for version in 0..versions.len() as u32 {
                let (vrf_output, _) = self.search_key(label, version).unwrap();
                leaves.push(PrefixLeaf { vrf_output, commitment: self.commitment(label, version).unwrap() });
            }
        }
        leaves.sort_by_key(|leaf| leaf.vrf_output);
        let next = prefix_tree::insert(&self.pages, &TreeRoot::EMPTY, self.size(), &leaves).unwrap();
        self.pages.0.extend(next.pages);
        self.entries.push((now().saturating_add_signed(self.skew), next.root));
    }

    fn nodes(&self) -> (HashMap<NodeId, Digest>, Digest) {
        let mut nodes = HashMap::new();
        let mut appender = Appender::new(LogHash::Rfc6962);
        for (timestamp, root) in &self.entries {
            nodes.extend(appender.append(LogHash::Rfc6962.leaf(*timestamp, root.value())));
        }
        (nodes, appender.root().unwrap())
    }

    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(&self.own_origin(), self.size(), self.nodes().1).unwrap()
    }

    /// The signature lines of the head.
    pub fn lines(&self) -> String {
        let checkpoint = self.checkpoint();
        let mut lines = format!("{}\n", signer(&self.own_origin()).sign(&checkpoint.text()));
        for &n in &self.cosigning {
            let time = UnixSeconds(now() / 1000);
            lines.push_str(&format!("{}\n", witness(n).cosign(&checkpoint, time).unwrap()));
        }
        lines
    }

    /// The head as a note.
    pub fn note(&self) -> String {
        format!("{}\n{}", self.checkpoint().text(), self.lines())
    }

    pub fn head(&self) -> ServedHead {
        let config = self.config();
        ServedHead {
            tree_head: TreeHead { tree_size: self.size(), signature: self.lines().into_bytes() },
            auditor_tree_head: None,
            suite: CipherSuite::Tlog,
            monitoring_window: config.reasonable_monitoring_window,
            maximum_lifetime: config.maximum_lifetime,
        }
    }

    /// The bytes of an entry.
    pub fn entry(&self, index: usize) -> Vec<u8> {
        let (timestamp, root) = &self.entries[index];
        [timestamp.to_be_bytes().as_slice(), root.value()].concat()
    }

    /// A tile of hashes or a bundle, if the log has it.
    pub fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let tile: Tile = path.parse().ok()?;
        if !tile.fits(self.size()) {
            return None;
        }
        let Content::Hashes { level } = tile.content() else {
            let first = tile.index() as usize * 256;
            let entries: Vec<_> =
                (first..first + usize::from(tile.width())).map(|index| self.entry(index)).collect();
            return Some(encode_bundle(entries.iter().map(Vec::as_slice)).unwrap());
        };
        let per_hash = 256_usize.pow(level.into());
        let first = tile.index() as usize * 256 * per_hash;
        let entries = &self.entries[first..first + usize::from(tile.width()) * per_hash];
        let hashes: Vec<Digest> = entries
            .chunks(per_hash)
            .map(|entries| {
                let mut tree = rfc6962::CompactTree::new();
                for (timestamp, root) in entries {
                    let entry = [timestamp.to_be_bytes().as_slice(), root.value()].concat();
                    tree.append(rfc6962::leaf_hash(&entry)).unwrap();
                }
                tree.root()
            })
            .collect();
        Some(encode_tile(&hashes))
    }
}

/// One of two logs of one operator, whose configurations differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The log of almost all tests.
    First,
    /// The one that comes after it.
    Second,
}

impl Which {
    pub fn configuration(self) -> Configuration {
        TestLog::configuration_with((self == Self::Second).then_some(SECOND_LIFETIME))
    }

    pub fn origin(self) -> String {
        self.configuration().origin("log.example").unwrap()
    }

    pub fn vkey(self) -> Vkey {
        signer(&self.origin()).vkey().clone()
    }

    pub fn policy(self) -> String {
        policy_for(&self.vkey().to_string())
    }
}

fn policy_for(vkey: &str) -> String {
    let lines: Vec<String> =
        (0..3).map(|n| format!("witness {} {}", WITNESSES[n], witness(n).vkey())).collect();
    format!("log {vkey}\n{}\ngroup all 2 w1 w2 w3\nquorum all\n", lines.join("\n"))
}

fn signer(origin: &str) -> NoteSigner {
    NoteSigner::new(KeyName::new(origin).unwrap(), SigningKey::from_seed(&[1; 32]))
}

fn witness(n: usize) -> Cosigner {
    let name = KeyName::new(&format!("{}.example", WITNESSES[n])).unwrap();
    Cosigner::new(name, SigningKey::from_seed(&[100 + n as u8; 32]))
}

impl ProverData for TestLog {
    type Error = Infallible;

    fn log_entries(&self, positions: &[u64]) -> Result<Vec<LogEntry>, Infallible> {
        let entry = |&position: &u64| {
            let (timestamp, root) = &self.entries[position as usize];
            LogEntry { timestamp: *timestamp, prefix_tree: *root.value() }
        };
        Ok(positions.iter().map(entry).collect())
    }

    fn log_nodes(&self, nodes: &[NodeId]) -> Result<Vec<Digest>, Infallible> {
        let (values, _) = self.nodes();
        Ok(nodes.iter().map(|node| values[node]).collect())
    }

    fn prefix_proof(&self, position: u64, keys: &[VrfOutput]) -> Result<PrefixProof, Infallible> {
        Ok(prefix_tree::prove(&self.pages, &self.entries[position as usize].1, keys).unwrap())
    }

    fn greatest_below(&self, label: &[u8], size: u64) -> Result<Option<u32>, Infallible> {
        let created = |versions: &Vec<Version>| versions.iter().filter(|v| v.position < size).count();
        Ok(self.labels.get(label).map_or(0, created).checked_sub(1).map(|greatest| greatest as u32))
    }

    fn position_of(&self, label: &[u8], version: u32) -> Result<u64, Infallible> {
        Ok(self.labels[label][version as usize].position)
    }

    fn search_key(&self, label: &[u8], version: u32) -> Result<(VrfOutput, VrfProof), Infallible> {
        let input = VrfInput { label: label.to_vec(), version }.encode().unwrap();
        let (proof, output) = Self::vrf().prove(&input);
        Ok((output, proof))
    }

    fn commitment(&self, label: &[u8], version: u32) -> Result<Digest, Infallible> {
        let Version { opening, value, .. } = &self.labels[label][version as usize];
        let update = UpdateValue { value: value.clone(), suffix: UpdateSuffix::default() };
        Ok(CommitmentValue { opening: *opening, label: label.to_vec(), version, update }
            .commitment()
            .unwrap())
    }

    fn opened(&self, label: &[u8], version: u32) -> Result<Option<OpenedVersion>, Infallible> {
        let Version { opening, value, erased, .. } = &self.labels[label][version as usize];
        if *erased {
            return Ok(None);
        }
        let update = UpdateValue { value: value.clone(), suffix: UpdateSuffix::default() };
        Ok(Some(OpenedVersion { opening: *opening, update }))
    }
}

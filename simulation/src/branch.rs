//! One history of the log: the real trees, store, signer and prover, and the rule that nothing is served before a quorum has
//! cosigned it. A log that lies has several branches.

use std::sync::Arc;

use keyglass_account::problem::Problem;
use keyglass_crypto::{
    hash::Digest,
    vrf::{VrfOutput, VrfProof},
};
use keyglass_keytrans::{
    config::CipherSuite,
    log_hash::LogHash,
    log_tree::NodeId,
    prover::{self, OpenedVersion, ProverData, ProverError, ServedHead},
    wire::{
        ContactMonitorRequest, DistinguishedRequest, LogEntry, OwnerInitRequest, OwnerMonitorRequest,
        PrefixProof, SearchRequest, TreeHead, UpdateRequest, Wire as _,
    },
};
use keyglass_log_server::{
    http::failure::Failure,
    log::Limits,
    log_tree,
    pages::{Pages, TopPages},
    proofs::{DataError, ProofCache, SnapshotData},
    published::Published,
    publisher::{Cosignatures, OwnSignature, SignedHead, to_publish},
    sequencer::entry::{self, NewVersions, Trees},
    store::{Batch, OpenedValue, PublishedHead, Snapshot, Store, memory::MemoryStore},
};
use keyglass_tlog::{
    note::SignedNote,
    time::{UnixMillis, UnixSeconds},
    witness::AddCheckpoint,
};
use keyglass_witness::decide::Refusal;

use crate::{
    clock::PartyClock,
    dice::Dice,
    setting::{WITNESSES, setting},
    witness::Witness,
};

/// A question to the log.
#[derive(Debug, Clone)]
pub enum Question {
    /// A search.
    Search(SearchRequest),
    /// Contact monitoring.
    Contact(ContactMonitorRequest),
    /// To begin owning a label.
    OwnerInit(OwnerInitRequest),
    /// Owner monitoring.
    Owner(OwnerMonitorRequest),
    /// The distinguished heads.
    Distinguished(DistinguishedRequest),
}

impl Question {
    /// The size of the head that the asker retains.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        match self {
            Self::Search(request) => request.last,
            Self::Contact(request) => request.last,
            Self::OwnerInit(request) => request.last,
            Self::Owner(request) => request.last,
            Self::Distinguished(request) => request.last,
        }
    }
}

/// New versions of labels, with their values.
pub type Updates = Vec<(Vec<u8>, Vec<u8>)>;

/// One history of the log.
pub struct Branch {
    store: Arc<MemoryStore>,
    published: Arc<Published>,
    trees: Trees,
    proofs: ProofCache,
    journal: Vec<Batch>,
    heads: Vec<PublishedHead>,
    /// The witnesses that are asked.
    pub asks: Vec<usize>,
    /// The size that each witness cosigned last, as far as the log remembers.
    sizes: [u64; WITNESSES],
}

fn proof_cache() -> ProofCache {
    let limits = Limits { vrf_proofs: 1, pages: 256, readers: 1, ..Limits::default() };
    ProofCache::new(Arc::clone(&setting().vrf), &limits)
}

impl Default for Branch {
    fn default() -> Self {
        let store = Arc::new(MemoryStore::default());
        let published = Arc::new(Published::open(&*store).unwrap());
        let trees = Trees::open(&*store.snapshot().unwrap(), LogHash::Rfc6962).unwrap();
        Self {
            store,
            published,
            trees,
            proofs: proof_cache(),
            journal: Vec::new(),
            heads: Vec::new(),
            asks: (0..WITNESSES).collect(),
            sizes: [0; WITNESSES],
        }
    }
}

impl Branch {
    /// Another history that agrees with this one in its published entries and asks these witnesses.
    #[must_use]
    pub fn fork(&self, asks: Vec<usize>) -> Self {
        let mut other = Self { asks, ..Self::default() };
        let size = self.published_size() as usize;
        for batch in &self.journal[..size] {
            other.store.commit(other.journal.len() as u64, batch).unwrap();
            other.journal.push(batch.clone());
        }
        other.heads.clone_from(&self.heads);
        if let Some(head) = self.heads.last() {
            other.published.publish(&*other.store, head.clone()).unwrap();
        }
        other.restart();
        other
    }

    /// Goes on with what is durable, as after a crash.
    pub fn restart(&mut self) {
        self.published = Arc::new(Published::open(&*self.store).unwrap());
        self.trees = Trees::open(&*self.store.snapshot().unwrap(), LogHash::Rfc6962).unwrap();
        self.proofs = proof_cache();
        self.sizes = [0; WITNESSES];
    }

    /// Where it is stored.
    #[must_use]
    pub fn store(&self) -> &Arc<MemoryStore> {
        &self.store
    }

    /// What it has published.
    #[must_use]
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// All heads that it ever published, the oldest first.
    #[must_use]
    pub fn heads(&self) -> &[PublishedHead] {
        &self.heads
    }

    /// The sequenced size.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.trees.size()
    }

    /// The published size.
    #[must_use]
    pub fn published_size(&self) -> u64 {
        self.heads.last().map_or(0, |head| head.size)
    }

    /// The timestamp of the last sequenced entry.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.trees.timestamp()
    }

    /// The timestamp of the last published entry; 0 without any.
    #[must_use]
    pub fn published_time(&self) -> u64 {
        let last = (self.published_size() as usize).checked_sub(1);
        last.map_or(0, |last| self.journal[last].entry.timestamp)
    }

    /// The greatest version of a label in the first `size` entries.
    #[must_use]
    pub fn published_version(&self, label: &str, size: u64) -> Option<u32> {
        self.store.snapshot().unwrap().greatest_below(label.as_bytes(), size).unwrap()
    }

    /// Makes one durable log entry, and gives the versions that it has.
    pub fn sequence(&mut self, updates: Updates, now: UnixMillis, dice: &mut Dice) -> Vec<u32> {
        let snapshot = self.store.snapshot().unwrap();
        let mut greatest = Vec::new();
        let mut versions = Vec::new();
        for (label, value) in updates {
            let record = snapshot.label(&label).unwrap();
            let first = record.as_ref().map_or(0, |record| record.greatest() + 1);
            let opened = OpenedValue { opening: dice.bytes(), value };
            let leaf = entry::leaf(&setting().vrf, &label, first, &opened).unwrap();
            versions.push(NewVersions { label, record, first, values: vec![opened], leaves: vec![leaf] });
            greatest.push(first);
        }
        let top = TopPages::default();
        let source = Pages::new(&*snapshot, &top);
        let (batch, trees) = self.trees.extended(&source, now, versions, false).unwrap();
        drop(snapshot);
        self.store.commit(self.trees.size(), &batch).unwrap();
        self.journal.push(batch);
        self.trees = trees;
        greatest
    }

    /// Signs the newest head.
    #[must_use]
    pub fn sign(&self) -> SignedHead {
        let size = self.trees.size();
        let root = log_tree::root(&*self.store.snapshot().unwrap(), LogHash::Rfc6962, size).unwrap().unwrap();
        setting().signer.sign(size, root, UnixSeconds(self.trees.timestamp() / 1000)).unwrap()
    }

    /// Asks the witnesses for cosignatures of a head.
    pub fn cosign(
        &mut self,
        head: &SignedHead,
        witnesses: &mut [Witness],
        down: &[bool; WITNESSES],
    ) -> Cosignatures {
        let OwnSignature::Checkpoint(checkpoint, lines) = &head.signature else { unreachable!() };
        let note = SignedNote::new(&checkpoint.text(), lines.clone()).unwrap();
        let mut cosignatures = Cosignatures::new();
        for index in self.asks.clone().into_iter().filter(|index| !down[*index]) {
            // A witness that says that it is elsewhere is asked once more from there.
            for _ in 0..2 {
                let old = self.sizes[index];
                let snapshot = self.store.snapshot().unwrap();
                let Some(proof) = log_tree::consistency_proof(&*snapshot, old, head.size).unwrap() else {
                    break;
                };
                let request = AddCheckpoint::new(old, proof, note.clone()).unwrap();
                match witnesses[index].add_checkpoint(request) {
                    Ok(line) => {
                        self.sizes[index] = head.size;
                        let name = setting().policy.witnesses()[index].name().clone();
                        cosignatures.insert(name, line);
                        break;
                    }
                    Err(Refusal::Conflict { latest }) => self.sizes[index] = latest,
                    Err(_) => break,
                }
            }
        }
        cosignatures
    }

    /// Publishes a head if a quorum has cosigned it; says whether it did.
    pub fn publish(&mut self, head: &SignedHead, cosignatures: &Cosignatures) -> bool {
        let Some(head) = to_publish(head, &setting().policy, cosignatures) else { return false };
        if self.published.publish(&*self.store, head.clone()).is_err() {
            return false;
        }
        if self.heads.last().is_some_and(|last| last.size == head.size) {
            self.heads.pop();
        }
        self.heads.push(head);
        true
    }

    /// Serves a head for which there is no quorum: what an honest log never does.
    pub fn serve_unwitnessed(&mut self, head: &SignedHead) {
        let OwnSignature::Checkpoint(_, lines) = &head.signature else { unreachable!() };
        let signature = keyglass_tlog::note::format_signature_lines(lines).into_bytes();
        self.heads.push(PublishedHead { size: head.size, root: head.root, signature });
    }

    /// Answers a question under one of the heads that were published.
    ///
    /// # Errors
    /// Those of the real log.
    pub fn answer(&self, head: usize, question: &Question) -> Result<Vec<u8>, Problem> {
        let head = served(self.heads.get(head).ok_or(Problem::NotPublished)?);
        let snapshot = self.store.snapshot().unwrap();
        let data = Data(SnapshotData::new(&*snapshot, &self.proofs));
        let answer = match question {
            Question::Search(request) => prover::search(&data, &head, request).map(|a| a.encode()),
            Question::Contact(request) => prover::contact_monitor(&data, &head, request).map(|a| a.encode()),
            Question::OwnerInit(request) => prover::owner_init(&data, &head, request).map(|a| a.encode()),
            Question::Owner(request) => prover::owner_monitor(&data, &head, request).map(|a| a.encode()),
            Question::Distinguished(request) => {
                prover::distinguished(&data, &head, request).map(|a| a.encode())
            }
        };
        answer.map(|bytes| bytes.unwrap()).map_err(problem)
    }

    /// Tells of the versions that an owner does not know yet, under the published head.
    ///
    /// # Errors
    /// Those of the real log.
    pub fn tell(&self, request: &UpdateRequest, created: Option<u32>) -> Result<Vec<u8>, Problem> {
        let head = served(self.heads.last().ok_or(Problem::NotPublished)?);
        let snapshot = self.store.snapshot().unwrap();
        let data = Data(SnapshotData::new(&*snapshot, &self.proofs));
        let responses = prover::update_responses(&data, &head, request, created).map_err(problem)?;
        Ok(responses.iter().flat_map(|response| response.encode().unwrap()).collect())
    }

    /// The root of the first `size` entries; `None` if there are not as many.
    #[must_use]
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        let snapshot = self.store.snapshot().unwrap();
        log_tree::root(&*snapshot, LogHash::Rfc6962, size).ok().flatten()
    }

    /// A node of the log tree, as tiles have it.
    #[must_use]
    pub fn node(&self, level: u8, index: u64) -> Option<Digest> {
        let id = NodeId::new(level, index)?;
        self.store.snapshot().unwrap().nodes(&[id]).unwrap().pop().flatten()
    }
}

/// A head as provers take it.
fn served(head: &PublishedHead) -> ServedHead {
    let configuration = &setting().configuration;
    ServedHead {
        tree_head: TreeHead { tree_size: head.size, signature: head.signature.clone() },
        auditor_tree_head: None,
        suite: CipherSuite::Tlog,
        monitoring_window: configuration.reasonable_monitoring_window,
        maximum_lifetime: configuration.maximum_lifetime,
    }
}

fn problem(error: ProverError<DataError>) -> Problem {
    Failure::from(error).problem()
}

/// What the log holds, with VRF proofs that all histories share.
struct Data<'a>(SnapshotData<'a>);

impl ProverData for Data<'_> {
    type Error = DataError;

    fn log_entries(&self, positions: &[u64]) -> Result<Vec<LogEntry>, DataError> {
        self.0.log_entries(positions)
    }

    fn log_nodes(&self, nodes: &[NodeId]) -> Result<Vec<Digest>, DataError> {
        self.0.log_nodes(nodes)
    }

    fn prefix_proof(&self, position: u64, keys: &[VrfOutput]) -> Result<PrefixProof, DataError> {
        self.0.prefix_proof(position, keys)
    }

    fn greatest_below(&self, label: &[u8], size: u64) -> Result<Option<u32>, DataError> {
        self.0.greatest_below(label, size)
    }

    fn position_of(&self, label: &[u8], version: u32) -> Result<u64, DataError> {
        self.0.position_of(label, version)
    }

    fn search_key(&self, label: &[u8], version: u32) -> Result<(VrfOutput, VrfProof), DataError> {
        Ok(setting().search_key(label, version))
    }

    fn commitment(&self, label: &[u8], version: u32) -> Result<Digest, DataError> {
        self.0.commitment(label, version)
    }

    fn opened(&self, label: &[u8], version: u32) -> Result<Option<OpenedVersion>, DataError> {
        self.0.opened(label, version)
    }
}

/// The label's newest record in a snapshot, for those who add versions.
#[must_use]
pub fn greatest(snapshot: &dyn Snapshot, label: &[u8]) -> Option<u32> {
    snapshot.label(label).unwrap().map(|record| record.greatest())
}

/// A server's clock at one moment.
#[must_use]
pub fn at(clock: &PartyClock) -> UnixMillis {
    use keyglass_log_server::clock::Clock as _;
    clock.now()
}

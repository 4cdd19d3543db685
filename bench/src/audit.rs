//! What an auditor verifies of one batch of new labels, beside akd's audit of an epoch that adds as many, in the same run.

use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use akd::{
    AkdLabel, AkdValue, Directory, EpochHash, WhatsAppV1Configuration,
    append_only_zks::AzksParallelismConfig,
    proto::specs::types::AppendOnlyProof,
    storage::{StorageManager, memory::AsyncInMemoryDatabase},
};
use keyglass_crypto::hash::sha256;
use keyglass_keytrans::{
    audit::AuditedLog,
    config::DeploymentMode,
    log_hash::LogHash,
    prefix_tree::{NextVersion, Page, PageKey, PageSource, SearchKey, TreeRoot, insert, prove},
    wire::{BatchAuditorUpdate, BatchPrefixProof, Context, LogEntry, PrefixLeaf, Wire as _},
};
use protobuf::Message as _;

use crate::{grouped, peer::Vrf};

type Config = WhatsAppV1Configuration;

/// How often each proof is verified, one after the other in turn.
const ROUNDS: usize = 15;
/// The labels of an epoch that only fills the directory.
const EPOCH: u64 = 10_000;
/// The Reasonable Monitoring Window, in milliseconds.
const WINDOW: u64 = 86_400_000;

/// Pages in memory.
#[derive(Default)]
struct Memory(HashMap<PageKey, Page>);

#[derive(Debug)]
struct Missing;

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no such page")
    }
}

impl std::error::Error for Missing {}

impl PageSource for Memory {
    type Error = Missing;

    fn pages(&self, keys: &[PageKey]) -> Result<Vec<Page>, Missing> {
        keys.iter().map(|key| self.0.get(key).cloned().ok_or(Missing)).collect()
    }
}

impl Memory {
    fn keep(&mut self, next: NextVersion) -> TreeRoot {
        for page in next.superseded {
            self.0.remove(&page);
        }
        self.0.extend(next.pages);
        next.root
    }
}

fn leaves(numbers: std::ops::Range<u64>) -> Vec<PrefixLeaf> {
    let leaf = |number: u64| {
        let vrf_output = sha256(&[&number.to_be_bytes()]);
        PrefixLeaf { vrf_output, commitment: sha256(&[&vrf_output]) }
    };
    let mut leaves: Vec<PrefixLeaf> = numbers.map(leaf).collect();
    leaves.sort_unstable_by_key(|leaf| leaf.vrf_output);
    leaves
}

/// A log whose tree has `labels` keys, and the encoded update that adds `batch` more.
fn ours(labels: u64, batch: u64) -> (AuditedLog, Vec<u8>) {
    let (mut memory, mut root) = (Memory::default(), TreeRoot::EMPTY);
    for (position, first) in (0..labels).step_by(50_000).enumerate() {
        let new = leaves(first..labels.min(first + 50_000));
        root = memory.keep(insert(&memory, &root, position as u64, &new).unwrap());
    }
    let hash = LogHash::Rfc6962;
    let entry = LogEntry { timestamp: 1, prefix_tree: *root.value() };
    let leaf = hash.leaf(entry.timestamp, &entry.prefix_tree);
    let log = AuditedLog::resume(hash, WINDOW, 1, &[leaf], &[(0, entry)]).unwrap();
    let added = leaves(labels..labels + batch);
    let keys: Vec<SearchKey> = added.iter().map(|leaf| leaf.vrf_output).collect();
    let proof = prove(&memory, &root, &keys).unwrap();
    let proof = BatchPrefixProof { results: proof.results, elements: proof.elements };
    (log, BatchAuditorUpdate { timestamp: 2, added, removed: Vec::new(), proof }.encode().unwrap())
}

fn label(number: u64) -> AkdLabel {
    AkdLabel::from(format!("user-{number}@example.org").as_str())
}

/// Measures both and prints a table.
pub fn run(labels: u64, batch: u64) {
    let (log, update) = ours(labels, batch);
    let context = Context::new(DeploymentMode::ThirdPartyAuditing);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (hashes, encoded) = runtime.block_on(async {
        let storage = StorageManager::new_no_cache(AsyncInMemoryDatabase::new());
        let directory: Directory<Config, _, _> =
            Directory::new(storage, Vrf, AzksParallelismConfig::default()).await.unwrap();
        let publish = async |numbers: std::ops::Range<u64>| {
            let new = numbers.map(|number| (label(number), AkdValue(vec![7; 32]))).collect();
            directory.publish(new).await.unwrap()
        };
        let mut before = None;
        for first in (0..labels).step_by(EPOCH as usize) {
            before = Some(publish(first..labels.min(first + EPOCH)).await);
        }
        let (EpochHash(from, before), EpochHash(to, after)) =
            (before.unwrap(), publish(labels..labels + batch).await);
        let proof = directory.audit(from, to).await.unwrap();
        (vec![before, after], AppendOnlyProof::from(&proof).write_to_bytes().unwrap())
    });
    let (mut of_ours, mut of_akd) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut log = log.clone();
        let decoded = BatchAuditorUpdate::decode(&update, context).unwrap();
        black_box(log.apply(&decoded, |_| None).unwrap());
        of_ours.push(began.elapsed());
        let began = Instant::now();
        let proof = AppendOnlyProof::parse_from_bytes(&encoded).unwrap();
        let proof = akd::AppendOnlyProof::try_from(&proof).unwrap();
        runtime.block_on(akd::auditor::audit_verify::<Config>(hashes.clone(), proof)).unwrap();
        of_akd.push(began.elapsed());
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (ours, akd) = (median(of_ours), median(of_akd));
    println!(
        "| {} labels onto {} | Bytes | a label | Decoded and verified in | Labels a second |",
        grouped(batch),
        grouped(labels)
    );
    println!("|---|---|---|---|---|");
    for (who, bytes, time) in
        [("Keyglass, one thread", update.len(), ours), ("akd 0.13, two threads", encoded.len(), akd)]
    {
        println!(
            "| {who} | {} | {} | {:.1} ms | {} |",
            grouped(bytes as u64),
            bytes as u64 / batch,
            time.as_secs_f64() * 1e3,
            grouped((batch as f64 / time.as_secs_f64()) as u64)
        );
    }
    println!("\n{:.1} times as fast", akd.as_secs_f64() / ours.as_secs_f64());
}

//! Durable insertion of new labels into a log of 100,000 labels in RocksDB, search responses from it, and what a user does
//! to verify one under a quorum of three witnesses. `KEYGLASS_BENCH_LABELS` says how many labels there are instead.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    missing_docs
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use keyglass_crypto::{sign::SigningKey, vrf::VrfSecretKey};
use keyglass_keytrans::{
    client::{UserState, Verifier},
    config::{CipherSuite, Configuration, ModeFields},
    log_hash::LogHash,
    prover::{self, ServedHead},
    wire::{SearchRequest, TreeHead, Wire as _},
};
use keyglass_log_server::{
    clock::{Clock as _, SystemClock},
    log::Limits,
    log_tree,
    proofs::{ProofCache, SnapshotData},
    sequencer::{Parts, Sequenced, Sequencer, Settings},
    store::{Store, rocksdb::RocksStore},
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{self, KeyName, NoteSigner},
};
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::sync::{oneshot, watch};

/// How many labels the log has at first; a multiple of [`FILLING`].
fn labels() -> u64 {
    std::env::var("KEYGLASS_BENCH_LABELS").map_or(100_000, |text| text.parse().unwrap())
}

/// The versions of an entry that only fills the log.
const FILLING: u64 = 10_000;
/// About the size of an account record with two devices.
const VALUE: usize = 600;

fn label(number: u64) -> Vec<u8> {
    format!("user-{number}@example.org").into_bytes()
}

/// A sequencer whose batches have exactly `batch` versions.
fn sequencer(store: &Arc<dyn Store>, vrf: &Arc<VrfSecretKey>, batch: usize) -> Sequencer {
    let parts = Parts {
        store: Arc::clone(store),
        vrf: Arc::clone(vrf),
        log_hash: LogHash::Rfc6962,
        clock: Arc::new(SystemClock),
        rng: Box::new(StdRng::seed_from_u64(1)),
    };
    let hour = Duration::from_secs(3600);
    let settings = Settings { window: hour, max_versions: batch, heartbeat: hour, ..Settings::default() };
    Sequencer::start(parts, &settings, watch::Sender::default()).unwrap()
}

/// Hands in `count` new labels.
fn submit(sequencer: &Sequencer, first: u64, count: usize) -> Vec<oneshot::Receiver<Sequenced>> {
    let submit = |number| sequencer.admit(&label(number)).unwrap().submit(vec![vec![7; VALUE]]).unwrap();
    (first..).take(count).map(submit).collect()
}

/// Adds `batches` batches of new labels, one while the one before is being committed, until all are durable.
fn add(sequencer: &Sequencer, first: u64, batch: usize, batches: u64) {
    let mut before = Vec::new();
    for number in 0..batches {
        let waiting = submit(sequencer, first + number * batch as u64, batch);
        wait(core::mem::replace(&mut before, waiting));
    }
    wait(before);
}

fn wait(waiting: Vec<oneshot::Receiver<Sequenced>>) {
    for receiver in waiting {
        receiver.blocking_recv().unwrap();
    }
}

fn bench(c: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(RocksStore::create(&directory.path().join("db"), &[0; 32]).unwrap());
    let vrf = Arc::new(VrfSecretKey::from_seed(&[3; 32]));
    let mut next = 0;
    let labels = labels();
    let filling = sequencer(&store, &vrf, FILLING as usize);
    let began = Instant::now();
    add(&filling, next, FILLING as usize, labels / FILLING);
    next += labels;
    println!("filled with {labels} labels, {:.0} a second", labels as f64 / began.elapsed().as_secs_f64());
    drop(filling);

    let mut group = c.benchmark_group(format!("durable insertion onto {labels} labels"));
    for batch in [1_000, 10_000, 100_000] {
        let sequencer = sequencer(&store, &vrf, batch);
        group.sample_size(10).throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::from_parameter(batch), |b| {
            b.iter_custom(|iterations| {
                let began = Instant::now();
                add(&sequencer, next, batch, iterations);
                next += batch as u64 * iterations;
                began.elapsed()
            });
        });
    }
    group.finish();

    let user = User::new(&vrf);
    let size = store.snapshot().unwrap().size().unwrap();
    // What a response costs depends on both: how many entries it proves, and how deep in their trees.
    println!("the log has {size} entries and {next} labels now; memory {} MiB at the peak", peak_memory());
    let head = ServedHead {
        tree_head: TreeHead { tree_size: size, signature: user.signature(&store, size) },
        auditor_tree_head: None,
        suite: CipherSuite::Tlog,
        monitoring_window: 86_400_000,
        maximum_lifetime: None,
    };
    let search = |proofs: &ProofCache, number: u64| {
        let snapshot = store.snapshot().unwrap();
        let request = SearchRequest { last: None, label: label(number), version: None };
        let response = prover::search(&SnapshotData::new(&*snapshot, proofs), &head, &request).unwrap();
        response.encode().unwrap()
    };
    let mut group = c.benchmark_group("search response");
    group.throughput(Throughput::Elements(1));
    let nothing = ProofCache::new(Arc::clone(&vrf), &Limits { vrf_proofs: 1, pages: 1, ..Limits::default() });
    let mut number = 0;
    group.bench_function("cold: VRF proofs computed, pages read", |b| {
        b.iter(|| {
            number = (number + 7919) % labels;
            search(&nothing, number)
        });
    });
    let everything = ProofCache::new(Arc::clone(&vrf), &Limits::default());
    let hot = 1_000;
    (0..hot).for_each(|number| drop(search(&everything, number)));
    group.bench_function("hot: VRF proofs and pages remembered", |b| {
        b.iter(|| {
            number = (number + 1) % hot;
            search(&everything, number)
        });
    });
    group.finish();

    let state = UserState::default();
    let request = user.verifier.search_request(&state, &label(1), None);
    let response = search(&everything, 1);
    let now = SystemClock.now();
    println!("a response to a first search has {} bytes", response.len());
    let mut group = c.benchmark_group("search verification");
    group.throughput(Throughput::Elements(1));
    group.bench_function("first contact, version 0, three cosignatures", |b| {
        b.iter(|| user.verifier.verify_search(&state, &request, &response, now).unwrap());
    });
    group.finish();
}

/// What this process held at most, in MiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A user who trusts the log's configuration and two of three witnesses, with everybody's keys.
struct User {
    verifier: Verifier,
    origin: String,
    log_key: NoteSigner,
    witnesses: Vec<Cosigner>,
}

impl User {
    fn new(vrf: &VrfSecretKey) -> Self {
        let mut configuration = Configuration {
            ciphersuite: CipherSuite::Tlog.number(),
            signature_public_key: Vec::new(),
            vrf_public_key: vrf.public_key().to_bytes().to_vec(),
            mode: ModeFields::ContactMonitoring,
            max_ahead: 60_000,
            max_behind: 3_600_000,
            reasonable_monitoring_window: 86_400_000,
            maximum_lifetime: None,
        };
        let origin = configuration.origin("bench.example").unwrap();
        let log_key = NoteSigner::new(KeyName::new(&origin).unwrap(), SigningKey::from_seed(&[4; 32]));
        configuration.signature_public_key = log_key.vkey().to_string().into_bytes();
        let witness = |n: u8| {
            let name = KeyName::new(&format!("w{n}.example")).unwrap();
            Cosigner::new(name, SigningKey::from_seed(&[0x10 + n; 32]))
        };
        let witnesses: Vec<Cosigner> = (1..=3).map(witness).collect();
        let lines: String =
            (1..).zip(&witnesses).map(|(n, witness)| format!("witness w{n} {}\n", witness.vkey())).collect();
        let policy = format!("{lines}group g 2 w1 w2 w3\nquorum g\n");
        let verifier = Verifier::new(&configuration.encode().unwrap(), Some(policy.as_bytes())).unwrap();
        Self { verifier, origin, log_key, witnesses }
    }

    /// The signature lines of the head of `size` entries: the log's and all witnesses'.
    fn signature(&self, store: &Arc<dyn Store>, size: u64) -> Vec<u8> {
        let snapshot = store.snapshot().unwrap();
        let root = log_tree::root(&*snapshot, LogHash::Rfc6962, size).unwrap().unwrap();
        let checkpoint = Checkpoint::new(&self.origin, size, root).unwrap();
        let now = SystemClock.now().to_seconds();
        let mut lines = vec![self.log_key.sign(&checkpoint.text())];
        lines.extend(self.witnesses.iter().map(|witness| witness.cosign(&checkpoint, now).unwrap()));
        note::format_signature_lines(&lines).into_bytes()
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);

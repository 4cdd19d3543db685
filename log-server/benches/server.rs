//! Durable insertion of new labels into a log of 100,000 labels in RocksDB, and search responses from it.
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
use keyglass_crypto::vrf::VrfSecretKey;
use keyglass_keytrans::{
    config::CipherSuite,
    log_hash::LogHash,
    prover::{self, ServedHead},
    wire::{SearchRequest, TreeHead, Wire as _},
};
use keyglass_log_server::{
    clock::SystemClock,
    log::Limits,
    proofs::{ProofCache, SnapshotData},
    sequencer::{Parts, Sequenced, Sequencer, Settings},
    store::{Store, rocksdb::RocksStore},
};
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::sync::{oneshot, watch};

const LABELS: u64 = 100_000;
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
    let filling = sequencer(&store, &vrf, 10_000);
    add(&filling, next, 10_000, LABELS / 10_000);
    next += LABELS;
    drop(filling);

    let mut group = c.benchmark_group("durable insertion onto 100k labels");
    for batch in [1_000, 10_000] {
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

    let size = store.snapshot().unwrap().size().unwrap();
    let head = ServedHead {
        tree_head: TreeHead { tree_size: size, signature: vec![b'x'; 800] },
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
            number = (number + 7919) % LABELS;
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
}

criterion_group!(benches, bench);
criterion_main!(benches);

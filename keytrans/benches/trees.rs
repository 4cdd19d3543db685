//! How long the trees take: what a batch of new versions costs the log, and a proof its prover and its verifier.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod memory;

use std::{collections::HashMap, hint::black_box};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use keyglass_crypto::hash::Digest;
use keyglass_keytrans::{
    log_hash::LogHash,
    log_tree::{self, Appender, NodeId},
    prefix_tree::{SearchKey, TreeRoot, evaluate, evaluate_transition, insert, prove},
};
use memory::{Memory, leaves};

/// A key to search for, and its version's commitment if it is included.
type Known = (SearchKey, Option<Digest>);

/// A tree of `size` keys that grew in batches.
fn tree(size: u64) -> (Memory, TreeRoot) {
    const BATCH: u64 = 50_000;
    let mut memory = Memory::default();
    let mut root = TreeRoot::EMPTY;
    for batch in 0..size / BATCH {
        let next = insert(&memory, &root, batch, &leaves(batch * BATCH..(batch + 1) * BATCH)).unwrap();
        root = memory.keep(next);
    }
    (memory, root)
}

fn prefix_tree(criterion: &mut Criterion) {
    for (name, size) in [("100k", 100_000), ("1M", 1_000_000)] {
        let (memory, root) = tree(size);
        let bytes: usize = memory.0.values().map(|page| page.as_bytes().len()).sum();
        println!("prefix_tree {name}: {} pages, {bytes} bytes", memory.0.len());
        inserting(criterion, name, size, &memory, &root);
        searching(criterion, name, size, &memory, &root);
    }
}

fn inserting(criterion: &mut Criterion, name: &str, size: u64, memory: &Memory, root: &TreeRoot) {
    let mut group = criterion.benchmark_group("prefix_tree/insert");
    group.sample_size(20);
    for batch in [1_000, 10_000] {
        let new = leaves(size..size + batch);
        let next = insert(memory, root, size, &new).unwrap();
        let bytes: usize = next.pages.iter().map(|(_, page)| page.as_bytes().len()).sum();
        println!("prefix_tree {name}: {batch} keys make {} pages, {bytes} bytes", next.pages.len());
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new(format!("{batch} onto"), name), |bencher| {
            bencher.iter(|| insert(memory, root, size, black_box(&new)).unwrap())
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("prefix_tree/transition");
    group.sample_size(20);
    let added = leaves(size..size + 10_000);
    let keys: Vec<SearchKey> = added.iter().map(|leaf| leaf.vrf_output).collect();
    let proof = prove(memory, root, &keys).unwrap();
    println!("prefix_tree {name}: a transition of 10000 keys has {} elements", proof.elements.len());
    group.throughput(Throughput::Elements(10_000));
    group.bench_function(BenchmarkId::new("prove 10000 onto", name), |bencher| {
        bencher.iter(|| prove(memory, root, black_box(&keys)).unwrap())
    });
    group.bench_function(BenchmarkId::new("evaluate 10000 onto", name), |bencher| {
        bencher.iter(|| evaluate_transition(black_box(&added), &[], &proof.results, &proof.elements).unwrap())
    });
    group.finish();
}

fn searching(criterion: &mut Criterion, name: &str, size: u64, memory: &Memory, root: &TreeRoot) {
    let mut group = criterion.benchmark_group("prefix_tree/search");
    // The ladder of version 0 and that of version 7: half of the keys are included.
    for count in [2, 8] {
        let batches: Vec<(Vec<SearchKey>, Vec<Known>)> = (0..200)
            .map(|batch| {
                let included = leaves(batch * 100..batch * 100 + count / 2);
                let others = leaves(size + batch * 100..size + batch * 100 + count / 2);
                let of_included = included.iter().map(|leaf| (leaf.vrf_output, Some(leaf.commitment)));
                let searches = of_included.chain(others.iter().map(|leaf| (leaf.vrf_output, None)));
                let searches: Vec<Known> = searches.collect();
                (searches.iter().map(|(key, _)| *key).collect(), searches)
            })
            .collect();
        let proofs: Vec<_> = batches.iter().map(|(keys, _)| prove(memory, root, keys).unwrap()).collect();
        let mut next = (0..batches.len()).cycle();
        group.bench_function(BenchmarkId::new(format!("prove {count} keys of"), name), |bencher| {
            bencher.iter(|| prove(memory, root, black_box(&batches[next.next().unwrap()].0)).unwrap())
        });
        group.bench_function(BenchmarkId::new(format!("evaluate {count} keys of"), name), |bencher| {
            bencher.iter(|| {
                let which = next.next().unwrap();
                evaluate(black_box(&batches[which].1), &proofs[which]).unwrap()
            })
        });
    }
    group.finish();
}

fn log(criterion: &mut Criterion) {
    const SIZE: u64 = 20_000;
    const LAST: u64 = 12_345;
    let mut group = criterion.benchmark_group("log_tree");
    for hash in [LogHash::Draft, LogHash::Rfc6962] {
        let mut log = Appender::new(hash);
        let mut nodes: HashMap<NodeId, Digest> = HashMap::new();
        for entry in 0..SIZE {
            nodes.extend(log.append(hash.leaf(entry, &[7; 32])));
        }
        let positions = [16_383_u64, 18_431, 19_455, 19_967, 19_983, 19_999];
        let leaves = positions.map(|position| (position, nodes[&NodeId::leaf(position)]));
        let retained: Vec<Digest> = log_tree::full_subtrees(LAST).iter().map(|node| nodes[node]).collect();
        let plan = || log_tree::plan(SIZE, black_box(&positions), Some(LAST), None).unwrap();
        let elements: Vec<Digest> = plan().iter().map(|node| nodes[node]).collect();
        group.bench_function(format!("plan, {hash:?}"), |bencher| bencher.iter(plan));
        group.bench_function(format!("verify, {hash:?}"), |bencher| {
            bencher.iter(|| {
                log_tree::verify(hash, SIZE, black_box(&leaves), Some((LAST, &retained)), None, &elements)
                    .unwrap()
            })
        });
        let mut growing = log.clone();
        group.bench_function(format!("append, {hash:?}"), |bencher| {
            bencher.iter(|| growing.append(black_box([7; 32])))
        });
    }
    group.finish();
}

criterion_group!(benches, prefix_tree, log);
criterion_main!(benches);

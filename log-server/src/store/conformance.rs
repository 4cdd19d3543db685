//! What every backend does alike, and a log to do it with.

use keyglass_keytrans::{
    log_hash::LogHash,
    log_tree::Appender,
    prefix_tree::{self, NextVersion, Page, PageKey, PageSource, TreeRoot},
    wire::PrefixLeaf,
};

use super::*;

/// A log of four entries: two labels, one of them twice, an empty entry, then one label often enough that its record
/// overflows.
pub(crate) struct Example {
    pub(crate) batches: Vec<Batch>,
}

/// Which versions a label gets in an entry.
struct Step {
    label: &'static [u8],
    new: u32,
}

/// The pages of the batches so far.
struct BatchPages<'a>(&'a [Batch]);

impl PageSource for BatchPages<'_> {
    type Error = StoreError;

    fn pages(&self, keys: &[PageKey]) -> Result<Vec<Page>, StoreError> {
        let all = || self.0.iter().flat_map(|batch| &batch.pages);
        let find = |key: &PageKey| all().find(|(known, _)| known == key).map(|(_, page)| page.clone());
        keys.iter().map(|key| find(key).ok_or(StoreError::Corrupt("no such page"))).collect()
    }
}

impl Example {
    pub(crate) fn new() -> Self {
        let mut steps: Vec<Vec<Step>> = vec![
            vec![Step { label: b"alice", new: 1 }, Step { label: b"bob", new: 2 }],
            vec![],
            vec![Step { label: b"bob", new: 1 }],
        ];
        steps.extend((0..12).map(|i| vec![Step { label: b"bob", new: 1 + i % 3 }]));
        let mut log_tree = Appender::new(LogHash::Rfc6962);
        let mut tree = TreeRoot::EMPTY;
        let mut batches: Vec<Batch> = Vec::new();
        let mut records: std::collections::BTreeMap<&[u8], LabelRecord> = Default::default();
        for (position, steps) in (0_u64..).zip(steps) {
            let mut labels = Vec::new();
            let mut leaves = Vec::new();
            let mut replaced = Vec::new();
            for Step { label, new } in steps {
                let first = records.get(label).map_or(0, |record| record.greatest() + 1);
                let greatest = first + new - 1;
                replaced.push((label.to_vec(), first.saturating_sub(1)..greatest));
                let (record, moved) = match records.get(label) {
                    None => (LabelRecord::new(greatest, position), None),
                    Some(record) => record.extended(greatest, position),
                };
                records.insert(label, record.clone());
                let versions: Vec<VersionRecord> = (first..=greatest).map(|v| version(label, v)).collect();
                leaves.extend((first..=greatest).zip(&versions).map(|(v, version)| PrefixLeaf {
                    vrf_output: key(label, v),
                    commitment: version.commitment,
                }));
                labels.push(LabelUpdate { label: label.to_vec(), record, moved, versions });
            }
            leaves.sort_by_key(|leaf| leaf.vrf_output);
            let next = prefix_tree::insert(&BatchPages(&batches), &tree, position, &leaves).unwrap();
            tree = next.root;
            let entry = EntryRecord { timestamp: 1000 + position, tree };
            let nodes = log_tree.append(LogHash::Rfc6962.leaf(entry.timestamp, tree.value()));
            let NextVersion { pages, superseded, .. } = next;
            batches.push(Batch { entry, nodes, pages, superseded, replaced, labels });
        }
        Self { batches }
    }

    pub(crate) fn size(&self) -> u64 {
        self.batches.len() as u64
    }

    pub(crate) fn commit_all(&self, store: &dyn Store) {
        for (position, batch) in (0..).zip(&self.batches) {
            store.commit(position, batch).unwrap();
        }
    }

    pub(crate) fn head(&self, size: u64) -> PublishedHead {
        PublishedHead { size, root: [size as u8; 32], signature: format!("signed {size}\n").into_bytes() }
    }

    /// Where the batches put a version, counted without records.
    fn position(&self, label: &[u8], version: u32) -> Option<u64> {
        let mut seen = 0;
        for (position, batch) in (0..).zip(&self.batches) {
            for update in batch.labels.iter().filter(|update| update.label == label) {
                seen += update.versions.len() as u32;
                if version < seen {
                    return Some(position);
                }
            }
        }
        None
    }
}

fn key(label: &[u8], version: u32) -> [u8; 32] {
    keyglass_crypto::hash::sha256(&[label, &version.to_be_bytes()])
}

fn version(label: &[u8], version: u32) -> VersionRecord {
    let value = [label, b" ", &version.to_be_bytes()].concat();
    let commitment = keyglass_crypto::hash::sha256(&[&value]);
    VersionRecord { commitment, opened: Some(OpenedValue { opening: [version as u8; 16], value }) }
}

/// Everything that can be read about the example.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Everything {
    size: u64,
    published: Option<PublishedHead>,
    entries: Vec<Option<EntryRecord>>,
    nodes: Vec<Option<Digest>>,
    pages: Vec<Option<Page>>,
    labels: Vec<Option<LabelRecord>>,
    versions: Vec<Option<VersionRecord>>,
    positions: Vec<Option<u64>>,
    superseded: Vec<Vec<PageKey>>,
    replaced: Vec<Vec<Replaced>>,
    pruned: u64,
}

pub(crate) fn everything(store: &dyn Store, log: &Example) -> Everything {
    let snapshot = store.snapshot().unwrap();
    let positions: Vec<u64> = (0..=log.size()).collect();
    let ids: Vec<NodeId> = log.batches.iter().flat_map(|batch| &batch.nodes).map(|(id, _)| *id).collect();
    let keys: Vec<PageKey> = log.batches.iter().flat_map(|batch| &batch.pages).map(|(key, _)| *key).collect();
    let versions: Vec<u32> = (0..=40).collect();
    Everything {
        size: snapshot.size().unwrap(),
        published: snapshot.published().unwrap(),
        entries: snapshot.entries(&positions).unwrap(),
        nodes: snapshot.nodes(&ids).unwrap(),
        pages: snapshot.pages(&keys).unwrap(),
        labels: snapshot.labels(&[b"alice", b"bob", b"carol", b""]).unwrap(),
        versions: snapshot.versions(b"bob", &versions).unwrap(),
        positions: versions.iter().map(|v| snapshot.position_of(b"bob", *v).unwrap()).collect(),
        superseded: positions.iter().map(|position| snapshot.superseded(*position).unwrap()).collect(),
        replaced: positions.iter().map(|position| snapshot.replaced(*position).unwrap()).collect(),
        pruned: snapshot.pruned().unwrap(),
    }
}

/// Runs the suite; `make` makes an empty store each time.
pub(crate) fn run<S: Store>(mut make: impl FnMut() -> S) {
    an_empty_store_answers(&make());
    what_is_committed_can_be_read(&make());
    commits_compare_the_size(&make());
    snapshots_do_not_move(&make());
    the_published_head_moves_forward(&make());
    a_label_has_a_past(&make());
    of_concurrent_commits_one_wins(&make());
    what_is_erased_is_gone_and_nothing_else(&make());
    what_is_pruned_is_gone_and_nothing_else(&make());
}

fn an_empty_store_answers(store: &dyn Store) {
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.size(), Ok(0));
    assert_eq!(snapshot.published(), Ok(None));
    assert_eq!(snapshot.entries(&[0, u64::MAX]), Ok(vec![None, None]));
    assert_eq!(snapshot.nodes(&[NodeId::leaf(0), NodeId::new(63, 1).unwrap()]), Ok(vec![None, None]));
    assert_eq!(snapshot.pages(&[PageKey::root(0), PageKey::root(1)]), Ok(vec![None, None]));
    assert_eq!(snapshot.labels(&[b"bob"]), Ok(vec![None]));
    assert_eq!(snapshot.versions(b"bob", &[0, u32::MAX]), Ok(vec![None, None]));
    assert_eq!(snapshot.moved_positions(b"bob", &[0]), Ok(vec![None]));
    assert_eq!(snapshot.greatest_below(b"bob", u64::MAX), Ok(None));
    assert_eq!(snapshot.superseded(0), Ok(vec![]));
    assert_eq!(snapshot.replaced(0), Ok(vec![]));
    assert_eq!(snapshot.pruned(), Ok(0));
    // No question, no answer.
    assert_eq!(snapshot.entries(&[]), Ok(vec![]));
    assert_eq!(snapshot.pages(&[]), Ok(vec![]));
    assert_eq!(snapshot.labels(&[]), Ok(vec![]));
}

fn what_is_committed_can_be_read(store: &dyn Store) {
    let log = Example::new();
    log.commit_all(store);
    let found = everything(store, &log);
    assert_eq!(found.size, log.size());
    let entries: Vec<_> = log.batches.iter().map(|batch| Some(batch.entry)).chain([None]).collect();
    assert_eq!(found.entries, entries);
    let nodes: Vec<_> =
        log.batches.iter().flat_map(|batch| &batch.nodes).map(|(_, value)| Some(*value)).collect();
    assert_eq!(found.nodes, nodes);
    let pages = log.batches.iter().flat_map(|batch| &batch.pages).map(|(_, page)| Some(page.clone()));
    assert_eq!(found.pages, pages.collect::<Vec<_>>());
    let superseded = log.batches.iter().map(|batch| batch.superseded.clone()).chain([vec![]]);
    assert_eq!(found.superseded, superseded.collect::<Vec<_>>());
    let replaced = log.batches.iter().map(|batch| batch.replaced.clone()).chain([vec![]]);
    assert_eq!(found.replaced, replaced.collect::<Vec<_>>());
    let greatest = found.labels[1].as_ref().unwrap().greatest();
    assert!(greatest > 10 && found.labels[0].as_ref().unwrap().greatest() == 0);
    assert_eq!(found.labels[2..], [None, None]);
    for v in 0..=40 {
        let there = v <= greatest;
        let expected = there.then(|| version(b"bob", v));
        assert_eq!(found.versions[v as usize], expected, "version {v}");
        assert_eq!(found.positions[v as usize], log.position(b"bob", v), "version {v}");
    }
    // Every version of the prefix tree can be searched.
    let snapshot = store.snapshot().unwrap();
    for (position, batch) in (0..).zip(&log.batches) {
        let nothing = crate::pages::RecentPages::new(0);
        let source = crate::pages::Pages::new(&*snapshot, &nothing);
        let keys: Vec<[u8; 32]> = (0..=greatest + 1).map(|v| key(b"bob", v)).collect();
        let proof = prefix_tree::prove(&source, &batch.entry.tree, &keys).unwrap();
        let searches: Vec<_> =
            (0..).zip(&keys).map(|(v, key)| (*key, Some(version(b"bob", v).commitment))).collect();
        assert_eq!(prefix_tree::evaluate(&searches, &proof).unwrap(), *batch.entry.tree.value());
        for (v, result) in (0..).zip(&proof.results) {
            let included = log.position(b"bob", v).is_some_and(|at| at <= position);
            assert_eq!(result.is_inclusion(), included, "version {v} at {position}");
        }
    }
}

fn commits_compare_the_size(store: &dyn Store) {
    let log = Example::new();
    let conflict = |expected, actual| Err(CommitError::Conflict { expected, actual });
    assert_eq!(store.commit(1, &log.batches[1]), conflict(1, 0));
    store.commit(0, &log.batches[0]).unwrap();
    let before = everything(store, &log);
    assert_eq!(store.commit(0, &log.batches[1]), conflict(0, 1));
    assert_eq!(store.commit(2, &log.batches[2]), conflict(2, 1));
    assert_eq!(everything(store, &log), before);
    store.commit(1, &log.batches[1]).unwrap();
}

fn snapshots_do_not_move(store: &dyn Store) {
    let log = Example::new();
    store.commit(0, &log.batches[0]).unwrap();
    store.publish(&log.head(1)).unwrap();
    let snapshot = store.snapshot().unwrap();
    for (position, batch) in (0..).zip(&log.batches).skip(1) {
        store.commit(position, batch).unwrap();
    }
    store.publish(&log.head(3)).unwrap();
    assert_eq!(snapshot.size(), Ok(1));
    assert_eq!(snapshot.published(), Ok(Some(log.head(1))));
    assert_eq!(snapshot.entry(1), Ok(None));
    assert_eq!(snapshot.label(b"bob").unwrap().unwrap().greatest(), 1);
    assert_eq!(snapshot.version(b"bob", 2), Ok(None));
    assert_eq!(store.snapshot().unwrap().size(), Ok(log.size()));
}

fn the_published_head_moves_forward(store: &dyn Store) {
    let log = Example::new();
    let publish = |head: PublishedHead| store.publish(&head);
    assert_eq!(publish(log.head(1)), Err(PublishError::NotSequenced { sequenced: 0 }));
    log.commit_all(store);
    publish(log.head(2)).unwrap();
    let other_signature = PublishedHead { signature: b"more\n".to_vec(), ..log.head(2) };
    publish(other_signature.clone()).unwrap();
    assert_eq!(store.snapshot().unwrap().published(), Ok(Some(other_signature.clone())));
    assert_eq!(publish(log.head(1)), Err(PublishError::NotForward { published: 2 }));
    let other_root = PublishedHead { root: [0xee; 32], ..log.head(2) };
    assert_eq!(publish(other_root), Err(PublishError::NotForward { published: 2 }));
    let too_far = log.head(log.size() + 1);
    assert_eq!(publish(too_far), Err(PublishError::NotSequenced { sequenced: log.size() }));
    assert_eq!(store.snapshot().unwrap().published(), Ok(Some(other_signature)));
    publish(log.head(log.size())).unwrap();
}

fn a_label_has_a_past(store: &dyn Store) {
    let log = Example::new();
    log.commit_all(store);
    let snapshot = store.snapshot().unwrap();
    for label in [b"alice".as_slice(), b"bob", b"carol"] {
        for size in (0..=log.size()).chain([u64::MAX]) {
            let naive = (0..=40).rev().find(|v| log.position(label, *v).is_some_and(|at| at < size));
            assert_eq!(snapshot.greatest_below(label, size), Ok(naive), "{label:?} at {size}");
        }
    }
}

fn what_is_erased_is_gone_and_nothing_else(store: &dyn Store) {
    let log = Example::new();
    log.commit_all(store);
    let mut expected = everything(store, &log);
    let greatest = expected.labels[1].as_ref().unwrap().greatest();
    // The first, one that shares its entry with others, the greatest, and one a second time.
    for erased in [0, 1, greatest, 1] {
        store.erase(b"bob", erased).unwrap();
        expected.versions[erased as usize].as_mut().unwrap().opened = None;
        assert_eq!(everything(store, &log), expected);
    }
    let alice = Some(version(b"alice", 0));
    assert_eq!(store.snapshot().unwrap().version(b"alice", 0), Ok(alice.clone()));
    // What is not there is not made.
    store.erase(b"bob", greatest + 1).unwrap();
    store.erase(b"carol", 0).unwrap();
    assert_eq!(everything(store, &log), expected);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.version(b"carol", 0), Ok(None));
    assert_eq!(snapshot.version(b"alice", 0), Ok(alice));
}

fn what_is_pruned_is_gone_and_nothing_else(store: &dyn Store) {
    let log = Example::new();
    log.commit_all(store);
    store.publish(&log.head(5)).unwrap();
    let before = everything(store, &log);
    let snapshot = store.snapshot().unwrap();
    let pages: Vec<PageKey> = log.batches.iter().flat_map(|batch| batch.superseded.clone()).take(5).collect();
    assert_eq!(pages.len(), 5);
    let batch = PruneBatch {
        entries: vec![0, 2],
        pages: pages.clone(),
        versions: vec![(b"bob".to_vec(), 0), (b"bob".to_vec(), 2)],
        superseded: vec![2],
        replaced: vec![0, 3],
        until: 4,
    };
    store.prune(&batch).unwrap();
    let mut expected = before.clone();
    (expected.entries[0], expected.entries[2]) = (None, None);
    let keys = log.batches.iter().flat_map(|batch| &batch.pages).map(|(key, _)| key);
    let kept = |(key, page): (&PageKey, &Option<Page>)| page.clone().filter(|_| !pages.contains(key));
    expected.pages = keys.zip(&before.pages).map(kept).collect();
    for version in [0, 2] {
        expected.versions[version].as_mut().unwrap().opened = None;
    }
    expected.superseded[2] = vec![];
    (expected.replaced[0], expected.replaced[3]) = (vec![], vec![]);
    expected.pruned = 4;
    assert_eq!(everything(store, &log), expected);
    // Readers of before see what was there.
    assert_eq!(snapshot.entry(0).unwrap(), before.entries[0]);
    assert!(snapshot.pages(&pages).unwrap().iter().all(Option::is_some));
    assert_eq!(snapshot.version(b"bob", 0), Ok(Some(version(b"bob", 0))));
    assert_eq!(snapshot.pruned(), Ok(0));

    // Again, and what is not there; and no way back.
    store.prune(&batch).unwrap();
    store.prune(&PruneBatch { until: 3, ..PruneBatch::default() }).unwrap();
    let nothing = PruneBatch {
        entries: vec![u64::MAX],
        pages: vec![PageKey::root(u64::MAX)],
        versions: vec![(b"carol".to_vec(), 0), (b"bob".to_vec(), u32::MAX)],
        superseded: vec![u64::MAX],
        replaced: vec![u64::MAX],
        until: 0,
    };
    store.prune(&nothing).unwrap();
    store.reclaim().unwrap();
    assert_eq!(everything(store, &log), expected);
    assert_eq!(store.snapshot().unwrap().version(b"carol", 0), Ok(None));
    drop(snapshot);
    // The log goes on.
    let mut next = log.batches[1].clone();
    (next.nodes, next.pages, next.labels) = (vec![], vec![], vec![]);
    store.commit(log.size(), &next).unwrap();
}

fn of_concurrent_commits_one_wins<S: Store>(store: &S) {
    let log = Example::new();
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u64)
            .map(|i| {
                let mut batch = log.batches[1].clone();
                batch.entry.timestamp = i;
                scope.spawn(move || (i, store.commit(0, &batch)))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let winners: Vec<u64> = results.iter().filter(|(_, result)| result.is_ok()).map(|(i, _)| *i).collect();
    let [winner] = winners[..] else { panic!("{results:?}") };
    let conflict = Err(CommitError::Conflict { expected: 0, actual: 1 });
    assert!(results.iter().all(|(i, result)| *i == winner || *result == conflict));
    assert_eq!(store.snapshot().unwrap().entry(0).unwrap().unwrap().timestamp, winner);
}

#[test]
fn memory_conforms() {
    run(memory::MemoryStore::default);
}

#[test]
fn faulty_conforms_without_faults() {
    run(|| faulty::FaultyStore::new(memory::MemoryStore::default()));
}

#[test]
fn planned_faults_happen_before_or_after() {
    use faulty::Fault;
    let log = Example::new();
    let store = faulty::FaultyStore::new(memory::MemoryStore::default());
    store.plan(&[Fault::Before, Fault::After, Fault::None, Fault::Before, Fault::After]);
    assert!(store.commit(0, &log.batches[0]).is_err());
    assert_eq!(store.snapshot().unwrap().size(), Ok(0));
    assert!(store.commit(0, &log.batches[0]).is_err());
    assert_eq!(store.snapshot().unwrap().size(), Ok(1));
    store.commit(1, &log.batches[1]).unwrap();
    assert!(store.publish(&log.head(1)).is_err());
    assert_eq!(store.snapshot().unwrap().published(), Ok(None));
    assert!(store.publish(&log.head(1)).is_err());
    assert_eq!(store.snapshot().unwrap().published(), Ok(Some(log.head(1))));
    store.plan(&[Fault::Before, Fault::After, Fault::Before, Fault::After]);
    let batch = PruneBatch { entries: vec![0], until: 1, ..PruneBatch::default() };
    for gone in [false, true] {
        assert!(store.prune(&batch).is_err());
        assert_eq!(store.snapshot().unwrap().entry(0).unwrap().is_none(), gone);
    }
    for gone in [false, true] {
        assert!(store.erase(b"bob", 0).is_err());
        let stored = store.snapshot().unwrap().version(b"bob", 0).unwrap().unwrap();
        assert_eq!(stored.opened.is_none(), gone);
    }
}

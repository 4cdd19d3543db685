//! What is answered, against an auditor's replay of it.

use std::collections::BTreeMap;

use keyglass_crypto::hash::{Digest, sha256};
use keyglass_keytrans::{
    audit::AuditedLog,
    config::DeploymentMode,
    log_tree::Appender,
    prefix_tree::{self, Change},
    wire::{Context, PrefixLeaf, Reader},
};
use proptest::prelude::*;

use super::*;
use crate::{
    log_tree,
    store::{Batch, EntryRecord, PruneBatch, Store, memory::MemoryStore},
};

const SUITES: [CipherSuite; 2] = [CipherSuite::Tlog, CipherSuite::Draft];

/// A log whose entries are given by what they change.
struct Rig {
    store: MemoryStore,
    suite: CipherSuite,
    tree: Appender,
    root: TreeRoot,
    leaves: BTreeMap<[u8; 32], Digest>,
}

impl Rig {
    fn new(suite: CipherSuite) -> Self {
        let tree = Appender::new(suite.log_hash());
        Self { store: MemoryStore::default(), suite, tree, root: TreeRoot::EMPTY, leaves: BTreeMap::new() }
    }

    /// Adds an entry: what is in the tree already with this commitment goes, with another one it is replaced.
    fn add(&mut self, timestamp: u64, changes: &BTreeMap<u16, u8>) {
        let position = self.tree.size();
        let mut list = Vec::new();
        for (key, commitment) in changes {
            let leaf =
                PrefixLeaf { vrf_output: sha256(&[&key.to_be_bytes()]), commitment: [*commitment; 32] };
            let change = match self.leaves.insert(leaf.vrf_output, leaf.commitment) {
                None => Change::Insert(leaf),
                Some(before) if before != leaf.commitment => Change::Replace(leaf),
                Some(_) => {
                    self.leaves.remove(&leaf.vrf_output);
                    Change::Remove(leaf.vrf_output)
                }
            };
            list.push(change);
        }
        list.sort_unstable_by_key(|change| *change.key());
        let next = {
            let snapshot = self.store.snapshot().unwrap();
            let remembered = RecentPages::new(100);
            prefix_tree::apply(&Pages::new(&*snapshot, &remembered), &self.root, position, &list).unwrap()
        };
        self.root = next.root;
        let nodes = self.tree.append(self.suite.log_hash().leaf(timestamp, next.root.value()));
        let entry = EntryRecord { timestamp, tree: next.root };
        let (pages, superseded) = (next.pages, next.superseded);
        let batch = Batch { entry, nodes, pages, superseded, replaced: vec![], labels: vec![] };
        self.store.commit(position, &batch).unwrap();
    }

    fn read(&self, from: u64) -> Result<Updates, UpdatesError> {
        read(&*self.store.snapshot().unwrap(), self.suite, self.tree.size(), from)
    }

    fn decode(&self, updates: &Updates) -> Vec<BatchAuditorUpdate> {
        let mut reader = Reader::new(&updates.bytes, Context::new(DeploymentMode::ContactMonitoring));
        let mut decoded = Vec::new();
        while reader.remaining() > 0 {
            decoded.push(match self.suite {
                CipherSuite::Tlog => BatchAuditorUpdate::read(&mut reader).unwrap(),
                CipherSuite::Draft => AuditorUpdate::read(&mut reader).unwrap().into(),
            });
        }
        assert_eq!(decoded.len() as u64, updates.count);
        decoded
    }

    /// Replays the whole log, an answer at a time, and compares every root.
    fn replay(&self) {
        let mut audited = AuditedLog::new(self.suite.log_hash(), 0);
        let mut first: BTreeMap<[u8; 32], u64> = BTreeMap::new();
        while audited.size() < self.tree.size() {
            let updates = self.read(audited.size()).unwrap();
            assert!(updates.count > 0);
            for update in self.decode(&updates) {
                let entry = audited.apply(&update, |leaf| first.get(&leaf.vrf_output).copied()).unwrap();
                for leaf in &update.added {
                    let stays = update.removed.contains(leaf);
                    let since = first.entry(leaf.vrf_output).or_insert(entry.position);
                    *since = if stays { *since } else { entry.position };
                }
                let snapshot = self.store.snapshot().unwrap();
                let root = log_tree::root(&*snapshot, self.suite.log_hash(), entry.position + 1).unwrap();
                assert_eq!(Some(entry.root), root);
                let record = snapshot.entry(entry.position).unwrap().unwrap();
                assert_eq!(
                    (record.timestamp, record.tree.value()),
                    (entry.entry.timestamp, &entry.entry.prefix_tree)
                );
            }
        }
        assert_eq!(audited.root(), self.tree.root());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn replaying_any_history_gives_its_roots(
        history in prop::collection::vec(prop::collection::btree_map(0_u16..60, 0_u8..2, 0..12), 1..30),
    ) {
        for suite in SUITES {
            let mut rig = Rig::new(suite);
            for (i, changes) in history.iter().enumerate() {
                rig.add(1000 + i as u64 / 2, changes);
            }
            rig.replay();
        }
    }
}

#[test]
fn answers_begin_and_end_where_they_should() {
    for suite in SUITES {
        let mut rig = Rig::new(suite);
        let nothing = Updates { bytes: vec![], count: 0, full: false };
        assert_eq!(rig.read(0), Ok(nothing.clone()));
        for i in 0..5 {
            rig.add(i, &BTreeMap::from([(i as u16, 1)]));
        }
        let all = rig.read(0).unwrap();
        assert_eq!((all.count, all.full), (5, false));
        for from in 0..5 {
            let updates = rig.read(from).unwrap();
            assert_eq!(updates.count, 5 - from);
            assert!(all.bytes.ends_with(&updates.bytes));
        }
        assert_eq!(rig.read(5), Ok(nothing));
        for beyond in [6, u64::MAX] {
            assert_eq!(rig.read(beyond), Err(UpdatesError::Beyond { size: 5 }));
        }
    }
}

#[test]
fn an_answer_ends_at_its_bounds_and_is_then_final() {
    for suite in SUITES {
        let mut rig = Rig::new(suite);
        for i in 0..MAX_UPDATES {
            rig.add(i, &BTreeMap::new());
        }
        let full = rig.read(0).unwrap();
        assert_eq!((full.count, full.full), (MAX_UPDATES, true));
        rig.add(MAX_UPDATES, &BTreeMap::from([(1, 1)]));
        assert_eq!(rig.read(0).unwrap(), full);
        assert_eq!((rig.read(1).unwrap().count, rig.read(1).unwrap().full), (MAX_UPDATES, true));
        assert_eq!((rig.read(2).unwrap().count, rig.read(2).unwrap().full), (MAX_UPDATES - 1, false));
        rig.replay();
    }
}

#[test]
fn an_answer_of_large_updates_ends_after_the_one_that_fills_it() {
    let mut rig = Rig::new(CipherSuite::Tlog);
    let keys: Vec<u16> = (0..u16::MAX).collect();
    for (i, some) in keys.chunks(13_000).enumerate() {
        rig.add(i as u64, &some.iter().map(|key| (*key, 1)).collect());
    }
    let first = rig.read(0).unwrap();
    assert!(first.full && first.bytes.len() >= MAX_BYTES);
    assert!(first.count < rig.tree.size());
    let decoded = rig.decode(&first);
    let last = decoded.last().unwrap().encode().unwrap().len();
    assert!(first.bytes.len() - last < MAX_BYTES, "the last one alone goes beyond");
    rig.replay();
}

#[test]
fn more_versions_than_the_drafts_update_holds_are_an_error() {
    let mut rig = Rig::new(CipherSuite::Draft);
    rig.add(0, &(0..256).map(|key| (key, 1)).collect());
    assert_eq!(rig.read(0), Err(UpdatesError::Wire(WireError::TooLong)));
}

#[test]
fn what_is_gone_is_said_to_be_pruned() {
    for suite in SUITES {
        let mut rig = Rig::new(suite);
        for i in 0..9 {
            rig.add(i, &BTreeMap::from([(i as u16, 1)]));
        }
        let all = rig.read(0).unwrap();
        // All that only the trees of entries 0 to 3 need.
        let pages = {
            let snapshot = rig.store.snapshot().unwrap();
            (1..=4).flat_map(|position| snapshot.superseded(position).unwrap()).collect()
        };
        let batch = PruneBatch { entries: vec![0, 1, 2, 3], pages, until: 4, ..PruneBatch::default() };
        rig.store.prune(&batch).unwrap();
        for from in 0..=4 {
            assert_eq!(rig.read(from), Err(UpdatesError::Pruned { position: from }));
        }
        let kept = rig.read(5).unwrap();
        assert_eq!(kept.count, 4);
        assert!(all.bytes.ends_with(&kept.bytes));
        assert_eq!(rig.read(9).unwrap().count, 0);
    }
}

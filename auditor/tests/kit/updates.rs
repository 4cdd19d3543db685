//! Prefix trees and the updates between them, as an honest log makes them, and some that it does not.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    convert::Infallible,
};

use keyglass_auditor::{audited::AuditState, report::Report, updates::Form};
use keyglass_keytrans::{
    audit::AuditedLog,
    client::Verifier,
    prefix_tree::{Change, Page, PageKey, PageSource, TreeRoot, apply},
    prover::auditor_update,
    wire::{
        AuditorTreeHead, AuditorUpdate, BatchAuditorUpdate, BatchPrefixProof, LogEntry, PrefixLeaf, Wire as _,
    },
};
use keyglass_tlog::{Digest, rfc6962::leaf_hash};

use super::{ALL, Entry, START, World};

pub fn leaf(key: u64, commitment: u8) -> PrefixLeaf {
    PrefixLeaf { vrf_output: leaf_hash(&key.to_be_bytes()), commitment: [commitment; 32] }
}

/// Pages in memory.
#[derive(Default)]
struct Pages(RefCell<HashMap<PageKey, Page>>);

impl PageSource for Pages {
    type Error = Infallible;

    fn pages(&self, keys: &[PageKey]) -> Result<Vec<Page>, Infallible> {
        Ok(keys.iter().map(|key| self.0.borrow()[key].clone()).collect())
    }
}

/// A log's prefix tree, with the entries and updates of everything that was done to it.
#[derive(Default)]
pub struct History {
    pages: Pages,
    roots: Vec<TreeRoot>,
    leaves: BTreeMap<[u8; 32], PrefixLeaf>,
    pub entries: Vec<Entry>,
    pub updates: Vec<BatchAuditorUpdate>,
}

impl History {
    fn root(&self) -> TreeRoot {
        self.roots.last().copied().unwrap_or(TreeRoot::EMPTY)
    }

    /// Adds an entry whose changes are honest, whether they are allowed or not: leaves that are added (or replaced, if the
    /// key is there), and leaves that are removed.
    pub fn add(&mut self, timestamp: u64, added: &[PrefixLeaf], removed: &[PrefixLeaf]) {
        let mut changes: BTreeMap<[u8; 32], Change> = BTreeMap::new();
        for leaf in removed {
            self.leaves.remove(&leaf.vrf_output);
            changes.insert(leaf.vrf_output, Change::Remove(leaf.vrf_output));
        }
        for leaf in added {
            let there = self.leaves.insert(leaf.vrf_output, *leaf).is_some();
            let there = there || changes.contains_key(&leaf.vrf_output);
            let change = if there { Change::Replace(*leaf) } else { Change::Insert(*leaf) };
            changes.insert(leaf.vrf_output, change);
        }
        let changes: Vec<Change> = changes.into_values().collect();
        let before = self.root();
        let next = apply(&self.pages, &before, self.entries.len() as u64, &changes).unwrap();
        self.pages.0.borrow_mut().extend(next.pages);
        self.roots.push(next.root);
        self.updates.push(auditor_update(&self.pages, timestamp, &before, &next.root).unwrap());
        self.entries.push(LogEntry { timestamp, prefix_tree: *next.root.value() }.to_bytes());
    }

    /// The leaf that is in the tree now under the key of this one.
    pub fn leaf(&self, leaf: &PrefixLeaf) -> Option<PrefixLeaf> {
        self.leaves.get(&leaf.vrf_output).copied()
    }

    /// Entries of a millisecond each, with a new leaf in every one.
    pub fn of_additions(size: u64) -> Self {
        let mut history = Self::default();
        for i in 0..size {
            history.add(START + i, &[leaf(i, 1)], &[]);
        }
        history
    }

    pub fn encoded(&self, form: Form) -> Vec<Vec<u8>> {
        self.updates.iter().map(|update| encode(form, update)).collect()
    }
}

pub fn encode(form: Form, update: &BatchAuditorUpdate) -> Vec<u8> {
    match form {
        Form::Batch => update.encode().unwrap(),
        Form::Draft => AuditorUpdate::try_from(update.clone()).unwrap().encode().unwrap(),
    }
}

thread_local! {
    /// The root of each branch's tree, and the updates from nothing and from branch 0 to it.
    static BRANCHES: RefCell<HashMap<u8, Branch>> = RefCell::default();
}

#[derive(Clone)]
struct Branch {
    root: Digest,
    from_nothing: BatchAuditorUpdate,
    from_main: BatchAuditorUpdate,
}

fn branch(branch: u8) -> Branch {
    let make = || {
        let mut whole = History::default();
        let all: Vec<PrefixLeaf> =
            if branch == 0 { vec![leaf(0, 1)] } else { vec![leaf(0, 1), leaf(branch.into(), 1)] };
        whole.add(0, &all, &[]);
        let mut split = History::default();
        split.add(0, &all[..1], &[]);
        split.add(0, &all[1..], &[]);
        let root = *whole.root().value();
        assert_eq!(root, *split.root().value());
        Branch { root, from_nothing: whole.updates.remove(0), from_main: split.updates.remove(1) }
    };
    BRANCHES.with_borrow_mut(|branches| branches.entry(branch).or_insert_with(make).clone())
}

/// The prefix tree of all entries of a branch: nothing changes there but the time.
pub fn tree_of(number: u8) -> Digest {
    branch(number).root
}

/// The updates of entries of branches; whatever else they hold is told as no change.
pub fn of_entries(entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut before: Option<Digest> = None;
    let main = tree_of(0);
    let update = |entry: &Entry| {
        let (timestamp, tree) = entry.split_first_chunk::<8>().unwrap();
        let (timestamp, tree) = (u64::from_be_bytes(*timestamp), Digest::try_from(tree).unwrap());
        let known = BRANCHES.with_borrow(|branches| {
            branches.values().find(|branch| branch.root == tree && before != Some(tree)).cloned()
        });
        let update = match (known, before) {
            (Some(branch), None) => branch.from_nothing,
            (Some(branch), Some(before)) if before == main => branch.from_main,
            _ => {
                let elements = vec![before.unwrap_or_default()];
                let proof = BatchPrefixProof { results: Vec::new(), elements };
                BatchAuditorUpdate { timestamp, added: Vec::new(), removed: Vec::new(), proof }
            }
        };
        before = Some(tree);
        encode(Form::Batch, &BatchAuditorUpdate { timestamp, ..update })
    };
    entries.iter().map(update).collect()
}

impl World {
    /// The log has these entries, and tells the truth about them.
    pub fn publish_history(&self, history: &History) {
        if self.trust.has_checkpoints() {
            self.publish(&history.entries, &ALL);
        }
        self.log.put_updates(history.encoded(Form::of(self.trust.suite())));
    }

    pub fn audit_state(&self) -> Option<AuditState> {
        self.records().unwrap().store().audit().unwrap()
    }

    pub fn signed(&self) -> Option<AuditorTreeHead> {
        self.records().unwrap().store().auditor_head().unwrap()
    }

    /// The head that was signed last, verified as the log and its users do.
    pub fn verified(&self, history: &History) -> AuditorTreeHead {
        let head = self.signed().unwrap();
        let mut log = AuditedLog::new(self.trust.suite().log_hash(), 0);
        for update in &history.updates[..head.tree_size as usize] {
            log.apply(update, |_| Some(0)).unwrap();
        }
        let policy = Some(self.policy.as_bytes());
        let verifier = Verifier::new(&self.keys.configuration, policy).unwrap();
        verifier.verify_auditor_signature(&head, log.root().unwrap()).unwrap();
        head
    }
}

/// How many entries' changes were verified, and are under the head that was signed.
pub fn sizes(report: &Report) -> (u64, u64) {
    (report.audit.tree_size, report.audit.head.map_or(0, |head| head.tree_size))
}

//! A log of Keyglass, and what its users verify.

use std::sync::Arc;

use keyglass_crypto::vrf::VrfSecretKey;
use keyglass_keytrans::{
    client::UserState,
    config::CipherSuite,
    log_hash::LogHash,
    log_tree::Appender,
    prefix_tree::{TreeRoot, insert},
    prover::{self, ServedHead},
    wire::{
        CommitmentValue, DistinguishedRequest, PrefixLeaf, TreeHead, UpdateSuffix, UpdateValue, VrfInput,
        Wire as _,
    },
};
use keyglass_log_server::{
    log::Limits,
    log_tree,
    pages::{Pages, TopPages},
    proofs::{ProofCache, SnapshotData},
    store::{
        Batch, EntryRecord, LabelRecord, LabelUpdate, OpenedValue, Store, VersionRecord, rocksdb::RocksStore,
    },
};
use keyglass_tlog::time::UnixMillis;

use crate::{
    measure::{Measured, measure},
    user::{User, WINDOW},
};

/// Between two log entries, in milliseconds: 2^13 of them are a little less than the monitoring window.
const STEP: u64 = 10_000;
/// When the first entry was made.
const BEGAN: u64 = 1_700_000_000_000;
/// About the size of an account record with two devices.
const VALUE: usize = 600;
/// How many labels each operation is measured with.
const CASES: u64 = 40;
/// The label that has eight versions.
const MANY_VERSIONS: u64 = 0;

fn label(number: u64) -> Vec<u8> {
    format!("user-{number}@example.org").into_bytes()
}

/// A version of a label that is about to be added.
struct New {
    label: Vec<u8>,
    first: u32,
    opened: Vec<OpenedValue>,
    leaves: Vec<PrefixLeaf>,
}

fn new_versions(vrf: &VrfSecretKey, number: u64, count: u32) -> New {
    let label = label(number);
    let (mut opened, mut leaves) = (Vec::new(), Vec::new());
    for version in 0..count {
        let value = OpenedValue { opening: [7; 16], value: vec![7; VALUE] };
        let committed = CommitmentValue {
            opening: value.opening,
            label: label.clone(),
            version,
            update: UpdateValue { value: value.value.clone(), suffix: UpdateSuffix::default() },
        };
        let input = VrfInput { label: label.clone(), version }.encode().unwrap();
        leaves
            .push(PrefixLeaf { vrf_output: vrf.output(&input), commitment: committed.commitment().unwrap() });
        opened.push(value);
    }
    New { label, first: 0, opened, leaves }
}

/// The log under measurement.
struct Log {
    store: RocksStore,
    proofs: ProofCache,
    user: User,
    size: u64,
}

impl Log {
    /// Adds all labels in the first part of the log, and then the entries that remain, which are empty.
    fn fill(directory: &std::path::Path, labels: u64, entries: u64) -> Self {
        let store = RocksStore::create(&directory.join("db"), &[0; 32]).unwrap();
        let vrf = Arc::new(VrfSecretKey::from_seed(&[3; 32]));
        let mut appender = Appender::new(LogHash::Rfc6962);
        let (mut tree, top) = (TreeRoot::EMPTY, TopPages::default());
        // The last entries also add labels, so that there are some which no distinguished entry has seen.
        let filled = entries.min(1_000) - 1;
        let late = labels / 1_000;
        let share = (labels - late).div_ceil(filled);
        let mut next = 0;
        for position in 0..entries {
            let count = match position {
                0 => 0,
                _ if position == entries - 1 => labels - next,
                _ => share.min((labels - late).saturating_sub(next)),
            };
            let new = compute(&vrf, next, count);
            next += count;
            let mut leaves: Vec<PrefixLeaf> = new.iter().flat_map(|new| new.leaves.clone()).collect();
            leaves.sort_unstable_by_key(|leaf| leaf.vrf_output);
            let change = {
                let snapshot = store.snapshot().unwrap();
                insert(&Pages::new(&*snapshot, &top), &tree, position, &leaves).unwrap()
            };
            tree = change.root;
            let entry = EntryRecord { timestamp: BEGAN + position * STEP, tree };
            let nodes = appender.append(LogHash::Rfc6962.leaf(entry.timestamp, entry.tree.value()));
            top.update(&change.pages, &change.superseded);
            let labels = new.into_iter().map(|new| label_update(new, position)).collect();
            let batch = Batch {
                entry,
                nodes,
                pages: change.pages,
                superseded: change.superseded,
                replaced: Vec::new(),
                labels,
            };
            store.commit(position, &batch).unwrap();
        }
        let proofs = ProofCache::new(Arc::clone(&vrf), &Limits::default());
        Self { store, proofs, user: User::new(&vrf), size: entries }
    }

    /// When the log had `size` entries.
    fn time(size: u64) -> UnixMillis {
        UnixMillis(BEGAN + (size - 1) * STEP)
    }

    /// The head of the first `size` entries.
    fn head(&self, size: u64) -> ServedHead {
        let snapshot = self.store.snapshot().unwrap();
        let root = log_tree::root(&*snapshot, LogHash::Rfc6962, size).unwrap().unwrap();
        ServedHead {
            tree_head: TreeHead { tree_size: size, signature: self.user.sign(size, root, Self::time(size)) },
            auditor_tree_head: None,
            suite: CipherSuite::Tlog,
            monitoring_window: WINDOW,
            maximum_lifetime: None,
        }
    }

    /// Asks the prover.
    fn ask<T>(&self, size: u64, ask: impl FnOnce(&SnapshotData<'_>, &ServedHead) -> T) -> T {
        let snapshot = self.store.snapshot().unwrap();
        ask(&SnapshotData::new(&*snapshot, &self.proofs), &self.head(size))
    }

    /// The response to a search under the head of `size` entries.
    fn search(&self, state: &UserState, number: u64, version: Option<u32>, size: u64) -> Vec<u8> {
        let request = self.user.verifier.search_request(state, &label(number), version);
        self.ask(size, |data, head| prover::search(data, head, &request).unwrap().encode().unwrap())
    }

    /// Verifies such a response, and gives the state after it.
    fn verify(&self, state: &UserState, number: u64, response: &[u8], size: u64) -> UserState {
        let request = self.user.verifier.search_request(state, &label(number), None);
        let verified = self.user.verifier.verify_search(state, &request, response, Self::time(size)).unwrap();
        let mut state = state.clone();
        state.apply(verified.update);
        state
    }

    /// The state of a user who looked somebody up when the log had `size` entries.
    fn returning(&self, number: u64, size: u64) -> UserState {
        let state = UserState::default();
        let response = self.search(&state, number, None, size);
        self.verify(&state, number, &response, size)
    }
}

/// The versions of `count` labels, computed on two threads.
fn compute(vrf: &Arc<VrfSecretKey>, first: u64, count: u64) -> Vec<New> {
    let versions = |number| if number == MANY_VERSIONS { 8 } else { 1 };
    let part =
        |from: u64, to: u64| (from..to).map(|number| new_versions(vrf, number, versions(number))).collect();
    let middle = first + count / 2;
    std::thread::scope(|scope| {
        let one = scope.spawn(move || -> Vec<New> { part(first, middle) });
        let two: Vec<New> = part(middle, first + count);
        let mut all = one.join().unwrap();
        all.extend(two);
        all
    })
}

fn label_update(new: New, position: u64) -> LabelUpdate {
    let greatest = new.first + u32::try_from(new.leaves.len()).unwrap() - 1;
    let versions = new.opened.into_iter().zip(new.leaves);
    let versions = versions
        .map(|(opened, leaf)| VersionRecord { commitment: leaf.commitment, opened: Some(opened) })
        .collect();
    LabelUpdate { label: new.label, record: LabelRecord::new(greatest, position), moved: None, versions }
}

/// Makes the log and measures the operations of its users.
pub fn run(labels: u64, entries: u64) -> Vec<(&'static str, Measured)> {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::fill(directory.path(), labels, entries);
    let (size, now) = (log.size, Log::time(log.size));
    let verifier = &log.user.verifier;
    // Of the first third of the log, so that owners and returning users have met them.
    let numbers: Vec<u64> = (1..=CASES).map(|n| n * (labels / 3) / CASES).collect();
    let mut results = Vec::new();

    let nobody = UserState::default();
    let searches = |state: &UserState, numbers: &[u64]| -> Vec<(u64, Vec<u8>)> {
        numbers.iter().map(|&number| (number, log.search(state, number, None, size))).collect()
    };
    let verify_from = |state: &UserState, cases: &[(u64, Vec<u8>)]| {
        measure(
            cases,
            |(_, response)| response.len(),
            |(number, response)| {
                let request = verifier.search_request(state, &label(*number), None);
                let _ = std::hint::black_box(verifier.verify_search(state, &request, response, now).unwrap());
            },
        )
    };
    results.push(("first contact, version 0", verify_from(&nobody, &searches(&nobody, &numbers))));
    let eight = searches(&nobody, &[MANY_VERSIONS]);
    results.push(("first contact, version 7", verify_from(&nobody, &eight)));

    // An hour ago, and in the middle of a short log.
    let before = size - 360.min(size / 2);
    let returned = log.returning(numbers[0], before);
    results
        .push(("returning after an hour, version 0", verify_from(&returned, &searches(&returned, &numbers))));

    // Labels of the last entry are right of every distinguished one but the root's path; ask for them a while later.
    let late: Vec<u64> = (labels - labels / 1_000..labels).take(usize::try_from(CASES).unwrap()).collect();
    results.extend(contact_round(&log, &late));
    results.push(("owner's round after a day", owner_round(&log, &numbers)));
    results
}

/// A contact who was looked up at the end of the log is watched an hour (360 entries) later.
fn contact_round(log: &Log, numbers: &[u64]) -> Option<(&'static str, Measured)> {
    let (size, later) = (log.size, log.size + 360);
    extend(log, later);
    let verifier = &log.user.verifier;
    let mut cases = Vec::new();
    for &number in numbers {
        let state = log.returning(number, size);
        let Some(request) = verifier.contact_monitor_request(&state, &label(number)) else { continue };
        let response = log.ask(later, |data, head| {
            prover::contact_monitor(data, head, &request).unwrap().encode().unwrap()
        });
        cases.push((state, request, response));
    }
    (!cases.is_empty()).then(|| {
        let measured = measure(
            &cases,
            |case| case.2.len(),
            |(state, request, response)| {
                let now = Log::time(later);
                let _ = std::hint::black_box(
                    verifier.verify_contact_monitor(state, request, response, now).unwrap(),
                );
            },
        );
        ("a contact's round after an hour", measured)
    })
}

/// Adds empty entries until the log has `size`.
fn extend(log: &Log, size: u64) {
    let (mut appender, tree, mut position) = {
        let snapshot = log.store.snapshot().unwrap();
        let stored = snapshot.size().unwrap();
        let last = snapshot.entry(stored - 1).unwrap().unwrap();
        (log_tree::appender(&*snapshot, LogHash::Rfc6962, stored).unwrap(), last.tree, stored)
    };
    while position < size {
        let entry = EntryRecord { timestamp: BEGAN + position * STEP, tree };
        let nodes = appender.append(LogHash::Rfc6962.leaf(entry.timestamp, entry.tree.value()));
        let batch = Batch {
            entry,
            nodes,
            pages: Vec::new(),
            superseded: Vec::new(),
            replaced: Vec::new(),
            labels: Vec::new(),
        };
        log.store.commit(position, &batch).unwrap();
        position += 1;
    }
}

/// An owner who began at the rightmost distinguished entry of a day ago (or of the middle of a short log) monitors.
fn owner_round(log: &Log, numbers: &[u64]) -> Measured {
    let verifier = &log.user.verifier;
    let size = log.size;
    let before = size - 8_640.min(size / 2);
    let mut cases = Vec::new();
    for &number in numbers {
        let mut state = UserState::default();
        let request: DistinguishedRequest = verifier.distinguished_request(&state, None);
        let response = log
            .ask(before, |data, head| prover::distinguished(data, head, &request).unwrap().encode().unwrap());
        let walked = verifier
            .verify_distinguished(&state, &request, prover::RECENT, &response, Log::time(before))
            .unwrap();
        let start = walked.result.last().unwrap().position;
        state.apply(walked.update);
        let request = verifier.owner_init_request(&state, &label(number), start);
        let response =
            log.ask(before, |data, head| prover::owner_init(data, head, &request).unwrap().encode().unwrap());
        let begun = verifier.verify_owner_init(&state, &request, &response, Log::time(before)).unwrap();
        state.apply(begun.update);
        let request = verifier.owner_monitor_request(&state, &label(number)).unwrap();
        let response = log
            .ask(size, |data, head| prover::owner_monitor(data, head, &request).unwrap().encode().unwrap());
        cases.push((state, request, response));
    }
    measure(
        &cases,
        |case| case.2.len(),
        |(state, request, response)| {
            let now = Log::time(size);
            let _ =
                std::hint::black_box(verifier.verify_owner_monitor(state, request, response, now).unwrap());
        },
    )
}

//! The sequencer against a naive model, and against a store that fails.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering as Atomic},
};

use keyglass_keytrans::{
    config::ModeFields,
    prefix_tree,
    wire::{CommitmentValue, UpdateSuffix, UpdateValue, VrfInput, Wire as _},
};
use keyglass_tlog::{
    rfc6962::{CompactTree, leaf_hash},
    time::UnixMillis,
};
use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    pages::{Pages, RecentPages},
    store::{
        faulty::{Fault, FaultyStore},
        memory::MemoryStore,
    },
};

/// A clock that does what it is told.
#[derive(Default)]
struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Atomic::Relaxed))
    }
}

struct Rig {
    store: Arc<FaultyStore<MemoryStore>>,
    clock: Arc<HandClock>,
    vrf: Arc<VrfSecretKey>,
    settings: Settings,
}

impl Rig {
    fn new() -> Self {
        let settings =
            Settings { window: Duration::ZERO, heartbeat: Duration::from_secs(3600), ..Settings::default() };
        let clock = HandClock::default();
        clock.0.store(1_000_000_000, Atomic::Relaxed);
        Self {
            store: Arc::new(FaultyStore::new(MemoryStore::default())),
            clock: Arc::new(clock),
            vrf: Arc::new(VrfSecretKey::from_seed(&[5; 32])),
            settings,
        }
    }

    fn start(&self) -> (Sequencer, watch::Receiver<State>) {
        let parts = Parts {
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            vrf: Arc::clone(&self.vrf),
            log_hash: LogHash::Rfc6962,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            rng: Box::new(StdRng::seed_from_u64(7)),
        };
        let (sender, state) = watch::channel(State::default());
        (Sequencer::start(parts, &self.settings, sender).unwrap(), state)
    }
}

/// What the log should hold: the values of each label, and the size after which each was there.
type Model = BTreeMap<Vec<u8>, Vec<(Vec<u8>, u64)>>;

/// Checks everything that the store holds against the model.
fn check(rig: &Rig, model: &Model) {
    let snapshot = rig.store.snapshot().unwrap();
    let size = snapshot.size().unwrap();
    let mut tree = CompactTree::new();
    let mut before = 0;
    for position in 0..size {
        let entry = snapshot.entry(position).unwrap().unwrap();
        assert!(entry.timestamp >= before, "timestamps do not go back");
        before = entry.timestamp;
        tree.append(leaf_hash(&[&entry.timestamp.to_be_bytes()[..], entry.tree.value()].concat())).unwrap();
        // This entry's prefix tree holds exactly the versions that were there by then.
        let mut searches = Vec::new();
        let mut expected = Vec::new();
        for (label, values) in model {
            for (number, (value, at)) in (0_u32..).zip(values) {
                let record = snapshot.version(label, number).unwrap().unwrap();
                let opened = record.opened.unwrap();
                assert_eq!(opened.value, *value);
                let committed = CommitmentValue {
                    opening: opened.opening,
                    label: label.clone(),
                    version: number,
                    update: UpdateValue { value: value.clone(), suffix: UpdateSuffix::default() },
                };
                assert_eq!(committed.commitment().unwrap(), record.commitment);
                let key =
                    rig.vrf.output(&VrfInput { label: label.clone(), version: number }.encode().unwrap());
                searches.push((key, Some(record.commitment)));
                expected.push(*at <= position);
                assert_eq!(snapshot.position_of(label, number).unwrap(), Some(*at));
            }
            let count = u32::try_from(values.len()).unwrap();
            assert_eq!(snapshot.label(label).unwrap().unwrap().greatest() + 1, count);
            let there = values.iter().filter(|(_, at)| *at <= position).count();
            let greatest = u32::try_from(there).unwrap().checked_sub(1);
            assert_eq!(snapshot.greatest_below(label, position + 1).unwrap(), greatest);
        }
        let keys: Vec<_> = searches.iter().map(|(key, _)| *key).collect();
        let nothing = RecentPages::new(0);
        let proof = prefix_tree::prove(&Pages::new(&*snapshot, &nothing), &entry.tree, &keys).unwrap();
        assert_eq!(prefix_tree::evaluate(&searches, &proof).unwrap(), *entry.tree.value());
        let found: Vec<bool> = proof.results.iter().map(|result| result.is_inclusion()).collect();
        assert_eq!(found, expected);
    }
    let root = crate::log_tree::root(&*snapshot, LogHash::Rfc6962, size).unwrap();
    assert_eq!(root.unwrap_or(keyglass_tlog::rfc6962::empty_root()), tree.root());
}

/// Updates that are handed in together, and how far the clock moves meanwhile.
#[derive(Debug, Clone)]
struct Round {
    updates: BTreeMap<u8, u8>,
    clock: i64,
    restart: bool,
}

fn round() -> impl Strategy<Value = Round> {
    let updates = prop::collection::btree_map(0..5_u8, 1..4_u8, 0..4);
    (updates, -2000..5000_i64, prop::bool::weighted(0.2)).prop_map(|(updates, clock, restart)| Round {
        updates,
        clock,
        restart,
    })
}

fn values(label: &[u8], first: usize, count: usize) -> Vec<Vec<u8>> {
    (first..first + count).map(|number| [label, b" at ", number.to_string().as_bytes()].concat()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_log_is_what_was_submitted(rounds in prop::collection::vec(round(), 1..12)) {
        let rig = Rig::new();
        let mut model = Model::new();
        let (mut sequencer, _) = rig.start();
        for Round { updates, clock, restart } in rounds {
            rig.clock.0.fetch_add(u64::try_from(clock.max(0)).unwrap(), Atomic::Relaxed);
            rig.clock.0.fetch_sub(u64::try_from((-clock).max(0)).unwrap(), Atomic::Relaxed);
            let mut waiting = Vec::new();
            for (label, count) in updates {
                let label = vec![b'a' + label];
                let known = model.entry(label.clone()).or_default();
                let new = values(&label, known.len(), usize::from(count));
                let admission = sequencer.admit(&label).unwrap();
                let greatest = admission.record().map(|record| record.greatest() as usize + 1);
                prop_assert_eq!(greatest.unwrap_or(0), known.len());
                waiting.push((label, new.clone(), admission.submit(new).unwrap()));
            }
            for (label, new, receiver) in waiting {
                let Sequenced { position } = receiver.blocking_recv().unwrap();
                model.get_mut(&label).unwrap().extend(new.into_iter().map(|value| (value, position)));
            }
            if restart {
                drop(sequencer);
                sequencer = rig.start().0;
            }
        }
        drop(sequencer);
        model.retain(|_, values| !values.is_empty());
        check(&rig, &model);
    }
}

#[test]
fn a_new_log_gets_an_empty_entry_at_once() {
    let rig = Rig::new();
    let (sequencer, mut state) = rig.start();
    let first = blocking(state.wait_for(|state| state.size == 1)).unwrap().clone();
    assert_eq!((first.timestamp, first.failed), (1_000_000_000, None));
    drop(sequencer);
    // A restart within the heartbeat adds nothing.
    let (sequencer, state) = rig.start();
    assert_eq!(state.borrow().size, 1);
    drop(sequencer);
    assert_eq!(rig.store.snapshot().unwrap().size(), Ok(1));
    check(&rig, &Model::new());
}

#[test]
fn a_restart_after_the_heartbeat_adds_an_entry_at_once() {
    let rig = Rig::new();
    drop(rig.start());
    rig.clock.0.fetch_add(3_600_000, Atomic::Relaxed);
    let (_sequencer, mut state) = rig.start();
    blocking(state.wait_for(|state| state.size == 2)).unwrap();
}

#[test]
fn heartbeats_keep_the_head_fresh() {
    let mut rig = Rig::new();
    rig.settings.heartbeat = Duration::from_millis(1);
    let (sequencer, mut state) = rig.start();
    blocking(state.wait_for(|state| state.size >= 5)).unwrap();
    // An update fits in between.
    let admission = sequencer.admit(b"bob").unwrap();
    let Sequenced { position } = admission.submit(vec![b"value".to_vec()]).unwrap().blocking_recv().unwrap();
    blocking(state.wait_for(|state| state.size > position + 3)).unwrap();
    drop(sequencer);
    check(&rig, &Model::from([(b"bob".to_vec(), vec![(b"value".to_vec(), position)])]));
}

#[test]
fn a_label_has_one_update_at_a_time() {
    let rig = Rig::new();
    let (sequencer, _) = rig.start();
    let admission = sequencer.admit(b"bob").unwrap();
    assert_eq!(sequencer.admit(b"bob").err(), Some(AdmitError::Pending));
    assert!(sequencer.admit(b"alice").is_ok());
    let sequenced = admission.submit(vec![vec![1]]).unwrap();
    sequenced.blocking_recv().unwrap();
    // Whoever is told may go on at once.
    assert_eq!(sequencer.admit(b"bob").unwrap().record().unwrap().greatest(), 0);
}

#[test]
fn bad_updates_change_nothing() {
    let mut rig = Rig::new();
    rig.settings.queue_bytes = 10;
    let (sequencer, _) = rig.start();
    assert!(matches!(sequencer.admit(b""), Err(AdmitError::Label(_))));
    assert!(matches!(sequencer.admit(&[b'x'; 256]), Err(AdmitError::Label(_))));
    let submit = |values| sequencer.admit(b"bob").unwrap().submit(values).err();
    assert_eq!(submit(vec![]), Some(SubmitError::ValueCount));
    assert_eq!(submit(vec![vec![]; 256]), Some(SubmitError::ValueCount));
    assert_eq!(submit(vec![vec![0; 11]]), Some(SubmitError::Busy));
    sequencer.admit(b"bob").unwrap().submit(vec![vec![0; 10]]).unwrap().blocking_recv().unwrap();
    // The room is given back.
    sequencer.admit(b"bob").unwrap().submit(vec![vec![1; 10]]).unwrap().blocking_recv().unwrap();
    sequencer.stop();
    assert_eq!(submit(vec![vec![2]]), Some(SubmitError::Stopped));
    assert_eq!(rig.store.snapshot().unwrap().label(b"bob").unwrap().unwrap().greatest(), 1);
}

#[test]
fn no_entry_has_more_versions_than_allowed() {
    let mut rig = Rig::new();
    rig.settings.max_versions = 1;
    rig.settings.window = Duration::from_millis(20);
    let (sequencer, _) = rig.start();
    let receivers: Vec<_> =
        (0..6_u8).map(|i| (i, sequencer.admit(&[i]).unwrap().submit(vec![vec![i]; 100]).unwrap())).collect();
    let mut positions: BTreeMap<u64, usize> = BTreeMap::new();
    for (_, receiver) in receivers {
        *positions.entry(receiver.blocking_recv().unwrap().position).or_default() += 100;
    }
    // Below the most values of one update the bound does not go.
    assert!(positions.values().all(|versions| *versions <= MAX_VALUES), "{positions:?}");
}

#[test]
fn an_entry_of_the_draft_has_255_versions_at_most() {
    let configuration = |suite: CipherSuite, maximum_lifetime| Configuration {
        ciphersuite: suite.number(),
        signature_public_key: Vec::new(),
        vrf_public_key: Vec::new(),
        mode: ModeFields::ContactMonitoring,
        max_ahead: 0,
        max_behind: 0,
        reasonable_monitoring_window: 0,
        maximum_lifetime,
    };
    let any = Settings::default().suited_to(&configuration(CipherSuite::Tlog, None));
    assert_eq!((any.max_versions, any.expiring), (Settings::default().max_versions, false));
    let mut rig = Rig::new();
    rig.settings.max_versions = 100_000;
    rig.settings.window = Duration::from_millis(200);
    rig.settings = rig.settings.suited_to(&configuration(CipherSuite::Draft, Some(1)));
    assert!(rig.settings.expiring);
    let (sequencer, _) = rig.start();
    let submit = |label: u8, count| sequencer.admit(&[label]).unwrap().submit(vec![vec![label]; count]);
    let receivers: Vec<_> = [255, 100, 155, 1, 254, 2]
        .iter()
        .zip(0..)
        .map(|(count, label)| (*count, submit(label, *count).unwrap()))
        .collect();
    let mut positions: BTreeMap<u64, usize> = BTreeMap::new();
    for (count, receiver) in receivers {
        *positions.entry(receiver.blocking_recv().unwrap().position).or_default() += count;
    }
    // An entry removes nothing, so what it adds is all that its `AuditorUpdate` has to hold.
    assert!(positions.values().all(|versions| *versions <= 255), "{positions:?}");
    assert!(positions.len() < 6, "updates share entries as far as they fit: {positions:?}");
}

#[test]
fn what_an_entry_replaces_is_noted_where_entries_expire() {
    for expiring in [false, true] {
        let mut rig = Rig::new();
        rig.settings.expiring = expiring;
        let (sequencer, _) = rig.start();
        let mut expected = Vec::new();
        for (count, replaced) in [(1, None), (1, Some(0..1)), (3, Some(1..4)), (1, Some(4..5))] {
            let submitted = sequencer.admit(b"bob").unwrap().submit(vec![vec![1]; count]).unwrap();
            let position = submitted.blocking_recv().unwrap().position;
            let list: Vec<_> = replaced
                .filter(|_| expiring)
                .map(|versions| (b"bob".to_vec(), versions))
                .into_iter()
                .collect();
            expected.push((position, list));
        }
        let submitted = sequencer.admit(b"alice").unwrap().submit(vec![vec![1]; 2]).unwrap();
        let position = submitted.blocking_recv().unwrap().position;
        expected.push((position, if expiring { vec![(b"alice".to_vec(), 0..1)] } else { vec![] }));
        let snapshot = rig.store.snapshot().unwrap();
        for (position, list) in expected {
            assert_eq!(snapshot.replaced(position), Ok(list), "{position}");
        }
    }
}

#[test]
fn what_was_accepted_is_sequenced_before_stopping() {
    let mut rig = Rig::new();
    rig.settings.window = Duration::from_secs(3600);
    let (sequencer, _) = rig.start();
    let receivers: Vec<_> =
        (0..20_u8).map(|i| sequencer.admit(&[i]).unwrap().submit(vec![vec![i]]).unwrap()).collect();
    sequencer.stop();
    for receiver in receivers {
        receiver.blocking_recv().unwrap();
    }
}

#[test]
fn a_commit_that_fails_stops_everything_and_a_restart_settles_it() {
    // The first commit makes the empty entry; each later one carries an update.
    for failing in 1..4 {
        for fault in [Fault::Before, Fault::After] {
            let rig = Rig::new();
            let mut plan = vec![Fault::None; failing];
            plan.push(fault);
            rig.store.plan(&plan);
            let (sequencer, mut state) = rig.start();
            let mut model: Vec<(Vec<u8>, u64)> = Vec::new();
            let interrupted = loop {
                let value = values(b"bob", model.len(), 1).remove(0);
                let receiver = sequencer.admit(b"bob").unwrap().submit(vec![value.clone()]);
                match receiver.ok().and_then(|receiver| receiver.blocking_recv().ok()) {
                    Some(Sequenced { position }) => model.push((value, position)),
                    None => break value,
                }
            };
            assert_eq!(model.len(), failing - 1);
            blocking(state.wait_for(|state| state.failed.is_some())).unwrap();
            let refused = sequencer.admit(b"alice").map(|admission| admission.submit(vec![vec![1]]));
            let never = refused.unwrap().map(|receiver| receiver.blocking_recv());
            assert!(!matches!(never, Ok(Ok(_))), "nothing is sequenced after a failure");
            drop(sequencer);

            // After the restart the update is there as a whole or not at all.
            let (sequencer, _) = rig.start();
            let there = sequencer.admit(b"bob").unwrap().record().map_or(0, |record| record.greatest() + 1);
            let position = rig.store.snapshot().unwrap().size().unwrap() - 1;
            match fault {
                Fault::After => model.push((interrupted, position)),
                _ => assert_eq!(there as usize, model.len()),
            }
            let value = values(b"bob", model.len(), 1).remove(0);
            let admission = sequencer.admit(b"bob").unwrap();
            let Sequenced { position } =
                admission.submit(vec![value.clone()]).unwrap().blocking_recv().unwrap();
            model.push((value, position));
            drop(sequencer);
            check(&rig, &Model::from([(b"bob".to_vec(), model)]));
        }
    }
}

#[test]
fn another_writer_is_noticed() {
    let rig = Rig::new();
    let (one, mut state) = rig.start();
    blocking(state.wait_for(|state| state.size == 1)).unwrap();
    let (two, _) = rig.start();
    two.admit(b"bob").unwrap().submit(vec![vec![1]]).unwrap().blocking_recv().unwrap();
    let lost = one.admit(b"alice").unwrap().submit(vec![vec![2]]).unwrap().blocking_recv();
    assert!(lost.is_err());
    assert!(blocking(state.wait_for(|state| state.failed.is_some())).is_ok());
    assert_eq!(rig.store.snapshot().unwrap().label(b"alice"), Ok(None));
}

fn blocking<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

//! Random histories with time jumps: whatever is asked, a pruned log answers as one that keeps everything.

use std::collections::BTreeMap;

use keyglass_account::problem::Problem;
use keyglass_keytrans::{
    client::{UserState, decode_update_responses},
    config::CipherSuite,
    prover::{self, RECENT},
    wire::Wire,
};
use proptest::prelude::*;

use super::{draft::Times, rig::Rig};
use crate::store::{Store, memory::MemoryStore, rocksdb::RocksStore};

const LABELS: [&[u8]; 3] = [b"alice", b"bob", b"carol"];
const WINDOW: u64 = 300;
const LIFETIME: u64 = 1000;

/// What happens before a head is published.
#[derive(Debug, Clone)]
struct Round {
    /// New versions of labels.
    updates: BTreeMap<usize, usize>,
    /// Milliseconds that pass first.
    passes: u64,
    /// Whether the log is pruned, and how many keys at a time.
    pruned: Option<usize>,
    /// Whether pruning is cut off after its first batch, to be begun anew.
    cut_off: bool,
}

fn round() -> impl Strategy<Value = Round> {
    let updates = prop::collection::btree_map(0..LABELS.len(), 1..3_usize, 1..3);
    let passes = prop_oneof![6 => 0..150_u64, 2 => 150..600_u64, 1 => 900..1500_u64];
    (updates, passes, prop::option::weighted(0.8, 1..40_usize), any::<bool>())
        .prop_map(|(updates, passes, pruned, cut_off)| Round { updates, passes, pruned, cut_off })
}

/// Where each version of a label was created.
type Created = BTreeMap<&'static [u8], Vec<u64>>;

fn value(label: &[u8], version: usize) -> Vec<u8> {
    [label, b" at ", version.to_string().as_bytes()].concat()
}

struct World<S> {
    rig: Rig<S>,
    created: Created,
    /// Users as they were after having looked up something under each head.
    users: Vec<UserState>,
    /// The owners of the labels, and what they were.
    owners: Vec<UserState>,
    past_owners: Vec<(usize, UserState)>,
}

impl<S: Store> World<S> {
    fn new(suite: CipherSuite, store: S) -> Self {
        let rig = Rig::new(suite, WINDOW, LIFETIME, store);
        let mut owners = Vec::new();
        for label in LABELS {
            let mut owner = UserState::default();
            let request = rig.verifier.owner_init_request(&owner, label, 0);
            let answer =
                rig.ask(|data, head| Ok(prover::owner_init(data, head, &request)?.encode()?)).unwrap();
            let verified = rig.verifier.verify_owner_init(&owner, &request, &answer, rig.now()).unwrap();
            owner.apply(verified.update);
            owners.push(owner);
        }
        Self { rig, created: Created::new(), users: Vec::new(), owners, past_owners: Vec::new() }
    }

    fn times(&self) -> Times {
        let snapshot = self.rig.store.whole.snapshot().unwrap();
        let positions: Vec<u64> = (0..self.rig.size()).collect();
        let entries = snapshot.entries(&positions).unwrap();
        let timestamps = entries.into_iter().map(|entry| entry.unwrap().timestamp).collect();
        Times { timestamps, window: WINDOW, lifetime: LIFETIME }
    }

    fn run(&mut self, round: &Round) {
        self.rig.advance(round.passes);
        let mut updates = Vec::new();
        for (label, count) in &round.updates {
            let label = LABELS[*label];
            let known = self.created.entry(label).or_default().len();
            updates.push((
                label,
                (known..known + count).map(|version| value(label, version)).collect::<Vec<_>>(),
            ));
        }
        let positions = self.rig.update(updates.clone());
        for ((label, values), position) in updates.iter().zip(positions) {
            self.created.get_mut(label).unwrap().extend(values.iter().map(|_| position));
        }
        self.rig.publish();
        if let Some(step) = round.pruned {
            if round.cut_off {
                let mut pruner = self.rig.pruner(step);
                let boundary = pruner.boundary(self.rig.size()).unwrap();
                pruner.step(boundary).unwrap();
            } else {
                self.rig.prune(step);
            }
        }
        // Owners learn of what they made.
        for (index, (label, values)) in round.updates.keys().zip(&updates) {
            let mut owner = self.owners[*index].clone();
            self.update(&mut owner, label, values.clone(), true);
            self.owners[*index] = owner;
        }
        let mut stranger = UserState::default();
        let label = LABELS[round.updates.keys().next().copied().unwrap()];
        self.search(&mut stranger, label, None);
        self.users.push(stranger);
        self.past_owners.extend(round.updates.keys().map(|index| (*index, self.owners[*index].clone())));
    }

    /// Looks up; tells whether the version is expired.
    fn search(&self, user: &mut UserState, label: &[u8], version: Option<u32>) -> bool {
        let request = self.rig.verifier.search_request(user, label, version);
        let answer = self.rig.ask(|data, head| Ok(prover::search(data, head, &request)?.encode()?));
        let answer = match answer {
            Ok(answer) => answer,
            Err(problem) => {
                assert_eq!(problem, Problem::ExpiredVersion);
                return true;
            }
        };
        let verified = self.rig.verifier.verify_search(user, &request, &answer, self.rig.now()).unwrap();
        let greatest = self.created[label].len() - 1;
        let expected = version.map_or(greatest, |version| version as usize);
        assert_eq!(
            (verified.result.version as usize, &verified.result.value),
            (expected, &value(label, expected))
        );
        user.apply(verified.update);
        false
    }

    /// Hands in values, or asks for what there is; tells whether that is expired.
    fn update(&self, owner: &mut UserState, label: &[u8], values: Vec<Vec<u8>>, made: bool) -> bool {
        let verifier = &self.rig.verifier;
        let mut request = verifier.update_request(owner, label, values).unwrap();
        let created = made.then(|| self.created[label].len() as u32 - 1);
        let answer = self.rig.ask(|data, head| {
            let responses = prover::update_responses(data, head, &request, created)?;
            Ok(responses.iter().map(|response| response.encode().unwrap()).collect::<Vec<_>>().concat())
        });
        let answer = match answer {
            Ok(answer) => answer,
            // There is nothing to tell.
            Err(Problem::UnknownVersion) => return false,
            Err(problem) => {
                assert_eq!(problem, Problem::ExpiredVersion);
                return true;
            }
        };
        for response in decode_update_responses(&answer, verifier.response_context()).unwrap() {
            let verified = verifier.verify_update(owner, &request, &response, self.rig.now()).unwrap();
            owner.apply(verified.update);
            request = verifier.next_update_request(owner, &request, &verified.result).unwrap();
        }
        false
    }

    fn walk(&self, user: &mut UserState) {
        let request = self.rig.verifier.distinguished_request(user, None);
        let answer =
            self.rig.ask(|data, head| Ok(prover::distinguished(data, head, &request)?.encode()?)).unwrap();
        let verified =
            self.rig.verifier.verify_distinguished(user, &request, RECENT, &answer, self.rig.now()).unwrap();
        user.apply(verified.update);
    }

    /// Asks everything that anybody can ask.
    fn ask_everything(&self) {
        let times = self.times();
        for (label, created) in &self.created {
            let nobody = UserState::default;
            assert!(!self.search(&mut nobody(), label, None), "the greatest version never expires");
            for version in 0..created.len() {
                let expired = self.search(&mut nobody(), label, Some(version as u32));
                assert_eq!(
                    expired,
                    times.search_expires(created, version),
                    "version {version} of {created:?}"
                );
            }
            for start in times.distinguished() {
                let request = self.rig.verifier.owner_init_request(&nobody(), label, start);
                let answer =
                    self.rig.ask(|data, head| Ok(prover::owner_init(data, head, &request)?.encode()?));
                assert_eq!(answer.is_ok(), !times.is_expired(start), "an owner from {start} on");
                if let Ok(answer) = answer {
                    let verified =
                        self.rig.verifier.verify_owner_init(&nobody(), &request, &answer, self.rig.now());
                    let _ = verified.unwrap();
                }
            }
        }
        // With heads of every age.
        for (number, user) in self.users.iter().enumerate() {
            let label =
                LABELS.iter().cycle().skip(number).find(|label| self.created.contains_key(*label)).unwrap();
            let versions = self.created[label].len() as u32;
            self.search(&mut user.clone(), label, None);
            self.search(&mut user.clone(), label, Some(number as u32 % versions));
            self.walk(&mut user.clone());
            for (label, known) in &user.labels {
                let request = self.rig.verifier.contact_monitor_request(user, label).unwrap();
                let answer =
                    self.rig.ask(|data, head| Ok(prover::contact_monitor(data, head, &request)?.encode()?));
                let expected =
                    if times.monitoring_expires(&known.map) { Err(Problem::ExpiredVersion) } else { Ok(()) };
                assert_eq!(answer.as_ref().map(|_| ()).map_err(|problem| *problem), expected);
                if let Ok(answer) = answer {
                    let verified =
                        self.rig.verifier.verify_contact_monitor(user, &request, &answer, self.rig.now());
                    let _ = verified.unwrap();
                }
            }
        }
        let present = self.owners.iter().cloned().enumerate();
        for (index, owner) in self.past_owners.iter().cloned().chain(present) {
            let label = LABELS[index];
            if !self.created.contains_key(label) {
                continue;
            }
            self.monitor_as_owner(&times, &owner, label);
            let mut later = owner.clone();
            let newest = owner.labels[label].owner.as_ref().unwrap().settled_until();
            let expired = self.update(&mut later, label, Vec::new(), false);
            assert!(!expired || times.is_expired(newest), "what is new since {newest} is not all expired");
        }
    }

    fn monitor_as_owner(&self, times: &Times, owner: &UserState, label: &[u8]) {
        let request = self.rig.verifier.owner_monitor_request(owner, label).unwrap();
        let answer = self.rig.ask(|data, head| Ok(prover::owner_monitor(data, head, &request)?.encode()?));
        match answer {
            Ok(answer) => {
                let verified =
                    self.rig.verifier.verify_owner_monitor(owner, &request, &answer, self.rig.now());
                let _ = verified.unwrap();
            }
            Err(problem) => {
                assert_eq!(problem, Problem::ExpiredVersion);
                let inspects_expired =
                    times.distinguished().into_iter().any(|x| x > request.start && times.is_expired(x));
                assert!(inspects_expired || times.monitoring_expires(&owner.labels[label].map));
            }
        }
    }
}

fn check<S: Store>(suite: CipherSuite, store: S, rounds: &[Round]) {
    let mut world = World::new(suite, store);
    for (number, round) in rounds.iter().enumerate() {
        world.run(round);
        if number % 8 == 7 {
            world.ask_everything();
        }
    }
    world.ask_everything();
    // Much has been pruned, unless no time has passed.
    world.rig.prune(1000);
    let pruned = world.rig.store.snapshot().unwrap().pruned().unwrap();
    let times = world.times();
    let first_unexpired = (0..times.size()).find(|position| !times.is_expired(*position)).unwrap();
    assert_eq!(pruned, first_unexpired.saturating_sub(1));
    world.ask_everything();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_pruned_log_in_memory_answers_all_that_the_draft_answers(
        rounds in prop::collection::vec(round(), 1..30), draft in any::<bool>(),
    ) {
        let suite = if draft { CipherSuite::Draft } else { CipherSuite::Tlog };
        check(suite, MemoryStore::default(), &rounds);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_pruned_log_on_disk_answers_all_that_the_draft_answers(rounds in prop::collection::vec(round(), 10..30)) {
        let directory = tempfile::tempdir().unwrap();
        let store = RocksStore::create(&directory.path().join("db"), &[7; 32]).unwrap();
        check(CipherSuite::Tlog, store, &rounds);
    }
}

//! Prover and verifier against each other and against a naive log, through random histories.

use keyglass_tlog::time::UnixMillis;
use proptest::prelude::*;

use super::{model::NaiveLog, *};
use crate::{
    client::{UserState, Verified, Verifier, VerifyError},
    config::CipherSuite,
    wire::{SearchRequest, Wire},
};

const LABELS: [&[u8]; 3] = [b"alice", b"bob", b""];

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    /// Log entries after these many milliseconds each, with versions of the labels at these indices.
    Append(Vec<(u64, Vec<usize>)>),
    /// A user searches for a label's greatest version, or for one at this fraction of its versions.
    Search {
        user: usize,
        label: usize,
        fixed: Option<u8>,
    },
    /// A user monitors every label that it has to.
    Monitor {
        user: usize,
    },
    /// The owner of a label stores values, is told of existing ones, or monitors.
    Own {
        label: usize,
        values: usize,
    },
    OwnerMonitor {
        label: usize,
    },
    /// A user walks the distinguished heads.
    Walk {
        user: usize,
    },
    /// A user goes back to the state that it had before its last operation, as after a crash.
    Restore {
        user: usize,
    },
}

const USERS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let entry = (0..400_u64, prop::collection::vec(0..LABELS.len(), 0..4));
    prop_oneof![
        4 => prop::collection::vec(entry, 1..5).prop_map(Step::Append),
        4 => (0..USERS, 0..LABELS.len(), prop::option::of(any::<u8>()))
            .prop_map(|(user, label, fixed)| Step::Search { user, label, fixed }),
        2 => (0..USERS).prop_map(|user| Step::Monitor { user }),
        3 => (0..LABELS.len(), 0..4_usize).prop_map(|(label, values)| Step::Own { label, values }),
        2 => (0..LABELS.len()).prop_map(|label| Step::OwnerMonitor { label }),
        1 => (0..USERS).prop_map(|user| Step::Walk { user }),
        1 => (0..USERS).prop_map(|user| Step::Restore { user }),
    ]
}

/// A log with its users; the owner of a label is a user of its own, and only it makes versions once it owns.
struct World {
    log: NaiveLog,
    verifier: Verifier,
    users: Vec<UserState>,
    before: Vec<UserState>,
    owners: Vec<UserState>,
}

impl World {
    fn new(suite: CipherSuite, window: u64, lifetime: Option<u64>) -> Self {
        let mut log = NaiveLog::new(suite, window, lifetime);
        log.append(1_700_000_000_000, &[]);
        let verifier = Verifier::new(&log.config.encode().unwrap(), Some(b"quorum none\n")).unwrap();
        let users = vec![UserState::default(); USERS];
        Self { log, verifier, before: users.clone(), users, owners: vec![UserState::default(); LABELS.len()] }
    }

    fn clock(&self) -> UnixMillis {
        UnixMillis(self.log.now() + 5)
    }

    fn accept<T>(&mut self, user: usize, verified: Verified<T>) -> T {
        self.before[user] = self.users[user].clone();
        self.users[user].apply(verified.update);
        verified.result
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Append(entries) => {
                for (passed, labels) in entries {
                    // A label that is owned gets its versions from its owner.
                    let free: Vec<_> =
                        labels.into_iter().filter(|&label| self.owners[label].labels.is_empty()).collect();
                    let updates: Vec<(&[u8], &[u8])> =
                        free.iter().map(|&label| (LABELS[label], &b"free"[..])).collect();
                    self.log.append(self.log.now() + passed, &updates);
                }
            }
            Step::Search { user, label, fixed } => self.search(user, LABELS[label], fixed),
            Step::Monitor { user } => self.monitor(user),
            Step::Own { label, values } => self.own(label, values),
            Step::OwnerMonitor { label } => self.owner_monitor(label),
            Step::Walk { user } => {
                let request = self.verifier.distinguished_request(&self.users[user], None);
                let response =
                    distinguished(&self.log, &self.log.head(), &request).unwrap().encode().unwrap();
                let verified = self
                    .verifier
                    .verify_distinguished(&self.users[user], &request, RECENT, &response, self.clock())
                    .unwrap();
                let entries = self.accept(user, verified);
                assert!(!entries.is_empty() && entries.len() <= RECENT.count);
            }
            Step::Restore { user } => self.users[user] = self.before[user].clone(),
        }
    }

    fn search(&mut self, user: usize, label: &[u8], fixed: Option<u8>) {
        let Some(greatest) = self.log.greatest(label) else {
            let request = self.verifier.search_request(&self.users[user], label, None);
            assert_eq!(search(&self.log, &self.log.head(), &request), Err(ProverError::UnknownLabel));
            return;
        };
        let version = fixed.map(|fraction| (u64::from(greatest + 1) * u64::from(fraction) / 256) as u32);
        let request = self.verifier.search_request(&self.users[user], label, version);
        let response = match search(&self.log, &self.log.head(), &request) {
            // With a maximum lifetime, old versions cannot be vouched for.
            Err(ProverError::Violation(Violation::Expired)) if self.log.config.maximum_lifetime.is_some() => {
                return;
            }
            Err(ProverError::UnknownVersion) if self.log.config.maximum_lifetime.is_some() => return,
            other => other.unwrap(),
        };
        let verified = self
            .verifier
            .verify_search(&self.users[user], &request, &response.encode().unwrap(), self.clock())
            .unwrap();
        let found = self.accept(user, verified);
        assert_eq!(found.version, version.unwrap_or(greatest));
        assert_eq!(found.value, self.log.value(label, found.version));
    }

    fn monitor(&mut self, user: usize) {
        for label in LABELS {
            let Some(request) = self.verifier.contact_monitor_request(&self.users[user], label) else {
                continue;
            };
            let response = contact_monitor(&self.log, &self.log.head(), &request).unwrap().encode().unwrap();
            let verified = self
                .verifier
                .verify_contact_monitor(&self.users[user], &request, &response, self.clock())
                .unwrap();
            let map = self.accept(user, verified);
            // What remains lies on the frontier.
            let frontier = crate::ibst::frontier(self.log.size());
            assert!(map.entries().all(|entry| frontier.contains(&entry.position)));
        }
    }

    fn own(&mut self, index: usize, count: usize) {
        let label = LABELS[index];
        if self.owners[index].labels.is_empty() && !self.begin_owning(index) {
            return;
        }
        let values: Vec<Vec<u8>> = (0..count).map(|n| vec![n as u8; n]).collect();
        let state = self.owners[index].clone();
        let mut request = self.verifier.update_request(&state, label, values.clone()).unwrap();
        let created = if request.greatest_version == self.log.greatest(label) && count > 0 {
            let updates: Vec<(&[u8], &[u8])> = values.iter().map(|value| (label, value.as_slice())).collect();
            self.log.append(self.log.now() + 1, &updates);
            self.log.greatest(label)
        } else {
            None
        };
        let responses = match update_responses(&self.log, &self.log.head(), &request, created) {
            Err(ProverError::UnknownVersion) => return,
            other => other.unwrap(),
        };
        for response in responses {
            let verified =
                self.verifier.verify_update(&self.owners[index], &request, &response, self.clock()).unwrap();
            self.owners[index].apply(verified.update);
            for (version, value) in &verified.result.versions {
                assert_eq!(value.as_deref(), Some(self.log.value(label, *version)));
            }
            request =
                self.verifier.next_update_request(&self.owners[index], &request, &verified.result).unwrap();
        }
        assert_eq!(request.greatest_version, self.log.greatest(label));
    }

    /// Takes a label over at the rightmost distinguished entry; false if there is none.
    fn begin_owning(&mut self, index: usize) -> bool {
        let state = &mut self.owners[index];
        let request = self.verifier.distinguished_request(state, None);
        let response = distinguished(&self.log, &self.log.head(), &request).unwrap().encode().unwrap();
        let now = UnixMillis(self.log.now() + 5);
        let walked = self.verifier.verify_distinguished(state, &request, RECENT, &response, now).unwrap();
        let Some(start) = walked.result.last().map(|entry| entry.position) else { return false };
        state.apply(walked.update);
        let request = self.verifier.owner_init_request(state, LABELS[index], start);
        let response = owner_init(&self.log, &self.log.head(), &request).unwrap().encode().unwrap();
        let verified = self.verifier.verify_owner_init(state, &request, &response, now).unwrap();
        state.apply(verified.update);
        true
    }

    fn owner_monitor(&mut self, index: usize) {
        let label = LABELS[index];
        let state = &mut self.owners[index];
        let Some(request) = self.verifier.owner_monitor_request(state, label) else { return };
        let now = UnixMillis(self.log.now() + 5);
        let response = owner_monitor(&self.log, &self.log.head(), &request).unwrap().encode().unwrap();
        let verified = self.verifier.verify_owner_monitor(state, &request, &response, now).unwrap();
        // Versions from before the owner took over are told by an update; until then a round stops before them.
        assert!(verified.result.complete || request.greatest_version < self.log.greatest(label));
        state.apply(verified.update);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens, an honest log convinces every user, and of the truth.
    #[test]
    fn honest_histories_verify(
        tlog in any::<bool>(),
        window in prop_oneof![Just(0_u64), 1..2000_u64, Just(u64::MAX)],
        lifetime in prop::option::of(1..4000_u64),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let suite = if tlog { CipherSuite::Tlog } else { CipherSuite::Draft };
        // A log with a window that no timestamp reaches has no distinguished entry, so nobody can own a label.
        let lifetime = lifetime.and_then(|beyond| window.checked_add(beyond));
        let mut world = World::new(suite, window, lifetime);
        for step in steps {
            if window == u64::MAX && matches!(step, Step::Walk { .. }) {
                continue;
            }
            world.run(step);
        }
    }
}

/// A log with enough entries for every part of a proof to be there, and a returning user's honest response.
fn search_fixture(suite: CipherSuite, version: Option<u32>) -> (World, SearchRequest, Vec<u8>) {
    let mut world = World::new(suite, 300, None);
    for round in 0..23_u64 {
        let updates: &[(&[u8], &[u8])] =
            if round % 3 == 0 { &[(b"bob", b"value"), (b"alice", b"x")] } else { &[] };
        world.log.append(world.log.now() + 40, updates);
        if round == 12 {
            world.search(0, b"alice", None);
        }
    }
    let request = world.verifier.search_request(&world.users[0], b"bob", version);
    let response = search(&world.log, &world.log.head(), &request).unwrap().encode().unwrap();
    (world, request, response)
}

fn verify(world: &World, request: &SearchRequest, response: &[u8]) -> Result<(), VerifyError> {
    world.verifier.verify_search(&world.users[0], request, response, world.clock()).map(|_| ())
}

/// Every flipped bit, and every byte removed, doubled or swapped with the next, is refused. The signature lines of a
/// 0xF001 head are text in which an unknown key's name may vary: there the log's own line is the only one.
#[test]
fn no_mutation_of_a_search_response_is_accepted() {
    for suite in [CipherSuite::Draft, CipherSuite::Tlog] {
        for version in [None, Some(2)] {
            let (world, request, response) = search_fixture(suite, version);
            assert_eq!(verify(&world, &request, &response), Ok(()));
            let mut mutations = 0;
            for index in 0..response.len() {
                let mut mutated: Vec<Vec<u8>> = (0..8)
                    .map(|bit| {
                        let mut flipped = response.clone();
                        flipped[index] ^= 1 << bit;
                        flipped
                    })
                    .collect();
                let mut removed = response.clone();
                removed.remove(index);
                let mut doubled = response.clone();
                doubled.insert(index, response[index]);
                let mut swapped = response.clone();
                swapped.swap(index, (index + 1) % response.len());
                mutated.extend([removed, doubled, swapped]);
                for response_after in mutated.into_iter().filter(|mutated| *mutated != response) {
                    assert!(verify(&world, &request, &response_after).is_err(), "{suite:?} byte {index}");
                    mutations += 1;
                }
            }
            assert!(mutations > 10_000);
        }
    }
}

/// Elements removed, doubled and swapped as wholes, with the counts in front of them kept true.
#[test]
fn no_rearrangement_of_a_search_response_is_accepted() {
    for suite in [CipherSuite::Draft, CipherSuite::Tlog] {
        let (world, request, response) = search_fixture(suite, None);
        let context = world.verifier.response_context();
        let honest = crate::wire::SearchResponse::decode(&response, context).unwrap();
        let mut rearranged = Vec::new();
        let mut with = |change: &dyn Fn(&mut crate::wire::SearchResponse)| {
            let mut changed = honest.clone();
            change(&mut changed);
            rearranged.push(changed);
        };
        for (place, count) in [
            (0, honest.binary_ladder.len()),
            (1, honest.search.timestamps.len()),
            (2, honest.search.prefix_proofs.len()),
            (3, honest.search.prefix_roots.len()),
            (4, honest.search.inclusion.elements.len()),
        ] {
            assert!(count > 0, "nothing to rearrange at place {place}");
            for index in 0..count {
                for act in 0..3 {
                    with(&|r| match place {
                        0 => rearrange(&mut r.binary_ladder, index, act),
                        1 => rearrange(&mut r.search.timestamps, index, act),
                        2 => rearrange(&mut r.search.prefix_proofs, index, act),
                        3 => rearrange(&mut r.search.prefix_roots, index, act),
                        _ => rearrange(&mut r.search.inclusion.elements, index, act),
                    });
                }
            }
        }
        for (proof, content) in honest.search.prefix_proofs.iter().enumerate() {
            for index in 0..content.results.len().max(content.elements.len()) {
                for act in 0..3 {
                    with(&|r| rearrange(&mut r.search.prefix_proofs[proof].results, index, act));
                    with(&|r| rearrange(&mut r.search.prefix_proofs[proof].elements, index, act));
                }
            }
        }
        for changed in rearranged.iter().filter(|changed| **changed != honest) {
            assert!(verify(&world, &request, &changed.encode().unwrap()).is_err(), "{changed:?}");
        }
    }
}

/// Removes the element at `index`, doubles it, or swaps it with the next.
fn rearrange<T: Clone>(elements: &mut Vec<T>, index: usize, act: u8) {
    if index >= elements.len() {
        return;
    }
    match act {
        0 => {
            elements.remove(index);
        }
        1 => elements.insert(index, elements[index].clone()),
        _ => {
            let next = (index + 1) % elements.len();
            elements.swap(index, next);
        }
    }
}

/// A response for another label, another version or another head is refused.
#[test]
fn a_response_to_another_request_is_refused() {
    for suite in [CipherSuite::Draft, CipherSuite::Tlog] {
        let (mut world, request, response) = search_fixture(suite, None);
        let other_label = SearchRequest { label: b"alice".to_vec(), ..request.clone() };
        assert!(verify(&world, &other_label, &response).is_err());
        let fresh = SearchRequest { last: None, ..request.clone() };
        assert_eq!(verify(&world, &fresh, &response), Err(VerifyError::WrongState));
        let for_fresh = search(&world.log, &world.log.head(), &fresh).unwrap().encode().unwrap();
        assert!(verify(&world, &request, &for_fresh).is_err());
        world.log.append(world.log.now() + 40, &[]);
        let mut stale =
            crate::wire::SearchResponse::decode(&response, world.verifier.response_context()).unwrap();
        stale.full_tree_head =
            FullTreeHead::Updated { tree_head: world.log.head().tree_head, auditor_tree_head: None };
        assert!(verify(&world, &request, &stale.encode().unwrap()).is_err());
    }
}

#[test]
fn bad_requests_have_typed_answers() {
    let (world, request, _) = search_fixture(CipherSuite::Tlog, None);
    let (log, head) = (&world.log, world.log.head());
    let size = log.size();
    let ask = |change: &dyn Fn(&mut SearchRequest)| {
        let mut asked = request.clone();
        change(&mut asked);
        search(log, &head, &asked).unwrap_err()
    };
    assert_eq!(ask(&|r| r.last = Some(size + 1)), ProverError::BadLast { last: size + 1, size });
    assert_eq!(ask(&|r| r.last = Some(0)), ProverError::BadLast { last: 0, size });
    assert_eq!(ask(&|r| r.label = b"nobody".to_vec()), ProverError::UnknownLabel);
    assert_eq!(ask(&|r| r.version = Some(u32::MAX)), ProverError::UnknownVersion);
    let monitor = |label: &[u8], entries: &[(u64, u32)]| {
        let entries = entries
            .iter()
            .map(|&(position, version)| crate::wire::MonitorMapEntry { position, version })
            .collect();
        let request = crate::wire::ContactMonitorRequest { last: None, label: label.to_vec(), entries };
        contact_monitor(log, &head, &request).map(|_| ())
    };
    assert_eq!(monitor(b"nobody", &[(3, 0)]), Err(ProverError::UnknownLabel));
    assert_eq!(monitor(b"bob", &[(size, 0)]), Err(ProverError::BadMap));
    assert_eq!(monitor(b"bob", &[(7, 0), (3, 1)]), Err(ProverError::BadMap));
    assert_eq!(monitor(b"bob", &[(3, 0), (7, 0)]), Err(ProverError::BadMap));
    assert_eq!(monitor(b"bob", &[(2, 0)]), Err(ProverError::BadMap));
}

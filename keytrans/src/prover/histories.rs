//! Prover and verifier against each other and against a user that knows everything, through random histories.

use std::{cell::RefCell, collections::BTreeMap};

use keyglass_tlog::time::UnixMillis;
use proptest::{prelude::*, test_runner::TestRunner};

use super::{model::NaiveLog, oracle::Oracle, *};
use crate::{
    algorithms::tests::distinguished_by_recursion,
    client::{
        UserState, Verifier, VerifyError,
        session::{Op, Request, state_json},
    },
    config::{CipherSuite, DeploymentMode},
    lies::{
        mutation::{Mutation, mutation, says_no_more},
        response::Response,
        shameless::{self, Claim},
    },
    wire::Wire,
};

const LABELS: [&[u8]; 3] = [b"alice", b"bob", b""];

/// Every one of them may look up, monitor, own and update every label: a label's owner is also its contact, and two
/// devices own one label.
const USERS: usize = 4;

/// One step of a history. Fractions of 256 choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// Log entries after these many milliseconds each, with versions of the labels at these indices that nobody asked
    /// for; and how many entries the auditor is behind then, where there is one.
    Append(Vec<(u64, Vec<usize>)>, u64),
    Search {
        label: usize,
        version: Option<u8>,
    },
    Monitor,
    Walk {
        stop: Option<u8>,
    },
    /// Begins to own a label at one of the distinguished entries, or anywhere.
    Own {
        label: usize,
        start: u8,
        anywhere: bool,
    },
    /// Stores so many values for a label that it owns, and is told of versions that it does not know.
    Update {
        label: u8,
        values: usize,
    },
    OwnerMonitor {
        label: u8,
    },
    /// Goes back to one of the states that it had before, as from a backup.
    Restore {
        back: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let passed = prop_oneof![8 => 0..400_u64, 1 => 0..10_000_u64];
    let entry = (passed, prop::collection::vec(0..LABELS.len(), 0..4));
    let label = || 0..LABELS.len();
    prop_oneof![
        5 => (prop::collection::vec(entry, 1..5), 0..4_u64).prop_map(|(entries, lag)| Step::Append(entries, lag)),
        4 => (label(), prop::option::of(any::<u8>())).prop_map(|(label, version)| Step::Search { label, version }),
        3 => Just(Step::Monitor),
        1 => prop::option::of(any::<u8>()).prop_map(|stop| Step::Walk { stop }),
        2 => (label(), any::<u8>(), prop::bool::weighted(0.1))
            .prop_map(|(label, start, anywhere)| Step::Own { label, start, anywhere }),
        4 => (any::<u8>(), 0..7_usize).prop_map(|(label, values)| Step::Update { label, values }),
        4 => any::<u8>().prop_map(|label| Step::OwnerMonitor { label }),
        1 => any::<u8>().prop_map(|back| Step::Restore { back }),
    ]
}

fn of<T: Copy>(all: &[T], fraction: u8) -> Option<T> {
    all.get(all.len() * usize::from(fraction) / 256).copied()
}

/// A log with its users.
struct World {
    log: NaiveLog,
    verifier: Verifier,
    users: Vec<UserState>,
    /// Each user's states so far.
    past: Vec<Vec<UserState>>,
    /// What happened how often.
    counts: BTreeMap<String, u64>,
}

impl World {
    fn new(suite: CipherSuite, mode: DeploymentMode, window: u64, lifetime: Option<u64>) -> Self {
        let mut log = NaiveLog::in_mode(suite, mode, window, lifetime);
        log.pruned = true;
        log.append(1_700_000_000_000, &[]);
        let verifier = Verifier::new(&log.config.encode().unwrap(), Some(b"quorum none\n")).unwrap();
        let users = vec![UserState::default(); USERS];
        let past = vec![users[..1].to_vec(); USERS];
        Self { log, verifier, users, past, counts: BTreeMap::new() }
    }

    fn run(&mut self, user: usize, step: Step, mutations: &[Mutation]) {
        match step {
            Step::Append(entries, unaudited) => {
                for (passed, labels) in entries {
                    let updates: Vec<(&[u8], &[u8])> =
                        labels.iter().map(|&label| (LABELS[label], &b"free"[..])).collect();
                    self.log.append(self.log.now() + passed, &updates);
                }
                self.log.unaudited = unaudited;
            }
            Step::Search { label, version } => {
                let label = LABELS[label];
                let Some(greatest) = self.log.greatest(label) else {
                    let op = Op::Search { label: label.to_vec(), version: None };
                    let request = op.request(&self.verifier, &self.users[user]).unwrap();
                    assert_eq!(Response::honest(&self.log, &request, None), Err(ProverError::UnknownLabel));
                    return;
                };
                let versions: Vec<u32> = (0..=greatest).collect();
                let version = version.and_then(|fraction| of(&versions, fraction));
                self.operate(user, &Op::Search { label: label.to_vec(), version }, None, mutations);
            }
            Step::Monitor => {
                for label in LABELS {
                    self.operate(user, &Op::ContactMonitor { label: label.to_vec() }, None, mutations);
                }
            }
            Step::Walk { stop } => {
                let positions: Vec<u64> = (0..self.log.size()).collect();
                let stop = stop.and_then(|fraction| of(&positions, fraction));
                self.operate(user, &Op::Distinguished { stop, recent: RECENT.count }, None, mutations);
            }
            Step::Own { label, start, anywhere: true } => {
                let everywhere: Vec<u64> = (0..=self.log.size()).collect();
                let start = of(&everywhere, start).unwrap_or_default();
                self.operate(user, &Op::OwnerInit { label: LABELS[label].to_vec(), start }, None, mutations);
            }
            Step::Own { label, start, anywhere: false } => self.own(user, label, start, mutations),
            Step::Update { label, values } => {
                let Some(label) = self.owned(user, label, mutations) else { return };
                self.update(user, &label, values, mutations);
            }
            Step::OwnerMonitor { label } => {
                let Some(label) = self.owned(user, label, mutations) else { return };
                self.operate(user, &Op::OwnerMonitor { label }, None, mutations);
            }
            Step::Restore { back } => {
                let states = &self.past[user];
                self.users[user] = states[states.len() * usize::from(back) / 256].clone();
            }
        }
    }

    fn own(&mut self, user: usize, label: usize, start: u8, mutations: &[Mutation]) {
        let window = self.log.config.reasonable_monitoring_window;
        let Some(start) = of(&distinguished_by_recursion(&self.log.timestamps(), window), start) else {
            return;
        };
        self.operate(user, &Op::OwnerInit { label: LABELS[label].to_vec(), start }, None, mutations);
    }

    /// One of the labels that the user owns. If there is none, it begins to own one.
    fn owned(&mut self, user: usize, fraction: u8, mutations: &[Mutation]) -> Option<Vec<u8>> {
        let labels = self.users[user].labels.iter();
        let owned: Vec<&[u8]> =
            labels.filter(|(_, known)| known.owner.is_some()).map(|(label, _)| label.as_slice()).collect();
        let label = of(&owned, fraction).map(<[u8]>::to_vec);
        if label.is_none() {
            self.own(user, usize::from(fraction) % LABELS.len(), fraction, mutations);
        }
        label
    }

    fn update(&mut self, user: usize, label: &[u8], count: usize, mutations: &[Mutation]) {
        let values: Vec<Vec<u8>> = (0..count).map(|n| vec![n as u8; n]).collect();
        let op = Op::Update { label: label.to_vec(), values: values.clone() };
        let Some(Request::Update(request)) = op.request(&self.verifier, &self.users[user]) else { return };
        let mut created = None;
        if request.greatest_version == self.log.greatest(label) && count > 0 {
            let updates: Vec<(&[u8], &[u8])> = values.iter().map(|value| (label, value.as_slice())).collect();
            self.log.append(self.log.now() + 1, &updates);
            created = self.log.greatest(label);
        }
        self.operate(user, &op, created, mutations);
    }

    /// Performs an operation, and before it tries the answer with each of the mutations.
    fn operate(&mut self, user: usize, op: &Op, created: Option<u32>, mutations: &[Mutation]) {
        let state = &self.users[user];
        let Some(request) = op.request(&self.verifier, state) else { return };
        let now = UnixMillis(self.log.now() + 5);
        let expected = Oracle::new(&self.log).expect(op, state);
        let mut response = match (Response::honest(&self.log, &request, created), &expected) {
            (Ok(response), Ok(_)) => response,
            (Err(error), Err(violation)) => {
                self.refused(&request, state, now, &error, *violation);
                let kind = format!("{violation:?}");
                self.count(&format!("{}: {}", op.to_json().0, kind.split('(').next().unwrap_or_default()));
                return;
            }
            (answer, expected) => panic!("{op:?}: {answer:?}, not {expected:?}"),
        };
        if let (Response::Update(responses), DeploymentMode::ThirdPartyManagement) =
            (&mut response, self.log.config.deployment_mode())
        {
            responses.iter_mut().for_each(|response| response.skipped_versions = Some(0));
        }
        let honest = response.encode();
        let (mut refused, mut harmless) = (0, 0);
        let attempt = |bytes: &[u8]| request.attempt(&self.verifier, state, bytes, now);
        let (result, after) = attempt(&honest).unwrap_or_else(|error| panic!("{op:?}: {error:?}"));
        let (expected_result, expected_state) = expected.unwrap();
        assert_eq!(result, expected_result, "{op:?}");
        assert_eq!(state_json(&self.verifier, &after), expected_state, "{op:?}");
        for mutation in mutations {
            let bytes = mutation.of(&response);
            if bytes == honest {
                continue;
            }
            match attempt(&bytes) {
                Err(_) => refused += 1,
                Ok(other) => {
                    assert!(
                        says_no_more(op, &(result.clone(), after.clone()), &other),
                        "{op:?} {mutation:?}"
                    );
                    harmless += 1;
                }
            }
        }
        *self.counts.entry("mutations refused".to_owned()).or_default() += refused;
        *self.counts.entry("mutations without effect".to_owned()).or_default() += harmless;
        self.count(op.to_json().0);
        self.users[user] = after.clone();
        self.past[user].push(after);
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// An operation that has no answer: the log says so, and the user says so of the answer of a log that does not.
    fn refused(
        &self,
        request: &Request,
        state: &UserState,
        now: UnixMillis,
        error: &ProverError<std::convert::Infallible>,
        violation: Violation,
    ) {
        let expired = |position| Oracle::new(&self.log).expired(position);
        match (violation, error) {
            (Violation::NotFound, ProverError::UnknownVersion) => {}
            // The log does not read the timestamp of an expired entry that it may have deleted.
            (Violation::BadStart(start), ProverError::Violation(Violation::Expired)) if expired(start) => {}
            (_, error) => assert_eq!(*error, ProverError::Violation(violation), "{request:?}"),
        }
        // What a user is not told it cannot judge; and only a search is over for the user where it is for the log.
        if !matches!(request, Request::Search(_)) && violation == Violation::Expired {
            return;
        }
        if let Request::Update(_) = request {
            return;
        }
        let answer = shameless::answer(&self.log, request, &Claim::default()).encode();
        let refused = request.attempt(&self.verifier, state, &answer, now).map(|_| ());
        assert_eq!(refused, Err(VerifyError::Violation(violation)), "{request:?}");
    }
}

/// As many cases as the environment asks for, or so many.
fn cases(default: u32) -> ProptestConfig {
    let asked = ProptestConfig::default().cases;
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked } else { default };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Whatever happens, an honest log convinces every user of what an all-knowing one expects, and a changed answer
/// convinces nobody of anything else.
#[test]
fn histories_come_to_what_they_must() {
    let mode = prop_oneof![
        2 => Just(DeploymentMode::ContactMonitoring),
        1 => Just(DeploymentMode::ThirdPartyManagement),
        1 => Just(DeploymentMode::ThirdPartyAuditing),
    ];
    let window = prop_oneof![1 => Just(0_u64), 4 => 1..2000_u64, 1 => Just(u64::MAX)];
    let lifetime = prop::option::of(1..4000_u64);
    let steps = prop::collection::vec((0..USERS, step(), prop::collection::vec(mutation(), 0..4)), 1..60);
    let suite = prop::sample::select(vec![CipherSuite::Draft, CipherSuite::Tlog]);
    let counts = RefCell::new(BTreeMap::new());
    let history = (suite, mode, window, lifetime, steps);
    let mut runner = TestRunner::new(cases(1500));
    let ran = runner.run(&history, |(suite, mode, window, lifetime, steps)| {
        let lifetime = lifetime.and_then(|beyond| window.checked_add(beyond));
        let mut world = World::new(suite, mode, window, lifetime);
        for (user, step, mutations) in steps {
            world.run(user, step, &mutations);
        }
        let mut counts = counts.borrow_mut();
        *counts.entry("histories".to_owned()).or_default() += 1;
        for (what, count) in world.counts {
            *counts.entry(what).or_default() += count;
        }
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}\n{runner}"));
    let counts: BTreeMap<String, u64> = counts.into_inner();
    println!("{counts:#?}");
    // Every operation happened, and everything that can be refused was.
    let met: Vec<&str> = counts.keys().map(|what| what.as_str()).collect();
    for what in ["search", "contact_monitor", "owner_init", "owner_monitor", "update", "distinguished"] {
        assert!(met.contains(&what), "no {what}");
    }
}

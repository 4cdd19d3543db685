//! Many requests at once, disks that fail, clocks that jump: never two roots for one size, never a step back.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, SignedNote, Vkey, parse_signature_lines},
    policy::Policy,
    time::UnixSeconds,
    witness::AddCheckpoint,
};
use keyglass_witness::{
    decide::Refusal,
    head::OriginHash,
    logs::Logs,
    service::{Failure, Witness},
    store::{DurableStore, HeadStore, create},
};
use proptest::prelude::*;

use crate::{
    log::{Log, ORIGIN},
    stores::{Fate, MemoryStore, TestClock},
};

const NOW: u64 = 1_700_000_000;

pub fn cosigner() -> Cosigner {
    Cosigner::new(KeyName::new("witness.example/w1").unwrap(), SigningKey::from_seed(&[0x77; 32]))
}

pub fn witness<S: HeadStore>(log: &Log, store: S, clock: TestClock) -> Arc<Witness<S, TestClock>> {
    let logs = Logs::of_policy(&log.policy(), NonZeroU32::MAX);
    Arc::new(Witness::new(vec![cosigner()], logs, store, clock, Arc::default()))
}

/// The time of the cosignature in an answer, which must verify over the checkpoint.
pub fn time_of(answer: &str, checkpoint: &Checkpoint, key: &Vkey) -> UnixSeconds {
    let lines = parse_signature_lines(answer.as_bytes()).unwrap();
    let note = SignedNote::new(&checkpoint.text(), lines).unwrap();
    let verified = note.verify(&[key]).unwrap();
    assert_eq!(verified.len(), 1);
    verified[0].time.unwrap()
}

/// Sends every request at once; the checkpoints that were cosigned, in no order.
async fn race<S: HeadStore>(
    witness: &Arc<Witness<S, TestClock>>,
    requests: Vec<AddCheckpoint>,
) -> Vec<Checkpoint> {
    let start = Arc::new(tokio::sync::Barrier::new(requests.len()));
    let mut tasks = tokio::task::JoinSet::new();
    for request in requests {
        let (witness, start) = (Arc::clone(witness), Arc::clone(&start));
        tasks.spawn(async move {
            start.wait().await;
            let checkpoint = request.checkpoint().clone();
            let mut answer = witness.add_checkpoint(request.clone()).await;
            // Only so many may wait; the rest of the storm comes again.
            while matches!(answer, Err(Failure::TooManyRequests)) {
                tokio::task::yield_now().await;
                answer = witness.add_checkpoint(request.clone()).await;
            }
            match answer {
                Ok(answer) => {
                    time_of(&answer, &checkpoint, cosigner().vkey());
                    Some(checkpoint)
                }
                Err(Failure::Refused(
                    Refusal::Conflict { .. } | Refusal::RootsDiffer | Refusal::BadProof(_),
                )) => None,
                Err(other) => panic!("{other}"),
            }
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// Every size was cosigned with one root only, and all of these trees are of one history.
fn assert_one_history(cosigned: &[Checkpoint], branches: &[&Log]) {
    let mut roots = HashMap::new();
    for checkpoint in cosigned {
        let root = *roots.entry(checkpoint.tree_size()).or_insert(*checkpoint.root());
        assert_eq!(root, *checkpoint.root(), "two roots for size {}", checkpoint.tree_size());
    }
    let of_one = |log: &&Log| cosigned.iter().all(|c| log.root(c.tree_size()) == *c.root());
    assert!(branches.iter().any(of_one), "the cosigned trees are of different histories");
}

/// Forks from size 0, steps from every size to every other, and repetitions, from all branches.
fn storm(branches: &[&Log], sizes: &[u64]) -> Vec<AddCheckpoint> {
    let mut requests = Vec::new();
    for log in branches {
        for (i, &old) in sizes.iter().enumerate() {
            requests.extend(sizes[i..].iter().map(|&new| log.request(old, new)));
            requests.push(log.request(0, old));
        }
    }
    requests
}

async fn storm_has_one_history<S: HeadStore>(store: S) {
    let (honest, fork, other) = (Log::new(ORIGIN), Log::forked(ORIGIN, 0, 1), Log::forked(ORIGIN, 5, 2));
    let branches = [&honest, &fork, &other];
    let witness = witness(&honest, store, TestClock::at(NOW));
    let requests = storm(&branches, &[0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144]);
    assert!(requests.len() > 200, "only {} requests", requests.len());
    let mut cosigned = Vec::new();
    for _ in 0..4 {
        cosigned.extend(race(&witness, requests.clone()).await);
    }
    assert!(!cosigned.is_empty());
    assert_one_history(&cosigned, &branches);
    // What is served is the largest of them.
    let latest = witness.latest(OriginHash::of(ORIGIN)).unwrap().unwrap();
    let latest = Checkpoint::from_note(&SignedNote::parse(latest.as_bytes()).unwrap()).unwrap();
    let largest = cosigned.iter().max_by_key(|checkpoint| checkpoint.tree_size()).unwrap();
    assert_eq!(latest, *largest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundreds_of_racing_forks_leave_one_history_in_memory() {
    storm_has_one_history(MemoryStore::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundreds_of_racing_forks_leave_one_history_on_disk() {
    let data = tempfile::tempdir().unwrap();
    create(data.path(), &[cosigner().vkey()]).unwrap();
    storm_has_one_history(DurableStore::open(data.path(), &[cosigner().vkey()]).unwrap()).await;
}

/// The race that tlog-witness spells out: whichever of N and N+K comes first, N is never signed after N+K.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_rolls_back() {
    let log = Log::new(ORIGIN);
    for round in 0..50 {
        let store = MemoryStore::default();
        let witness = witness(&log, store.clone(), TestClock::at(NOW));
        witness.add_checkpoint(log.request(0, 10)).await.unwrap();
        let (n, k) = (10 + round % 7, 1 + round % 5);
        race(&witness, vec![log.request(10, n), log.request(10, n + k), log.request(10, n)]).await;
        let sizes: Vec<u64> = store.history().iter().map(|head| head.checkpoint().tree_size()).collect();
        assert!(sizes.is_sorted(), "{sizes:?}");
    }
}

#[tokio::test]
async fn logs_do_not_wait_for_each_other() {
    let (one, two) = (Log::new(ORIGIN), Log::new("log.example/two"));
    let policy = format!("log {}\nlog {}\nquorum none\n", one.vkey(), two.vkey());
    let logs = Logs::of_policy(&Policy::parse(policy.as_bytes()).unwrap(), NonZeroU32::MAX);
    let store = MemoryStore::default();
    let clock = TestClock::at(NOW);
    let witness = Arc::new(Witness::new(vec![cosigner()], logs, store.clone(), clock, Arc::default()));
    // The disk is busy with one log's head: that log waits, the other is served.
    let busy = store.hold(OriginHash::of(ORIGIN));
    let add = |request| {
        let witness = Arc::clone(&witness);
        tokio::spawn(async move { witness.add_checkpoint(request).await })
    };
    let waiting = [add(one.request(0, 5)), add(one.request(5, 9))];
    assert!(witness.add_checkpoint(two.request(0, 5)).await.is_ok());
    assert!(witness.add_checkpoint(two.request(5, 9)).await.is_ok());
    assert!(waiting.iter().all(|task| !task.is_finished()));
    busy.add_permits(2);
    for task in waiting {
        assert!(task.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_clock_that_jumps_back_does_not_take_the_time_back() {
    let log = Log::new(ORIGIN);
    let clock = TestClock::at(NOW);
    let witness = witness(&log, MemoryStore::default(), clock.clone());
    let mut times = Vec::new();
    for (size, now) in [(1, NOW), (2, NOW - 1000), (3, NOW + 5), (3, 1), (4, NOW + 6)] {
        clock.set(now);
        let old = size - u64::from(times.len() != 3);
        let answer = witness.add_checkpoint(log.request(old, size)).await.unwrap();
        times.push(time_of(&answer, &log.checkpoint(size), cosigner().vkey()).0);
    }
    assert_eq!(times, [NOW, NOW, NOW + 5, NOW + 5, NOW + 6]);
}

#[tokio::test]
async fn without_a_clock_nothing_is_stored() {
    let log = Log::new(ORIGIN);
    let (store, clock) = (MemoryStore::default(), TestClock::at(0));
    let witness = witness(&log, store.clone(), clock.clone());
    assert!(matches!(witness.add_checkpoint(log.request(0, 1)).await, Err(Failure::NotCosigned(_))));
    assert!(store.history().is_empty());
    clock.set(NOW);
    assert!(witness.add_checkpoint(log.request(0, 1)).await.is_ok());
}

/// A head that a failing disk may or may not hold counts as cosigned if it does, and is not there if it does not.
#[tokio::test]
async fn a_failed_commit_signs_nothing() {
    for (fate, then) in [(Fate::FailsBefore, 4), (Fate::FailsAfter, 6)] {
        let log = Log::new(ORIGIN);
        let store = MemoryStore::default();
        let witness = witness(&log, store.clone(), TestClock::at(NOW));
        witness.add_checkpoint(log.request(0, 4)).await.unwrap();
        store.next([fate]);
        assert!(matches!(witness.add_checkpoint(log.request(4, 6)).await, Err(Failure::Store(_))));
        let refused = witness.add_checkpoint(log.request(5, 7)).await;
        assert!(
            matches!(refused, Err(Failure::Refused(Refusal::Conflict { latest })) if latest == then),
            "{fate:?}: {refused:?}"
        );
        assert!(witness.add_checkpoint(log.request(then, 7)).await.is_ok());
    }
}

#[derive(Debug, Clone)]
struct Step {
    branch: usize,
    old: Option<u64>,
    new: u64,
    fate: Fate,
    now: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let fate =
        prop_oneof![6 => Just(Fate::Stored), 1 => Just(Fate::FailsBefore), 1 => Just(Fate::FailsAfter)];
    (0usize..3, proptest::option::weighted(0.3, 0u64..12), 0u64..12, fate, 0u64..100)
        .prop_map(|(branch, old, new, fate, now)| Step { branch, old, new, fate, now: NOW + now })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever logs ask for and disks do: one history, and times that do not go back.
    #[test]
    fn any_sequence_has_one_history(steps in proptest::collection::vec(step(), 1..40)) {
        let branches = [Log::new(ORIGIN), Log::forked(ORIGIN, 0, 1), Log::forked(ORIGIN, 4, 2)];
        let (store, clock) = (MemoryStore::default(), TestClock::at(NOW));
        let witness = witness(&branches[0], store.clone(), clock.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut cosigned, mut last_time) = (Vec::new(), UnixSeconds(0));
        for step in steps {
            let log = &branches[step.branch];
            let latest = store.load(OriginHash::of(ORIGIN)).unwrap().head().map_or(0, |head| head.checkpoint().tree_size());
            let old = step.old.unwrap_or(latest).min(step.new);
            store.next([step.fate]);
            clock.set(step.now);
            let answer = runtime.block_on(witness.add_checkpoint(log.request(old, step.new)));
            if let Ok(answer) = answer {
                let checkpoint = log.checkpoint(step.new);
                let time = time_of(&answer, &checkpoint, cosigner().vkey());
                prop_assert!(time >= last_time);
                last_time = time;
                cosigned.push(checkpoint);
                assert_one_history(&cosigned, &branches.iter().collect::<Vec<_>>());
            }
        }
    }
}

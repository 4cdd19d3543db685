//! Every head that anybody shows, compared with every other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use keyglass_crypto::hash::Digest;
use keyglass_keytrans::client::VerifiedHead;
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::SignedNote,
    witness::checkpoint_path,
    witnessed::{Horizon, Judge, Judged},
};
use tokio::time::MissedTickBehavior;

use crate::{
    support::{api::Call, now},
    world::World,
};

/// How often the log and the witnesses are asked for their checkpoints: nothing tells of a new one.
const INTERVAL: Duration = Duration::from_millis(15);
const MAX_AHEAD: Duration = Duration::from_secs(5);

/// The root that the log signed for each size, and which witness cosigned which sizes.
#[derive(Debug, Default)]
pub struct Heads {
    roots: Mutex<BTreeMap<u64, Digest>>,
    cosigned: Mutex<BTreeMap<usize, BTreeSet<u64>>>,
}

impl Heads {
    /// Notes a head that the log signed.
    pub fn saw(&self, size: u64, root: Digest, where_: &str) {
        let before = *self.roots.lock().unwrap().entry(size).or_insert(root);
        assert_eq!(before, root, "{where_} shows a second root of size {size}");
    }

    pub fn saw_verified(&self, head: &VerifiedHead) {
        assert!(matches!(head, VerifiedHead::Witnessed(_)), "an unwitnessed head in an answer");
        self.saw(head.tree_size(), *head.root(), "an answer");
    }

    /// How many sizes have a root.
    pub fn sizes(&self) -> usize {
        self.roots.lock().unwrap().len()
    }

    /// How many sizes a witness was seen to have cosigned.
    pub fn cosigned(&self, index: usize) -> usize {
        self.cosigned.lock().unwrap().get(&index).map_or(0, BTreeSet::len)
    }
}

/// Asks the log for its checkpoint all the time.
pub async fn follow_log(world: Arc<World>) {
    let mut largest = 0;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !world.is_stopped() {
        ticks.tick().await;
        let Ok(answer) = world.api.attempt(&Call::get("/checkpoint")).await else { continue };
        assert!(matches!(answer.status, 200 | 503), "{} {}", answer.status, answer.text());
        if answer.status == 200 {
            let note = SignedNote::parse(&answer.body).unwrap();
            let judge = Judge::of_log(&world.policy, [&world.log_vkey], Horizon::at(now(), MAX_AHEAD));
            let Judged::Witnessed(head) = judge.judge(&note).unwrap() else {
                panic!("an unwitnessed checkpoint")
            };
            assert!(
                head.tree_size() >= largest,
                "the published size went back from {largest} to {}",
                head.tree_size()
            );
            largest = head.tree_size();
            world.heads.saw(head.tree_size(), *head.root(), "the log");
            world.counts.checkpoints.add(1);
        }
    }
}

/// Asks a witness for what it cosigned last all the time.
pub async fn follow_witness(world: Arc<World>, index: usize) {
    let witness = &world.policy.witnesses()[index];
    let keys = [witness.vkey(), &world.log_vkey];
    let url = format!("{}/{}", world.witness_urls[index], checkpoint_path(&world.api.origin));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut largest = 0;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !world.is_stopped() {
        ticks.tick().await;
        let Ok(answer) = http.get(&url).send().await else { continue };
        let status = answer.status();
        let Ok(body) = answer.bytes().await else { continue };
        // Before its first cosignature there is nothing.
        assert!(status.is_success() || (status.as_u16() == 404 && largest == 0), "witness {index}: {status}");
        if status.is_success() {
            let note = SignedNote::parse(&body).unwrap();
            let signed: BTreeSet<usize> =
                note.verify(&keys).unwrap().iter().map(|line| line.key_index).collect();
            assert_eq!(
                signed.len(),
                keys.len(),
                "witness {index} shows a head that it or the log has not signed"
            );
            let head = Checkpoint::from_note(&note).unwrap();
            let size = head.tree_size();
            assert!(size >= largest, "witness {index} went back from {largest} to {size}");
            largest = size;
            world.heads.saw(size, *head.root(), "a witness");
            world.heads.cosigned.lock().unwrap().entry(index).or_default().insert(size);
            world.counts.checkpoints.add(1);
        }
    }
}

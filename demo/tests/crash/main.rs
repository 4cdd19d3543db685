//! The log-server and a witness are killed again and again under load, and nothing that was promised is lost.
//!
//! What is promised, and checked all through and after the last restart:
//! - an acknowledged version of a label is in the log for good, and whoever verified the log before finds it consistent;
//! - a one-time prekey is handed out for one request only, and a repeated request gets the same bundle;
//! - the log signs one root for each size, what is published stays published, and what a witness cosigned does not go back.
//!
//! SIGKILL leaves the page cache: this shows that every promise is written before it is made, not that disks keep it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod end;
mod heads;
mod killers;
mod load;
mod prekeys;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each test program uses another part")]
mod support;
mod world;

use std::{sync::Arc, time::Duration};

use keyglass_demo::system::{System, Timing};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::watch, task::JoinSet};

use crate::{support::programs::WitnessPlace, world::World};

/// How often each of the two programs is killed while it serves.
const KILLS: u32 = 30;

/// Far more than the whole takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(400);

/// Old heads are no matter here: the machine may be busy.
const TIMING: Timing = Timing { max_behind: 120_000, heartbeat: 300 };

/// The variable that repeats the choices of an earlier run.
const SEED: &str = "KEYGLASS_CRASH_SEED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_promised_is_lost_when_log_server_and_witness_are_killed() {
    let seed = std::env::var(SEED).map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("the kills of this run: {SEED}={seed}");
    tokio::time::timeout(PATIENCE, crash(StdRng::seed_from_u64(seed))).await.expect("the run hangs");
}

async fn crash(mut rng: StdRng) {
    let mut system = System::start(TIMING).await.unwrap();
    let (alive, lives) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let world = Arc::new(World::new(&system, lives, stopped));
    let targets = prekeys::targets(&world).await;

    let mut load = JoinSet::new();
    let mut users = JoinSet::new();
    for n in 0..3 {
        load.spawn(load::register(Arc::clone(&world), n));
        load.spawn(prekeys::fetch(Arc::clone(&world), targets.clone(), n, child(&mut rng)));
    }
    for n in 0..2 {
        load.spawn(load::own(Arc::clone(&world), n));
        users.spawn(load::search(Arc::clone(&world), child(&mut rng)));
    }
    for target in &targets {
        load.spawn(prekeys::supply(Arc::clone(&world), Arc::clone(target)));
    }
    load.spawn(heads::follow_log(Arc::clone(&world)));
    let witnesses: Vec<WitnessPlace> = (0..3).map(|index| WitnessPlace::of(&system, index)).collect();
    for index in 0..witnesses.len() {
        load.spawn(heads::follow_witness(Arc::clone(&world), index));
    }

    let log_server = killers::LogServer::of(&mut system);
    let witness = (witnesses[0].clone(), system.witnesses.remove(0));
    let killing = async {
        let killers = (
            log_server.kill_often(&world, &alive, child(&mut rng)),
            killers::kill_witness_often(&world, witness, child(&mut rng)),
        );
        tokio::join!(killers.0, killers.1)
    };
    let ((mut log_server, kills_of_log), (witness, kills_of_witness)) = tokio::select! {
        killed = killing => killed,
        ended = load.join_next() => panic!("a task of the load ended: {ended:?}"),
        ended = users.join_next() => panic!("a user ended: {:?}", ended.map(|user| user.map(drop))),
    };
    stop.send_replace(true);
    let returning = users.join_all().await;
    load.join_all().await;
    log_server.restart(&alive).await;

    end::check(&world, &targets, returning).await;
    end::report(&world, kills_of_log, kills_of_witness);
    drop((log_server, witness));
}

fn child(rng: &mut StdRng) -> StdRng {
    StdRng::seed_from_u64(rng.random())
}

//! SIGKILL at random points, each chosen by how many requests were begun before it and by a moment after that.

use std::{path::PathBuf, process::Stdio, time::Duration};

use keyglass_demo::{
    daemon::{Daemon, program},
    system::{Log, System, Timing},
};
use rand::{RngExt as _, rngs::StdRng};
use tokio::{process::Command, sync::watch};

use crate::{
    KILLS,
    support::programs::{WitnessPlace, serve},
    world::World,
};

/// How many requests are begun between two kills.
const REQUESTS: std::ops::Range<u64> = 10..700;
/// Up to so many milliseconds later the kill comes: longer than a batch's window, a commit and a round of witnesses.
const MOMENT: std::ops::Range<u64> = 0..60;
/// A program that starts is killed within so many milliseconds.
const STARTING: std::ops::Range<u64> = 0..120;
/// How many of the restarts are killed before they serve.
const KILLED_STARTING: f64 = 0.3;

/// Waits for a random point.
async fn random_point(world: &World, rng: &mut StdRng) {
    let target = *world.begun.borrow() + rng.random_range(REQUESTS);
    world.begun.subscribe().wait_for(|begun| *begun >= target).await.unwrap();
    tokio::time::sleep(Duration::from_millis(rng.random_range(MOMENT))).await;
}

/// Starts a program and kills it a moment later, whatever it is doing then.
async fn kill_while_starting(world: &World, name: &str, arguments: &[String], rng: &mut StdRng) {
    let mut command = Command::new(program(name).unwrap());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(rng.random_range(STARTING))).await;
    child.kill().await.unwrap();
    world.counts.killed_while_starting.add(1);
}

/// The log-server, which is started where it was.
pub struct LogServer {
    log: Log,
    policy: PathBuf,
    timing: Timing,
    address: String,
    daemon: Option<Daemon>,
}

impl LogServer {
    pub fn of(system: &mut System) -> Self {
        let daemon = system.server.take().unwrap();
        let (log, policy, timing) = (system.log.clone(), system.policy.clone(), system.timing);
        Self { log, policy, timing, address: daemon.address().to_owned(), daemon: Some(daemon) }
    }

    /// Kills the server [`KILLS`] times; gives it back alive.
    pub async fn kill_often(
        mut self,
        world: &World,
        alive: &watch::Sender<u64>,
        mut rng: StdRng,
    ) -> (Self, u32) {
        let mut kills = 0;
        while kills < KILLS {
            random_point(world, &mut rng).await;
            self.daemon.take().unwrap().kill().await.unwrap();
            kills += 1;
            if rng.random_bool(KILLED_STARTING) {
                let arguments = serve(&self.log.data, &self.policy, &self.address);
                kill_while_starting(world, "keyglass-log-server", &arguments, &mut rng).await;
            }
            self.start(alive).await;
        }
        (self, kills)
    }

    /// Kills the server once more.
    pub async fn restart(&mut self, alive: &watch::Sender<u64>) {
        self.daemon.take().unwrap().kill().await.unwrap();
        self.start(alive).await;
    }

    async fn start(&mut self, alive: &watch::Sender<u64>) {
        self.daemon = Some(self.log.serve(&self.address, &self.policy, self.timing).await.unwrap());
        alive.send_modify(|lives| *lives += 1);
    }
}

/// Kills a witness [`KILLS`] times; gives it back alive.
pub async fn kill_witness_often(
    world: &World,
    (place, mut daemon): (WitnessPlace, Daemon),
    mut rng: StdRng,
) -> (Daemon, u32) {
    let mut kills = 0;
    while kills < KILLS {
        random_point(world, &mut rng).await;
        daemon.kill().await.unwrap();
        kills += 1;
        if rng.random_bool(KILLED_STARTING) {
            kill_while_starting(world, "keyglass-witness", &place.arguments(), &mut rng).await;
        }
        daemon = place.start().await;
    }
    (daemon, kills)
}

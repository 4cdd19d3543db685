//! Starting the programs where they were, and programs that must not start.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use keyglass_demo::{
    daemon::{Daemon, program},
    system::{System, Timing, WITNESSES, path},
};
use tokio::process::Command;

use super::{
    api::{Api, Call},
    user,
};
use crate::support::user::User;

/// How long a program may take to refuse.
const PATIENCE: Duration = Duration::from_secs(30);

const ATTEMPTS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// Without heartbeats: the log's size then changes by updates only.
pub const QUIET: Timing = Timing { max_behind: 3_600_000, heartbeat: 3_000_000 };

/// A witness that can be started again where it was.
#[derive(Debug, Clone)]
pub struct WitnessPlace {
    pub data: PathBuf,
    pub policy: PathBuf,
    pub address: String,
}

impl WitnessPlace {
    /// The place of the witness with this name, which serves at this address.
    pub fn new(system: &System, name: &str, address: &str) -> Self {
        Self {
            data: system.directory().join(name),
            policy: system.directory().join("witness.policy"),
            address: address.to_owned(),
        }
    }

    /// The place of a witness of a system whose witnesses all run.
    pub fn of(system: &System, index: usize) -> Self {
        Self::new(system, WITNESSES[index], system.witnesses[index].address())
    }

    pub async fn start(&self) -> Daemon {
        let arguments = self.arguments();
        Daemon::start("keyglass-witness", &arguments, &self.data.with_extension("log")).await.unwrap()
    }

    pub fn arguments(&self) -> Vec<String> {
        serve(&self.data, &self.policy, &self.address)
    }
}

/// The arguments by which a witness or a log-server serves.
pub fn serve(data: &Path, policy: &Path, address: &str) -> Vec<String> {
    let arguments = ["serve", "--data", path(data), "--policy", path(policy), "--listen", address];
    arguments.map(str::to_owned).to_vec()
}

/// Runs a program that must end by itself.
pub async fn run_to_end(name: &str, arguments: &[String]) -> Output {
    let mut command = Command::new(program(name).unwrap());
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    ended.unwrap_or_else(|_| panic!("{name} {arguments:?} did not end")).unwrap()
}

/// Waits until a log-server has published a head and nothing is wrong with it.
pub async fn ready(api: &Api) {
    for _ in 0..ATTEMPTS {
        if api.call(Call::get("/readyz")).await.status == 200 {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("the log-server never became ready");
}

/// The system's HTTP.
pub fn api(system: &System) -> Api {
    Api::new(system.url().unwrap(), &system.log.origin)
}

/// A user of the system who has seen nothing yet.
pub fn new_user(system: &System) -> User {
    User::new(&user::verifier(system))
}

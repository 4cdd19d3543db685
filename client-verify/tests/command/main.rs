//! The `keyglass` command against a log-server that the test controls: the honest run, then the lies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    missing_docs
)]
#![cfg(feature = "cli")]

mod backups;
mod checks;
mod deliveries;
mod handover;
mod heads;
mod histories;
mod honest;
mod hostile;
mod labels;
mod linking;
mod log;
mod messages;
mod monitoring;
mod own_account;
mod proofs;
mod records;
mod recovering;
mod reporting;
mod safety_number;
mod sender;
mod server;
mod strangers;
mod unreachable;
mod upgrading;
mod watching;

use std::path::PathBuf;

use clap::Parser as _;
use keyglass_client_verify::{
    command::{self, Arguments},
    verdict::Verdict,
};
use keyglass_keytrans::wire::Wire as _;
use serde_json::Value;

use crate::{log::Which, server::Server};

/// What a run of the command left behind.
pub struct Run {
    pub verdict: Verdict,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The object on the last line of standard output.
    pub fn json(&self) -> Value {
        let value: Value = serde_json::from_str(self.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(value["verdict"], self.verdict.name());
        value
    }
}

/// A person with a home of their own.
pub struct Person {
    directory: tempfile::TempDir,
    address: String,
}

impl Person {
    pub fn new(server: &Server) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (policy, configuration) = {
            let log = &server.world().log;
            (log.own_policy(), log.config().encode().unwrap())
        };
        std::fs::write(directory.path().join("policy"), policy).unwrap();
        std::fs::write(directory.path().join("configuration"), configuration).unwrap();
        Self { directory, address: format!("http://{}", server.address) }
    }

    /// Gives the person the configuration and the policy of a log.
    pub fn trusts(&self, which: Which) {
        std::fs::write(self.path("policy"), which.policy()).unwrap();
        std::fs::write(self.path("configuration"), which.configuration().encode().unwrap()).unwrap();
    }

    pub fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the command with the usual options before `arguments`.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.with_options(arguments, run)
    }

    /// Runs the command with its standard output going elsewhere.
    pub fn run_into(&self, arguments: &[&str], stdout: &mut dyn std::io::Write) -> Verdict {
        self.with_options(arguments, |line| run_with(line, stdout, &mut std::io::sink()))
    }

    /// Runs the command as for a person; gives its standard output. It must succeed.
    pub fn run_into_string(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.verdict, Verdict::Verified, "{arguments:?}: {}", run.stderr);
        run.stdout
    }

    fn with_options<T>(&self, arguments: &[&str], run: impl FnOnce(&[&str]) -> T) -> T {
        let (home, policy, configuration) = (self.home(), self.path("policy"), self.path("configuration"));
        let mut line = vec![
            "keyglass",
            "--home",
            home.to_str().unwrap(),
            "--server",
            &self.address,
            "--configuration",
            configuration.to_str().unwrap(),
            "--policy",
            policy.to_str().unwrap(),
            "--timeout",
            "2",
        ];
        line.extend_from_slice(arguments);
        run(&line)
    }

    pub fn json(&self, arguments: &[&str]) -> (Verdict, Value) {
        let mut line = arguments.to_vec();
        line.push("--json");
        let run = self.run(&line);
        (run.verdict, run.json())
    }

    pub fn done(&self, arguments: &[&str]) -> Value {
        let (verdict, value) = self.json(arguments);
        assert_eq!(verdict, Verdict::Verified, "{arguments:?}: {value}");
        value
    }
}

/// Runs a command line.
pub fn run(line: &[&str]) -> Run {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let verdict = run_with(line, &mut stdout, &mut stderr);
    Run { verdict, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8(stderr).unwrap() }
}

fn run_with(line: &[&str], stdout: &mut dyn std::io::Write, stderr: &mut dyn std::io::Write) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(command::run(Arguments::try_parse_from(line).unwrap(), stdout, stderr))
}

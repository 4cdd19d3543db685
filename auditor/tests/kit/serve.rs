//! The auditor as a process of its own that serves.

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Output, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use keyglass_keytrans::wire::LogEntry;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::{Entry, World, updates};

/// The auditor's command.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass-auditor"));
    command.env("RUST_LOG", "off").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A log whose entries are as old as this machine's clock says.
pub fn now(size: u64) -> Vec<Entry> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let prefix_tree = updates::tree_of(0);
    (0..size).map(|i| LogEntry { timestamp: now - 1000 + i, prefix_tree }.to_bytes()).collect()
}

/// An auditor's data directory and configuration file.
pub struct Home {
    directory: tempfile::TempDir,
    /// Further arguments of `serve`.
    pub arguments: Vec<OsString>,
}

impl Home {
    pub async fn new(logs: &[(&str, &World)], more: &str) -> Self {
        let home = Self { directory: tempfile::tempdir().unwrap(), arguments: Vec::new() };
        let mut init = command();
        init.arg("init").arg("--data").arg(home.path("data")).args(["--name", "a.example/1"]);
        assert!(init.output().await.unwrap().status.success());
        let mut text = String::new();
        for (name, world) in logs {
            fs::write(home.path(&format!("{name}.policy")), &world.policy).unwrap();
            fs::write(home.path(&format!("{name}.configuration")), &world.keys.configuration).unwrap();
            text += &format!(
                "[[log]]\nname = \"{name}\"\nurls = [\"{}\"]\npolicy = \"{name}.policy\"\n\
                 configuration = \"{name}.configuration\"\ninterval_ms = 100\ntimeout_ms = 300\n",
                world.log.url
            );
        }
        fs::write(home.path("auditor.toml"), text + more).unwrap();
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn serve(&self) -> Command {
        let mut serve = command();
        serve.arg("serve").arg("--data").arg(self.path("data"));
        serve.arg("--config").arg(self.path("auditor.toml")).args(&self.arguments);
        serve
    }

    pub async fn start(&self) -> Served {
        let mut child =
            self.serve().args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        Served { url: first["listening"].as_str().unwrap().to_owned(), child, client: reqwest::Client::new() }
    }

    pub async fn fails(&self) -> (i32, String) {
        let Output { status, stdout, .. } = self.serve().arg("--json").output().await.unwrap();
        let line = String::from_utf8(stdout).unwrap();
        let line: Value = serde_json::from_str(line.lines().last().unwrap()).unwrap();
        (status.code().unwrap(), line["detail"].as_str().unwrap().to_owned())
    }
}

/// An auditor that serves.
pub struct Served {
    pub url: String,
    pub client: reqwest::Client,
    child: Child,
}

impl Served {
    pub async fn json(&self, path: &str) -> Value {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    /// The status of a log, once it is as it is waited for.
    pub async fn until(&self, log: usize, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            let status = self.json("/v1/status").await["logs"][log].take();
            if wanted(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{}", self.json("/v1/status").await);
    }

    pub async fn stop(mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        assert_eq!(self.child.wait().await.unwrap().code(), Some(0));
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

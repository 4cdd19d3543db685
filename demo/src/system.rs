//! The honest system: a log-server, three witnesses of which two must sign, and an auditor, each a process of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use tempfile::TempDir;
use thiserror::Error;

use crate::{
    client::Client,
    daemon::{Daemon, DaemonError, run},
};

/// The names of the witnesses in the policy.
pub const WITNESSES: [&str; 3] = ["w1", "w2", "w3"];

/// The time between two rounds of gossip, in milliseconds.
const GOSSIP_PERIOD: &str = "500";

/// How a log keeps time, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How old a head may be for users.
    pub max_behind: u64,
    /// The greatest age of the last log entry before the log adds an empty one.
    pub heartbeat: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { max_behind: 10_000, heartbeat: 1_000 }
    }
}

/// Why the system could not be set up.
#[derive(Debug, Error)]
pub enum SystemError {
    /// A program failed.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// A file could not be written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program printed something else than it should.
    #[error("{0} printed something else than its contract says")]
    Output(&'static str),
}

/// Writes a file.
///
/// # Errors
/// [`SystemError::File`].
pub fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), SystemError> {
    fs::write(path, contents).map_err(|source| SystemError::File { path: path.to_owned(), source })
}

/// A log that was initialised, and what the others need to know of it.
#[derive(Debug, Clone)]
pub struct Log {
    /// Its data directory.
    pub data: PathBuf,
    /// Its verifier key.
    pub vkey: String,
    /// Its origin.
    pub origin: String,
    /// The file with its configuration.
    pub configuration: PathBuf,
}

impl Log {
    /// Initialises a log of the suite 0xF001 in `directory`.
    ///
    /// # Errors
    /// [`SystemError`].
    pub async fn init(directory: &Path, name: &str, timing: Timing) -> Result<Self, SystemError> {
        let data = directory.join(name);
        let prefix = format!("{name}.demo.example");
        let max_behind = timing.max_behind.to_string();
        let arguments = [
            "init",
            "--data",
            path(&data),
            "--prefix",
            &prefix,
            "--max-behind",
            &max_behind,
            "--max-ahead",
            "5000",
        ];
        let printed = run("keyglass-log-server", &arguments).await?;
        let printed: Value =
            serde_json::from_str(&printed).map_err(|_| SystemError::Output("keyglass-log-server"))?;
        let text = |name: &str| {
            let member = printed.get(name).and_then(Value::as_str).map(str::to_owned);
            member.ok_or(SystemError::Output("keyglass-log-server"))
        };
        let configuration = directory.join(format!("{name}.configuration"));
        let bytes = STANDARD
            .decode(text("configuration")?)
            .map_err(|_| SystemError::Output("keyglass-log-server"))?;
        write(&configuration, bytes)?;
        Ok(Self { data, vkey: text("vkey")?, origin: text("origin")?, configuration })
    }

    /// Starts the log's server.
    ///
    /// # Errors
    /// [`SystemError`].
    pub async fn serve(&self, address: &str, policy: &Path, timing: Timing) -> Result<Daemon, SystemError> {
        self.serve_with(address, policy, timing, &[]).await
    }

    /// Starts the log's server with further options.
    ///
    /// # Errors
    /// [`SystemError`].
    pub async fn serve_with(
        &self,
        address: &str,
        policy: &Path,
        timing: Timing,
        options: &[&str],
    ) -> Result<Daemon, SystemError> {
        let heartbeat = timing.heartbeat.to_string();
        let arguments = [
            "serve",
            "--data",
            path(&self.data),
            "--listen",
            address,
            "--policy",
            path(policy),
            "--heartbeat",
            &heartbeat,
            "--batch-window",
            "20",
        ];
        let arguments = [&arguments[..], options].concat();
        let log = self.data.with_extension("log");
        Ok(Daemon::start("keyglass-log-server", &arguments, &log).await?)
    }
}

/// A path as an argument. Everything lies in a directory whose name is ASCII.
#[must_use]
pub fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// A witness's line of a policy: its name there, its verifier key and where it is.
#[must_use]
pub fn witness_line(name: &str, vkey: &str, url: &str) -> String {
    format!("witness {name} {vkey} {url}\n")
}

/// A policy for one log: two of the three witnesses.
#[must_use]
pub fn policy_text(log_vkey: &str, witness_lines: &[String]) -> String {
    format!(
        "log {log_vkey}\n{}group two-of-three 2 {}\nquorum two-of-three\n",
        witness_lines.concat(),
        WITNESSES.join(" ")
    )
}

/// The honest system.
#[derive(Debug)]
pub struct System {
    directory: TempDir,
    /// How its log keeps time.
    pub timing: Timing,
    /// Its log.
    pub log: Log,
    /// The log's policy, which users and the auditor have too.
    pub policy: PathBuf,
    /// The running log-server, none while it is stopped.
    pub server: Option<Daemon>,
    /// The running witnesses.
    pub witnesses: Vec<Daemon>,
    /// The running auditor, if it was started.
    pub auditor: Option<Daemon>,
}

impl System {
    /// Starts the log-server and its witnesses.
    ///
    /// # Errors
    /// [`SystemError`].
    pub async fn start(timing: Timing) -> Result<Self, SystemError> {
        let directory = tempfile::Builder::new()
            .prefix("keyglass-demo-")
            .tempdir()
            .map_err(|source| SystemError::File { path: std::env::temp_dir(), source })?;
        let log = Log::init(directory.path(), "log", timing).await?;
        let witness_policy = directory.path().join("witness.policy");
        write(&witness_policy, format!("log {}\nquorum none\n", log.vkey))?;
        let mut witnesses = Vec::new();
        let mut lines = Vec::new();
        for name in WITNESSES {
            let (witness, vkey) = start_witness(directory.path(), name, &witness_policy).await?;
            lines.push(witness_line(name, &vkey, witness.url()));
            witnesses.push(witness);
        }
        let policy = directory.path().join("policy");
        write(&policy, policy_text(&log.vkey, &lines))?;
        let server = Some(log.serve("127.0.0.1:0", &policy, timing).await?);
        Ok(Self { directory, timing, log, policy, server, witnesses, auditor: None })
    }

    /// The directory under which everything is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the log-server listens.
    ///
    /// # Errors
    /// [`SystemError::Output`] while it is stopped.
    pub fn url(&self) -> Result<&str, SystemError> {
        self.server.as_ref().map(Daemon::url).ok_or(SystemError::Output("the stopped log-server"))
    }

    /// Starts the auditor.
    ///
    /// # Errors
    /// [`SystemError`].
    pub async fn start_auditor(&mut self) -> Result<(), SystemError> {
        let auditor = start_auditor(self.directory.path(), &self.log, &self.policy, self.url()?).await?;
        self.auditor = Some(auditor);
        Ok(())
    }

    /// Has the witnesses and the auditor gossip, each with all others.
    ///
    /// # Errors
    /// [`SystemError`].
    pub fn gossip(&self) -> Result<(), SystemError> {
        let directory = self.directory.path();
        let policy = fs::read_to_string(&self.policy)
            .map_err(|source| SystemError::File { path: self.policy.clone(), source })?;
        know_tiles(directory, &self.log, self.url()?, &policy)?;
        let witnesses = WITNESSES.into_iter().zip(&self.witnesses);
        let parties: Vec<(&str, &Daemon)> =
            witnesses.chain(self.auditor.as_ref().map(|it| ("auditor", it))).collect();
        for (name, party) in &parties {
            let others = parties.iter().filter(|(other, _)| other != name);
            introduce(directory, name, party, others.copied())?;
        }
        Ok(())
    }

    /// Stops the log-server, whose data directory is then free.
    ///
    /// # Errors
    /// [`SystemError`].
    pub async fn stop_log(&mut self) -> Result<String, SystemError> {
        let server = self.server.take().ok_or(SystemError::Output("the stopped log-server"))?;
        let address = server.address().to_owned();
        server.stop().await?;
        Ok(address)
    }

    /// Starts the log-server again where it was.
    ///
    /// # Errors
    /// [`SystemError`].
    pub async fn start_log(&mut self, address: &str) -> Result<(), SystemError> {
        self.server = Some(self.log.serve(address, &self.policy, self.timing).await?);
        Ok(())
    }

    /// A user of this system, whose home is `name`.
    ///
    /// # Errors
    /// [`SystemError`].
    pub fn client(&self, name: &str) -> Result<Client, SystemError> {
        Ok(self.client_of(name, self.url()?))
    }

    /// A user with the home `name` who is sent to another server.
    #[must_use]
    pub fn client_of(&self, name: &str, server: &str) -> Client {
        Client {
            home: self.directory.path().join(name),
            server: server.to_owned(),
            configuration: self.log.configuration.clone(),
            policy: self.policy.clone(),
        }
    }
}

/// Writes the policy of witnesses, as [`start_witness`] took it, with what gossip needs: where the log's tiles are, and the keys of
/// witnesses that evidence may name. They read it on SIGHUP.
///
/// # Errors
/// [`SystemError::File`].
pub fn know_tiles(directory: &Path, log: &Log, url: &str, policy: &str) -> Result<(), SystemError> {
    let policy = policy.replacen(&log.vkey, &format!("{} {url}", log.vkey), 1);
    write(&directory.join("witness.policy"), policy)
}

/// Gives a running witness or auditor these peers.
///
/// # Errors
/// [`SystemError`].
pub fn introduce<'a>(
    directory: &Path,
    name: &str,
    party: &Daemon,
    peers: impl Iterator<Item = (&'a str, &'a Daemon)>,
) -> Result<(), SystemError> {
    let lines: String = peers.map(|(name, peer)| format!("peer {name} {}\n", peer.url())).collect();
    write(&peers_file(directory, name), lines)?;
    Ok(party.reload()?)
}

fn peers_file(directory: &Path, name: &str) -> PathBuf {
    directory.join(name).with_extension("peers")
}

/// Initialises and starts a witness that gossips with nobody yet; gives its verifier key too.
///
/// # Errors
/// [`SystemError`].
pub async fn start_witness(
    directory: &Path,
    name: &str,
    policy: &Path,
) -> Result<(Daemon, String), SystemError> {
    let data = directory.join(name);
    let key_name = format!("{name}.demo.example");
    let vkey = run("keyglass-witness", &["init", "--data", path(&data), "--name", &key_name]).await?;
    let vkey = vkey.lines().next().ok_or(SystemError::Output("keyglass-witness"))?.to_owned();
    write(&peers_file(directory, name), "")?;
    Ok((serve_witness(directory, name, policy, "127.0.0.1:0").await?, vkey))
}

/// Starts a witness that was initialised.
///
/// # Errors
/// [`SystemError`].
pub async fn serve_witness(
    directory: &Path,
    name: &str,
    policy: &Path,
    address: &str,
) -> Result<Daemon, SystemError> {
    let (data, peers) = (directory.join(name), peers_file(directory, name));
    let arguments = [
        "serve",
        "--data",
        path(&data),
        "--listen",
        address,
        "--policy",
        path(policy),
        "--peers",
        path(&peers),
        "--gossip-period",
        GOSSIP_PERIOD,
    ];
    Ok(Daemon::start("keyglass-witness", &arguments, &data.with_extension("log")).await?)
}

/// Initialises and starts an auditor of one log, as it is shown at `url`, that gossips with nobody yet.
///
/// # Errors
/// [`SystemError`].
pub async fn start_auditor(
    directory: &Path,
    log: &Log,
    policy: &Path,
    url: &str,
) -> Result<Daemon, SystemError> {
    let (data, config) = (directory.join("auditor"), directory.join("auditor.toml"));
    run("keyglass-auditor", &["init", "--data", path(&data), "--name", "auditor.demo.example"]).await?;
    let settings = format!(
        "[[log]]\nname = \"demo\"\nurls = [\"{url}\"]\npolicy = \"{}\"\nconfiguration = \"{}\"\n",
        policy.display(),
        log.configuration.display()
    );
    write(&config, settings)?;
    let peers = peers_file(directory, "auditor");
    write(&peers, "")?;
    let arguments = [
        "serve",
        "--data",
        path(&data),
        "--config",
        path(&config),
        "--listen",
        "127.0.0.1:0",
        "--interval",
        "500",
        "--peers",
        path(&peers),
        "--gossip-period",
        GOSSIP_PERIOD,
    ];
    Ok(Daemon::start("keyglass-auditor", &arguments, &data.with_extension("log")).await?)
}

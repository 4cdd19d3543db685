//! Commands of the operator to a running server, through a Unix socket in its data directory.
//!
//! Only one process can have the database open, so commands that change the log go through the one that serves it. Who
//! may use them is what the socket's mode, 0600, says. One line of JSON asks, one line answers.

use std::{
    fs::{self, Permissions},
    io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use keyglass_account::{
    api::{Base64, Label},
    problem::{Problem, ProblemDetails},
    record::{AccountRecord, MAX_RECORD_LEN},
};
use keyglass_keytrans::wire::{LabelValue, UpdateRequest};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

use crate::{
    accounts::PublishedAccounts, data_dir::SOCKET, erasure, http::failure::Failure, log::Log, updates,
    values::Author,
};

/// The longest line that is read.
const MAX_LINE: u64 = 1 << 20;
/// How long a line may take to arrive.
const LINE_TIME: Duration = Duration::from_secs(10);

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Puts a record that nobody of the account has authorised on top of an account: its owner lost all keys. It stands
    /// in the log, and every client says so.
    Reset {
        /// The account's label.
        label: Label,
        /// The record, whose authorisation is a reset.
        record: Base64<MAX_RECORD_LEN>,
    },
    /// Erases opening and value of a version; its commitment stays. See [`erasure`].
    Erase {
        /// The account's label.
        label: Label,
        /// The version.
        version: u32,
    },
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is done: what was added is published, what was erased is gone.
    Done {
        /// The version that was added or erased.
        version: u32,
    },
    /// It was refused, or is not published yet.
    Refused(ProblemDetails),
}

/// The socket of a server. Removed when dropped.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Makes the socket in a data directory that this process has locked; one that a killed process has left is replaced.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn bind(data: &Path) -> io::Result<Self> {
        let path = data.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The directory is open to its owner only, so nobody else can connect before the mode is set.
        let listener = with_short_path(data, |short| UnixListener::bind(short))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Carries out commands, one connection at a time. Never returns: drop it to stop.
    pub async fn serve(self, log: Arc<Log>, accounts: Arc<PublishedAccounts>) {
        loop {
            let served = match self.listener.accept().await {
                Ok((stream, _)) => serve_one(stream, &log, &accounts).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::warn!(%error, "an operator's command was cut off");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_one(stream: UnixStream, log: &Arc<Log>, accounts: &Arc<PublishedAccounts>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = Vec::new();
    // What is longer ends without a newline and does not parse.
    let mut reader = BufReader::new(reader.take(MAX_LINE));
    tokio::time::timeout(LINE_TIME, reader.read_until(b'\n', &mut line)).await??;
    let outcome = match serde_json::from_slice(&line) {
        Ok(command) => carry_out(log, accounts, command).await.unwrap_or_else(|failure| {
            Outcome::Refused(failure.problem().details(failure.detail().map(str::to_owned)))
        }),
        Err(error) => Outcome::Refused(Problem::MalformedJson.details(Some(error.to_string()))),
    };
    let mut answer = serde_json::to_vec(&outcome)?;
    answer.push(b'\n');
    writer.write_all(&answer).await?;
    writer.shutdown().await
}

async fn carry_out(
    log: &Arc<Log>,
    accounts: &Arc<PublishedAccounts>,
    command: Command,
) -> Result<Outcome, Failure> {
    match command {
        Command::Erase { label, version } => {
            erasure::erase(log, accounts, label.as_bytes().to_vec(), version).await?;
            tracing::warn!(label = %String::from_utf8_lossy(label.as_bytes()), version, "a version was erased");
            Ok(Outcome::Done { version })
        }
        Command::Reset { label, record } => {
            let decoded = AccountRecord::decode(record.as_bytes());
            let decoded = decoded.map_err(|error| Failure::new(error.into()).because(error))?;
            let version = decoded.version;
            let request = UpdateRequest {
                last: None,
                label: label.as_bytes().to_vec(),
                greatest_version: version.checked_sub(1),
                values: vec![LabelValue { value: record.as_bytes().to_vec() }],
            };
            let known = log.store().snapshot()?.label(&request.label)?.map(|record| record.greatest());
            if known != request.greatest_version {
                let detail =
                    format!("the record is for version {version}, the label's greatest is {known:?}");
                return Err(Failure::new(Problem::WrongPredecessor).because(detail));
            }
            updates::update(log, request, Author::Operator, None).await?;
            tracing::warn!(label = %String::from_utf8_lossy(label.as_bytes()), version, "an account was reset");
            Ok(Outcome::Done { version })
        }
    }
}

/// Sends a command to the server that runs on a data directory.
///
/// # Errors
/// No server runs there, or it did not answer.
pub async fn send(data: &Path, command: &Command) -> io::Result<Outcome> {
    let stream = with_short_path(data, |path| std::os::unix::net::UnixStream::connect(path))?;
    stream.set_nonblocking(true)?;
    let (reader, mut writer) = UnixStream::from_std(stream)?.into_split();
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    let mut answer = Vec::new();
    BufReader::new(reader.take(MAX_LINE)).read_until(b'\n', &mut answer).await?;
    Ok(serde_json::from_slice(&answer)?)
}

/// Calls `use_path` with a path of the socket that fits an address: those have 108 bytes at most, whatever the directory.
fn with_short_path<T>(data: &Path, use_path: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let directory = fs::File::open(data)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(SOCKET);
    if short.parent().is_some_and(Path::exists) { use_path(&short) } else { use_path(&data.join(SOCKET)) }
}

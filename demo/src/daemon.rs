//! Programs of the system as processes of their own.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a program may take to say where it listens, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a program could not be used.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// The program was not built.
    #[error("{0} was not found beside this program: build the whole workspace first (scripts/test does)")]
    NotBuilt(String),
    /// The operating system refused.
    #[error("{program}: {source}")]
    Io {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It did not say where it listens.
    #[error("{program} did not start; its last words are in {}", .log.display())]
    Silent {
        /// The program.
        program: String,
        /// Its standard error.
        log: PathBuf,
    },
    /// It ended with another code than 0.
    #[error("{program} failed with {code:?}: {stderr}")]
    Failed {
        /// The program with its arguments.
        program: String,
        /// Its exit code, if it was not killed.
        code: Option<i32>,
        /// What it said.
        stderr: String,
    },
}

/// The path of one of the workspace's programs, which are built into one directory.
///
/// # Errors
/// [`DaemonError::NotBuilt`].
pub fn program(name: &str) -> Result<PathBuf, DaemonError> {
    let own =
        std::env::current_exe().map_err(|source| DaemonError::Io { program: name.to_owned(), source })?;
    // A test program lies one directory below the others.
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| DaemonError::NotBuilt(name.to_owned()))
}

/// Runs a program to its end.
async fn output<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<std::process::Output, DaemonError> {
    Command::new(program(name)?)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| DaemonError::Io { program: name.to_owned(), source })
}

/// Runs a program whose exit code says something; gives the code and its standard output.
///
/// # Errors
/// [`DaemonError`] if it cannot be run or was killed.
pub async fn ask<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<(i32, String), DaemonError> {
    let output = output(name, arguments).await?;
    let code = output.status.code().ok_or_else(|| DaemonError::Failed {
        program: name.to_owned(),
        code: None,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })?;
    Ok((code, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Runs a program to its end, which must be success, and gives its standard output.
///
/// # Errors
/// [`DaemonError`].
pub async fn run<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<String, DaemonError> {
    let output = output(name, arguments).await?;
    if !output.status.success() {
        return Err(DaemonError::Failed {
            program: name.to_owned(),
            code: output.status.code(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    url: String,
}

impl Daemon {
    /// Starts a server and waits until it says where it listens. Its standard error goes to `log`.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn start<S: AsRef<OsStr>>(
        name: &str,
        arguments: &[S],
        log: &Path,
    ) -> Result<Self, DaemonError> {
        Self::start_with(&[], name, arguments, log).await
    }

    /// [`Daemon::start`] with these variables added to its environment.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn start_with<S: AsRef<OsStr>>(
        environment: &[(&str, &str)],
        name: &str,
        arguments: &[S],
        log: &Path,
    ) -> Result<Self, DaemonError> {
        let io_error = |source| DaemonError::Io { program: name.to_owned(), source };
        let stderr = File::options().create(true).append(true).open(log).map_err(io_error)?;
        let mut child = Command::new(program(name)?)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(io_error)?;
        let silent = || DaemonError::Silent { program: name.to_owned(), log: log.to_owned() };
        let mut lines = BufReader::new(child.stdout.take().ok_or_else(silent)?).lines();
        let first = match timeout(PATIENCE, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            _ => return Err(silent()),
        };
        let url = serde_json::from_str::<Value>(&first)
            .ok()
            .and_then(|line| line.get("listening")?.as_str().map(str::to_owned))
            .ok_or_else(silent)?;
        // Whoever stops reading a pipe stops its writer.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { name: name.to_owned(), child, url })
    }

    /// Where it listens, such as `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address alone, to listen at again.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Has it read its files again (SIGHUP).
    ///
    /// # Errors
    /// [`DaemonError::Io`].
    pub fn reload(&self) -> Result<(), DaemonError> {
        self.signal(Signal::HUP)
    }

    fn signal(&self, signal: Signal) -> Result<(), DaemonError> {
        match self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            Some(pid) => kill_process(pid, signal)
                .map_err(|error| DaemonError::Io { program: self.name.clone(), source: error.into() }),
            None => Ok(()),
        }
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    /// [`DaemonError`], also if it ends with another code than 0 or not in time.
    pub async fn stop(mut self) -> Result<(), DaemonError> {
        self.signal(Signal::TERM)?;
        let io_error = |source| DaemonError::Io { program: self.name.clone(), source };
        let status = match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.map_err(io_error)?,
            Err(_) => return Err(io_error(io::ErrorKind::TimedOut.into())),
        };
        if status.success() {
            return Ok(());
        }
        let stderr = "it did not end cleanly on SIGTERM".to_owned();
        Err(DaemonError::Failed { program: self.name, code: status.code(), stderr })
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// [`DaemonError::Io`], also if it does not end in time.
    pub async fn ended(mut self) -> Result<std::process::ExitStatus, DaemonError> {
        let io_error = |source| DaemonError::Io { program: self.name.clone(), source };
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.map_err(io_error),
            Err(_) => Err(io_error(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Kills it (SIGKILL), at whatever it is doing.
    ///
    /// # Errors
    /// [`DaemonError::Io`].
    pub async fn kill(mut self) -> Result<(), DaemonError> {
        self.child.kill().await.map_err(|source| DaemonError::Io { program: self.name.clone(), source })
    }
}

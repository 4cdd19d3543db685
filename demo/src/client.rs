//! A user who runs the `keyglass` command.

use std::{path::PathBuf, process::Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::daemon::{DaemonError, program};

/// A user: a home directory, and whom the user asks and trusts.
#[derive(Debug, Clone)]
pub struct Client {
    /// The home directory.
    pub home: PathBuf,
    /// The log-server's address.
    pub server: String,
    /// The log's configuration.
    pub configuration: PathBuf,
    /// The policy.
    pub policy: PathBuf,
}

/// What the command said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The exit code.
    pub code: i32,
    /// The JSON object at the end.
    pub json: Value,
    /// All of standard output and standard error, for when something is unexpected.
    pub transcript: String,
}

impl Answer {
    /// The verdict.
    #[must_use]
    pub fn verdict(&self) -> &str {
        self.json.get("verdict").and_then(Value::as_str).unwrap_or("none")
    }

    /// A member of the JSON object as text; empty if it is not there.
    #[must_use]
    pub fn text(&self, member: &str) -> &str {
        self.json.get(member).and_then(Value::as_str).unwrap_or_default()
    }

    /// A member of the JSON object as a number; 0 if it is not there.
    #[must_use]
    pub fn number(&self, member: &str) -> u64 {
        self.json.get(member).and_then(Value::as_u64).unwrap_or_default()
    }
}

impl Client {
    /// The options that every command of this user needs.
    #[must_use]
    pub fn options(&self) -> [String; 8] {
        let path = |path: &PathBuf| path.display().to_string();
        [
            "--home".to_owned(),
            path(&self.home),
            "--server".to_owned(),
            self.server.clone(),
            "--configuration".to_owned(),
            path(&self.configuration),
            "--policy".to_owned(),
            path(&self.policy),
        ]
    }

    /// Runs a command with `--json`.
    ///
    /// # Errors
    /// [`DaemonError`] if it cannot be run at all: what it says is an [`Answer`].
    pub async fn run(&self, arguments: &[&str]) -> Result<Answer, DaemonError> {
        let output = Command::new(program("keyglass")?)
            .args(self.options())
            .args(arguments)
            .arg("--json")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|source| DaemonError::Io { program: "keyglass".to_owned(), source })?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let json = stdout
            .lines()
            .next_back()
            .and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or(Value::Null);
        let transcript = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
        Ok(Answer { code: output.status.code().unwrap_or(-1), json, transcript })
    }

    /// The command line that a person would type, without the command itself.
    #[must_use]
    pub fn command_line(&self) -> String {
        let program = program("keyglass").unwrap_or_else(|_| "keyglass".into());
        format!("{} {}", program.display(), self.options().join(" "))
    }
}

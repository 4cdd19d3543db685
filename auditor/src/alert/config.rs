//! Who is told of alerts, as in the section `[alerts]` of the configuration file.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use keyglass_service::private_file::{self, Access, Kind, PrivateFileError};
use reqwest::Url;
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use super::notice::Severity;

/// The shortest secret of a webhook, in bytes.
pub const MIN_SECRET: usize = 16;
const MAX_SECRET: u64 = 1024;
/// The most receivers.
const MAX_RECEIVERS: usize = 16;
/// The longest that telling somebody once may take.
const MAX_TIMEOUT: Duration = Duration::from_secs(120);

/// The section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertConfig {
    /// How long, in seconds, something must be over before its alert resolves, and the least time between two notices of one
    /// alert.
    pub hold_seconds: u32,
    /// Webhooks.
    pub webhook: Vec<WebhookConfig>,
    /// Commands.
    pub command: Vec<CommandConfig>,
}

impl Default for AlertConfig {
    fn default() -> Self {
        Self { hold_seconds: 60, webhook: Vec::new(), command: Vec::new() }
    }
}

/// A URL that alerts are posted to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// What it is called in metrics and in what is retained; no two receivers have one name.
    pub name: String,
    /// The http or https URL.
    pub url: String,
    /// The file with the secret that signs what is posted: at least 16 bytes, readable by nobody else.
    pub secret_file: PathBuf,
    /// The least severity that it is told of.
    #[serde(default = "everything")]
    pub severity: Severity,
    /// How long one attempt may take, in milliseconds.
    #[serde(default = "timeout")]
    pub timeout_ms: u32,
}

/// A command that is run for every notice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// What it is called in metrics and in what is retained; no two receivers have one name.
    pub name: String,
    /// The program, by its absolute path, and its arguments. No shell sees them.
    pub argv: Vec<String>,
    /// The least severity that it is told of.
    #[serde(default = "everything")]
    pub severity: Severity,
    /// How long one run may take, in milliseconds.
    #[serde(default = "timeout")]
    pub timeout_ms: u32,
}

fn everything() -> Severity {
    Severity::Warning
}

fn timeout() -> u32 {
    10_000
}

/// Why the section cannot be used.
#[derive(Debug, Error)]
pub enum AlertConfigError {
    /// A name is empty, long, or has other characters than letters, digits, `-`, `_` and `.`.
    #[error("a receiver's name has 1 to 64 letters, digits, '-', '_' and '.'")]
    BadName,
    /// Two receivers have one name.
    #[error("two receivers are called {0}")]
    SameName(String),
    /// There are more than 16.
    #[error("there are more than {MAX_RECEIVERS} receivers")]
    TooMany,
    /// The hold is none, or more than a day.
    #[error("hold_seconds is from 1 to 86400")]
    BadHold,
    /// A timeout is none, or more than two minutes.
    #[error("{0}: timeout_ms is from 1 to 120000")]
    BadTimeout(String),
    /// Not an http or https URL.
    #[error("{0}: the URL is not an http or https URL")]
    BadUrl(String),
    /// The program is not given by its absolute path.
    #[error("{0}: argv begins with the absolute path of a program")]
    BadProgram(String),
    /// The secret cannot be read.
    #[error("{name}: the secret: {error}")]
    Secret {
        /// The receiver.
        name: String,
        /// What went wrong.
        error: PrivateFileError,
    },
    /// The secret is too short to keep a secret.
    #[error("{0}: the secret has fewer than {MIN_SECRET} bytes")]
    ShortSecret(String),
}

/// A receiver, checked.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// The least severity that it is told of.
    pub severity: Severity,
    /// How long telling it once may take.
    pub timeout: Duration,
    /// How it is told.
    pub channel: Channel,
}

/// How a receiver is told.
#[derive(Clone)]
pub enum Channel {
    /// By a signed POST.
    Webhook {
        /// Where to.
        url: Url,
        /// What signs it.
        secret: Zeroizing<Vec<u8>>,
    },
    /// By running a program.
    Command {
        /// The program's absolute path.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

impl core::fmt::Debug for Channel {
    /// Without the secret, and without the URL's password.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Webhook { url, .. } => f.debug_tuple("Webhook").field(&url.host_str()).finish(),
            Self::Command { program, .. } => f.debug_tuple("Command").field(program).finish(),
        }
    }
}

impl AlertConfig {
    /// How long something must be over.
    #[must_use]
    pub fn hold(&self) -> Duration {
        Duration::from_secs(self.hold_seconds.into())
    }

    /// Checks the section and reads its secrets; relative paths are taken from `directory`.
    ///
    /// # Errors
    /// [`AlertConfigError`].
    pub fn receivers(&self, directory: &Path) -> Result<Vec<Receiver>, AlertConfigError> {
        if !(1..=86_400).contains(&self.hold_seconds) {
            return Err(AlertConfigError::BadHold);
        }
        if self.webhook.len().saturating_add(self.command.len()) > MAX_RECEIVERS {
            return Err(AlertConfigError::TooMany);
        }
        let webhooks = self.webhook.iter().map(|webhook| webhook.receiver(directory));
        let commands = self.command.iter().map(CommandConfig::receiver);
        let receivers = webhooks.chain(commands).collect::<Result<Vec<_>, _>>()?;
        let mut names = BTreeSet::new();
        for receiver in &receivers {
            if !names.insert(receiver.name.as_str()) {
                return Err(AlertConfigError::SameName(receiver.name.clone()));
            }
        }
        Ok(receivers)
    }
}

impl WebhookConfig {
    fn receiver(&self, directory: &Path) -> Result<Receiver, AlertConfigError> {
        let name = checked(&self.name)?;
        let url = Url::parse(&self.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| AlertConfigError::BadUrl(name.clone()))?;
        let path = directory.join(&self.secret_file);
        let mut secret = private_file::read(&path, Kind::File, Access::Owner, MAX_SECRET)
            .map_err(|error| AlertConfigError::Secret { name: name.clone(), error })?;
        // An editor's newline is no part of it.
        while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            secret.pop();
        }
        if secret.len() < MIN_SECRET {
            return Err(AlertConfigError::ShortSecret(name));
        }
        let timeout = bounded(&name, self.timeout_ms)?;
        Ok(Receiver { name, severity: self.severity, timeout, channel: Channel::Webhook { url, secret } })
    }
}

impl CommandConfig {
    fn receiver(&self) -> Result<Receiver, AlertConfigError> {
        let name = checked(&self.name)?;
        let (program, arguments) = match self.argv.split_first() {
            Some((program, arguments)) if Path::new(program).is_absolute() => {
                (PathBuf::from(program), arguments.to_vec())
            }
            _ => return Err(AlertConfigError::BadProgram(name)),
        };
        let timeout = bounded(&name, self.timeout_ms)?;
        Ok(Receiver {
            name,
            severity: self.severity,
            timeout,
            channel: Channel::Command { program, arguments },
        })
    }
}

fn checked(name: &str) -> Result<String, AlertConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let good = (1..=64).contains(&name.len()) && name.bytes().all(plain);
    if good { Ok(name.to_owned()) } else { Err(AlertConfigError::BadName) }
}

fn bounded(name: &str, timeout_ms: u32) -> Result<Duration, AlertConfigError> {
    let timeout = Duration::from_millis(timeout_ms.into());
    let good = !timeout.is_zero() && timeout <= MAX_TIMEOUT;
    if good { Ok(timeout) } else { Err(AlertConfigError::BadTimeout(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn webhook(name: &str) -> WebhookConfig {
        WebhookConfig {
            name: name.to_owned(),
            url: "https://pager.example/hook".to_owned(),
            secret_file: "secret".into(),
            severity: Severity::Warning,
            timeout_ms: 1000,
        }
    }

    fn command(argv: &[&str]) -> CommandConfig {
        let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
        CommandConfig { name: "command".to_owned(), argv, severity: Severity::Serious, timeout_ms: 1000 }
    }

    fn secret(content: &str, mode: u32) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("secret"), content).unwrap();
        fs::set_permissions(directory.path().join("secret"), fs::Permissions::from_mode(mode)).unwrap();
        directory
    }

    #[test]
    fn a_section_names_receivers() {
        let directory = secret("0123456789abcdef\n", 0o600);
        let config = AlertConfig {
            webhook: vec![webhook("a"), webhook("b")],
            command: vec![command(&["/bin/true", "x y"])],
            ..AlertConfig::default()
        };
        let receivers = config.receivers(directory.path()).unwrap();
        assert_eq!(receivers.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["a", "b", "command"]);
        let shown = format!("{receivers:?}");
        assert!(!shown.contains("0123456789"), "{shown}");
        assert!(!shown.contains("48, 49"), "{shown}");
        assert!(matches!(&receivers[0].channel, Channel::Webhook { secret, .. } if secret.len() == 16));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let directory = secret("0123456789abcdef", 0o600);
        let refused = |config: AlertConfig| config.receivers(directory.path()).unwrap_err().to_string();
        let of = |webhook: Vec<WebhookConfig>| AlertConfig { webhook, ..AlertConfig::default() };
        assert!(refused(of(vec![webhook("a"), webhook("a")])).contains("two receivers are called a"));
        for name in ["", "a b", "a\u{202e}", &"x".repeat(65)] {
            assert!(refused(of(vec![webhook(name)])).contains("name has 1 to 64"));
        }
        for url in ["", "pager.example", "file:///etc/passwd", "http://"] {
            let bad = WebhookConfig { url: url.to_owned(), ..webhook("a") };
            assert!(refused(of(vec![bad])).contains("not an http"), "{url}");
        }
        for timeout_ms in [0, 120_001] {
            assert!(refused(of(vec![WebhookConfig { timeout_ms, ..webhook("a") }])).contains("timeout_ms"));
        }
        for hold_seconds in [0, 86_401] {
            assert!(refused(AlertConfig { hold_seconds, ..AlertConfig::default() }).contains("hold_seconds"));
        }
        for argv in [&[][..], &["true"], &["./true"]] {
            let config = AlertConfig { command: vec![command(argv)], ..AlertConfig::default() };
            assert!(refused(config).contains("absolute path"));
        }
        assert!(refused(of((0..17).map(|i| webhook(&format!("w{i}"))).collect())).contains("more than 16"));
        for (content, mode, why) in
            [("short", 0o600, "fewer than 16"), ("0123456789abcdef", 0o644, "others may access")]
        {
            let directory = secret(content, mode);
            let error = of(vec![webhook("a")]).receivers(directory.path()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}

//! What `serve` follows: one TOML file, read strictly. An unknown or repeated key is an error, and so is a name, an origin or
//! an address that cannot be meant. Files in it are relative to it.

mod error;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

pub use self::error::SettingsError;
use crate::alert::config::AlertConfig;

/// The longest configuration file that is read, in bytes.
pub const MAX_SETTINGS_LEN: u64 = 1 << 20;
/// The most logs that one auditor follows.
pub const MAX_LOGS: usize = 1000;
/// The most other auditors that are asked about each log.
pub const MAX_AUDITORS: usize = 64;
/// The most URLs of one log.
pub const MAX_URLS: usize = 16;
/// The longest name.
const MAX_NAME: usize = 64;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The logs, at least one.
    #[serde(default, rename = "log")]
    pub logs: Vec<LogSettings>,
    /// Other auditors, which are asked about every log.
    #[serde(default, rename = "auditor")]
    pub auditors: Vec<AuditorSettings>,
    /// Who is told when something is wrong.
    #[serde(default)]
    pub alerts: AlertConfig,
}

/// A log to follow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// What it is called on pages and in alerts.
    pub name: String,
    /// URL prefixes below which it serves `/checkpoint`, and tiles and updates at the first.
    pub urls: Vec<String>,
    /// The file of its Configuration, as the raw TLS encoding.
    pub configuration: PathBuf,
    /// The tlog-policy file; a log of suite 0x0002 needs none.
    pub policy: Option<PathBuf>,
    /// Monitoring prefixes of witnesses, by their names in the policy, in place of the URLs there.
    #[serde(default)]
    pub monitoring: BTreeMap<String, String>,
    /// Milliseconds between rounds, in place of `--interval`.
    pub interval_ms: Option<u64>,
    /// Milliseconds that one request may take, in place of `--timeout`.
    pub timeout_ms: Option<u64>,
    /// Milliseconds that one round may replay, in place of `--patience`.
    pub patience_ms: Option<u64>,
    /// The most leaves that one entry may add and remove, in place of `--max-update-leaves`.
    pub max_update_leaves: Option<u32>,
}

/// Another auditor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditorSettings {
    /// What it is called on pages.
    pub name: String,
    /// Its URL prefix, below which it serves checkpoints as a witness does.
    pub url: String,
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let fail = |error| SettingsError::File { path: path.to_owned(), error };
        let mut text = String::new();
        let file = File::open(path).map_err(fail)?;
        file.take(MAX_SETTINGS_LEN.saturating_add(1)).read_to_string(&mut text).map_err(fail)?;
        let mut settings = Self::parse(&text)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        for log in &mut settings.logs {
            log.configuration = directory.join(&log.configuration);
            log.policy = log.policy.take().map(|policy| directory.join(policy));
        }
        Ok(settings)
    }

    /// Reads the text of a file; paths stay as they are.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_SETTINGS_LEN {
            return Err(SettingsError::TooLong);
        }
        let settings: Self = toml::from_str(text)?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if self.logs.is_empty() {
            return Err(SettingsError::NoLogs);
        }
        if self.logs.len() > MAX_LOGS || self.auditors.len() > MAX_AUDITORS {
            return Err(SettingsError::TooMany);
        }
        unique(self.logs.iter().map(|log| &log.name))?;
        unique(self.auditors.iter().map(|auditor| &auditor.name))?;
        for log in &self.logs {
            unique_urls(log)?;
            for (key, value) in [
                ("interval_ms", log.interval_ms),
                ("timeout_ms", log.timeout_ms),
                ("patience_ms", log.patience_ms),
            ] {
                if value.is_some_and(|ms| !(1..=86_400_000).contains(&ms)) {
                    return Err(SettingsError::Milliseconds { log: log.name.clone(), key });
                }
            }
        }
        Ok(())
    }
}

impl LogSettings {
    /// A log at this URL, called like it, and everything else as it is by default.
    #[must_use]
    pub fn at(url: String, configuration: PathBuf) -> Self {
        Self {
            name: url.clone(),
            urls: vec![url],
            configuration,
            policy: None,
            monitoring: BTreeMap::new(),
            interval_ms: None,
            timeout_ms: None,
            patience_ms: None,
            max_update_leaves: None,
        }
    }

    /// A duration of the file, or the one of the command line.
    #[must_use]
    pub fn or(ms: Option<u64>, otherwise: Duration) -> Duration {
        ms.map_or(otherwise, Duration::from_millis)
    }
}

fn unique<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), SettingsError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(SettingsError::Name(name.clone()));
        }
        if !seen.insert(name) {
            return Err(SettingsError::Twice(name.clone()));
        }
    }
    Ok(())
}

fn unique_urls(log: &LogSettings) -> Result<(), SettingsError> {
    if log.urls.is_empty() || log.urls.len() > MAX_URLS {
        return Err(SettingsError::Urls(log.name.clone()));
    }
    let distinct: BTreeSet<&String> = log.urls.iter().collect();
    if distinct.len() < log.urls.len() {
        return Err(SettingsError::SameUrl(log.name.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "[[log]]\nname = \"a\"\nurls = [\"https://a.example\"]\nconfiguration = \"a.conf\"\n";

    #[test]
    fn a_file_says_what_is_followed() {
        let text = format!(
            "{LOG}policy = \"a.policy\"\nmonitoring = {{ w1 = \"https://w1.example/m\" }}\ninterval_ms = 250\n\
             [[auditor]]\nname = \"b\"\nurl = \"https://b.example\"\n\
             [alerts]\nhold_seconds = 30\n[[alerts.command]]\nname = \"c\"\nargv = [\"/bin/true\"]\n"
        );
        let settings = Settings::parse(&text).unwrap();
        let log = &settings.logs[0];
        assert_eq!((log.name.as_str(), log.urls.len(), log.monitoring.len()), ("a", 1, 1));
        assert_eq!(LogSettings::or(log.interval_ms, Duration::from_secs(5)), Duration::from_millis(250));
        assert_eq!(LogSettings::or(log.timeout_ms, Duration::from_secs(5)), Duration::from_secs(5));
        assert_eq!(settings.auditors[0].name, "b");
        assert_eq!((settings.alerts.hold_seconds, settings.alerts.command.len()), (30, 1));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auditor.toml");
        std::fs::write(&path, format!("{LOG}policy = \"/etc/x.policy\"\n")).unwrap();
        let log = Settings::read(&path).unwrap().logs.remove(0);
        assert_eq!(log.configuration, directory.path().join("a.conf"));
        assert_eq!(log.policy, Some(PathBuf::from("/etc/x.policy")));
        assert!(matches!(Settings::read(directory.path()), Err(SettingsError::File { .. })));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let replaced = |from: &str, to: &str| LOG.replace(from, to);
        for (text, words) in [
            (String::new(), "names no log"),
            (format!("{LOG}{LOG}"), "named twice"),
            (format!("{LOG}colour = 1\n"), "unknown field"),
            (format!("surprise = 1\n{LOG}"), "unknown field"),
            (format!("{LOG}name = \"b\"\n"), "duplicate key"),
            (replaced("\"a\"", "\"\""), "a name"),
            (replaced("\"a\"", "\"a\\u0007\""), "a name"),
            (replaced("\"https://a.example\"", ""), "from 1 to"),
            (replaced("[\"https://a.example\"]", "[\"x\", \"x\"]"), "one of its URLs twice"),
            (replaced("configuration", "# "), "missing field"),
            (format!("{LOG}interval_ms = 0\n"), "interval_ms"),
            (format!("{LOG}timeout_ms = 86400001\n"), "timeout_ms"),
            (format!("{LOG}patience_ms = -1\n"), "invalid value"),
            (format!("{LOG}[alerts]\nholds = 1\n"), "unknown field"),
            (format!("{LOG}[[auditor]]\nname = \"b\"\n"), "missing field"),
            (" ".repeat(1 << 21), "longer than"),
        ] {
            let error = Settings::parse(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}\n{text:.200}");
        }
    }
}

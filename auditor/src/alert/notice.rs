//! What is told: one transition of one alert.

use serde::{Deserialize, Serialize};

/// The version of the JSON form, which programs of others read.
pub const FORMAT: &str = "keyglass-alert/v1";

/// The longest text that is taken over from a log or a witness, in characters, escapes included.
const MAX_TEXT: usize = 500;

/// How grave an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something does not answer or is late.
    Warning,
    /// Something breaks the rules, without proof for others.
    Serious,
    /// The log or a witness is convicted, or a change of the tree does not verify.
    Critical,
}

impl Severity {
    /// Every severity.
    pub const ALL: [Self; 3] = [Self::Warning, Self::Serious, Self::Critical];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Serious => "serious",
            Self::Critical => "critical",
        }
    }
}

/// Something that is wrong at present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The stable name of what is wrong, and of whom or what within the log it is wrong.
    pub key: String,
    /// How grave it is.
    pub severity: Severity,
    /// In words. Names in them are strangers'.
    pub detail: String,
    /// The path below the auditor's URL of the evidence that it is about.
    pub evidence: Option<String>,
}

impl Observation {
    /// The observation with texts of bounded length and without control characters.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.key = plain(&self.key);
        self.detail = plain(&self.detail);
        self.evidence = self.evidence.map(|path| plain(&path));
        self
    }
}

/// A stranger's text as one line: characters that would not be seen for what they are become escapes.
#[must_use]
pub fn plain(text: &str) -> String {
    let bounded: String = text.chars().take(MAX_TEXT).collect();
    keyglass_tlog::shown::octets(bounded.as_bytes()).chars().take(MAX_TEXT).collect()
}

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// It is wrong now.
    Opened,
    /// It has not been wrong for a while.
    Resolved,
}

/// One transition of one alert, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// [`FORMAT`].
    pub format: String,
    /// The number of the notice, which no other one of this auditor has: a receiver that has seen it ignores it.
    pub id: u64,
    /// The number of the alert, which is that of the notice that opened it.
    pub alert: u64,
    /// What happened.
    pub transition: Transition,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Since when it was wrong, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The log.
    pub log: String,
    /// What is or was wrong with it.
    #[serde(flatten)]
    pub what: Observation,
}

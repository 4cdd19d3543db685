//! Why a configuration file cannot be used.

use std::{io, path::PathBuf};

use thiserror::Error;

use super::{MAX_AUDITORS, MAX_LOGS, MAX_SETTINGS_LEN, MAX_URLS};

/// Why a configuration file cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("{}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// It is longer than any that is read.
    #[error("the file is longer than {MAX_SETTINGS_LEN} bytes")]
    TooLong,
    /// Not TOML, or not with the keys that there are.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// It follows nothing.
    #[error("the file names no log ([[log]])")]
    NoLogs,
    /// It names too much.
    #[error("the file names more than {MAX_LOGS} logs or {MAX_AUDITORS} auditors")]
    TooMany,
    /// A name that cannot be shown.
    #[error("{0:?} is not a name: 1 to 64 bytes without control characters")]
    Name(String),
    /// Two of a kind have one name.
    #[error("{0} is named twice")]
    Twice(String),
    /// A log is nowhere, or at too many places.
    #[error("the log {0} needs from 1 to {MAX_URLS} URLs")]
    Urls(String),
    /// A log has a URL twice.
    #[error("the log {0} names one of its URLs twice")]
    SameUrl(String),
    /// A duration out of bounds.
    #[error("{key} of the log {log} must be from 1 to 86400000")]
    Milliseconds {
        /// The log.
        log: String,
        /// The key.
        key: &'static str,
    },
}

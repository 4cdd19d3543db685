//! Alerts on disk: one file, replaced as a whole, so that a reader after a crash sees the old one or the new one.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{book::Book, outbox::Outbox};
use crate::durable;

/// The file within the data directory.
pub const FILE: &str = "alerts.json";
const FORMAT: &str = "keyglass-alerts/v1";
/// The longest file that is read: the most alerts and deliveries that there can be, and room for their texts.
const MAX_LEN: u64 = 64 << 20;

/// Why alerts were not read or written.
#[derive(Debug, Error)]
pub enum AlertStoreError {
    /// Reading or writing failed.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// The file is damaged or of another program. Ignoring it would tell people twice, or never.
    #[error("{}: not the alerts of an auditor of this version; remove it to begin anew", .0.display())]
    Malformed(PathBuf),
}

/// What is retained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    format: String,
    /// The alerts.
    pub book: Book,
    /// What is still to be told.
    pub outbox: Outbox,
}

impl Default for Kept {
    fn default() -> Self {
        Self { format: FORMAT.to_owned(), book: Book::default(), outbox: Outbox::default() }
    }
}

/// Reads what is retained; nothing yet if there is no file.
///
/// # Errors
/// [`AlertStoreError`].
pub fn read(path: &Path) -> Result<Kept, AlertStoreError> {
    let fail = |error| AlertStoreError::Io { path: path.to_owned(), error };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(fail(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_LEN).read_to_end(&mut bytes).map_err(fail)?;
    let kept: Kept =
        serde_json::from_slice(&bytes).map_err(|_| AlertStoreError::Malformed(path.to_owned()))?;
    if kept.format == FORMAT { Ok(kept) } else { Err(AlertStoreError::Malformed(path.to_owned())) }
}

/// Replaces what is retained, durably.
///
/// # Errors
/// [`AlertStoreError::Io`].
pub fn write(path: &Path, kept: &Kept) -> Result<(), AlertStoreError> {
    let written = serde_json::to_vec(kept).map_err(io::Error::from);
    let written = written.and_then(|bytes| durable::write(path, 0o600, &bytes));
    written.map_err(|error| AlertStoreError::Io { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_damaged_is_refused_and_what_is_missing_is_new() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        assert_eq!(read(&path).unwrap(), Kept::default());
        write(&path, &Kept::default()).unwrap();
        assert_eq!(read(&path).unwrap(), Kept::default());
        let text = fs::read_to_string(&path).unwrap();
        for bad in ["", "{}", &text[..text.len() - 1], &text.replace("alerts/v1", "alerts/v2")] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(read(&path), Err(AlertStoreError::Malformed(_))), "{bad}");
        }
        let nowhere = directory.path().join("none").join(FILE);
        assert!(matches!(write(&nowhere, &Kept::default()), Err(AlertStoreError::Io { .. })));
    }
}

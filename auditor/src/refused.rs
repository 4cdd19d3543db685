//! Updates that were refused, on disk: what the log sent, byte for byte, for whoever looks into it.

use std::{fs, io, path::PathBuf};

use keyglass_crypto::hash::sha256;
use thiserror::Error;

use crate::durable;

const SUFFIX: &str = ".update";
/// The most files: a log can send another bad update at every round.
const MAX_FILES: usize = 16;

/// An update could not be kept, or the directory not be read.
#[derive(Debug, Error)]
#[error("{}: {error}", .path.display())]
pub struct RefusedError {
    /// The file or directory.
    pub path: PathBuf,
    /// What went wrong.
    error: io::Error,
}

/// The directory of refused updates.
#[derive(Debug, Clone)]
pub struct RefusedDir {
    path: PathBuf,
}

impl RefusedDir {
    /// The directory at this path, which is made when the first update is kept.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Keeps the bytes that were sent as the update of an entry, in a file named by the entry's position and their hash, and
    /// gives that name. None if there are as many already as are kept.
    ///
    /// # Errors
    /// [`RefusedError`].
    pub fn keep(&self, position: u64, bytes: &[u8]) -> Result<Option<String>, RefusedError> {
        let hash = sha256(&[bytes]);
        let (hash, _) = hash.split_at(8);
        let name = format!("{position}-{}{SUFFIX}", hex::encode(hash));
        let path = self.path.join(&name);
        if path.exists() {
            return Ok(Some(name));
        }
        if self.files()?.len() >= MAX_FILES {
            return Ok(None);
        }
        let kept =
            durable::create_directory(&self.path, 0o755).and_then(|()| durable::write(&path, 0o644, bytes));
        kept.map_err(|error| RefusedError { path: path.clone(), error })?;
        tracing::error!(path = %path.display(), "an update was refused");
        Ok(Some(name))
    }

    /// The names of the files that are kept, ascending.
    ///
    /// # Errors
    /// [`RefusedError`].
    pub fn files(&self) -> Result<Vec<String>, RefusedError> {
        let fail = |error| RefusedError { path: self.path.clone(), error };
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(fail)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let name = entry.map_err(fail)?.file_name().into_string();
            files.extend(name.ok().filter(|name| name.ends_with(SUFFIX)));
        }
        files.sort();
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_and_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let refused = RefusedDir::new(directory.path().join("refused"));
        assert!(refused.files().unwrap().is_empty());
        let name = refused.keep(7, b"bad").unwrap().unwrap();
        assert_eq!(fs::read(directory.path().join("refused").join(&name)).unwrap(), b"bad");
        assert_eq!(refused.keep(7, b"bad").unwrap(), Some(name.clone()), "once");
        for i in 1..MAX_FILES {
            assert!(refused.keep(7, &[i as u8]).unwrap().is_some());
        }
        assert_eq!(refused.keep(7, b"one too many").unwrap(), None);
        assert_eq!(refused.keep(7, b"bad").unwrap(), Some(name));
        assert_eq!(refused.files().unwrap().len(), MAX_FILES);
    }
}

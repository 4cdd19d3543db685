//! Updates that were refused, on disk: what the log sent, byte for byte, for whoever looks into it.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use keyglass_crypto::hash::sha256;
use thiserror::Error;

use crate::data_dir::sync_directory;

const SUFFIX: &str = ".update";
const UNFINISHED: &str = ".unfinished";
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
    /// says where. None if there are as many already as are kept.
    ///
    /// # Errors
    /// [`RefusedError`].
    pub fn keep(&self, position: u64, bytes: &[u8]) -> Result<Option<PathBuf>, RefusedError> {
        let hash = sha256(&[bytes]);
        let (hash, _) = hash.split_at(8);
        let path = self.path.join(format!("{position}-{}{SUFFIX}", hex::encode(hash)));
        if path.exists() {
            return Ok(Some(path));
        }
        if self.files()?.len() >= MAX_FILES {
            return Ok(None);
        }
        let write = || {
            DirBuilder::new().recursive(true).mode(0o755).create(&self.path)?;
            let unfinished = path.with_extension(UNFINISHED.trim_start_matches('.'));
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            sync_directory(&self.path)
        };
        write().map_err(|error| RefusedError { path: path.clone(), error })?;
        Ok(Some(path))
    }

    /// The files that are kept, in the order of their names.
    ///
    /// # Errors
    /// [`RefusedError`].
    pub fn files(&self) -> Result<Vec<PathBuf>, RefusedError> {
        let fail = |error| RefusedError { path: self.path.clone(), error };
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(fail)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(fail)?.path();
            if is_kept(&path) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

fn is_kept(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(SUFFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_and_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let refused = RefusedDir::new(directory.path().join("refused"));
        assert!(refused.files().unwrap().is_empty());
        let path = refused.keep(7, b"bad").unwrap().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"bad");
        assert_eq!(refused.keep(7, b"bad").unwrap(), Some(path.clone()), "once");
        for i in 1..MAX_FILES {
            assert!(refused.keep(7, &[i as u8]).unwrap().is_some());
        }
        assert_eq!(refused.keep(7, b"one too many").unwrap(), None);
        assert_eq!(refused.keep(7, b"bad").unwrap(), Some(path));
        assert_eq!(refused.files().unwrap().len(), MAX_FILES);
    }
}

//! One process at a time works with a home.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use thiserror::Error;

use super::file::FileError;

/// Why the home was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process works with it.
    #[error("another keyglass command is using this home")]
    Busy,
    /// The lock file cannot be opened or locked.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The right to change a home. The system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `directory` at once or not at all.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join("lock");
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(FileError::at(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Busy),
            Err(TryLockError::Error(source)) => Err(FileError::Io { path, source }.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_has_one_holder_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let first = Lock::take(home.path()).unwrap();
        assert!(matches!(Lock::take(home.path()), Err(LockError::Busy)));
        drop(first);
        assert!(Lock::take(home.path()).is_ok());
    }

    #[test]
    fn a_home_that_is_not_there_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(Lock::take(&home.path().join("absent")), Err(LockError::File(_))));
    }
}

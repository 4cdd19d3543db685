//! One process at a time works with a home.

use std::{
    fs::{File, TryLockError},
    io::{Read as _, Write as _},
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
    /// Another process keeps watch over this log from this home.
    #[error("keyglass watch already runs for this home{}", of_process(*process))]
    Watched {
        /// Its number, if it could be read.
        process: Option<u32>,
    },
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
        match open_locked(&directory.join("lock"))? {
            Some(file) => Ok(Self { _file: file }),
            None => Err(LockError::Busy),
        }
    }
}

/// The right to keep watch over one log from a home, which other commands may use meanwhile. The system takes it back when
/// the process ends.
#[derive(Debug)]
pub struct WatchLock {
    _file: File,
}

impl WatchLock {
    /// Takes the lock of `directory` at once or not at all, and leaves this process's number in it.
    ///
    /// # Errors
    /// [`LockError::Watched`], [`LockError::File`].
    pub(super) fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join("watch.lock");
        let Some(mut file) = open_locked(&path)? else {
            return Err(LockError::Watched { process: holder(&path) });
        };
        // The number only serves people; the lock is what counts.
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .and_then(|()| file.flush())
            .map_err(FileError::at(&path))?;
        Ok(Self { _file: file })
    }
}

/// The file, locked; `None` if another process has locked it.
fn open_locked(path: &Path) -> Result<Option<File>, LockError> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(FileError::at(path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(FileError::Io { path: path.to_path_buf(), source }.into()),
    }
}

/// The number of the process that holds a lock, as it left it there.
fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The number as it is shown.
fn of_process(process: Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(" (process {process})"))
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

    #[test]
    fn a_second_watcher_is_told_of_the_first() {
        let home = tempfile::tempdir().unwrap();
        let first = WatchLock::take(home.path()).unwrap();
        let own = std::process::id();
        for _ in 0..2 {
            let error = WatchLock::take(home.path()).unwrap_err();
            assert!(matches!(error, LockError::Watched { process } if process == Some(own)));
            assert!(error.to_string().ends_with(&format!("(process {own})")), "{error}");
        }
        assert!(Lock::take(home.path()).is_ok(), "others may use the home");
        drop(first);
        // A number that an earlier process left is overwritten, not kept in part.
        std::fs::write(home.path().join("watch.lock"), "123456789012\n").unwrap();
        let again = WatchLock::take(home.path()).unwrap();
        assert_eq!(holder(&home.path().join("watch.lock")), Some(own));
        drop(again);
    }
}

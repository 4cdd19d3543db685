//! Files that are either the old whole or the new whole, whatever happens while they are written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use thiserror::Error;
use zeroize::Zeroizing;

/// No file of a home is read beyond this many bytes.
pub const MAX_FILE: u64 = 64 << 20;

/// Why a file of the home could not be read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is longer than any that is written here.
    #[error("{}: longer than {MAX_FILE} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}

/// Where writing a file can be cut short; the tests stop after each in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The temporary file exists and is empty.
    Created,
    /// It holds the new bytes.
    Written,
    /// They are durable.
    Synced,
    /// It bears the final name.
    Renamed,
}

/// Makes `path` hold `bytes`, readable by its owner only.
///
/// When this returns `Ok`, the bytes are durable. When it returns an error or never returns, the file holds either what it
/// held before or all of `bytes`. What could not be read again is not written.
///
/// # Errors
/// [`FileError`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_observed(path, bytes, |_| Ok(()))
}

/// [`replace`], calling `after` behind each step; an error from it ends the writing there, as a crash would.
pub(super) fn replace_observed(
    path: &Path,
    bytes: &[u8],
    mut after: impl FnMut(Step) -> io::Result<()>,
) -> Result<(), FileError> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err(FileError::TooLong { path: path.to_path_buf() });
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    // One process holds the home's lock, so one fixed name is enough, and a leftover of a crash is simply overwritten.
    let temporary = path.with_extension("new");
    let io = |result: io::Result<()>| result.map_err(FileError::at(path));

    io(remove_if_present(&temporary))?;
    let mut file = private().open(&temporary).map_err(FileError::at(&temporary))?;
    io(after(Step::Created))?;
    io(file.write_all(bytes))?;
    io(after(Step::Written))?;
    io(file.sync_all())?;
    io(after(Step::Synced))?;
    io(fs::rename(&temporary, path))?;
    io(after(Step::Renamed))?;
    io(File::open(directory).and_then(|directory| directory.sync_all()))
}

/// The bytes of a file, or `None` if there is none. They are erased when dropped: any file of a home may hold secrets.
///
/// # Errors
/// [`FileError`].
pub fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FileError::Io { path: path.to_path_buf(), source }),
    };
    let length = file.metadata().map_err(FileError::at(path))?.len();
    let too_long = || FileError::TooLong { path: path.to_path_buf() };
    if length > MAX_FILE {
        return Err(too_long());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).map_err(|_| too_long())? + 1));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(FileError::at(path))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err(too_long());
    }
    Ok(Some(bytes))
}

/// Makes a directory, and those above it, for its owner only.
///
/// # Errors
/// [`FileError::Io`].
pub fn make_directory(path: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(FileError::at(path))?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(FileError::at(parent))?;
    }
    Ok(())
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Options that create a new file with mode 0600.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_none() {
        let home = tempfile::tempdir().unwrap();
        assert!(read(&home.path().join("absent")).unwrap().is_none());
    }

    #[test]
    fn what_was_replaced_is_read_and_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state.json");
        for content in [b"one".as_slice(), b"two, and longer", b""] {
            replace(&path, content).unwrap();
            assert_eq!(read(&path).unwrap().unwrap().as_slice(), content);
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "no temporary file stays behind");
    }

    /// A crash behind any step leaves the old whole or the new whole, and the next write succeeds.
    #[test]
    fn a_crash_at_any_step_leaves_old_or_new() {
        for crash in [Step::Created, Step::Written, Step::Synced, Step::Renamed] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("state.json");
            replace(&path, b"old").unwrap();
            let error = replace_observed(&path, b"new", |step| {
                if step == crash { Err(io::Error::other("power cut")) } else { Ok(()) }
            });
            assert!(error.is_err());
            let expected: &[u8] = if crash == Step::Renamed { b"new" } else { b"old" };
            assert_eq!(read(&path).unwrap().unwrap().as_slice(), expected, "after {crash:?}");
            replace(&path, b"newer").unwrap();
            assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"newer");
        }
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state.json");
        replace(&path, b"old").unwrap();
        let long = vec![b' '; usize::try_from(MAX_FILE).unwrap() + 1];
        assert!(matches!(replace(&path, &long), Err(FileError::TooLong { .. })));
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"old");
    }

    #[test]
    fn an_endless_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("huge");
        File::create(&path).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert!(matches!(read(&path), Err(FileError::TooLong { .. })));
    }
}

//! Key files: mode 0600, made whole or not at all, never over another, and sealed where a passphrase is given.
//!
//! A passphrase decides for all keys of a directory: with one, a key in the clear is refused, so that "encrypted at rest"
//! is checked at every start and not only hoped for; [`seal`] turns existing keys over.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use keyglass_crypto::sealed::{self, Cost, MAX_SEALED_LEN, Passphrase, SealedError};
use rand::{TryRng as _, rngs::SysRng};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::private_file::{self, Access, Kind, PrivateFileError};

/// Why a key is not read or written.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file cannot be read, or others may access it.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
    /// There is a file already.
    #[error("{}: there is a key already", .0.display())]
    Exists(PathBuf),
    /// Writing failed.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file or its directory.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// The key is sealed, and no passphrase was given.
    #[error("{}: this key is sealed; --passphrase-file names its passphrase", .0.display())]
    NeedsPassphrase(PathBuf),
    /// A passphrase was given, and the key is in the clear.
    #[error("{}: this key is not sealed, although a passphrase is given; `seal-keys` seals it", .0.display())]
    NotSealed(PathBuf),
    /// The key cannot be sealed or opened.
    #[error("{}: {error}", .path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: SealedError,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes for {}", .0.display())]
    NoRandomness(PathBuf),
}

impl KeyFileError {
    /// Whether another passphrase, or one at all, would help.
    #[must_use]
    pub fn is_of_passphrase(&self) -> bool {
        matches!(
            self,
            Self::NeedsPassphrase(_)
                | Self::NotSealed(_)
                | Self::Sealed { error: SealedError::NotAuthentic, .. }
        )
    }
}

/// What [`seal`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// The key was in the clear, or under the passphrase before, and is now sealed.
    Sealed,
    /// It was sealed under this passphrase already.
    Kept,
}

/// Makes a key file, durably. `holds` says in the sealed file what it is.
///
/// # Errors
/// [`KeyFileError`]; another file of this name is left alone.
pub fn create(
    path: &Path,
    holds: &str,
    content: &[u8],
    passphrase: Option<&Passphrase>,
) -> Result<(), KeyFileError> {
    let fail = |error| KeyFileError::Io { path: path.to_owned(), error };
    let text = match passphrase {
        Some(passphrase) => Zeroizing::new(sealed(path, holds, content, passphrase)?.into_bytes()),
        None => Zeroizing::new(content.to_vec()),
    };
    let temporary = write_beside(path, &text)?;
    // A link, unlike a rename, never takes the place of another file.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(fail)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(KeyFileError::Exists(path.to_owned()))
        }
        linked => linked.and_then(|()| sync_directory_of(path)).map_err(fail),
    }
}

/// Reads a key file, sealed exactly if a passphrase is given.
///
/// # Errors
/// [`KeyFileError`].
pub fn read(
    path: &Path,
    holds: &str,
    passphrase: Option<&Passphrase>,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let text = read_text(path)?;
    match (sealed::is_sealed(&text), passphrase) {
        (false, None) => Ok(text),
        (false, Some(_)) => Err(KeyFileError::NotSealed(path.to_owned())),
        (true, None) => Err(KeyFileError::NeedsPassphrase(path.to_owned())),
        (true, Some(passphrase)) => sealed::open(holds, &text, passphrase)
            .map_err(|error| KeyFileError::Sealed { path: path.to_owned(), error }),
    }
}

/// Seals a key file under `passphrase`, which is in the clear, or sealed under `before`. Interrupted, it can be run again.
///
/// What the disk keeps of the file before is not erased: a key that was once in the clear is as safe as its disk was.
///
/// # Errors
/// [`KeyFileError`]; the file is as it was.
pub fn seal(
    path: &Path,
    holds: &str,
    before: Option<&Passphrase>,
    passphrase: &Passphrase,
) -> Result<Sealing, KeyFileError> {
    let text = read_text(path)?;
    let content = if sealed::is_sealed(&text) {
        let fail = |error| KeyFileError::Sealed { path: path.to_owned(), error };
        match (sealed::open(holds, &text, passphrase), before) {
            (Ok(_), _) => return Ok(Sealing::Kept),
            (Err(SealedError::NotAuthentic), Some(before)) => {
                sealed::open(holds, &text, before).map_err(fail)?
            }
            (Err(error), _) => return Err(fail(error)),
        }
    } else {
        text
    };
    let text = sealed(path, holds, &content, passphrase)?;
    let temporary = write_beside(path, text.as_bytes())?;
    let renamed = fs::rename(&temporary, path).and_then(|()| sync_directory_of(path));
    renamed.map_err(|error| KeyFileError::Io { path: path.to_owned(), error })?;
    Ok(Sealing::Sealed)
}

/// Whether there is something at this path.
#[must_use]
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn read_text(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let limit = u64::try_from(MAX_SEALED_LEN).unwrap_or(u64::MAX);
    Ok(private_file::read(path, Kind::File, Access::Owner, limit)?)
}

fn sealed(path: &Path, holds: &str, content: &[u8], passphrase: &Passphrase) -> Result<String, KeyFileError> {
    let (mut salt, mut nonce) = ([0; 16], [0; 12]);
    let random = SysRng.try_fill_bytes(&mut salt).and_then(|()| SysRng.try_fill_bytes(&mut nonce));
    random.map_err(|_| KeyFileError::NoRandomness(path.to_owned()))?;
    sealed::seal(holds, content, passphrase, Cost::RECOMMENDED, &salt, &nonce)
        .map_err(|error| KeyFileError::Sealed { path: path.to_owned(), error })
}

/// Writes a complete, durable file of another name into the same directory, over what a crash may have left of it.
fn write_beside(path: &Path, text: &[u8]) -> Result<PathBuf, KeyFileError> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let temporary = path.with_file_name(name);
    let write = || {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        // The mode above passed through the umask.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text)?;
        file.sync_all()
    };
    match write() {
        Ok(()) => Ok(temporary),
        Err(error) => Err(KeyFileError::Io { path: path.to_owned(), error }),
    }
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
    }

    fn names(directory: &Path) -> Vec<OsString> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_key_is_read_as_it_was_made() {
        let (one, two) = (passphrase("one"), passphrase("two"));
        for given in [None, Some(&one)] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a.key");
            create(&path, "a.key", b"content", given).unwrap();
            assert_eq!(read(&path, "a.key", given).unwrap().as_slice(), b"content");
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
            assert_eq!(names(directory.path()), ["a.key"]);
            let on_disk = fs::read(&path).unwrap();
            assert_eq!(on_disk.windows(7).any(|window| window == b"content"), given.is_none());

            assert!(matches!(create(&path, "a.key", b"other", given), Err(KeyFileError::Exists(_))));
            assert_eq!(fs::read(&path).unwrap(), on_disk, "never over another");
            assert_eq!(names(directory.path()), ["a.key"]);
            fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            let refused = read(&path, "a.key", given).unwrap_err();
            assert!(matches!(refused, KeyFileError::Private(PrivateFileError::Permissions { .. })));
        }
        let directory = tempfile::tempdir().unwrap();
        let [clear, shut] = ["clear", "shut"].map(|name| directory.path().join(name));
        create(&clear, "a.key", b"content", None).unwrap();
        create(&shut, "a.key", b"content", Some(&one)).unwrap();
        let error = read(&clear, "a.key", Some(&one)).unwrap_err();
        assert!(matches!(error, KeyFileError::NotSealed(_)) && error.is_of_passphrase());
        let error = read(&shut, "a.key", None).unwrap_err();
        assert!(matches!(error, KeyFileError::NeedsPassphrase(_)) && error.is_of_passphrase());
        let error = read(&shut, "a.key", Some(&two)).unwrap_err();
        assert!(matches!(error, KeyFileError::Sealed { error: SealedError::NotAuthentic, .. }));
        assert!(error.is_of_passphrase());
        let error = read(&shut, "b.key", Some(&one)).unwrap_err();
        assert!(matches!(error, KeyFileError::Sealed { error: SealedError::OtherPurpose, .. }));
        assert!(!error.is_of_passphrase());
    }

    #[test]
    fn keys_are_turned_over_and_passphrases_changed() {
        let (one, two) = (passphrase("one"), passphrase("two"));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.key");
        create(&path, "a.key", b"content", None).unwrap();
        // What a crash left is no obstacle.
        fs::write(directory.path().join(".a.key.new"), "half").unwrap();
        assert_eq!(seal(&path, "a.key", None, &one).unwrap(), Sealing::Sealed);
        assert_eq!(seal(&path, "a.key", None, &one).unwrap(), Sealing::Kept);
        assert_eq!(names(directory.path()), ["a.key"]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(read(&path, "a.key", Some(&one)).unwrap().as_slice(), b"content");

        let before = fs::read(&path).unwrap();
        assert!(seal(&path, "a.key", None, &two).unwrap_err().is_of_passphrase());
        assert!(seal(&path, "a.key", Some(&two), &two).unwrap_err().is_of_passphrase());
        assert!(seal(&path, "b.key", Some(&one), &two).is_err());
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(seal(&path, "a.key", Some(&one), &two).unwrap(), Sealing::Sealed);
        assert_eq!(seal(&path, "a.key", Some(&one), &two).unwrap(), Sealing::Kept, "run again");
        assert_eq!(read(&path, "a.key", Some(&two)).unwrap().as_slice(), b"content");
        assert!(read(&path, "a.key", Some(&one)).is_err());
    }

    #[test]
    fn a_directory_that_is_missing_or_shut_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing/a.key");
        let error = create(&path, "a.key", b"", None).unwrap_err();
        assert!(error.to_string().contains("missing/a.key"), "{error}");
        assert!(read(&path, "a.key", None).unwrap_err().to_string().contains("missing/a.key"));
    }
}

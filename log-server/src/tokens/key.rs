//! The file of the key under which tokens are authenticated.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use keyglass_crypto::secret::Secret;
use rand::{TryRng as _, rngs::SysRng};
use thiserror::Error;
use zeroize::Zeroizing;

/// The file's usual name within the data directory.
pub const FILE: &str = "token.key";

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Reading or writing failed.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// Others than the owner may use the key.
    #[error("{path} has mode {mode:04o}: nobody but its owner may read or write a key (chmod 600)")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not the hex of 32 bytes.
    #[error(
        "{0} is not a key file of a log-server; without it a new one is made, and clients ask for new tokens"
    )]
    Malformed(PathBuf),
    /// The system gave no random bytes.
    #[error("no random bytes for {0}")]
    Random(PathBuf),
}

/// Reads the key, or makes one where there is no file.
///
/// # Errors
/// [`KeyError`]. A file that is there but cannot be used is left alone.
pub fn open(path: &Path) -> Result<Secret<32>, KeyError> {
    let at = |error| KeyError::Io { path: path.to_owned(), error };
    match File::open(path) {
        Ok(file) => read(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
        Err(error) => Err(at(error)),
    }
}

fn read(path: &Path, file: File) -> Result<Secret<32>, KeyError> {
    let at = |error| KeyError::Io { path: path.to_owned(), error };
    let mode = file.metadata().map_err(at)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Permissions { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(128).read_to_end(&mut text).map_err(at)?;
    let digits = text.strip_suffix(b"\n").unwrap_or(&text);
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, &mut *key).map_err(|_| KeyError::Malformed(path.to_owned()))?;
    Ok(Secret::new(*key))
}

/// Makes the file complete under another name first, so that a crash leaves no half of it.
fn create(path: &Path) -> Result<Secret<32>, KeyError> {
    let at = |error| KeyError::Io { path: path.to_owned(), error };
    let mut key = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(&mut *key).map_err(|_| KeyError::Random(path.to_owned()))?;
    let text = Zeroizing::new(format!("{}\n", hex::encode(*key)));
    let temporary = path.with_extension("new");
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    write().map_err(at)?;
    Ok(Secret::new(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let key = open(&path).unwrap();
        assert!(open(&path).unwrap() == key);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let other = open(&directory.path().join("other.key")).unwrap();
        assert!(other != key);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        open(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(open(&path), Err(KeyError::Permissions { mode: 0o640, .. })));
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        for text in ["", "00", &"0".repeat(63), &"g".repeat(64), &format!("{}\n\n", "0".repeat(64))] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(open(&path), Err(KeyError::Malformed(_))), "{text:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_half_written_file_of_a_crash_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        fs::write(path.with_extension("new"), "0000").unwrap();
        let key = open(&path).unwrap();
        assert!(open(&path).unwrap() == key);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = open(&directory.path().join("missing").join(FILE)).unwrap_err();
        assert!(error.to_string().contains("missing/token.key"));
    }
}

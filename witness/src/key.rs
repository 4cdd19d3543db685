//! The witness's private key, in a file that only its owner can read.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{KeyFileError, KeyName},
};
use rand::{TryRng as _, rngs::SysRng};
use thiserror::Error;
use zeroize::Zeroizing;

/// The key's file within the data directory.
pub const KEY_FILE: &str = "witness.key";

/// The longest key file that is read.
const MAX_KEY_FILE_LEN: u64 = 4096;

/// Why there is no usable key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Others can read or change the key.
    #[error("{}: others may access this private key (mode {mode:04o}); expected mode 0600", .path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file.
    #[error("{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Not a cosigner's private key.
    #[error("{}: {source}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyFileError,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes to make a key from")]
    NoRandomness,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyError + '_ {
    |source| KeyError::Io { path: path.to_owned(), source }
}

/// Makes a new key under `name`.
///
/// # Errors
/// [`KeyError::NoRandomness`].
pub fn generate(name: KeyName) -> Result<Cosigner, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(seed.as_mut_slice()).map_err(|_| KeyError::NoRandomness)?;
    Ok(Cosigner::new(name, SigningKey::from_seed(&seed)))
}

/// Stores the key in a data directory, durably, and never over another one.
///
/// # Errors
/// [`KeyError::Io`], also if there is a key already.
pub fn save(data: &Path, key: &Cosigner) -> Result<(), KeyError> {
    let path = data.join(KEY_FILE);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(io_error(&path))?;
    file.write_all(key.to_key_file().as_bytes()).map_err(io_error(&path))?;
    file.sync_all().map_err(io_error(&path))?;
    File::open(data).and_then(|directory| directory.sync_all()).map_err(io_error(data))
}

/// Reads the key of a data directory. With it, [`Cosigner::cosign`] signs any checkpoint whatever: what makes a witness
/// honest is [`crate::service`], not the key.
///
/// # Errors
/// [`KeyError`].
pub fn load(data: &Path) -> Result<Cosigner, KeyError> {
    let path = data.join(KEY_FILE);
    let file = File::open(&path).map_err(io_error(&path))?;
    let metadata = file.metadata().map_err(io_error(&path))?;
    if !metadata.is_file() {
        return Err(KeyError::NotAFile(path));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Permissions { path, mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE_LEN).read_to_string(&mut text).map_err(io_error(&path))?;
    Cosigner::from_key_file(&text).map_err(|source| KeyError::Malformed { path, source })
}

/// Whether a data directory has a key file.
#[must_use]
pub fn exists(data: &Path) -> bool {
    fs::symlink_metadata(data.join(KEY_FILE)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> (tempfile::TempDir, Cosigner) {
        let data = tempfile::tempdir().unwrap();
        let key = generate(KeyName::new("w.example").unwrap()).unwrap();
        save(data.path(), &key).unwrap();
        (data, key)
    }

    #[test]
    fn a_key_comes_back_and_is_private() {
        let (data, key) = saved();
        assert_eq!(load(data.path()).unwrap().vkey(), key.vkey());
        let mode = fs::metadata(data.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert!(matches!(save(data.path(), &key), Err(KeyError::Io { .. })), "never overwritten");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (data, _) = saved();
        for mode in [0o640, 0o604, 0o610, 0o601, 0o620, 0o602, 0o666] {
            fs::set_permissions(data.path().join(KEY_FILE), fs::Permissions::from_mode(mode)).unwrap();
            assert!(
                matches!(load(data.path()), Err(KeyError::Permissions { mode: found, .. }) if found == mode)
            );
        }
        fs::set_permissions(data.path().join(KEY_FILE), fs::Permissions::from_mode(0o400)).unwrap();
        assert!(load(data.path()).is_ok());
    }

    #[test]
    fn damage_is_refused() {
        let (data, _) = saved();
        let path = data.path().join(KEY_FILE);
        let text = fs::read_to_string(&path).unwrap();
        for damaged in
            [String::new(), text[1..].to_owned(), text.replace("w.example", "v.example"), text + "more"]
        {
            fs::write(&path, damaged).unwrap();
            assert!(matches!(load(data.path()), Err(KeyError::Malformed { .. })));
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(load(data.path()), Err(KeyError::Io { .. })));
        assert!(!exists(data.path()));
    }
}

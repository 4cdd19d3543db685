//! The file of the key under which tokens are authenticated.

use std::path::{Path, PathBuf};

use keyglass_crypto::{sealed::Passphrase, secret::Secret};
use keyglass_service::key_file::{self, KeyFileError};
use rand::{TryRng as _, rngs::SysRng};
use thiserror::Error;
use zeroize::Zeroizing;

/// The file's usual name within the data directory.
pub const FILE: &str = "token.key";

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read or written, others may access it, or its passphrase is another one.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file is not the hex of 32 bytes.
    #[error(
        "{0} is not a key file of a log-server; without it a new one is made, and clients ask for new tokens"
    )]
    Malformed(PathBuf),
    /// The system gave no random bytes.
    #[error("no random bytes for {0}")]
    Random(PathBuf),
}

/// Reads the key, or makes one where there is no file; sealed exactly if a passphrase is given.
///
/// # Errors
/// [`KeyError`]. A file that is there but cannot be used is left alone.
pub fn open(path: &Path, passphrase: Option<&Passphrase>) -> Result<Secret<32>, KeyError> {
    if !key_file::exists(path) {
        return create(path, passphrase);
    }
    let text = key_file::read(path, FILE, passphrase)?;
    let digits = text.strip_suffix(b"\n").unwrap_or(&text);
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, &mut *key).map_err(|_| KeyError::Malformed(path.to_owned()))?;
    Ok(Secret::new(*key))
}

fn create(path: &Path, passphrase: Option<&Passphrase>) -> Result<Secret<32>, KeyError> {
    let mut key = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(&mut *key).map_err(|_| KeyError::Random(path.to_owned()))?;
    let digits = Zeroizing::new(hex::encode(*key));
    let text = Zeroizing::new(format!("{}\n", *digits));
    key_file::create(path, FILE, text.as_bytes(), passphrase)?;
    Ok(Secret::new(*key))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
    };

    use keyglass_service::private_file::PrivateFileError;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let key = open(&path, None).unwrap();
        assert!(open(&path, None).unwrap() == key);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let other = open(&directory.path().join("other.key"), None).unwrap();
        assert!(other != key);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        open(&path, None).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            open(&path, None),
            Err(KeyError::File(KeyFileError::Private(PrivateFileError::Permissions { mode: 0o640, .. })))
        ));
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        for text in ["", "00", &"0".repeat(63), &"g".repeat(64), &format!("{}\n\n", "0".repeat(64))] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(open(&path, None), Err(KeyError::Malformed(_))), "{text:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_missing_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = open(&directory.path().join("missing").join(FILE), None).unwrap_err();
        assert!(error.to_string().contains("missing/token.key"));
    }
}

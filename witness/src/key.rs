//! The witness's private key, in a file that only its owner can read.

use std::path::{Path, PathBuf};

use keyglass_crypto::{sealed::Passphrase, sign::SigningKey};
use keyglass_service::key_file::{self, KeyFileError as FileError, Sealing};
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{KeyFileError, KeyName},
};
use rand::{TryRng as _, rngs::SysRng};
use thiserror::Error;
use zeroize::Zeroizing;

/// The key's file within the data directory, and what a sealed one says that it holds.
pub const KEY_FILE: &str = "witness.key";

/// Why there is no usable key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read or written, others may access it, or its passphrase is another one.
    #[error(transparent)]
    File(#[from] FileError),
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

/// Makes a new key under `name`.
///
/// # Errors
/// [`KeyError::NoRandomness`].
pub fn generate(name: KeyName) -> Result<Cosigner, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(seed.as_mut_slice()).map_err(|_| KeyError::NoRandomness)?;
    Ok(Cosigner::new(name, SigningKey::from_seed(&seed)))
}

/// Stores the key in a data directory, durably, and never over another one; sealed if a passphrase is given.
///
/// # Errors
/// [`KeyError::File`], also if there is a key already.
pub fn save(data: &Path, key: &Cosigner, passphrase: Option<&Passphrase>) -> Result<(), KeyError> {
    let content = key.to_key_file();
    Ok(key_file::create(&data.join(KEY_FILE), KEY_FILE, content.as_bytes(), passphrase)?)
}

/// Reads the key of a data directory, which must be sealed exactly if a passphrase is given. With it, [`Cosigner::cosign`]
/// signs any checkpoint whatever: what makes a witness honest is [`crate::service`], not the key.
///
/// # Errors
/// [`KeyError`].
pub fn load(data: &Path, passphrase: Option<&Passphrase>) -> Result<Cosigner, KeyError> {
    let path = data.join(KEY_FILE);
    let content = key_file::read(&path, KEY_FILE, passphrase)?;
    let text = core::str::from_utf8(&content).map_err(|_| KeyFileError::Malformed);
    let key = text.and_then(Cosigner::from_key_file);
    key.map_err(|source| KeyError::Malformed { path, source })
}

/// Seals the key of a data directory under `passphrase`, or changes the passphrase from `before`.
///
/// # Errors
/// [`KeyError::File`].
pub fn seal(data: &Path, before: Option<&Passphrase>, passphrase: &Passphrase) -> Result<Sealing, KeyError> {
    Ok(key_file::seal(&data.join(KEY_FILE), KEY_FILE, before, passphrase)?)
}

/// Whether a data directory has a key file.
#[must_use]
pub fn exists(data: &Path) -> bool {
    key_file::exists(&data.join(KEY_FILE))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use keyglass_service::private_file::PrivateFileError;

    use super::*;

    fn saved() -> (tempfile::TempDir, Cosigner) {
        let data = tempfile::tempdir().unwrap();
        let key = generate(KeyName::new("w.example").unwrap()).unwrap();
        save(data.path(), &key, None).unwrap();
        (data, key)
    }

    #[test]
    fn a_key_comes_back_and_is_never_overwritten() {
        let (data, key) = saved();
        assert_eq!(load(data.path(), None).unwrap().vkey(), key.vkey());
        let refused = save(data.path(), &key, None).unwrap_err();
        assert!(matches!(refused, KeyError::File(FileError::Exists(_))));

        let passphrase = Passphrase::new(Zeroizing::new(b"correct horse".to_vec())).unwrap();
        assert_eq!(seal(data.path(), None, &passphrase).unwrap(), Sealing::Sealed);
        assert_eq!(load(data.path(), Some(&passphrase)).unwrap().vkey(), key.vkey());
        let refused = load(data.path(), None).unwrap_err();
        assert!(matches!(refused, KeyError::File(FileError::NeedsPassphrase(_))));
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
            assert!(matches!(load(data.path(), None), Err(KeyError::Malformed { .. })));
        }
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(load(data.path(), None), Err(KeyError::Malformed { .. })));
        fs::remove_file(&path).unwrap();
        let missing = load(data.path(), None);
        assert!(matches!(missing, Err(KeyError::File(FileError::Private(PrivateFileError::Io { .. })))));
        assert!(!exists(data.path()));
    }
}

//! The witness's private keys, one file each that only its owner can read.

use std::path::{Path, PathBuf};

use keyglass_crypto::{ml_dsa::MlDsaSigningKey, sealed::Passphrase, sign::SigningKey};
use keyglass_service::key_file::{self, Sealing};
use keyglass_tlog::{
    cosignature::{Cosigner, CosignerNameTooLong},
    note::{KeyFileError, KeyName},
};
use rand::{TryRng as _, rngs::SysRng};
use thiserror::Error;
use zeroize::Zeroizing;

/// A type of cosignatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyType {
    /// 0x04.
    Ed25519,
    /// 0x06.
    MlDsa44,
}

impl KeyType {
    /// All of them, in the order of their lines in an answer.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::MlDsa44];

    /// The key's file within the data directory.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Ed25519 => "witness.key",
            Self::MlDsa44 => "witness-ml-dsa-44.key",
        }
    }

    /// The type as options and results name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
        }
    }

    fn of(cosigner: &Cosigner) -> Self {
        if cosigner.ed25519_key().is_some() { Self::Ed25519 } else { Self::MlDsa44 }
    }
}

/// Why there is no usable key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] key_file::KeyFileError),
    /// There is no key at all.
    #[error("{}: there is no private key of a witness here", .0.display())]
    None(PathBuf),
    /// Not a cosigner's private key.
    #[error("{}: {source}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyFileError,
    },
    /// A key of another type than the file's name says.
    #[error("{}: not a key of type {}", .path.display(), .expected.name())]
    OtherType {
        /// The file.
        path: PathBuf,
        /// What the file is for.
        expected: KeyType,
    },
    /// The name has no cosignatures of this type.
    #[error(transparent)]
    BadName(#[from] CosignerNameTooLong),
    /// The operating system gave no random bytes.
    #[error("no random bytes to make a key from")]
    NoRandomness,
}

/// Makes a new key under `name`.
///
/// # Errors
/// [`KeyError::NoRandomness`] or [`KeyError::BadName`].
pub fn generate(key_type: KeyType, name: KeyName) -> Result<Cosigner, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(seed.as_mut_slice()).map_err(|_| KeyError::NoRandomness)?;
    match key_type {
        KeyType::Ed25519 => Ok(Cosigner::new(name, SigningKey::from_seed(&seed))),
        KeyType::MlDsa44 => Ok(Cosigner::ml_dsa_44(name, MlDsaSigningKey::from_seed(&seed))?),
    }
}

/// Stores a key in a data directory, durably, and never over another one.
///
/// # Errors
/// [`KeyError::File`], also if there is a key of this type already.
pub fn save(data: &Path, key: &Cosigner, passphrase: Option<&Passphrase>) -> Result<(), KeyError> {
    let file = KeyType::of(key).file();
    Ok(key_file::create(&data.join(file), file, key.to_key_file().as_bytes(), passphrase)?)
}

/// Reads the keys of a data directory, at least one, Ed25519 first. With them, [`Cosigner::cosign`] signs any checkpoint
/// whatever: what makes a witness honest is [`crate::service`], not the keys.
///
/// # Errors
/// [`KeyError`].
pub fn load(data: &Path, passphrase: Option<&Passphrase>) -> Result<Vec<Cosigner>, KeyError> {
    let there = KeyType::ALL.into_iter().filter(|key_type| exists(data, *key_type));
    let keys: Vec<Cosigner> =
        there.map(|key_type| load_one(data, key_type, passphrase)).collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(KeyError::None(data.to_owned())) } else { Ok(keys) }
}

fn load_one(data: &Path, key_type: KeyType, passphrase: Option<&Passphrase>) -> Result<Cosigner, KeyError> {
    let path = data.join(key_type.file());
    let bytes = key_file::read(&path, key_type.file(), passphrase)?;
    let text = core::str::from_utf8(&bytes).map_err(|_| KeyFileError::Malformed);
    let key = text.and_then(Cosigner::from_key_file);
    let key = key.map_err(|source| KeyError::Malformed { path: path.clone(), source })?;
    if KeyType::of(&key) == key_type {
        Ok(key)
    } else {
        Err(KeyError::OtherType { path, expected: key_type })
    }
}

/// Seals the keys of a data directory under `passphrase`, or changes the passphrase from `before`. Interrupted, it can be
/// run again.
///
/// # Errors
/// [`KeyError`].
pub fn seal(data: &Path, before: Option<&Passphrase>, passphrase: &Passphrase) -> Result<Sealing, KeyError> {
    let mut sealing = None;
    for key_type in KeyType::ALL.into_iter().filter(|key_type| exists(data, *key_type)) {
        let file = key_type.file();
        let one = key_file::seal(&data.join(file), file, before, passphrase)?;
        sealing = sealing.filter(|all| *all == Sealing::Sealed).or(Some(one));
    }
    sealing.ok_or_else(|| KeyError::None(data.to_owned()))
}

/// Whether a data directory has a key of this type.
#[must_use]
pub fn exists(data: &Path, key_type: KeyType) -> bool {
    key_file::exists(&data.join(key_type.file()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn saved() -> (tempfile::TempDir, Vec<Cosigner>) {
        let data = tempfile::tempdir().unwrap();
        let keys: Vec<Cosigner> =
            KeyType::ALL.map(|t| generate(t, KeyName::new("w.example").unwrap()).unwrap()).into();
        // Whatever the order in which they are made.
        keys.iter().rev().for_each(|key| save(data.path(), key, None).unwrap());
        (data, keys)
    }

    #[test]
    fn keys_come_back_in_their_order_and_are_private() {
        let (data, keys) = saved();
        let loaded = load(data.path(), None).unwrap();
        let vkeys = |keys: &[Cosigner]| keys.iter().map(|key| key.vkey().clone()).collect::<Vec<_>>();
        assert_eq!(vkeys(&loaded), vkeys(&keys));
        for (key, key_type) in keys.iter().zip(KeyType::ALL) {
            let mode = fs::metadata(data.path().join(key_type.file())).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600);
            assert!(matches!(save(data.path(), key, None), Err(KeyError::File(_))), "never overwritten");
        }
        fs::remove_file(data.path().join("witness.key")).unwrap();
        assert_eq!(vkeys(&load(data.path(), None).unwrap()), vkeys(&keys[1..]));
        fs::remove_file(data.path().join("witness-ml-dsa-44.key")).unwrap();
        assert!(matches!(load(data.path(), None), Err(KeyError::None(_))));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        for key_type in KeyType::ALL {
            let (data, _) = saved();
            let path = data.path().join(key_type.file());
            for mode in [0o640, 0o604, 0o610, 0o601, 0o620, 0o602, 0o666] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                assert!(matches!(load(data.path(), None), Err(KeyError::File(_))));
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
            assert!(load(data.path(), None).is_ok());
        }
    }

    #[test]
    fn damage_is_refused() {
        let (data, _) = saved();
        let path = data.path().join("witness.key");
        let text = fs::read_to_string(&path).unwrap();
        for damaged in
            [String::new(), text[1..].to_owned(), text.replace("w.example", "v.example"), text + "more"]
        {
            fs::write(&path, damaged).unwrap();
            assert!(matches!(load(data.path(), None), Err(KeyError::Malformed { .. })));
        }
        fs::copy(data.path().join("witness-ml-dsa-44.key"), &path).unwrap();
        assert!(matches!(load(data.path(), None), Err(KeyError::OtherType { .. })));
    }

    #[test]
    fn keys_are_sealed_where_a_passphrase_is_given() {
        let data = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::new(b"correct horse".to_vec().into()).unwrap();
        let key = generate(KeyType::MlDsa44, KeyName::new("w.example").unwrap()).unwrap();
        save(data.path(), &key, Some(&passphrase)).unwrap();
        let file = fs::read_to_string(data.path().join("witness-ml-dsa-44.key")).unwrap();
        assert!(file.starts_with("keyglass-sealed-key/v1\nholds witness-ml-dsa-44.key\n"));
        assert_eq!(load(data.path(), Some(&passphrase)).unwrap()[0].vkey(), key.vkey());
        assert!(matches!(load(data.path(), None), Err(KeyError::File(_))));
    }
}

//! The keys with which a log signs its heads.
//!
//! A log of suite 0xF001 may have several at once, so that one can take the place of another without a moment at which
//! users, auditors and witnesses that know only one of them are shut out: each head carries a line of every key. One of
//! them, an Ed25519 key, is the one that the configuration names. A log of suite 0x0002 has exactly one key.
//!
//! ```text
//! log.key                    the key that `init` drew
//! log-ed25519-<id>.key       a key that was added, <id> being its key id in hexadecimal
//! log-ml-dsa-44-<id>.key     likewise
//! ```

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use keyglass_crypto::{ml_dsa::MlDsaSigningKey, secret::Secret, sign::SigningKey};
use keyglass_keytrans::{
    config::{CipherSuite, Configuration},
    wire::{Wire as _, WireError},
};
use keyglass_tlog::note::{KeyId, KeyName, KeyNameError, PublicKey, Vkey};
use rand::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::data_dir::{self, CONFIGURATION, DataError, Identity, LOG_KEY, Place};

/// The most keys of one log: enough for two of each kind during a rotation, and each costs a line of every head.
pub const MAX_KEYS: usize = 8;

/// The kind of a key, which is what its signatures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ed25519 over the checkpoint (signature type 0x01). tlog-tiles demands at least one.
    Ed25519,
    /// ML-DSA-44 in the form of a cosignature under the origin's name (signature type 0x06).
    MlDsa44,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Ed25519 => "log-ed25519-",
            Self::MlDsa44 => "log-ml-dsa-44-",
        }
    }
}

/// A key of a log.
#[derive(Debug)]
pub enum LogKey {
    /// See [`Kind::Ed25519`].
    Ed25519(Box<SigningKey>),
    /// See [`Kind::MlDsa44`].
    MlDsa44(MlDsaSigningKey),
}

impl LogKey {
    /// The key of this seed.
    #[must_use]
    pub fn from_seed(kind: Kind, seed: &Secret<32>) -> Self {
        match kind {
            Kind::Ed25519 => Self::Ed25519(Box::new(SigningKey::from_seed(seed.expose()))),
            Kind::MlDsa44 => Self::MlDsa44(MlDsaSigningKey::from_seed(seed.expose())),
        }
    }

    /// Draws a key.
    #[must_use]
    pub fn draw(kind: Kind, rng: &mut dyn CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self::from_seed(kind, &Secret::new(*seed))
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Ed25519(_) => Kind::Ed25519,
            Self::MlDsa44(_) => Kind::MlDsa44,
        }
    }

    /// The seed that it is stored as.
    #[must_use]
    pub fn to_seed(&self) -> Secret<32> {
        match self {
            Self::Ed25519(key) => key.to_seed(),
            Self::MlDsa44(key) => key.to_seed(),
        }
    }

    /// What others verify its signatures with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Ed25519(key) => PublicKey::Ed25519(key.verifying_key()),
            Self::MlDsa44(key) => PublicKey::MlDsa44Cosigner(key.verifying_key()),
        }
    }

    /// Its verifier key in the log of this origin.
    ///
    /// # Errors
    /// [`KeyNameError`] for an origin that names no key.
    pub fn vkey(&self, origin: &str) -> Result<Vkey, KeyNameError> {
        Ok(Vkey::new(KeyName::new(origin)?, self.public()))
    }

    fn copy(&self) -> Self {
        Self::from_seed(self.kind(), &self.to_seed())
    }
}

/// Why the keys of a log were not changed.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The data directory.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The signature of the draft's heads is one.
    #[error("a log of suite 0x0002 has exactly one key")]
    Suite,
    /// More than [`MAX_KEYS`].
    #[error("the log has {MAX_KEYS} keys already")]
    TooMany,
    /// No such key.
    #[error("the log has no key with the id {0}")]
    Unknown(KeyId),
    /// A log that interacts with witnesses signs with at least one Ed25519 key (tlog-tiles, "Checkpoints").
    #[error("it is the log's only Ed25519 key; add another one first")]
    LastEd25519,
    /// The origin makes no name of a key.
    #[error(transparent)]
    Name(#[from] KeyNameError),
    /// The origin is too long for ML-DSA-44.
    #[error("the origin is longer than the 255 bytes that an ML-DSA-44 signature can name")]
    OriginTooLong,
    /// The configuration has no encoding.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Whether the log can have one more key of this kind.
///
/// # Errors
/// [`KeysError::Suite`], [`KeysError::TooMany`], [`KeysError::OriginTooLong`].
pub fn check(identity: &Identity, kind: Kind) -> Result<(), KeysError> {
    if identity.suite != CipherSuite::Tlog {
        return Err(KeysError::Suite);
    }
    if identity.log_keys.len() >= MAX_KEYS {
        return Err(KeysError::TooMany);
    }
    // The origin is both names in the message that is signed (tlog-cosignature, "ML-DSA-44 signed message").
    if kind == Kind::MlDsa44 && identity.origin.len() > usize::from(u8::MAX) {
        return Err(KeysError::OriginTooLong);
    }
    Ok(())
}

/// Adds a key to the log in a data directory, which its server signs with from its next start on. Gives its verifier key.
///
/// # Errors
/// [`KeysError`]; nothing is changed then.
pub fn add<'p>(place: impl Into<Place<'p>>, kind: Kind, rng: &mut dyn CryptoRng) -> Result<Vkey, KeysError> {
    let place = place.into();
    let identity = data_dir::read_identity(place)?;
    check(&identity, kind)?;
    let key = LogKey::draw(kind, rng);
    let vkey = key.vkey(&identity.origin)?;
    write(place, &vkey, &key)?;
    sync(place.path)?;
    Ok(vkey)
}

/// Writes the file of a key that was added. The caller makes the directory durable.
pub(crate) fn write(place: Place<'_>, vkey: &Vkey, key: &LogKey) -> Result<(), DataError> {
    place.write_key(&format!("{}{}.key", key.kind().prefix(), vkey.id()), &key.to_seed())
}

/// Retires a key of the log in a data directory; its server signs with it no more from its next start on. If it is the one
/// that the configuration names, another Ed25519 key takes its place there: the origin stays, and with it the log.
///
/// The key is destroyed. Cut off in between, the log goes on with both keys, and retiring can be asked for again.
///
/// # Errors
/// [`KeysError`].
pub fn retire<'p>(place: impl Into<Place<'p>>, id: KeyId) -> Result<(), KeysError> {
    let place = place.into();
    let data = place.path;
    let identity = data_dir::read_identity(place)?;
    if identity.suite != CipherSuite::Tlog {
        return Err(KeysError::Suite);
    }
    let vkeys = &identity.log_vkeys;
    let at = vkeys.iter().position(|vkey| vkey.id() == id).ok_or(KeysError::Unknown(id))?;
    if at == 0 {
        let is_ed25519 = |vkey: &&Vkey| matches!(vkey.key(), PublicKey::Ed25519(_));
        let next = vkeys.iter().skip(1).find(is_ed25519).ok_or(KeysError::LastEd25519)?;
        let signature_public_key = next.to_string().into_bytes();
        let configuration = Configuration { signature_public_key, ..identity.configuration.clone() };
        data_dir::replace(&data.join(CONFIGURATION), &configuration.encode()?)?;
    }
    for (path, key) in read(place)? {
        if key.vkey(&identity.origin)?.id() == id {
            fs::remove_file(&path).map_err(|error| DataError::Io { path, error })?;
        }
    }
    Ok(sync(data)?)
}

fn sync(data: &Path) -> Result<(), DataError> {
    let synced = File::open(data).and_then(|directory| directory.sync_all());
    synced.map_err(|error| DataError::Io { path: data.to_owned(), error })
}

/// The names of the key files in a data directory: Ed25519 before ML-DSA-44, and each kind by name.
pub(crate) fn files(data: &Path) -> Result<Vec<(String, Kind)>, DataError> {
    let at = |error| DataError::Io { path: data.to_owned(), error };
    let mut files = Vec::new();
    for entry in fs::read_dir(data).map_err(at)? {
        let Ok(name) = entry.map_err(at)?.file_name().into_string() else { continue };
        let kind = match name.as_str() {
            LOG_KEY => Kind::Ed25519,
            name if name.ends_with(".key") && name.starts_with(Kind::Ed25519.prefix()) => Kind::Ed25519,
            name if name.ends_with(".key") && name.starts_with(Kind::MlDsa44.prefix()) => Kind::MlDsa44,
            _ => continue,
        };
        files.push((name, kind));
    }
    files.sort_by(|(a, a_kind), (b, b_kind)| {
        (*a_kind == Kind::MlDsa44, a).cmp(&(*b_kind == Kind::MlDsa44, b))
    });
    Ok(files)
}

/// The keys in a data directory with their files, in the order of [`files`].
pub(crate) fn read(place: Place<'_>) -> Result<Vec<(PathBuf, LogKey)>, DataError> {
    let read = |(name, kind): (String, Kind)| {
        Ok((place.path.join(&name), LogKey::from_seed(kind, &place.read_key(&name)?)))
    };
    files(place.path)?.into_iter().map(read).collect()
}

/// Copies of the keys, for who signs with them.
pub(crate) fn copies(keys: &[LogKey]) -> Vec<LogKey> {
    keys.iter().map(LogKey::copy).collect()
}

#[cfg(test)]
mod tests;

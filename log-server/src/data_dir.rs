//! The directory that a log lives in.
//!
//! ```text
//! log-server      the format of this directory; written last when it is made
//! configuration   the log's Configuration, TLS-encoded
//! log.key         the key that signs heads, mode 0600; further ones beside it ([`crate::signing_keys`])
//! vrf.key         the key that places versions in the prefix tree, mode 0600
//! db/             RocksDB
//! auditor-head    the newest head of the log's auditor, TLS-encoded, in third-party-auditing mode
//! operator.sock   the operator's socket while the server runs, mode 0600
//! handover        where the log ended and which log came after it, once it has ended
//! ```
//!
//! Whoever can read the keys can speak for the log: the server refuses keys that others may read, and keys can be sealed
//! under a passphrase ([`keyglass_crypto::sealed`]).

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use keyglass_crypto::{hash::Digest, sealed::Passphrase, secret::Secret, vrf::VrfSecretKey};
use keyglass_keytrans::{
    config::{CipherSuite, Configuration, DeploymentMode},
    wire::{Context, Wire as _},
};
use keyglass_service::key_file::{self, KeyFileError, Sealing};
use keyglass_tlog::note::Vkey;
use rocksdb::DB;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    signing_keys::{self, Kind, LogKey},
    store::rocksdb::{self as rocks, OpenError},
    tokens,
};

/// The content of the marker file.
const FORMAT: &str = "keyglass-log-server data directory, format 1\n";
const MARKER: &str = "log-server";
pub(crate) const CONFIGURATION: &str = "configuration";
pub(crate) const LOG_KEY: &str = "log.key";
const VRF_KEY: &str = "vrf.key";
const DATABASE: &str = "db";
/// The operator's socket within the directory.
pub const SOCKET: &str = "operator.sock";
/// The handover within the directory, once the log has ended.
pub const HANDOVER: &str = "handover";
/// No file beside the database is longer.
const MAX_FILE: u64 = 1 << 20;

/// Why a directory was not made or not opened. Each says what and where.
#[derive(Debug, Error)]
pub enum DataError {
    /// Reading or writing failed.
    #[error("{path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// There is something in the directory already.
    #[error("{0} is not empty; a new log needs a directory of its own")]
    NotEmpty(PathBuf),
    /// The directory has no marker: it is another program's, or `init` did not finish.
    #[error(
        "{0} is not the data directory of a log-server (no file `log-server` in it); make one with `init`"
    )]
    Foreign(PathBuf),
    /// The marker is another one.
    #[error("{path} has format {found:?}; this program reads {FORMAT:?}")]
    Format {
        /// The marker file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// A key's file cannot be read or written, others may access it, or its passphrase is another one.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A key file holds no key.
    #[error("{0} is not a key file of a log-server")]
    BadKey(PathBuf),
    /// Keys and configuration do not belong together.
    #[error("{path}: {error}")]
    Mismatch {
        /// The directory.
        path: PathBuf,
        /// What does not fit.
        error: Mismatch,
    },
    /// The log has ended and must sign nothing more.
    #[error("{0} is of a log that has ended: it was handed over to another log and is not served again")]
    Ended(PathBuf),
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenError),
}

/// A log's keys and configuration.
pub struct Identity {
    /// The configuration.
    pub configuration: Configuration,
    /// The cipher suite that the configuration names.
    pub suite: CipherSuite,
    /// The TLS encoding of the configuration.
    pub encoded: Vec<u8>,
    id: Digest,
    /// What checkpoints, account records and requests call the log; under 0x0002, which has no such name, a stand-in.
    pub origin: String,
    /// The keys that sign heads: the Ed25519 key that the configuration names, further Ed25519 keys, ML-DSA-44 keys. Under
    /// 0x0002 the first alone.
    pub log_keys: Vec<LogKey>,
    /// Their verifier keys, whose name is the origin.
    pub log_vkeys: Vec<Vkey>,
    /// The key of the VRF.
    pub vrf_key: Arc<VrfSecretKey>,
}

impl Identity {
    /// What the database and the auditor know the log by ([`Configuration::log_id`]).
    #[must_use]
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// Checks that keys and configuration belong together and that they can be served.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn new(encoded: Vec<u8>, mut log_keys: Vec<LogKey>, vrf_key: VrfSecretKey) -> Result<Self, Mismatch> {
        // The context is for structures whose fields depend on the mode; the configuration's do not.
        let context = Context::new(DeploymentMode::ContactMonitoring);
        let configuration = Configuration::decode(&encoded, context).map_err(|_| Mismatch::Encoding)?;
        if configuration.deployment_mode() == DeploymentMode::ThirdPartyManagement {
            return Err(Mismatch::Management);
        }
        let suite = CipherSuite::from_number(configuration.ciphersuite).ok_or(Mismatch::Suite)?;
        let (public, origin) = match suite {
            CipherSuite::Tlog => {
                let vkey = core::str::from_utf8(&configuration.signature_public_key)
                    .map_err(|_| Mismatch::LogKey)?;
                let vkey = Vkey::parse(vkey).map_err(|_| Mismatch::LogKey)?;
                let origin = vkey.name().as_str();
                let (prefix, _) = origin.rsplit_once('/').ok_or(Mismatch::Origin)?;
                if configuration.origin(prefix).ok().as_deref() != Some(origin) {
                    return Err(Mismatch::Origin);
                }
                (vkey.key().material(), origin.to_owned())
            }
            CipherSuite::Draft => {
                let key = configuration.signature_public_key.clone();
                (key, keyglass_account::origin::of_configuration(&encoded))
            }
        };
        let named = |key: &LogKey| key.kind() == Kind::Ed25519 && key.public().material() == public;
        let at = log_keys.iter().position(named).ok_or(Mismatch::LogKey)?;
        if suite == CipherSuite::Draft && log_keys.len() > 1 {
            return Err(Mismatch::LogKeys);
        }
        let first = log_keys.remove(at);
        log_keys.insert(0, first);
        let log_vkeys: Result<Vec<Vkey>, _> = log_keys.iter().map(|key| key.vkey(&origin)).collect();
        let log_vkeys = log_vkeys.map_err(|_| Mismatch::Origin)?;
        if configuration.vrf_public_key != vrf_key.public_key().to_bytes() {
            return Err(Mismatch::VrfKey);
        }
        let id = configuration.log_id().map_err(|_| Mismatch::Encoding)?;
        let vrf_key = Arc::new(vrf_key);
        Ok(Self { configuration, suite, encoded, id, origin, log_keys, log_vkeys, vrf_key })
    }
}

/// Why keys and a configuration cannot be served together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Mismatch {
    /// The configuration does not decode.
    #[error("the configuration does not decode")]
    Encoding,
    /// The suite is not implemented.
    #[error("the configuration's cipher suite is not implemented")]
    Suite,
    /// Third-party management is not implemented.
    #[error("third-party management is not implemented")]
    Management,
    /// The configuration names a signing key that is not there.
    #[error("no key file (log.key, log-*.key) holds the signing key that the configuration names")]
    LogKey,
    /// Under 0x0002 there is one signing key.
    #[error("a log of suite 0x0002 has exactly one signing key")]
    LogKeys,
    /// The configuration names another VRF key.
    #[error("the configuration names another VRF key than vrf.key")]
    VrfKey,
    /// The origin does not commit to the configuration.
    #[error("the origin does not commit to the configuration")]
    Origin,
}

/// A directory that was checked and opened.
pub struct DataDir {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is.
    pub identity: Identity,
    /// The database, with the families of the log and those asked for.
    pub db: Arc<DB>,
    /// What seals its keys.
    pub passphrase: Option<Passphrase>,
}

/// Where a log's directory is, and what seals its keys: with a passphrase, every key must be sealed under it; without
/// one, none may be sealed.
#[derive(Debug, Clone, Copy)]
pub struct Place<'p> {
    /// The directory.
    pub path: &'p Path,
    /// The passphrase.
    pub passphrase: Option<&'p Passphrase>,
}

impl<'p> From<&'p Path> for Place<'p> {
    fn from(path: &'p Path) -> Self {
        Self { path, passphrase: None }
    }
}

impl<'p> From<&'p PathBuf> for Place<'p> {
    fn from(path: &'p PathBuf) -> Self {
        path.as_path().into()
    }
}

impl Place<'_> {
    /// Writes the file of a new key: its seed in hexadecimal and a newline.
    pub(crate) fn write_key(self, name: &str, seed: &Secret<32>) -> Result<(), DataError> {
        let digits = Zeroizing::new(hex::encode(seed.expose()));
        let content = Zeroizing::new(format!("{}\n", *digits));
        Ok(key_file::create(&self.path.join(name), name, content.as_bytes(), self.passphrase)?)
    }

    /// Reads the file of a key.
    pub(crate) fn read_key(self, name: &str) -> Result<Secret<32>, DataError> {
        let path = self.path.join(name);
        let content = key_file::read(&path, name, self.passphrase)?;
        let digits = content.strip_suffix(b"\n").unwrap_or(&content);
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, &mut *seed).map_err(|_| DataError::BadKey(path))?;
        Ok(Secret::new(*seed))
    }
}

impl DataDir {
    /// Makes the directory of a new log, with sealed keys if there is a passphrase. `extra` names the column families of the services beside the log.
    ///
    /// # Errors
    /// [`DataError`]; a directory in which something is already is left alone.
    pub fn create<'p>(
        place: impl Into<Place<'p>>,
        identity: &Identity,
        extra: &[&str],
    ) -> Result<(), DataError> {
        let place = place.into();
        let path = place.path;
        let at = |error| DataError::Io { path: path.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at)?;
        if fs::read_dir(path).map_err(at)?.next().is_some() {
            return Err(DataError::NotEmpty(path.to_owned()));
        }
        for (i, (key, vkey)) in identity.log_keys.iter().zip(&identity.log_vkeys).enumerate() {
            match i {
                0 => place.write_key(LOG_KEY, &key.to_seed())?,
                _ => signing_keys::write(place, vkey, key)?,
            }
        }
        place.write_key(VRF_KEY, &identity.vrf_key.to_seed())?;
        write_new(&path.join(CONFIGURATION), &identity.encoded)?;
        drop(rocks::create(&path.join(DATABASE), extra, identity.id())?);
        write_new(&path.join(MARKER), FORMAT.as_bytes())?;
        File::open(path).and_then(|directory| directory.sync_all()).map_err(at)
    }

    /// Opens a directory that [`create`](Self::create) made, of a log that has not ended.
    ///
    /// # Errors
    /// [`DataError`]; nothing is repaired.
    pub fn open<'p>(place: impl Into<Place<'p>>, extra: &[&str]) -> Result<Self, DataError> {
        let place = place.into();
        let handover = place.path.join(HANDOVER);
        match handover.try_exists() {
            Ok(false) => Self::open_to_end(place, extra),
            Ok(true) => Err(DataError::Ended(place.path.to_owned())),
            Err(error) => Err(DataError::Io { path: handover, error }),
        }
    }

    /// Opens a directory whether its log has ended or not, to end it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_to_end<'p>(place: impl Into<Place<'p>>, extra: &[&str]) -> Result<Self, DataError> {
        let Place { path, passphrase } = place.into();
        let identity = read_identity(Place { path, passphrase })?;
        let db = rocks::open(&path.join(DATABASE), extra, identity.id())?;
        Ok(Self { path: path.to_owned(), identity, db, passphrase: passphrase.cloned() })
    }
}

/// Reads the keys and the configuration of a directory, without its database.
///
/// # Errors
/// [`DataError`].
pub fn read_identity<'p>(place: impl Into<Place<'p>>) -> Result<Identity, DataError> {
    let place = place.into();
    let path = place.path;
    check_marker(path)?;
    let encoded = read(&path.join(CONFIGURATION))?;
    let log_keys = signing_keys::read(place)?.into_iter().map(|(_, key)| key).collect();
    let vrf_key = VrfSecretKey::from_seed(place.read_key(VRF_KEY)?.expose());
    Identity::new(encoded, log_keys, vrf_key)
        .map_err(|error| DataError::Mismatch { path: path.to_owned(), error })
}

/// Seals every key of a directory under `passphrase`, or changes the passphrase from `before`; says which keys were not
/// sealed under it already. Cut off in between, it can be run again.
///
/// # Errors
/// [`DataError`].
pub fn seal_keys(
    path: &Path,
    before: Option<&Passphrase>,
    passphrase: &Passphrase,
) -> Result<Vec<String>, DataError> {
    check_marker(path)?;
    let mut names: Vec<String> = signing_keys::files(path)?.into_iter().map(|(name, _)| name).collect();
    names.push(VRF_KEY.to_owned());
    if key_file::exists(&path.join(tokens::key::FILE)) {
        names.push(tokens::key::FILE.to_owned());
    }
    let mut sealed = Vec::new();
    for name in names {
        if key_file::seal(&path.join(&name), &name, before, passphrase)? == Sealing::Sealed {
            sealed.push(name);
        }
    }
    Ok(sealed)
}

/// Checks that a directory is a log's.
fn check_marker(path: &Path) -> Result<(), DataError> {
    let marker = path.join(MARKER);
    match read(&marker) {
        Ok(found) if found == FORMAT.as_bytes() => Ok(()),
        Ok(found) => {
            let found = String::from_utf8_lossy(&found).into_owned();
            Err(DataError::Format { path: marker, found })
        }
        Err(DataError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            Err(DataError::Foreign(path.to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// Replaces a file that is not secret: it has the old or the new content, whenever this is cut off.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let new = path.with_extension("new");
    let replace = || {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    replace().map_err(|error| DataError::Io { path: path.to_owned(), error })
}

/// Writes a file that does not exist yet, durably.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| DataError::Io { path: path.to_owned(), error })
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| DataError::Io { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests;

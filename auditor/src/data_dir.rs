//! The directory that an auditor lives in.
//!
//! ```text
//! auditor         the format of this directory; written last when it is made
//! auditor.key     the auditor's cosigning key, mode 0600
//! auditor.redb    what was replayed of the log, the heads it was compared with, the head that was signed last, and the history
//!                 that pages show
//! evidence/       one file for each contradiction found, named *.evidence
//! refused/        updates that did not verify, as they were sent, named *.update; made when there is one
//! logs/<id>/      of an auditor of many logs (`serve`): database, evidence and refused updates of the log whose
//!                 configuration has this hash
//! ```
//!
//! The database at the top belongs to one log, the first that `follow` followed; `serve` goes on with it there. Nothing is repaired silently: what is damaged or of
//! another program is refused, and the error says what and where.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use keyglass_crypto::{sealed::Passphrase, sign::SigningKey};
use keyglass_service::key_file::{self, Sealing};
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{KeyFileError, KeyName},
};
use rand::{TryRng as _, rngs::SysRng};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    durable,
    records::store::{self, Store, StoreError},
    trust::Trust,
};

/// The directory of logs that `serve` follows within the directory.
const LOGS: &str = "logs";
const FORMAT: &str = "keyglass-auditor data directory, format 1\n";
const MARKER: &str = "auditor";
const KEY: &str = "auditor.key";
/// The database within the directory.
pub const STATE: &str = "auditor.redb";
/// The directory of evidence within the directory.
pub const EVIDENCE: &str = "evidence";
/// The directory of refused updates within the directory.
pub const REFUSED: &str = "refused";
/// No marker file is longer.
const MAX_FILE: u64 = 4096;

/// Why a directory was not made or not opened.
#[derive(Debug, Error)]
pub enum DataError {
    /// Reading or writing failed.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// There is something in the directory already.
    #[error("{}: not empty; a new auditor needs a directory of its own", .0.display())]
    NotEmpty(PathBuf),
    /// There is no marker: it is another program's directory, or `init` did not finish.
    #[error("{}: not the data directory of an auditor (no file `auditor` in it); make one with `init`", .0.display())]
    Foreign(PathBuf),
    /// The marker is another one.
    #[error("{}: not a format that this program reads", .0.display())]
    Format(PathBuf),
    /// The key's file cannot be read or written, others may access it, or its passphrase is another one.
    #[error(transparent)]
    Key(#[from] key_file::KeyFileError),
    /// The key file holds no cosigner's key.
    #[error("{}: {error}", .path.display())]
    BadKey {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyFileError,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes to make a key from")]
    NoRandomness,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DataError + '_ {
    |error| DataError::Io { path: path.to_owned(), error }
}

/// Makes the directory of a new auditor and its key, which is sealed if a passphrase is given.
///
/// # Errors
/// [`DataError`]; a directory in which something is already is left alone.
pub fn create(path: &Path, name: KeyName, passphrase: Option<&Passphrase>) -> Result<Cosigner, DataError> {
    durable::create_directory(path, 0o700).map_err(at(path))?;
    if fs::read_dir(path).map_err(at(path))?.next().is_some() {
        return Err(DataError::NotEmpty(path.to_owned()));
    }
    let mut seed = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(seed.as_mut_slice()).map_err(|_| DataError::NoRandomness)?;
    let key = Cosigner::new(name, SigningKey::from_seed(&seed));
    key_file::create(&path.join(KEY), KEY, key.to_key_file().as_bytes(), passphrase)?;
    let evidence = path.join(EVIDENCE);
    durable::create_directory(&evidence, 0o755).map_err(at(&evidence))?;
    store::create(&path.join(STATE), &key.vkey().to_string())?;
    durable::sync_directory(path).map_err(at(path))?;
    let marker = path.join(MARKER);
    durable::write(&marker, 0o644, FORMAT.as_bytes()).map_err(at(&marker))?;
    Ok(key)
}

/// Checks that a directory is an auditor's and reads its key, which must be sealed exactly if a passphrase is given.
///
/// # Errors
/// [`DataError`].
pub fn open(path: &Path, passphrase: Option<&Passphrase>) -> Result<Cosigner, DataError> {
    check_marker(path)?;
    let path = path.join(KEY);
    let content = key_file::read(&path, KEY, passphrase)?;
    let text = core::str::from_utf8(&content).map_err(|_| KeyFileError::Malformed);
    text.and_then(Cosigner::from_key_file).map_err(|error| DataError::BadKey { path, error })
}

/// Seals the key of a directory under `passphrase`, or changes the passphrase from `before`.
///
/// # Errors
/// [`DataError`].
pub fn seal(path: &Path, before: Option<&Passphrase>, passphrase: &Passphrase) -> Result<Sealing, DataError> {
    check_marker(path)?;
    Ok(key_file::seal(&path.join(KEY), KEY, before, passphrase)?)
}

/// Checks that a directory is an auditor's.
fn check_marker(path: &Path) -> Result<(), DataError> {
    let marker = path.join(MARKER);
    match read(&marker) {
        Ok(found) if found == FORMAT.as_bytes() => Ok(()),
        Ok(_) => Err(DataError::Format(marker)),
        Err(DataError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            Err(DataError::Foreign(path.to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// The directories of the logs of an auditor who follows many. As long as this is there, no other process can follow logs in
/// the data directory.
pub struct Homes {
    data: PathBuf,
    auditor: String,
    top: Mutex<Top>,
}

/// The database at the top of the data directory.
enum Top {
    /// No log of ours is in it.
    Locked(Store),
    /// It is that of this log, which opens it itself.
    Of(String),
}

impl Homes {
    /// Takes a data directory.
    ///
    /// # Errors
    /// [`DataError`]: another process has it, or the database at its top is damaged.
    pub fn take(data: &Path, auditor: &str) -> Result<Self, DataError> {
        let top = Store::open_any(&data.join(STATE), auditor)?;
        Ok(Self { data: data.to_owned(), auditor: auditor.to_owned(), top: Mutex::new(Top::Locked(top)) })
    }

    /// The directory of this log, made if it is not there: within `logs/`, or the data directory itself if `follow` has
    /// followed the log there before. What was seen of a log is never left behind.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn of(&self, trust: &Trust) -> Result<PathBuf, DataError> {
        let mut top = self.top.lock().unwrap_or_else(PoisonError::into_inner);
        let at_top = match &*top {
            Top::Of(origin) => origin == trust.origin(),
            Top::Locked(store) => store.origin()?.as_deref() == Some(trust.origin()),
        };
        if at_top {
            *top = Top::Of(trust.origin().to_owned());
            return Ok(self.data.clone());
        }
        drop(top);
        let logs = self.data.join(LOGS);
        let name = hex::encode(trust.id());
        let home = logs.join(&name);
        if home.is_dir() {
            return Ok(home);
        }
        durable::create_directory(&logs, 0o700).map_err(at(&logs))?;
        // It gets its name once everything is in it: a directory without a database has lost one.
        let unfinished = logs.join(format!("{name}.unfinished"));
        if unfinished.is_dir() {
            fs::remove_dir_all(&unfinished).map_err(at(&unfinished))?;
        }
        let evidence = unfinished.join(EVIDENCE);
        durable::create_directory(&evidence, 0o755).map_err(at(&evidence))?;
        store::create(&unfinished.join(STATE), &self.auditor)?;
        durable::sync_directory(&unfinished).map_err(at(&unfinished))?;
        fs::rename(&unfinished, &home).map_err(at(&home))?;
        durable::sync_directory(&logs).map_err(at(&logs))?;
        Ok(home)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(at(path))
}

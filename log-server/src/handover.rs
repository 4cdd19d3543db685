//! Ending a log: where it stopped, which log comes after it, and that it is never served again.
//!
//! The handover lies in the data directory before anybody is told of it, and [`DataDir::open`] refuses the directory from
//! then on: a log that went on would convict itself.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use keyglass_keytrans::config::CipherSuite;
use keyglass_tlog::{
    checkpoint::{Checkpoint, CheckpointError},
    handover::{Handover, HandoverError, MAX_LEN},
    note::{self, KeyName, KeyNameError, NoteError, NoteSigner, SignedNote, Vkey},
    tile::{self, Content, Tile, encode_tile},
};
use thiserror::Error;

use crate::{
    data_dir::{DataDir, DataError, HANDOVER},
    log_tree,
    signing_keys::{self, LogKey},
    store::{PublishedHead, Snapshot, Store as _, StoreError, rocksdb::RocksStore},
};

/// Why a log was not ended.
#[derive(Debug, Error)]
pub enum EndError {
    /// The data directory, also while a server runs on it.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Under 0x0002 a changed configuration is the same log: there is nothing to hand over.
    #[error("only a log of suite 0xF001 is handed over")]
    Suite,
    /// The log has not published anything.
    #[error("the log has published no head")]
    NothingPublished,
    /// Entries would be lost, and heads that witnesses may have cosigned would contradict the end.
    #[error(
        "{sequenced} entries are sequenced and {published} published; run the server until it has published all"
    )]
    Unpublished {
        /// The sequenced size.
        sequenced: u64,
        /// The published size.
        published: u64,
    },
    /// The log is handed over to another log already.
    #[error("the log is handed over to {0} already")]
    HandedOver(Box<Vkey>),
    /// The stored head or the stored handover is none.
    #[error("what is stored is no head and no handover: {0}")]
    Damaged(String),
    /// It cannot be declared.
    #[error(transparent)]
    Handover(HandoverError),
    /// Reading or writing failed.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

impl From<NoteError> for EndError {
    fn from(error: NoteError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<CheckpointError> for EndError {
    fn from(error: CheckpointError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<KeyNameError> for EndError {
    fn from(error: KeyNameError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Ends the log in a directory that was opened with [`DataDir::open_to_end`], in favour of the log of `to`. Once more with
/// the same `to`, it gives the same handover.
///
/// # Errors
/// [`EndError`]; the log then goes on as before, unless it was ended before.
pub fn end(directory: DataDir, to: Vkey) -> Result<Handover, EndError> {
    let path = directory.path.join(HANDOVER);
    if let Some(handover) = stored(&path)? {
        return if handover.declaration().to == to {
            Ok(handover)
        } else {
            Err(EndError::HandedOver(Box::new(handover.declaration().to.clone())))
        };
    }
    let identity = directory.identity;
    if identity.suite != CipherSuite::Tlog {
        return Err(EndError::Suite);
    }
    let store = RocksStore::new(directory.db);
    let snapshot = store.snapshot()?;
    let head = final_head(&*snapshot)?;
    let checkpoint = Checkpoint::new(&identity.origin, head.size, head.root)?;
    let last = SignedNote::new(&checkpoint.text(), note::parse_signature_lines(&head.signature)?)?;
    let Some(LogKey::Ed25519(key)) = signing_keys::copies(&identity.log_keys).into_iter().next() else {
        return Err(EndError::Damaged("the log has no Ed25519 key".into()));
    };
    let signer = NoteSigner::new(KeyName::new(&identity.origin)?, *key);
    let handover = Handover::declare(&signer, last, to).map_err(EndError::Handover)?;
    write_durably(&path, handover.to_string().as_bytes())?;
    Ok(handover)
}

/// The head under which the log ends: published, and of all that is sequenced.
fn final_head(snapshot: &dyn Snapshot) -> Result<PublishedHead, EndError> {
    let (sequenced, head) = (snapshot.size()?, snapshot.published()?.ok_or(EndError::NothingPublished)?);
    if head.size != sequenced {
        return Err(EndError::Unpublished { sequenced, published: head.size });
    }
    Ok(head)
}

/// Writes the final checkpoint and the tiles of hashes below it as files, as tlog-tiles names them. Any web server can
/// serve them, to users whose head of the log is older. `target` is made; files in it are replaced.
///
/// # Errors
/// [`EndError`].
pub fn export_tiles(directory: DataDir, target: &Path) -> Result<(), EndError> {
    let origin = directory.identity.origin.clone();
    let store = RocksStore::new(directory.db);
    let snapshot = store.snapshot()?;
    let head = final_head(&*snapshot)?;
    let checkpoint = Checkpoint::new(&origin, head.size, head.root)?;
    let lines = note::parse_signature_lines(&head.signature)?;
    let note = SignedNote::new(&checkpoint.text(), lines)?.to_string();
    for tile in tile::new_tiles(0, head.size) {
        let Content::Hashes { level } = tile.content() else { continue };
        write(&target.join(tile.to_string()), &contents(&*snapshot, &tile, level)?)?;
    }
    write(&target.join("checkpoint"), note.as_bytes())
}

fn contents(snapshot: &dyn Snapshot, tile: &Tile, level: u8) -> Result<Vec<u8>, StoreError> {
    let first = tile.index().saturating_mul(256);
    Ok(encode_tile(&log_tree::row(snapshot, level.saturating_mul(8), first, u64::from(tile.width()))?))
}

fn stored(path: &Path) -> Result<Option<Handover>, EndError> {
    let bytes = match fs::metadata(path).map(|metadata| metadata.len()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(length) if usize::try_from(length).is_ok_and(|length| length <= MAX_LEN) => fs::read(path),
        Ok(_) => return Err(EndError::Damaged("the stored handover is too long".into())),
        Err(error) => Err(error),
    };
    let bytes = bytes.map_err(|error| EndError::Io { path: path.to_owned(), error })?;
    Handover::parse(&bytes).map(Some).map_err(|error| EndError::Damaged(error.to_string()))
}

/// Writes a file that is there as a whole or not at all.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), EndError> {
    let write = || {
        let temporary = path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    write().map_err(|error| EndError::Io { path: path.to_owned(), error })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), EndError> {
    let write = || {
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
        }
        fs::write(path, bytes)
    };
    write().map_err(|error| EndError::Io { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests;

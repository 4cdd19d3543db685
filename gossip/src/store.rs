//! Evidence and resolutions on disk, in a redb file of their own: what is put is durable when `put` returns, and read back
//! whole.

use std::{
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use keyglass_crypto::hash::sha256;
use redb::{
    Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError,
    WriteTransaction, backends::FileBackend,
};
use thiserror::Error;

use crate::{decide::Tree, evidence::EvidenceId, hex, holdings::Resolved};

/// The file's name within a data directory.
pub const FILE: &str = "gossip.redb";
/// What is about to become that file.
const FRESH: &str = "gossip.redb.new";

/// Canonical texts by their hash.
const EVIDENCE: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("evidence");
/// Origins, and lines of what is resolved: the size and the root in hexadecimal of a tree that is disowned, or of the two trees
/// of a contradiction that is settled.
const DISOWNED: TableDefinition<&str, &str> = TableDefinition::new("disowned");
/// What operators resolved, as they did it, one line of JSON each.
const RESOLUTIONS: TableDefinition<u64, &str> = TableDefinition::new("resolutions");
/// Strings about the file.
const META: TableDefinition<&str, &str> = TableDefinition::new("keyglass-gossip");
const META_VERSION: &str = "version";
const VERSION: &str = "1";
/// Memory for pages.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Why evidence cannot be read or written.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// Reading or writing failed, or the file is damaged or open elsewhere.
    #[error("{}: {source}", .path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: Arc<redb::Error>,
    },
    /// Not a file of this program, or of a version that it does not know.
    #[error("{}: not a file of evidence of a version that this program knows", .0.display())]
    Foreign(PathBuf),
    /// A text is not the one that was stored. Ignoring it would acquit the log.
    #[error("{}: what is stored as {id} is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Under which name.
        id: String,
    },
}

/// The open file.
pub struct Store {
    path: PathBuf,
    database: Database,
}

/// What the file holds beside evidence: what operators have dealt with, by origin.
pub type Resolutions = Vec<(String, Resolved)>;

impl Store {
    /// Opens the file in a data directory, or makes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let path = data.join(FILE);
        let failed = |source| StoreError::Failed { path: path.clone(), source: Arc::new(source) };
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() > 0 => {}
            // Whatever else it may be, it is not to be replaced.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error.into())),
            Ok(_) | Err(_) => create(data, &path, &builder).map_err(failed)?,
        }
        let database = builder.open(&path).map_err(|error| failed(error.into()))?;
        let store = Self { database, path: path.clone() };
        match store.version().map_err(failed)?.as_deref() {
            Some(VERSION) => Ok(store),
            Some(_) | None => Err(StoreError::Foreign(path)),
        }
    }

    fn version(&self) -> Result<Option<String>, redb::Error> {
        match self.database.begin_read()?.open_table(META) {
            Ok(meta) => Ok(meta.get(META_VERSION)?.map(|version| version.value().to_owned())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A transaction that survives the loss of power.
    fn begin(&self) -> Result<WriteTransaction, redb::Error> {
        begin(&self.database)
    }

    fn failed(&self) -> impl Fn(redb::Error) -> StoreError + '_ {
        |source| StoreError::Failed { path: self.path.clone(), source: Arc::new(source) }
    }

    /// Stores a canonical text under its name, and deletes another, both or neither, durably.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn put(&self, id: &EvidenceId, text: &str, delete: Option<&EvidenceId>) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.begin()?;
            {
                let mut table = transaction.open_table(EVIDENCE)?;
                if let Some(delete) = delete {
                    table.remove(&delete.0)?;
                }
                table.insert(&id.0, text.as_bytes())?;
            }
            Ok(transaction.commit()?)
        };
        write().map_err(self.failed())
    }

    /// A text.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get(&self, id: &EvidenceId) -> Result<Option<String>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(EVIDENCE)?;
            Ok(table.get(&id.0)?.map(|text| text.value().to_vec()))
        };
        read().map_err(self.failed())?.map(|text| self.checked(id, text)).transpose()
    }

    fn checked(&self, id: &EvidenceId, text: Vec<u8>) -> Result<String, StoreError> {
        let damaged = || StoreError::Damaged { path: self.path.clone(), id: id.to_string() };
        if sha256(&[&text]) != id.0 {
            return Err(damaged());
        }
        String::from_utf8(text).map_err(|_| damaged())
    }

    /// Shows every text, one at a time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn for_each(&self, mut see: impl FnMut(EvidenceId, String)) -> Result<(), StoreError> {
        let names = || -> Result<Vec<EvidenceId>, redb::Error> {
            let table = self.database.begin_read()?.open_table(EVIDENCE)?;
            table.iter()?.map(|entry| Ok(EvidenceId(*entry?.0.value()))).collect()
        };
        for id in names().map_err(self.failed())? {
            if let Some(text) = self.get(&id)? {
                see(id, text);
            }
        }
        Ok(())
    }

    /// Replaces what is resolved of a log, and adds the record of who did so and why, durably.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn resolve(&self, origin: &str, resolved: &Resolved, record: &str) -> Result<(), StoreError> {
        let lines = encode(resolved);
        let write = || -> Result<(), redb::Error> {
            let transaction = self.begin()?;
            {
                transaction.open_table(DISOWNED)?.insert(origin, lines.as_str())?;
                let mut records = transaction.open_table(RESOLUTIONS)?;
                let next = records.last()?.map_or(0, |(last, _)| last.value().saturating_add(1));
                records.insert(next, record)?;
            }
            Ok(transaction.commit()?)
        };
        write().map_err(self.failed())
    }

    /// What is resolved.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn resolved(&self) -> Result<Resolutions, StoreError> {
        let read = || -> Result<Vec<(String, String)>, redb::Error> {
            let table = self.database.begin_read()?.open_table(DISOWNED)?;
            let entry = |entry: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &str>), _>| {
                let (origin, lines) = entry?;
                Ok((origin.value().to_owned(), lines.value().to_owned()))
            };
            table.iter()?.map(entry).collect()
        };
        let of_log = |(origin, lines): (String, String)| {
            let damaged = StoreError::Damaged { path: self.path.clone(), id: origin.clone() };
            decode(&lines).map(|resolved| (origin, resolved)).ok_or(damaged)
        };
        read().map_err(self.failed())?.into_iter().map(of_log).collect()
    }

    /// The records of all resolutions, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn resolutions(&self) -> Result<Vec<String>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(RESOLUTIONS)?;
            table
                .iter()?
                .map(|entry| Ok(entry?.1.value().to_owned()))
                .collect::<Result<Vec<_>, redb::Error>>()
        };
        read().map_err(self.failed())
    }
}

/// Makes the file, whole or not at all: one that a crash had left half made could neither be opened nor told from a damaged one.
fn create(data: &Path, path: &Path, builder: &Builder) -> Result<(), redb::Error> {
    let fresh = data.join(FRESH);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let file =
        std::fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&fresh)?;
    let database = builder.create_with_backend(FileBackend::new(file)?)?;
    let transaction = begin(&database)?;
    transaction.open_table(META)?.insert(META_VERSION, VERSION)?;
    transaction.open_table(EVIDENCE)?;
    transaction.open_table(DISOWNED)?;
    transaction.open_table(RESOLUTIONS)?;
    transaction.commit()?;
    drop(database);
    std::fs::rename(&fresh, path)?;
    Ok(std::fs::File::open(data)?.sync_all()?)
}

fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    // In one phase, redb would take a damaged last commit for an unfinished one, and undo it.
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// What is resolved of a log, as lines.
fn encode(resolved: &Resolved) -> String {
    let tree = |tree: &Tree| format!("{} {}", tree.size, hex::encode(&tree.root));
    let disowned = resolved.disowned.iter().map(|one| format!("{}\n", tree(one)));
    let settled = resolved.settled.iter().map(|(one, other)| format!("{} {}\n", tree(one), tree(other)));
    disowned.chain(settled).collect()
}

/// Reads what [`encode`] wrote.
fn decode(lines: &str) -> Option<Resolved> {
    let tree = |size: &str, root: &str| Some(Tree { size: size.parse().ok()?, root: hex::decode(root)? });
    let mut resolved = Resolved::default();
    for line in lines.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [size, root] => {
                resolved.disowned.insert(tree(size, root)?);
            }
            [size, root, other_size, other_root] => {
                resolved.settled.insert((tree(size, root)?, tree(other_size, other_root)?));
            }
            _ => return None,
        }
    }
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_a_crash_left_of_a_new_file_is_no_obstacle() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(FRESH), vec![0; 4096]).unwrap();
        std::fs::write(data.path().join(FILE), b"").unwrap();
        Store::open(data.path()).unwrap();
        Store::open(data.path()).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [FILE]);
        // A database of something else is none of ours, and stays as it is.
        std::fs::remove_file(data.path().join(FILE)).unwrap();
        drop(Builder::new().create(data.path().join(FILE)).unwrap());
        assert!(matches!(Store::open(data.path()), Err(StoreError::Foreign(_))));
    }

    #[test]
    fn what_is_resolved_has_one_spelling() {
        let tree = |size: u64| Tree { size, root: [size.to_be_bytes()[7]; 32] };
        let resolved = Resolved {
            disowned: BTreeSet::from([tree(1), tree(u64::MAX)]),
            settled: BTreeSet::from([(tree(2), tree(3)), (tree(2), tree(4))]),
        };
        let lines = encode(&resolved);
        assert_eq!(decode(&lines), Some(resolved));
        assert_eq!(decode(""), Some(Resolved::default()));
        for bad in ["1", "1 00\n", &lines.replace(' ', "  "), &format!("{lines}x\n")] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}

//! The redb file: its tables, its versions, and what is checked when it is opened.

use std::{
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use keyglass_tlog::note::Vkey;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError,
    TableDefinition, TableError, backends::FileBackend,
};

use super::{
    STATE_FILE, StoreError,
    counter::{COUNTER_FILE, Counter, CounterError},
};
use crate::head::{Head, OriginHash};

/// Strings about the file as a whole.
const META: TableDefinition<&str, &str> = TableDefinition::new("keyglass-witness");
/// The version of the tables.
const META_VERSION: &str = "version";
/// The verifier key of the witness whose state this is.
const META_VKEY: &str = "vkey";
/// How often heads were committed.
const META_COMMITS: &str = "commits";
/// The version that this program writes.
const VERSION: u64 = 1;

/// The last head of each log, by the hash of its origin.
const HEADS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("heads");

/// Memory for pages; the heads of ten thousand logs fit.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// The open file. Errors name it.
pub(super) struct State {
    path: PathBuf,
    database: Database,
    /// The commits so far, in the database and in the file that guards it.
    commits: Mutex<(Counter, u64)>,
}

/// Makes the empty state of a new witness, durably.
///
/// # Errors
/// [`StoreError`]; a file that is there already is not touched.
pub fn create(data: &Path, vkey: &Vkey) -> Result<(), StoreError> {
    let path = data.join(STATE_FILE);
    let failed = |source: redb::Error| StoreError::Failed { path: path.clone(), source: Arc::new(source) };
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
    let file = file.map_err(|error| failed(redb::Error::Io(error)))?;
    let write = || -> Result<(), redb::Error> {
        let database = Builder::new().create_with_backend(FileBackend::new(file)?)?;
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert(META_VERSION, VERSION.to_string().as_str())?;
            meta.insert(META_VKEY, vkey.to_string().as_str())?;
            meta.insert(META_COMMITS, "0")?;
            transaction.open_table(HEADS)?;
        }
        Ok(transaction.commit()?)
    };
    write().map_err(failed)?;
    Counter::create(data).map_err(|error| failed(redb::Error::Io(error)))?;
    let directory = std::fs::File::open(data).and_then(|directory| directory.sync_all());
    directory.map_err(|error| failed(redb::Error::Io(error)))
}

fn open_counter(data: &Path) -> Result<(Counter, u64), StoreError> {
    let path = data.join(COUNTER_FILE);
    Counter::open(data).map_err(|error| match error {
        CounterError::Damaged => StoreError::DamagedCount(path),
        CounterError::Io(error) if error.kind() == ErrorKind::NotFound => StoreError::Missing(path),
        CounterError::Io(error) => StoreError::Failed { path, source: Arc::new(redb::Error::Io(error)) },
    })
}

impl State {
    /// Opens the state of the witness with this key, and reads all of it to see that it is sound.
    pub(super) fn open(data: &Path, vkey: &Vkey) -> Result<Self, StoreError> {
        let path = data.join(STATE_FILE);
        // redb would take an empty file for a new database, and so for a witness that has cosigned nothing.
        let found = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() && metadata.len() > 0 => Ok(()),
            Ok(_) => Err(StoreError::Foreign(path.clone())),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::Missing(path.clone())),
            Err(error) => {
                Err(StoreError::Failed { path: path.clone(), source: Arc::new(redb::Error::Io(error)) })
            }
        };
        found?;
        let opened = Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).open(&path);
        let database = match opened {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(StoreError::InUse(path)),
            // What the file is not, redb reports as invalid data.
            Err(DatabaseError::Storage(StorageError::Io(error)))
                if error.kind() == ErrorKind::InvalidData =>
            {
                return Err(StoreError::Foreign(path));
            }
            Err(error @ DatabaseError::Storage(StorageError::Io(_))) => {
                return Err(StoreError::Failed { path, source: Arc::new(error.into()) });
            }
            Err(error) => return Err(StoreError::Damaged { path, source: Arc::new(error.into()) }),
        };
        let (counter, counted) = open_counter(data)?;
        let state = Self { path, database, commits: Mutex::new((counter, counted)) };
        let found = state.check_meta(vkey)?;
        state.check_heads()?;
        state.check_count(found, counted)?;
        Ok(state)
    }

    /// Checks what the file says about itself; the number of commits in it.
    fn check_meta(&self, vkey: &Vkey) -> Result<u64, StoreError> {
        let foreign = || StoreError::Foreign(self.path.clone());
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let meta = match transaction.open_table(META) {
                Ok(meta) => meta,
                Err(TableError::TableDoesNotExist(_) | TableError::TableTypeMismatch { .. }) => {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            let string = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|value| value.value().to_owned()));
            Ok(Some((string(META_VERSION)?, string(META_VKEY)?, string(META_COMMITS)?)))
        };
        let (version, found, commits) = read().map_err(|source| self.damaged(source))?.ok_or_else(foreign)?;
        let version = version.and_then(|version| version.parse().ok()).ok_or_else(foreign)?;
        if version != VERSION {
            return Err(StoreError::UnknownVersion { path: self.path.clone(), found: version });
        }
        let (found, expected) = (found.ok_or_else(foreign)?, vkey.to_string());
        if found != expected {
            return Err(StoreError::OtherWitness { path: self.path.clone(), found, expected });
        }
        commits.and_then(|commits| commits.parse().ok()).ok_or_else(foreign)
    }

    /// Refuses a state that has fewer commits than were counted; a crash may leave it with more.
    fn check_count(&self, found: u64, counted: u64) -> Result<(), StoreError> {
        if found < counted {
            return Err(StoreError::RolledBack { path: self.path.clone(), found, counted });
        }
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.1 = found;
        commits.0.write(found).map_err(|error| {
            let source = Arc::new(redb::Error::Io(error));
            StoreError::Failed { path: commits.0.path().to_owned(), source }
        })
    }

    fn check_heads(&self) -> Result<(), StoreError> {
        let transaction = self.database.begin_read().map_err(|source| self.damaged(source.into()))?;
        let heads = transaction.open_table(HEADS).map_err(|source| self.damaged(source.into()))?;
        for entry in heads.iter().map_err(|source| self.damaged(source.into()))? {
            let (origin, stored) = entry.map_err(|source| self.damaged(source.into()))?;
            self.decode(OriginHash(*origin.value()), stored.value())?;
        }
        Ok(())
    }

    /// The last head of a log.
    pub(super) fn load(&self, origin: OriginHash) -> Result<Option<Head>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            Ok(self.database.begin_read()?.open_table(HEADS)?.get(&origin.0)?)
        };
        let stored = read().map_err(|source| self.failed(source))?;
        stored.map(|stored| self.decode(origin, stored.value())).transpose()
    }

    /// Stores heads, all or none of them, durably.
    pub(super) fn commit<'h>(
        &self,
        heads: impl IntoIterator<Item = (OriginHash, &'h [u8])>,
    ) -> Result<(), StoreError> {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let next = commits.1.saturating_add(1);
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            // In one phase, redb would take a damaged last commit for an unfinished one, and undo it.
            transaction.set_two_phase_commit(true);
            {
                let mut table = transaction.open_table(HEADS)?;
                for (origin, head) in heads {
                    table.insert(&origin.0, head)?;
                }
                transaction.open_table(META)?.insert(META_COMMITS, next.to_string().as_str())?;
            }
            transaction.commit()?;
            Ok(commits.0.write(next)?)
        };
        write().map_err(|source| self.failed(source))?;
        commits.1 = next;
        Ok(())
    }

    fn decode(&self, origin: OriginHash, stored: &[u8]) -> Result<Head, StoreError> {
        Head::decode(origin, stored).map_err(|source| StoreError::DamagedHead {
            path: self.path.clone(),
            origin,
            source,
        })
    }

    fn damaged(&self, source: redb::Error) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), source: Arc::new(source) }
    }

    fn failed(&self, source: redb::Error) -> StoreError {
        StoreError::Failed { path: self.path.clone(), source: Arc::new(source) }
    }
}

//! The redb file: its tables, its versions, and what is checked when it is opened.

use std::{
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use keyglass_tlog::{note::Vkey, time::UnixSeconds};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError,
    TableDefinition, WriteTransaction, backends::FileBackend,
};

use super::{
    STATE_FILE, StoreError,
    counter::{COUNTER_FILE, Counter, CounterError},
    identity::Files,
    meta::{META, META_COMMITS, META_FILES, check_owner, initialise, read_meta},
};
use crate::{
    head::OriginHash,
    kept::{Kept, Suspended},
};

/// What is kept for each log, by the hash of its origin.
pub(super) const HEADS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("heads");

/// Memory for pages; the heads of some thousands of logs fit.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// What a state said when it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// The logs of which something is kept.
    pub logs: usize,
    /// Those of them that are suspended.
    pub suspended: usize,
    /// Whether logs of which nothing is kept are suspended too, since the state was put back from a copy.
    pub restored: bool,
    /// The latest time of any cosignature.
    pub newest: UnixSeconds,
}

/// The open file. Errors name it.
pub(super) struct State {
    data: PathBuf,
    path: PathBuf,
    database: Database,
    /// The commits so far, in the database and in the file that guards it.
    commits: Mutex<(Counter, u64)>,
    summary: Summary,
}

fn io_failed(path: &Path) -> impl Fn(io::Error) -> StoreError + '_ {
    |error| StoreError::Failed { path: path.to_owned(), source: Arc::new(redb::Error::Io(error)) }
}

/// Makes the empty state of a new witness with these keys, durably.
///
/// # Errors
/// [`StoreError`]; a file that is there already is not touched.
pub fn create(data: &Path, vkeys: &[&Vkey]) -> Result<(), StoreError> {
    let path = data.join(STATE_FILE);
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
    let file = file.map_err(io_failed(&path))?;
    let counter = Counter::create(data).map_err(io_failed(&path))?;
    let files =
        counter.metadata().and_then(|counter| Files::now(data, &counter)).map_err(io_failed(&path))?;
    let vkeys: Vec<Vkey> = vkeys.iter().map(|vkey| (*vkey).clone()).collect();
    let write = || -> Result<(), redb::Error> {
        let database = Builder::new().create_with_backend(FileBackend::new(file)?)?;
        initialise(&database, &vkeys, Some(&files))
    };
    write().map_err(|source| StoreError::Failed { path: path.clone(), source: Arc::new(source) })?;
    let directory = std::fs::File::open(data).and_then(|directory| directory.sync_all());
    directory.map_err(io_failed(&path))
}

/// A transaction that survives the loss of power.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    // In one phase, redb would take a damaged last commit for an unfinished one, and undo it.
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

pub(super) fn open_counter(data: &Path) -> Result<(Counter, u64), StoreError> {
    let path = data.join(COUNTER_FILE);
    Counter::open(data).map_err(|error| match error {
        CounterError::Damaged => StoreError::DamagedCount(path),
        CounterError::Io(error) if error.kind() == ErrorKind::NotFound => StoreError::Missing(path),
        CounterError::Io(error) => io_failed(&path)(error),
    })
}

/// Opens a database that must be there.
pub(super) fn open_database(path: &Path) -> Result<Database, StoreError> {
    // redb would take an empty file for a new database, and so for a witness that has cosigned nothing.
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() > 0 => {}
        Ok(_) => return Err(StoreError::Foreign(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(StoreError::Missing(path.to_owned()));
        }
        Err(error) => return Err(io_failed(path)(error)),
    }
    builder().open(path).map_err(|error| open_error(path, error))
}

/// How every database is opened: wholly checked.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

pub(super) fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path),
        // What the file is not, redb reports as invalid data.
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
            StoreError::Foreign(path)
        }
        error @ DatabaseError::Storage(StorageError::Io(_)) => {
            StoreError::Failed { path, source: Arc::new(error.into()) }
        }
        error => StoreError::Damaged { path, source: Arc::new(error.into()) },
    }
}

/// Shows everything that is kept, by origin, and so that all of it is sound.
pub(super) fn for_each(
    database: &Database,
    path: &Path,
    mut see: impl FnMut(OriginHash, Kept),
) -> Result<(), StoreError> {
    let damaged =
        |source: redb::Error| StoreError::Damaged { path: path.to_owned(), source: Arc::new(source) };
    let transaction = database.begin_read().map_err(|source| damaged(source.into()))?;
    let heads = transaction.open_table(HEADS).map_err(|source| damaged(source.into()))?;
    for entry in heads.iter().map_err(|source| damaged(source.into()))? {
        let (origin, stored) = entry.map_err(|source| damaged(source.into()))?;
        let origin = OriginHash(*origin.value());
        see(origin, decode(path, origin, stored.value())?);
    }
    Ok(())
}

fn decode(path: &Path, origin: OriginHash, stored: &[u8]) -> Result<Kept, StoreError> {
    let damaged = |source| StoreError::DamagedHead { path: path.to_owned(), origin, source };
    Kept::decode(origin, stored).map_err(damaged)
}

impl State {
    /// Opens the state of the witness with these keys, and reads all of it to see that it is sound.
    pub(super) fn open(data: &Path, vkeys: &[Vkey]) -> Result<Self, StoreError> {
        let path = data.join(STATE_FILE);
        let database = open_database(&path)?;
        Self::of(database, data, vkeys)
    }

    /// The state in a database that is open.
    pub(super) fn of(database: Database, data: &Path, vkeys: &[Vkey]) -> Result<Self, StoreError> {
        let path = data.join(STATE_FILE);
        let meta = read_meta(&database, &path)?;
        check_owner(&meta, &path, vkeys)?;
        let (counter, counted) = open_counter(data)?;
        if let Some(files) = &meta.files
            && !files.are_in(data).map_err(io_failed(&path))?
        {
            return Err(StoreError::Copied(path));
        }
        let mut summary = Summary { restored: meta.restored, ..Summary::default() };
        for_each(&database, &path, |_, kept| {
            summary.logs = summary.logs.saturating_add(1);
            if matches!(kept, Kept::Suspended(_)) {
                summary.suspended = summary.suspended.saturating_add(1);
            }
            summary.newest = kept.head().map_or(summary.newest, |head| head.time().max(summary.newest));
        })?;
        // A crash may leave the state with more commits than were counted, but not with fewer.
        if meta.commits < counted {
            return Err(StoreError::RolledBack { path, found: meta.commits, counted });
        }
        counter.write(meta.commits).map_err(io_failed(counter.path()))?;
        let commits = Mutex::new((counter, meta.commits));
        Ok(Self { data: data.to_owned(), path, database, commits, summary })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn summary(&self) -> Summary {
        self.summary
    }

    /// What is kept for a log.
    pub(super) fn load(&self, origin: OriginHash) -> Result<Kept, StoreError> {
        let read = || -> Result<_, redb::Error> {
            Ok(self.database.begin_read()?.open_table(HEADS)?.get(&origin.0)?)
        };
        match read().map_err(|source| self.failed(source))? {
            Some(stored) => decode(&self.path, origin, stored.value()),
            None if self.summary.restored => Ok(Kept::Suspended(Suspended::default())),
            None => Ok(Kept::Nothing),
        }
    }

    /// The logs of which something is kept.
    pub(super) fn known(&self) -> Result<Vec<OriginHash>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let heads = self.database.begin_read()?.open_table(HEADS)?;
            let keys = heads.iter()?.map(|entry| Ok(OriginHash(*entry?.0.value())));
            keys.collect::<Result<Vec<_>, redb::Error>>()
        };
        read().map_err(|source| self.failed(source))
    }

    /// Stores what is to be kept for some logs, all or none of it, durably.
    pub(super) fn commit<'k>(
        &self,
        kept: impl IntoIterator<Item = (OriginHash, &'k [u8])>,
    ) -> Result<(), StoreError> {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let next = commits.1.saturating_add(1);
        let write = || -> Result<(), redb::Error> {
            let transaction = begin(&self.database)?;
            {
                let mut table = transaction.open_table(HEADS)?;
                for (origin, kept) in kept {
                    table.insert(&origin.0, kept)?;
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

    /// Puts a new file into the place of the counter's, and notes down which: see [`super::identity`].
    pub(super) fn renew_counter(&self) -> Result<(), StoreError> {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let renew = || -> Result<Counter, redb::Error> {
            let mut next = Counter::beside(&self.data, commits.1)?;
            let files = Files::with_next(&self.data, &commits.0.metadata()?, &next.metadata()?)?;
            let transaction = begin(&self.database)?;
            transaction.open_table(META)?.insert(META_FILES, files.to_text().as_str())?;
            transaction.commit()?;
            next.take_over(&self.data)?;
            Ok(next)
        };
        commits.0 = renew().map_err(|source| self.failed(source))?;
        Ok(())
    }

    fn failed(&self, source: redb::Error) -> StoreError {
        StoreError::Failed { path: self.path.clone(), source: Arc::new(source) }
    }
}

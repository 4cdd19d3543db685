//! Creating and opening the database, and refusing one that is not ours.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use keyglass_crypto::hash::Digest;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Options,
    WriteBatch,
};
use thiserror::Error;

use super::{FAMILIES, RocksStore, families, synced};

/// The layout that this program writes, and the only one that it reads.
const FORMAT: &[u8] = b"keyglass-log-server 1";

/// Why a database was not opened or created. Each says where.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is none.
    #[error("{0} holds no database; create one with `init`")]
    Missing(PathBuf),
    /// There is one already.
    #[error("{0} holds a database already")]
    Exists(PathBuf),
    /// Another program made it.
    #[error("{0} holds a database of another program: it has no format marker of the log-server")]
    Foreign(PathBuf),
    /// Another version of this program made it.
    #[error("{path} has format {found:?}; this program reads {expected:?}")]
    Format {
        /// The database.
        path: PathBuf,
        /// Its marker.
        found: String,
        /// The one that this program writes.
        expected: String,
    },
    /// It belongs to a log with another configuration.
    #[error("{0} belongs to a log with another configuration")]
    OtherLog(PathBuf),
    /// RocksDB failed, or found damage; the words are its own.
    #[error("cannot open the database in {path}: {reason}")]
    Database {
        /// The database.
        path: PathBuf,
        /// RocksDB's words.
        reason: String,
    },
    /// The directory cannot be read.
    #[error("cannot read {path}: {error}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

/// The families of the log and of the services beside it.
fn options(create: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(create);
    options.set_error_if_exists(create);
    // A later version of the program may add families of its own.
    options.create_missing_column_families(true);
    // A write that was cut off at the very end was never acknowledged. Damage anywhere else must not be passed over:
    // a log that forgets entries would sign a second head for their positions.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_paranoid_checks(true);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    options.set_max_total_wal_size(256 << 20);
    options.set_keep_log_file_num(4);
    // What is erased has to leave the disk: write-ahead logs are deleted when they are done with, neither archived nor
    // written over from the beginning.
    options.set_wal_ttl_seconds(0);
    options.set_wal_size_limit_mb(0);
    options.set_recycle_log_file_num(0);
    options
}

fn descriptors(extra: &[&str]) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(128 << 20);
    let names = FAMILIES.iter().chain(extra).copied().chain(["default"]);
    names
        .map(|name| {
            let mut table = BlockBasedOptions::default();
            table.set_block_cache(&cache);
            table.set_bloom_filter(10.0, false);
            table.set_cache_index_and_filter_blocks(true);
            table.set_pin_l0_filter_and_index_blocks_in_cache(true);
            let mut options = Options::default();
            options.set_block_based_table_factory(&table);
            // Compactions leave old values in blob files.
            options.set_enable_blob_files(false);
            // Hashes do not compress.
            let compression =
                if name == families::PAGES { DBCompressionType::None } else { DBCompressionType::Lz4 };
            options.set_compression_type(compression);
            if name == families::PAGES {
                options.set_write_buffer_size(128 << 20);
            }
            ColumnFamilyDescriptor::new(name, options)
        })
        .collect()
}

/// Creates the database of a log whose configuration hashes to `log` in `path`, with the families of other services
/// (`extra`) beside the log's own.
///
/// # Errors
/// [`OpenError::Exists`], [`OpenError::Database`].
pub fn create(path: &Path, extra: &[&str], log: &Digest) -> Result<Arc<DB>, OpenError> {
    if path.join("CURRENT").exists() {
        return Err(OpenError::Exists(path.to_owned()));
    }
    let failed =
        |error: rocksdb::Error| OpenError::Database { path: path.to_owned(), reason: error.into_string() };
    let db = DB::open_cf_descriptors(&options(true), path, descriptors(extra)).map_err(failed)?;
    let meta = db.cf_handle(families::META).ok_or_else(|| OpenError::Foreign(path.to_owned()))?;
    let mut batch = WriteBatch::default();
    batch.put_cf(meta, families::meta::FORMAT, FORMAT);
    batch.put_cf(meta, families::meta::LOG, log);
    batch.put_cf(meta, families::meta::SIZE, 0_u64.to_be_bytes());
    db.write_opt(batch, &synced()).map_err(failed)?;
    Ok(Arc::new(db))
}

/// Opens what [`create`] made for the same log.
///
/// # Errors
/// [`OpenError`]: nothing is repaired, and a database that is not this log's is not touched.
pub fn open(path: &Path, extra: &[&str], log: &Digest) -> Result<Arc<DB>, OpenError> {
    let here = || path.to_owned();
    let failed = |error: rocksdb::Error| OpenError::Database { path: here(), reason: error.into_string() };
    match std::fs::metadata(path.join("CURRENT")) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::Missing(here())),
        Err(error) => return Err(OpenError::Io { path: here(), error }),
    }
    // Opening with families that are missing would create them: ask first whose database it is.
    let existing = DB::list_cf(&Options::default(), path).map_err(failed)?;
    let known =
        |name: &String| name == "default" || FAMILIES.iter().chain(extra).any(|family| family == name);
    if !existing.iter().any(|name| name == families::META) || !existing.iter().all(known) {
        return Err(OpenError::Foreign(here()));
    }
    let db = DB::open_cf_descriptors(&options(false), path, descriptors(extra)).map_err(failed)?;
    let meta = db.cf_handle(families::META).ok_or_else(|| OpenError::Foreign(here()))?;
    let format = db.get_cf(meta, families::meta::FORMAT).map_err(failed)?;
    match format.as_deref() {
        Some(FORMAT) => {}
        None => return Err(OpenError::Foreign(here())),
        Some(found) => {
            let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            return Err(OpenError::Format { path: here(), found: words(found), expected: words(FORMAT) });
        }
    }
    if db.get_cf(meta, families::meta::LOG).map_err(failed)?.as_deref() != Some(log.as_slice()) {
        return Err(OpenError::OtherLog(here()));
    }
    Ok(Arc::new(db))
}

impl RocksStore {
    /// [`create`], as a store.
    ///
    /// # Errors
    /// Those of [`create`].
    pub fn create(path: &Path, log: &Digest) -> Result<Self, OpenError> {
        create(path, &[], log).map(Self::new)
    }

    /// [`open`], as a store.
    ///
    /// # Errors
    /// Those of [`open`].
    pub fn open(path: &Path, log: &Digest) -> Result<Self, OpenError> {
        open(path, &[], log).map(Self::new)
    }
}

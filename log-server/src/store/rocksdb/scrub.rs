//! Leaving nothing of what was overwritten.
//!
//! RocksDB keeps what a write replaces: in the write-ahead log until every column family has been flushed past it, and
//! in sorted tables until a compaction meets both the old and the new, with no snapshot between them.

use std::{
    collections::HashSet,
    thread,
    time::{Duration, Instant},
};

use rocksdb::{BottommostLevelCompaction, ColumnFamily, CompactOptions, DB, FlushOptions, Options};

use super::{RocksStore, failed};
use crate::store::StoreError;

/// How long readers are waited for: longer than any request may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether they have ended.
const PAUSE: Duration = Duration::from_millis(5);

impl RocksStore {
    /// Removes from the disk what `key` held before it was last written. Something must have been written to its family
    /// since: the write-ahead log that holds the old value is given up only for a new one.
    pub(super) fn scrub(&self, family: &ColumnFamily, key: &[u8]) -> Result<(), StoreError> {
        let deadline = Instant::now().checked_add(PATIENCE);
        let written = self.db.latest_sequence_number();
        // A compaction keeps what a snapshot can see.
        wait(deadline, || Ok(self.oldest_snapshot()?.is_none_or(|oldest| oldest >= written)))?;

        let old_logs = self.files(".log")?;
        self.flush_everything()?;
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(true);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        self.db.compact_range_cf_opt(family, Some(key), Some(key), &options);

        // What is not live any more goes once its last reader has ended.
        let live = self.live_tables()?;
        let mut doomed: HashSet<String> = self.files(".sst")?.difference(&live).cloned().collect();
        doomed.extend(old_logs);
        wait(deadline, || {
            self.db.disable_file_deletions().map_err(failed)?;
            self.db.enable_file_deletions().map_err(failed)?;
            // A table that was being written when they were listed has become live since.
            let live = self.live_tables()?;
            let mut there = self.files(".sst")?;
            there.extend(self.files(".log")?);
            Ok(doomed.iter().all(|name| !there.contains(name) || live.contains(name)))
        })
    }

    /// The sequence number of the oldest snapshot that is held.
    fn oldest_snapshot(&self) -> Result<Option<u64>, StoreError> {
        let oldest = self.db.property_int_value("rocksdb.oldest-snapshot-sequence").map_err(failed)?;
        // 0 stands for none; no snapshot has it, since creating a database writes to it.
        Ok(oldest.filter(|oldest| *oldest > 0))
    }

    fn flush_everything(&self) -> Result<(), StoreError> {
        let names = DB::list_cf(&Options::default(), self.db.path()).map_err(failed)?;
        let families: Vec<&ColumnFamily> = names.iter().filter_map(|name| self.db.cf_handle(name)).collect();
        if families.len() < names.len() {
            return Err(StoreError::Corrupt("a column family is missing"));
        }
        self.db.flush_cfs_opt(&families, &FlushOptions::default()).map_err(failed)
    }

    /// The names of sorted tables in use.
    fn live_tables(&self) -> Result<HashSet<String>, StoreError> {
        let files = self.db.live_files().map_err(failed)?;
        Ok(files.iter().map(|file| file.name.trim_start_matches('/').to_owned()).collect())
    }

    /// The names of files in the database's directory that end so.
    fn files(&self, ending: &str) -> Result<HashSet<String>, StoreError> {
        let unreadable = |error: std::io::Error| StoreError::Backend(error.to_string());
        let mut names = HashSet::new();
        for entry in std::fs::read_dir(self.db.path()).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            names.extend(name.to_str().filter(|name| name.ends_with(ending)).map(str::to_owned));
        }
        Ok(names)
    }
}

/// Waits until something holds.
fn wait(deadline: Option<Instant>, holds: impl Fn() -> Result<bool, StoreError>) -> Result<(), StoreError> {
    while !holds()? {
        if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            let reason = "what was overwritten is still being read; try again";
            return Err(StoreError::Backend(reason.to_owned()));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

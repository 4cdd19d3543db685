//! The log in RocksDB: one column family per kind of record, one synchronised write per commit.

use std::sync::{Arc, Mutex, PoisonError, atomic::AtomicU64};

use rocksdb::{ColumnFamily, DB, WriteBatch, WriteOptions};

use super::{
    Batch, CommitError, PruneBatch, PublishError, PublishedHead, Snapshot, Store, StoreError, VersionRecord,
};

mod codec;
mod open;
mod prune;
mod scrub;
mod snapshot;

#[cfg(test)]
mod tests;

pub use open::{OpenError, create, open};

/// The column families of the log.
pub const FAMILIES: &[&str] = &[
    families::META,
    families::ENTRIES,
    families::NODES,
    families::PAGES,
    families::SUPERSEDED,
    families::REPLACED,
    families::LABELS,
    families::MOVED,
    families::VERSIONS,
];

/// Names of column families and of single records.
mod families {
    /// Single records, named in [`meta`].
    pub(super) const META: &str = "log.meta";
    /// Position: [`EntryRecord`](crate::store::EntryRecord).
    pub(super) const ENTRIES: &str = "log.entries";
    /// Level, index: value of a full subtree of the log tree.
    pub(super) const NODES: &str = "log.nodes";
    /// Page key: page of a prefix tree.
    pub(super) const PAGES: &str = "log.pages";
    /// Position: keys of the pages that the log entry replaced.
    pub(super) const SUPERSEDED: &str = "log.superseded";
    /// Position: versions that the log entry made others than the greatest; only in logs with a maximum lifetime.
    pub(super) const REPLACED: &str = "log.replaced";
    /// Label: [`LabelRecord`](crate::store::LabelRecord).
    pub(super) const LABELS: &str = "log.labels";
    /// Label, version: position, for versions that the label's record has no room for.
    pub(super) const MOVED: &str = "log.moved";
    /// Label, version: commitment, opening and value.
    pub(super) const VERSIONS: &str = "log.versions";

    pub(super) mod meta {
        pub(in super::super) const FORMAT: &[u8] = b"format";
        pub(in super::super) const LOG: &[u8] = b"log";
        pub(in super::super) const SIZE: &[u8] = b"size";
        pub(in super::super) const PUBLISHED: &[u8] = b"published";
        pub(in super::super) const PRUNED: &[u8] = b"pruned";
    }
}

/// A store in RocksDB.
pub struct RocksStore {
    db: Arc<DB>,
    /// Held from reading the size to writing the next: RocksDB has no compare-and-swap of its own, and no other process
    /// can have the database open.
    writer: Mutex<()>,
    /// Keys that were deleted since the last compaction that was made because of it.
    deleted: AtomicU64,
}

impl RocksStore {
    /// The log in a database that [`open`] or [`create`] returned.
    #[must_use]
    pub fn new(db: Arc<DB>) -> Self {
        Self { db, writer: Mutex::new(()), deleted: AtomicU64::new(0) }
    }

    fn family(&self, name: &'static str) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(name).ok_or(StoreError::Corrupt("a column family is missing"))
    }

    fn size(&self) -> Result<u64, StoreError> {
        let size =
            self.db.get_pinned_cf(self.family(families::META)?, families::meta::SIZE).map_err(failed)?;
        codec::decode_u64(&size.ok_or(StoreError::Corrupt("the log's size is missing"))?, "the log's size")
    }

    fn published(&self) -> Result<Option<PublishedHead>, StoreError> {
        let head =
            self.db.get_pinned_cf(self.family(families::META)?, families::meta::PUBLISHED).map_err(failed)?;
        head.map(|bytes| codec::decode_head(&bytes)).transpose()
    }

    fn write_batch(&self, position: u64, batch: &Batch) -> Result<WriteBatch, StoreError> {
        let mut out = WriteBatch::default();
        let position_key = position.to_be_bytes();
        out.put_cf(self.family(families::ENTRIES)?, position_key, codec::encode_entry(&batch.entry));
        let nodes = self.family(families::NODES)?;
        for (id, value) in &batch.nodes {
            out.put_cf(nodes, codec::node(*id), value);
        }
        let pages = self.family(families::PAGES)?;
        for (key, page) in &batch.pages {
            out.put_cf(pages, key.to_bytes(), page.as_bytes());
        }
        if !batch.superseded.is_empty() {
            let superseded = codec::encode_pages(&batch.superseded);
            out.put_cf(self.family(families::SUPERSEDED)?, position_key, superseded);
        }
        if !batch.replaced.is_empty() {
            let replaced = codec::encode_replaced(&batch.replaced);
            out.put_cf(self.family(families::REPLACED)?, position_key, replaced);
        }
        let (labels, moved) = (self.family(families::LABELS)?, self.family(families::MOVED)?);
        let versions = self.family(families::VERSIONS)?;
        for update in &batch.labels {
            out.put_cf(labels, &update.label, codec::encode_label(&update.record));
            if let Some((range, position)) = &update.moved {
                for version in range.clone() {
                    let key = codec::label_version(&update.label, version);
                    out.put_cf(moved, key, position.to_be_bytes());
                }
            }
            for (number, version) in (0..=update.record.greatest()).rev().zip(update.versions.iter().rev()) {
                let key = codec::label_version(&update.label, number);
                out.put_cf(versions, key, codec::encode_version(version));
            }
        }
        let size = position.checked_add(1).ok_or(StoreError::Corrupt("the log is too long"))?;
        out.put_cf(self.family(families::META)?, families::meta::SIZE, size.to_be_bytes());
        Ok(out)
    }
}

/// Writes that are durable when they return.
fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

fn failed(error: rocksdb::Error) -> StoreError {
    StoreError::Backend(error.into_string())
}

impl Store for RocksStore {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        Ok(Box::new(snapshot::RocksSnapshot::new(self)))
    }

    fn commit(&self, expected_size: u64, batch: &Batch) -> Result<(), CommitError> {
        // Encoding takes longer than the check: do it before the lock.
        let write = self.write_batch(expected_size, batch)?;
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let actual = self.size()?;
        if actual != expected_size {
            return Err(CommitError::Conflict { expected: expected_size, actual });
        }
        Ok(self.db.write_opt(write, &synced()).map_err(failed)?)
    }

    fn publish(&self, head: &PublishedHead) -> Result<(), PublishError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        super::check_forward(self.published()?.as_ref(), self.size()?, head)?;
        let meta = self.family(families::META)?;
        let bytes = codec::encode_head(head);
        Ok(self.db.put_cf_opt(meta, families::meta::PUBLISHED, bytes, &synced()).map_err(failed)?)
    }

    fn erase(&self, label: &[u8], version: u32) -> Result<(), StoreError> {
        let versions = self.family(families::VERSIONS)?;
        let key = codec::label_version(label, version);
        {
            let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(stored) = self.db.get_pinned_cf(versions, &key).map_err(failed)? else { return Ok(()) };
            let erased = VersionRecord { opened: None, ..codec::decode_version(&stored)? };
            // Also if it is erased already: the write is what makes the scrubbing begin a new write-ahead log.
            self.db.put_cf_opt(versions, &key, codec::encode_version(&erased), &synced()).map_err(failed)?;
        }
        self.scrub(versions, &key)
    }

    fn prune(&self, batch: &PruneBatch) -> Result<(), StoreError> {
        self.delete(batch)
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.compact_where_worthwhile()
    }
}

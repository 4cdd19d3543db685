//! Deleting what has expired, and giving its room back.

use std::sync::{PoisonError, atomic::Ordering};

use rocksdb::{BottommostLevelCompaction, CompactOptions, WriteBatch};

use super::{RocksStore, codec, failed, families};
use crate::store::{PruneBatch, StoreError, VersionRecord};

/// Fewer deleted keys than this are left to the compactions that happen anyway.
const WORTHWHILE: u64 = 1000;

/// The families that pruning deletes from.
const PRUNED: &[&str] =
    &[families::PAGES, families::VERSIONS, families::ENTRIES, families::SUPERSEDED, families::REPLACED];

impl RocksStore {
    /// One atomic write. It is not synchronised: RocksDB's log keeps the order of writes, so a crash takes the latest away
    /// first, and what was taken away is deleted again.
    pub(super) fn delete(&self, batch: &PruneBatch) -> Result<(), StoreError> {
        let mut out = WriteBatch::default();
        for (family, positions) in [
            (families::ENTRIES, &batch.entries),
            (families::SUPERSEDED, &batch.superseded),
            (families::REPLACED, &batch.replaced),
        ] {
            let family = self.family(family)?;
            positions.iter().for_each(|position| out.delete_cf(family, position.to_be_bytes()));
        }
        let pages = self.family(families::PAGES)?;
        batch.pages.iter().for_each(|page| out.delete_cf(pages, page.to_bytes()));
        self.empty_versions(batch, &mut out)?;
        let deleted = u64::try_from(out.len()).unwrap_or(u64::MAX);

        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if batch.until > self.pruned()? {
            out.put_cf(self.family(families::META)?, families::meta::PRUNED, batch.until.to_be_bytes());
        }
        self.db.write(out).map_err(failed)?;
        self.deleted.fetch_add(deleted, Ordering::Relaxed);
        Ok(())
    }

    /// Writes the commitments of versions alone. What is read here changes only in that somebody else does the same.
    fn empty_versions(&self, batch: &PruneBatch, out: &mut WriteBatch) -> Result<(), StoreError> {
        let versions = self.family(families::VERSIONS)?;
        let keys: Vec<Vec<u8>> =
            batch.versions.iter().map(|(label, version)| codec::label_version(label, *version)).collect();
        let stored = self.db.batched_multi_get_cf::<[u8], _>(versions, keys.iter().map(Vec::as_slice), false);
        for (key, stored) in keys.iter().zip(stored) {
            let Some(stored) = stored.map_err(failed)? else { continue };
            let record = codec::decode_version(&stored)?;
            if record.opened.is_some() {
                let emptied = VersionRecord { opened: None, ..record };
                out.put_cf(versions, key, codec::encode_version(&emptied));
            }
        }
        Ok(())
    }

    /// The position before which everything is pruned.
    fn pruned(&self) -> Result<u64, StoreError> {
        let meta = self.family(families::META)?;
        let pruned = self.db.get_pinned_cf(meta, families::meta::PRUNED).map_err(failed)?;
        pruned.map_or(Ok(0), |bytes| codec::decode_u64(&bytes, "the position of pruning"))
    }

    /// Compacts once a quarter of what there is has been deleted, so that four keys at most are rewritten for one that is
    /// deleted.
    pub(super) fn compact_where_worthwhile(&self) -> Result<(), StoreError> {
        let mut keys: u64 = 0;
        for family in PRUNED {
            let family = self.family(family)?;
            let estimate =
                self.db.property_int_value_cf(family, "rocksdb.estimate-num-keys").map_err(failed)?;
            keys = keys.saturating_add(estimate.unwrap_or_default());
        }
        let deleted = self.deleted.load(Ordering::Relaxed);
        if deleted < WORTHWHILE || deleted < keys.div_ceil(4) {
            return Ok(());
        }
        self.deleted.fetch_sub(deleted, Ordering::Relaxed);
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        for family in PRUNED {
            self.db.compact_range_cf_opt::<&[u8], &[u8]>(self.family(family)?, None, None, &options);
        }
        Ok(())
    }
}

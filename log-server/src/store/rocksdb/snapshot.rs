//! Reads of one moment.

use keyglass_crypto::hash::Digest;
use keyglass_keytrans::{
    log_tree::NodeId,
    prefix_tree::{Page, PageKey},
};
use rocksdb::{DB, DBPinnableSlice, ReadOptions, SnapshotWithThreadMode};

use super::{RocksStore, codec, failed, families};
use crate::store::{EntryRecord, LabelRecord, PublishedHead, Replaced, Snapshot, StoreError, VersionRecord};

/// A RocksDB snapshot.
pub(super) struct RocksSnapshot<'a> {
    store: &'a RocksStore,
    snapshot: SnapshotWithThreadMode<'a, DB>,
}

impl<'a> RocksSnapshot<'a> {
    pub(super) fn new(store: &'a RocksStore) -> Self {
        Self { store, snapshot: store.db.snapshot() }
    }

    fn get<T>(
        &self,
        family: &'static str,
        keys: &[impl AsRef<[u8]>],
        decode: impl Fn(usize, &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        let family = self.store.family(family)?;
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        if let [key] = keys {
            let found = self.store.db.get_pinned_cf_opt(family, key, &options).map_err(failed)?;
            return Ok(vec![found.map(|bytes| decode(0, &bytes)).transpose()?]);
        }
        let keys = keys.iter().map(AsRef::as_ref);
        let found = self.store.db.batched_multi_get_cf_opt::<[u8], _>(family, keys, false, &options);
        let decode = |(index, one): (usize, Result<Option<DBPinnableSlice<'_>>, rocksdb::Error>)| {
            one.map_err(failed)?.map(|bytes| decode(index, &bytes)).transpose()
        };
        found.into_iter().enumerate().map(decode).collect()
    }
}

fn positions(positions: &[u64]) -> Vec<[u8; 8]> {
    positions.iter().map(|position| position.to_be_bytes()).collect()
}

fn label_versions(label: &[u8], versions: &[u32]) -> Vec<Vec<u8>> {
    versions.iter().map(|version| codec::label_version(label, *version)).collect()
}

impl Snapshot for RocksSnapshot<'_> {
    fn size(&self) -> Result<u64, StoreError> {
        let decode = |_, bytes: &[u8]| codec::decode_u64(bytes, "the log's size");
        let size = self.get(families::META, &[families::meta::SIZE], decode)?.pop().flatten();
        size.ok_or(StoreError::Corrupt("the log's size is missing"))
    }

    fn published(&self) -> Result<Option<PublishedHead>, StoreError> {
        Ok(self
            .get(families::META, &[families::meta::PUBLISHED], |_, bytes| codec::decode_head(bytes))?
            .pop()
            .flatten())
    }

    fn entries(&self, at: &[u64]) -> Result<Vec<Option<EntryRecord>>, StoreError> {
        self.get(families::ENTRIES, &positions(at), |_, bytes| codec::decode_entry(bytes))
    }

    fn nodes(&self, ids: &[NodeId]) -> Result<Vec<Option<Digest>>, StoreError> {
        let keys: Vec<_> = ids.iter().copied().map(codec::node).collect();
        self.get(families::NODES, &keys, |_, bytes| codec::decode_digest(bytes))
    }

    fn pages(&self, keys: &[PageKey]) -> Result<Vec<Option<Page>>, StoreError> {
        let encoded: Vec<_> = keys.iter().map(PageKey::to_bytes).collect();
        self.get(families::PAGES, &encoded, |index, bytes| {
            let page = keys.get(index).and_then(|key| Page::decode(key, bytes).ok());
            page.ok_or(StoreError::Corrupt("a page of a prefix tree"))
        })
    }

    fn labels(&self, labels: &[&[u8]]) -> Result<Vec<Option<LabelRecord>>, StoreError> {
        self.get(families::LABELS, labels, |_, bytes| codec::decode_label(bytes))
    }

    fn moved_positions(&self, label: &[u8], versions: &[u32]) -> Result<Vec<Option<u64>>, StoreError> {
        let decode = |_, bytes: &[u8]| codec::decode_u64(bytes, "a version's position");
        self.get(families::MOVED, &label_versions(label, versions), decode)
    }

    fn versions(&self, label: &[u8], versions: &[u32]) -> Result<Vec<Option<VersionRecord>>, StoreError> {
        self.get(families::VERSIONS, &label_versions(label, versions), |_, bytes| {
            codec::decode_version(bytes)
        })
    }

    fn superseded(&self, position: u64) -> Result<Vec<PageKey>, StoreError> {
        let found =
            self.get(families::SUPERSEDED, &positions(&[position]), |_, bytes| codec::decode_pages(bytes))?;
        Ok(found.into_iter().flatten().flatten().collect())
    }

    fn replaced(&self, position: u64) -> Result<Vec<Replaced>, StoreError> {
        let found =
            self.get(families::REPLACED, &positions(&[position]), |_, bytes| codec::decode_replaced(bytes))?;
        Ok(found.into_iter().flatten().flatten().collect())
    }

    fn pruned(&self) -> Result<u64, StoreError> {
        let decode = |_, bytes: &[u8]| codec::decode_u64(bytes, "the position of pruning");
        Ok(self.get(families::META, &[families::meta::PRUNED], decode)?.pop().flatten().unwrap_or(0))
    }
}

//! The accounts as the published log has them.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use keyglass_account::{device::Device, verify::ValidRecord};
use keyglass_tlog::time::UnixMillis;
use lru::LruCache;

use crate::{
    published::Published,
    store::{Store, StoreError},
    tokens::Accounts,
    values,
};

/// How many records are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// A label's greatest published version, and its last valid record up to there.
type Known = (u32, Option<Arc<ValidRecord>>);

/// Reads the last valid record of labels under the published head.
pub struct PublishedAccounts {
    store: Arc<dyn Store>,
    published: Arc<Published>,
    origin: String,
    remembered: Mutex<LruCache<Vec<u8>, Known>>,
}

impl PublishedAccounts {
    /// The accounts of the log `origin`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, published: Arc<Published>, origin: String) -> Self {
        Self { store, published, origin, remembered: Mutex::new(LruCache::new(REMEMBERED)) }
    }

    /// Forgets a label's record, which is to be read anew: a version of it was erased.
    pub fn forget(&self, label: &[u8]) {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).pop(label);
    }

    /// The last valid record of a label that is published; none while the greatest version is erased. Blocks on the
    /// store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record(&self, label: &[u8]) -> Result<Option<Arc<ValidRecord>>, StoreError> {
        let Some(head) = self.published.current() else { return Ok(None) };
        let snapshot = self.store.snapshot()?;
        let Some(greatest) = snapshot.greatest_below(label, head.size)? else { return Ok(None) };
        if let Some((version, record)) =
            self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(label)
            && *version == greatest
        {
            return Ok(record.clone());
        }
        // What the owner replaced does not come back because what replaced it was erased.
        let erased = snapshot.version(label, greatest)?.is_none_or(|stored| stored.opened.is_none());
        let end = u64::from(greatest).saturating_add(1);
        let record = if erased { None } else { values::last_valid(&*snapshot, &self.origin, label, end)? };
        let record = record.map(Arc::new);
        let known = (greatest, record.clone());
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).put(label.to_vec(), known);
        Ok(record)
    }
}

impl Accounts for PublishedAccounts {
    fn device(&self, label: &[u8], device: u32) -> Result<Option<Device>, StoreError> {
        Ok(self.record(label)?.and_then(|record| record.record().device(device).cloned()))
    }

    fn devices(&self, label: &[u8]) -> Result<Vec<u32>, StoreError> {
        let ids = |record: Arc<ValidRecord>| record.record().devices.iter().map(|device| device.id).collect();
        Ok(self.record(label)?.map(ids).unwrap_or_default())
    }

    fn since(&self, label: &[u8]) -> Result<Option<UnixMillis>, StoreError> {
        let Some(head) = self.published.current() else { return Ok(None) };
        let snapshot = self.store.snapshot()?;
        let Some(position) = snapshot.position_of(label, 0)?.filter(|position| *position < head.size) else {
            return Ok(None);
        };
        // An entry that was pruned is older than anybody asks for.
        Ok(Some(UnixMillis(snapshot.entry(position)?.map_or(0, |entry| entry.timestamp))))
    }

    fn version(&self, label: &[u8]) -> Result<Option<u32>, StoreError> {
        Ok(self.record(label)?.map(|record| record.version()))
    }
}

//! Nonces in RocksDB.
//!
//! Family `tokens.nonces`: time (8 bytes, big-endian), device (16), nonce (16), without a value.

use std::sync::Arc;

use keyglass_tlog::time::UnixMillis;
use rocksdb::{ColumnFamily, DB, IteratorMode, WriteBatch, WriteOptions};

use super::{Nonce, NonceStore};
use crate::store::StoreError;

const NONCES: &str = "tokens.nonces";

/// The column families of this service.
pub const FAMILIES: &[&str] = &[NONCES];

/// Nonces in RocksDB.
pub struct RocksNonces {
    db: Arc<DB>,
}

impl RocksNonces {
    /// The nonces in a database that was opened with [`FAMILIES`].
    #[must_use]
    pub fn new(db: Arc<DB>) -> Self {
        Self { db }
    }

    fn family(&self) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(NONCES).ok_or(StoreError::Corrupt("the family tokens.nonces is missing"))
    }
}

fn failed(error: rocksdb::Error) -> StoreError {
    StoreError::Backend(error.into_string())
}

fn encode(nonce: &Nonce) -> Vec<u8> {
    [&nonce.time.0.to_be_bytes()[..], &nonce.device, &nonce.nonce].concat()
}

fn decode(key: &[u8]) -> Option<Nonce> {
    let (time, rest) = key.split_first_chunk()?;
    let (device, rest) = rest.split_first_chunk()?;
    let nonce = rest.try_into().ok()?;
    Some(Nonce { time: UnixMillis(u64::from_be_bytes(*time)), device: *device, nonce })
}

impl NonceStore for RocksNonces {
    fn load(&self) -> Result<Vec<Nonce>, StoreError> {
        self.db
            .iterator_cf(self.family()?, IteratorMode::Start)
            .map(|item| {
                let (key, _) = item.map_err(failed)?;
                decode(&key).ok_or(StoreError::Corrupt("a nonce"))
            })
            .collect()
    }

    fn add(&self, nonce: &Nonce, oldest: UnixMillis) -> Result<(), StoreError> {
        let family = self.family()?;
        let mut batch = WriteBatch::default();
        // Single keys, not a range: many range deletions would slow every later read.
        for item in self.db.iterator_cf(family, IteratorMode::Start) {
            let (key, _) = item.map_err(failed)?;
            if decode(&key).is_some_and(|old| old.time >= oldest) {
                break;
            }
            batch.delete_cf(family, key);
        }
        batch.put_cf(family, encode(nonce), []);
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(failed)
    }
}

//! Prekeys in RocksDB.
//!
//! | Family | Key | Value |
//! |---|---|---|
//! | `prekeys.pools` | device | pool |
//! | `prekeys.signed` | device, id | signed prekey |
//! | `prekeys.batches` | device, batch | batch |
//! | `prekeys.answers` | hash of the request | signed prekey's id, expiry, place of the one-time prekey |
//! | `prekeys.notes` | time, kind, name | |
//!
//! A device is the length of its label, the label and its id. Integers are big-endian.

use std::sync::Arc;

use keyglass_account::codec::{CodecError, Reader, Writer};
use keyglass_tlog::time::UnixMillis;
use rocksdb::{ColumnFamily, DB, IteratorMode, WriteBatch, WriteOptions};

use super::{
    pool::{Place, Pool},
    store::{Answer, Expiring, PreKeyStore, RequestKey, Write},
};
use crate::{store::StoreError, tokens::DeviceName};

const POOLS: &str = "prekeys.pools";
const SIGNED: &str = "prekeys.signed";
const BATCHES: &str = "prekeys.batches";
const ANSWERS: &str = "prekeys.answers";
const NOTES: &str = "prekeys.notes";

/// The column families of this service.
pub const FAMILIES: &[&str] = &[POOLS, SIGNED, BATCHES, ANSWERS, NOTES];

/// Prekeys in RocksDB.
pub struct RocksPreKeys {
    db: Arc<DB>,
}

impl RocksPreKeys {
    /// The prekeys in a database that was opened with [`FAMILIES`].
    #[must_use]
    pub fn new(db: Arc<DB>) -> Self {
        Self { db }
    }

    fn family(&self, name: &'static str) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(name).ok_or(StoreError::Corrupt("a column family of the prekeys is missing"))
    }

    fn get(&self, family: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.family(family)?, key).map_err(failed)
    }
}

fn failed(error: rocksdb::Error) -> StoreError {
    StoreError::Backend(error.into_string())
}

fn numbered(device: &DeviceName, number: u32) -> Vec<u8> {
    let mut key = device.to_key();
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn split_numbered(key: &[u8]) -> Option<(DeviceName, u32)> {
    let (device, rest) = DeviceName::split_key(key)?;
    Some((device, u32::from_be_bytes(rest.try_into().ok()?)))
}

fn encode_note(time: UnixMillis, what: &Expiring) -> Vec<u8> {
    let mut key = time.0.to_be_bytes().to_vec();
    match what {
        Expiring::SignedPreKey(device, id) => {
            key.push(1);
            key.extend(numbered(device, *id));
        }
        Expiring::Batch(device, batch) => {
            key.push(2);
            key.extend(numbered(device, *batch));
        }
        Expiring::Answer(request) => {
            key.push(3);
            key.extend_from_slice(&request.0);
        }
    }
    key
}

fn decode_note(key: &[u8]) -> Option<(UnixMillis, Expiring)> {
    let (time, rest) = key.split_first_chunk()?;
    let (kind, name) = rest.split_first()?;
    let what = match kind {
        1 => split_numbered(name).map(|(device, id)| Expiring::SignedPreKey(device, id))?,
        2 => split_numbered(name).map(|(device, batch)| Expiring::Batch(device, batch))?,
        3 => Expiring::Answer(RequestKey(name.try_into().ok()?)),
        _ => return None,
    };
    Some((UnixMillis(u64::from_be_bytes(*time)), what))
}

fn encode_answer(answer: &Answer) -> Vec<u8> {
    let mut out = Writer::new();
    out.u32(answer.signed_prekey).u64(answer.expires.0);
    out.optional(answer.one_time.as_ref(), |out, place| {
        out.u32(place.batch).u16(place.index);
    });
    out.finish()
}

fn decode_answer(bytes: &[u8]) -> Result<Answer, CodecError> {
    let mut reader = Reader::new(bytes);
    let signed_prekey = reader.u32()?;
    let expires = UnixMillis(reader.u64()?);
    let one_time = reader
        .optional(|reader| Ok::<_, CodecError>(Place { batch: reader.u32()?, index: reader.u16()? }))?;
    reader.end()?;
    Ok(Answer { signed_prekey, one_time, expires })
}

impl PreKeyStore for RocksPreKeys {
    fn pool(&self, device: &DeviceName) -> Result<Option<Pool>, StoreError> {
        self.get(POOLS, &device.to_key())?.map(|bytes| Pool::decode(&bytes)).transpose()
    }

    fn signed_prekey(&self, device: &DeviceName, id: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(SIGNED, &numbered(device, id))
    }

    fn batch(&self, device: &DeviceName, batch: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(BATCHES, &numbered(device, batch))
    }

    fn answer(&self, request: &RequestKey) -> Result<Option<Answer>, StoreError> {
        let corrupt = |_| StoreError::Corrupt("the answer to a request for a bundle");
        self.get(ANSWERS, &request.0)?.map(|bytes| decode_answer(&bytes).map_err(corrupt)).transpose()
    }

    fn due(&self, until: UnixMillis, limit: usize) -> Result<Vec<(UnixMillis, Expiring)>, StoreError> {
        let mut due = Vec::new();
        for item in self.db.iterator_cf(self.family(NOTES)?, IteratorMode::Start) {
            let (key, _) = item.map_err(failed)?;
            let (time, what) = decode_note(&key).ok_or(StoreError::Corrupt("a note of what expires"))?;
            if time > until || due.len() >= limit {
                break;
            }
            due.push((time, what));
        }
        Ok(due)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let (pools, signed, batches) = (self.family(POOLS)?, self.family(SIGNED)?, self.family(BATCHES)?);
        let (answers, notes) = (self.family(ANSWERS)?, self.family(NOTES)?);
        let mut out = WriteBatch::default();
        for write in writes {
            match write {
                Write::Pool(device, pool) => out.put_cf(pools, device.to_key(), pool.encode()),
                Write::SignedPreKey(device, id, bytes) => out.put_cf(signed, numbered(device, *id), bytes),
                Write::Batch(device, batch, bytes) => out.put_cf(batches, numbered(device, *batch), bytes),
                Write::Answer(request, answer) => out.put_cf(answers, request.0, encode_answer(answer)),
                Write::Schedule(time, what) => out.put_cf(notes, encode_note(*time, what), []),
                Write::Unschedule(time, what) => out.delete_cf(notes, encode_note(*time, what)),
                Write::Delete(Expiring::SignedPreKey(device, id)) => {
                    out.delete_cf(signed, numbered(device, *id))
                }
                Write::Delete(Expiring::Batch(device, batch)) => {
                    out.delete_cf(batches, numbered(device, *batch))
                }
                Write::Delete(Expiring::Answer(request)) => out.delete_cf(answers, request.0),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(out, &options).map_err(failed)
    }
}

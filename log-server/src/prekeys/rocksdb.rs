//! Prekeys in RocksDB.
//!
//! | Family | Key | Value |
//! |---|---|---|
//! | `prekeys.pools` | device | pool |
//! | `prekeys.signed` | device, id | signed prekey |
//! | `prekeys.batches` | device, batch | batch of X25519 keys |
//! | `prekeys.kem_entries` | device, batch, index | KEM prekey with its path |
//! | `prekeys.answers` | hash of the request | signed prekey's id, expiry, places of the one-time prekeys, last resort's id |
//! | `prekeys.last_resorts` | device, id | last-resort KEM prekey |
//! | `prekeys.pairs` | hash of account and device | what the account has had of the device's keys |
//! | `prekeys.notes` | time, kind, name | |
//!
//! A device is the length of its label, the label and its id. Integers are big-endian.

use std::sync::Arc;

use keyglass_account::{
    codec::{CodecError, Reader, Writer},
    prekey::{MAX_KEM_LEAVES, PreKeyBatch},
};
use keyglass_tlog::time::UnixMillis;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, WriteBatch, WriteOptions};

use super::{
    pool::{Place, Pool},
    reserve::{Pair, PairKey},
    store::{Answer, Expiring, PreKeyStore, RequestKey, Write},
};
use crate::{store::StoreError, tokens::DeviceName};

const POOLS: &str = "prekeys.pools";
const SIGNED: &str = "prekeys.signed";
const BATCHES: &str = "prekeys.batches";
const ANSWERS: &str = "prekeys.answers";
const NOTES: &str = "prekeys.notes";
const LAST_RESORTS: &str = "prekeys.last_resorts";
const KEM_ENTRIES: &str = "prekeys.kem_entries";
const PAIRS: &str = "prekeys.pairs";

/// The column families of this service.
pub const FAMILIES: &[&str] = &[POOLS, SIGNED, BATCHES, ANSWERS, NOTES, LAST_RESORTS, PAIRS, KEM_ENTRIES];

/// Prekeys in RocksDB.
pub struct RocksPreKeys {
    db: Arc<DB>,
    sync: bool,
}

impl RocksPreKeys {
    /// The prekeys in a database that was opened with [`FAMILIES`].
    #[must_use]
    pub fn new(db: Arc<DB>) -> Self {
        Self { db, sync: true }
    }

    /// The same prekeys with commits that a crash of the machine may undo: for filling a database before it is served.
    #[must_use]
    pub fn without_durability(self) -> Self {
        Self { sync: false, ..self }
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

fn placed(device: &DeviceName, batch: u32, index: u16) -> Vec<u8> {
    let mut key = numbered(device, batch);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

fn split_numbered(key: &[u8]) -> Option<(DeviceName, u32)> {
    let (device, rest) = DeviceName::split_key(key)?;
    Some((device, u32::from_be_bytes(rest.try_into().ok()?)))
}

fn whole_name(key: &[u8]) -> Option<DeviceName> {
    DeviceName::split_key(key).filter(|(_, rest)| rest.is_empty()).map(|(device, _)| device)
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
        Expiring::KemBatch(device, batch) => {
            key.push(6);
            key.extend(numbered(device, *batch));
        }
        Expiring::LastResort(device, id) => {
            key.push(4);
            key.extend(numbered(device, *id));
        }
        Expiring::Pair(pair) => {
            key.push(5);
            key.extend_from_slice(&pair.0);
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
        4 => split_numbered(name).map(|(device, id)| Expiring::LastResort(device, id))?,
        6 => split_numbered(name).map(|(device, batch)| Expiring::KemBatch(device, batch))?,
        5 => Expiring::Pair(PairKey(name.try_into().ok()?)),
        _ => return None,
    };
    Some((UnixMillis(u64::from_be_bytes(*time)), what))
}

fn encode_answer(answer: &Answer) -> Vec<u8> {
    let write = |out: &mut Writer, place: &Place| {
        out.u32(place.batch).u16(place.index);
    };
    let mut out = Writer::new();
    out.u32(answer.signed_prekey).u64(answer.expires.0);
    out.optional(answer.one_time.as_ref(), write).optional(answer.kem.as_ref(), write);
    out.optional(answer.last_resort.as_ref(), |out, id| {
        out.u32(*id);
    });
    out.finish()
}

fn decode_answer(bytes: &[u8]) -> Result<Answer, CodecError> {
    let read =
        |reader: &mut Reader<'_>| Ok::<_, CodecError>(Place { batch: reader.u32()?, index: reader.u16()? });
    let mut reader = Reader::new(bytes);
    let signed_prekey = reader.u32()?;
    let expires = UnixMillis(reader.u64()?);
    let one_time = reader.optional(read)?;
    // Answers from before there were KEM prekeys end here.
    let (kem, last_resort) = if reader.remaining() == 0 {
        (None, None)
    } else {
        (reader.optional(read)?, reader.optional(Reader::u32)?)
    };
    reader.end()?;
    Ok(Answer { signed_prekey, one_time, kem, last_resort, expires })
}

fn encode_pair(pair: &Pair) -> Vec<u8> {
    let mut out = Writer::new();
    out.u64(pair.back).u64(pair.expires.0);
    out.optional(pair.reserve.as_ref(), |out, taken| {
        out.u64(taken.0);
    });
    out.finish()
}

fn decode_pair(bytes: &[u8]) -> Result<Pair, CodecError> {
    let mut reader = Reader::new(bytes);
    let (back, expires) = (reader.u64()?, UnixMillis(reader.u64()?));
    let reserve = reader.optional(Reader::u64)?.map(UnixMillis);
    reader.end()?;
    Ok(Pair { back, reserve, expires })
}

impl PreKeyStore for RocksPreKeys {
    fn pool(&self, device: &DeviceName) -> Result<Option<Pool>, StoreError> {
        let root = |number| {
            let corrupt = StoreError::Corrupt("a batch of one-time prekeys");
            let encoded = self.batch(device, number)?.ok_or(corrupt.clone())?;
            PreKeyBatch::decode(&encoded).map(|batch| batch.header().root).map_err(|_| corrupt)
        };
        self.get(POOLS, &device.to_key())?.map(|bytes| Pool::decode(&bytes, root)).transpose()
    }

    fn signed_prekey(&self, device: &DeviceName, id: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(SIGNED, &numbered(device, id))
    }

    fn batch(&self, device: &DeviceName, batch: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(BATCHES, &numbered(device, batch))
    }

    fn kem_entry(&self, device: &DeviceName, place: Place) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(KEM_ENTRIES, &placed(device, place.batch, place.index))
    }

    fn answer(&self, request: &RequestKey) -> Result<Option<Answer>, StoreError> {
        let corrupt = |_| StoreError::Corrupt("the answer to a request for a bundle");
        self.get(ANSWERS, &request.0)?.map(|bytes| decode_answer(&bytes).map_err(corrupt)).transpose()
    }

    fn last_resort(&self, device: &DeviceName, id: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(LAST_RESORTS, &numbered(device, id))
    }

    fn pair(&self, pair: &PairKey) -> Result<Option<Pair>, StoreError> {
        let corrupt = |_| StoreError::Corrupt("what an account had of a device's prekeys");
        self.get(PAIRS, &pair.0)?.map(|bytes| decode_pair(&bytes).map_err(corrupt)).transpose()
    }

    fn pools(&self, after: Option<&DeviceName>, limit: usize) -> Result<Vec<DeviceName>, StoreError> {
        let start = after.map(DeviceName::to_key);
        let mode = match &start {
            Some(start) => IteratorMode::From(start, Direction::Forward),
            None => IteratorMode::Start,
        };
        let mut names = Vec::new();
        for item in self.db.iterator_cf(self.family(POOLS)?, mode) {
            let (key, _) = item.map_err(failed)?;
            if start.as_deref() == Some(&*key) {
                continue;
            }
            if names.len() >= limit {
                break;
            }
            names.push(whole_name(&key).ok_or(StoreError::Corrupt("the name of a prekey pool"))?);
        }
        Ok(names)
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
        let (last_resorts, pairs) = (self.family(LAST_RESORTS)?, self.family(PAIRS)?);
        let kem_entries = self.family(KEM_ENTRIES)?;
        let mut out = WriteBatch::default();
        for write in writes {
            match write {
                Write::Pool(device, pool) => out.put_cf(pools, device.to_key(), pool.encode()),
                Write::DeletePool(device) => out.delete_cf(pools, device.to_key()),
                Write::LastResort(device, id, bytes) => {
                    out.put_cf(last_resorts, numbered(device, *id), bytes)
                }
                Write::Pair(key, pair) => out.put_cf(pairs, key.0, encode_pair(pair)),
                Write::SignedPreKey(device, id, bytes) => out.put_cf(signed, numbered(device, *id), bytes),
                Write::Batch(device, batch, bytes) => out.put_cf(batches, numbered(device, *batch), bytes),
                Write::KemBatch(device, batch, entries) => {
                    for (index, entry) in (0..).zip(entries) {
                        out.put_cf(kem_entries, placed(device, *batch, index), entry);
                    }
                }
                Write::Delete(Expiring::KemBatch(device, batch)) => {
                    // Tombstones for what is not there cost less than ranges, which every read would look through.
                    for index in 0..MAX_KEM_LEAVES {
                        out.delete_cf(kem_entries, placed(device, *batch, index));
                    }
                }
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
                Write::Delete(Expiring::LastResort(device, id)) => {
                    out.delete_cf(last_resorts, numbered(device, *id))
                }
                Write::Delete(Expiring::Pair(key)) => out.delete_cf(pairs, key.0),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        self.db.write_opt(out, &options).map_err(failed)
    }
}

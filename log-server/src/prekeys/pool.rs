//! What the server knows of a device's prekeys.
//!
//! Keys of a batch are handed out in their order, so a batch needs only the number of those that are gone. Ids and batch
//! numbers ascend, so what was used is known by the greatest.

use keyglass_account::{
    api::{BatchStatus, PreKeyStatus, SignedPreKeyStatus},
    codec::{CodecError, Reader, Writer},
    prekey::SignedPreKey,
};
use keyglass_tlog::time::UnixMillis;

use crate::store::StoreError;

/// A device's pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// The signed prekey that is handed out until it expires.
    pub signed_prekey: Option<SignedPreKey>,
    /// The least number that the next batch may have.
    pub next_batch: u32,
    /// The least id that the next one-time prekey may have.
    pub next_id: u32,
    /// The batches that are handed out from, ascending.
    pub batches: Vec<LiveBatch>,
}

/// A batch of which keys are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveBatch {
    /// Its number.
    pub batch: u32,
    /// Keys that it had.
    pub leaf_count: u16,
    /// Keys that were handed out: those with an index below this. Less than `leaf_count`.
    pub handed_out: u16,
    /// When it expires.
    pub expires: UnixMillis,
}

/// A one-time prekey, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The batch's number.
    pub batch: u32,
    /// The key's index in it.
    pub index: u16,
}

const FORMAT: u8 = 1;
const MAX_BATCHES: usize = 4096;

impl Pool {
    /// Forgets batches that have expired or lie below the floor.
    pub fn drop_dead(&mut self, now: UnixMillis) {
        let floor = self.signed_prekey.map_or(0, |prekey| prekey.floor);
        self.batches.retain(|batch| batch.expires > now && batch.batch >= floor);
    }

    /// Takes the next one-time prekey out. Call [`Self::drop_dead`] first.
    pub fn pop(&mut self) -> Option<Place> {
        let batch = self.batches.first_mut()?;
        let place = Place { batch: batch.batch, index: batch.handed_out };
        batch.handed_out = batch.handed_out.saturating_add(1);
        if batch.handed_out >= batch.leaf_count {
            self.batches.remove(0);
        }
        Some(place)
    }

    /// One-time prekeys that are left.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.batches.iter().map(|batch| u32::from(batch.leaf_count.saturating_sub(batch.handed_out))).sum()
    }

    /// The pool as its owner sees it. Call [`Self::drop_dead`] first.
    #[must_use]
    pub fn status(&self, low_water_mark: u32) -> PreKeyStatus {
        let left = self.left();
        PreKeyStatus {
            signed_prekey: self.signed_prekey.map(|prekey| SignedPreKeyStatus {
                id: prekey.id,
                expires: prekey.expires.0,
                floor: prekey.floor,
            }),
            last_resort: None,
            one_time: left,
            one_time_kem: 0,
            low_water: left < low_water_mark,
            low_water_mark,
            next_batch: self.next_batch,
            next_id: self.next_id,
            batches: self
                .batches
                .iter()
                .map(|batch| BatchStatus {
                    batch: batch.batch,
                    leaf_count: batch.leaf_count,
                    handed_out: batch.handed_out,
                    expires: batch.expires.0,
                })
                .collect(),
            kem_batches: Vec::new(),
        }
    }

    /// The pool as it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(FORMAT).u32(self.next_batch).u32(self.next_id);
        out.optional(self.signed_prekey.as_ref(), |out, prekey| {
            out.opaque8(&prekey.encode());
        });
        out.count16(self.batches.len());
        for batch in &self.batches {
            out.u32(batch.batch).u16(batch.leaf_count).u16(batch.handed_out).u64(batch.expires.0);
        }
        out.finish()
    }

    /// Takes a stored pool back.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::read(bytes).ok_or(StoreError::Corrupt("the prekey pool of a device"))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        reader.format(FORMAT).ok()?;
        let (next_batch, next_id) = (reader.u32().ok()?, reader.u32().ok()?);
        let encoded = reader.optional::<_, CodecError>(|reader| reader.opaque8(0, 255)).ok()?;
        let signed_prekey = match encoded {
            Some(encoded) => Some(SignedPreKey::decode(encoded).ok()?),
            None => None,
        };
        let count = reader.count16(0, MAX_BATCHES).ok()?;
        let mut batches = Vec::with_capacity(count);
        for _ in 0..count {
            batches.push(LiveBatch {
                batch: reader.u32().ok()?,
                leaf_count: reader.u16().ok()?,
                handed_out: reader.u16().ok()?,
                expires: UnixMillis(reader.u64().ok()?),
            });
        }
        reader.end().ok()?;
        Some(Self { signed_prekey, next_batch, next_id, batches })
    }
}

//! What the server knows of a device's prekeys.
//!
//! Keys of a batch are handed out in their order, so a batch needs only the number of those that are gone. Ids and batch
//! numbers ascend, so what was used is known by the greatest. Batches of both key types share one row of numbers.

use keyglass_account::{
    api::{BatchStatus, PreKeyStatus, SignedPreKeyStatus},
    pool::{PoolBatch, PoolState, encoding_hash},
    prekey::{KeyType, SignedPreKey},
};
use keyglass_crypto::hash::Digest;
use keyglass_tlog::time::UnixMillis;

use crate::tokens::DeviceName;

mod encoding;

/// A device's pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// The signed prekey that is handed out until it expires.
    pub signed_prekey: Option<SignedPreKey>,
    /// The last-resort KEM prekey that is handed out until it expires.
    pub last_resort: Option<LastResort>,
    /// The least number that the next batch may have.
    pub next_batch: u32,
    /// The least id that the next one-time prekey may have.
    pub next_id: u32,
    /// X25519 one-time prekeys.
    pub x25519: Stock,
    /// ML-KEM-768 one-time prekeys.
    pub kem: Stock,
    /// When in Unix nanoseconds all counts of the target quota will be back.
    pub target_back: u64,
    /// Since when the device has not been in the published record.
    pub absent_since: Option<UnixMillis>,
}

/// The one-time prekeys of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stock {
    /// Keys that there were after the last upload: what the reserve is a share of.
    pub stocked: u32,
    /// The batches that are handed out from, ascending.
    pub batches: Vec<LiveBatch>,
}

/// A last-resort KEM prekey, whose encoding is stored by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastResort {
    /// Its id.
    pub id: u32,
    /// When it expires.
    pub expires: UnixMillis,
    /// The lowest batch that the device still serves.
    pub floor: u32,
    /// The hash of its encoding.
    pub hash: Digest,
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
    /// The root that the device signed.
    pub root: Digest,
    /// Until when answers refer to it; 0 if none does.
    pub answered: UnixMillis,
}

/// A one-time prekey, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The batch's number.
    pub batch: u32,
    /// The key's index in it.
    pub index: u16,
}

impl Stock {
    /// Takes the next key out, for an answer that lives until `answered`. The batch comes with it if that was its last key.
    pub fn pop(&mut self, answered: UnixMillis) -> Option<(Place, Option<LiveBatch>)> {
        let batch = self.batches.first_mut()?;
        let place = Place { batch: batch.batch, index: batch.handed_out };
        batch.handed_out = batch.handed_out.saturating_add(1);
        batch.answered = batch.answered.max(answered);
        let is_last = batch.handed_out >= batch.leaf_count;
        Some((place, is_last.then(|| self.batches.remove(0))))
    }

    /// Keys that are left.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.batches.iter().map(|batch| u32::from(batch.leaf_count.saturating_sub(batch.handed_out))).sum()
    }

    fn drop_dead(&mut self, floor: u32, now: UnixMillis) -> Vec<LiveBatch> {
        self.batches.extract_if(.., |batch| batch.expires <= now || batch.batch < floor).collect()
    }

    fn status(&self) -> Vec<BatchStatus> {
        let status = |batch: &LiveBatch| BatchStatus {
            batch: batch.batch,
            leaf_count: batch.leaf_count,
            handed_out: batch.handed_out,
            expires: batch.expires.0,
        };
        self.batches.iter().map(status).collect()
    }

    fn contents(&self, key_type: KeyType) -> impl Iterator<Item = PoolBatch> {
        self.batches.iter().map(move |batch| PoolBatch {
            key_type,
            batch: batch.batch,
            leaf_count: batch.leaf_count,
            handed_out: batch.handed_out,
            root: batch.root,
        })
    }
}

impl Pool {
    /// Forgets batches that have expired or lie below the floor, and gives them.
    pub fn drop_dead(&mut self, now: UnixMillis) -> Vec<(KeyType, LiveBatch)> {
        let floor = self.floor();
        let of = |key_type| move |batch| (key_type, batch);
        let mut dead: Vec<_> =
            self.x25519.drop_dead(floor, now).into_iter().map(of(KeyType::X25519)).collect();
        dead.extend(self.kem.drop_dead(floor, now).into_iter().map(of(KeyType::MlKem768)));
        dead
    }

    /// The lowest batch that the device still serves: the higher one counts of the two signed prekeys.
    #[must_use]
    pub fn floor(&self) -> u32 {
        let signed = self.signed_prekey.map_or(0, |prekey| prekey.floor);
        signed.max(self.last_resort.map_or(0, |prekey| prekey.floor))
    }

    /// The greatest id of a signed or last-resort prekey that was used.
    #[must_use]
    pub fn greatest_signed_id(&self) -> Option<u32> {
        self.signed_prekey.map(|prekey| prekey.id).max(self.last_resort.map(|prekey| prekey.id))
    }

    /// The one-time prekeys of a type.
    #[must_use]
    pub fn stock(&self, key_type: KeyType) -> &Stock {
        match key_type {
            KeyType::X25519 => &self.x25519,
            KeyType::MlKem768 => &self.kem,
        }
    }

    /// The one-time prekeys of a type, to be changed.
    pub fn stock_mut(&mut self, key_type: KeyType) -> &mut Stock {
        match key_type {
            KeyType::X25519 => &mut self.x25519,
            KeyType::MlKem768 => &mut self.kem,
        }
    }

    /// Whether the device has ever uploaded anything for PQXDH.
    #[must_use]
    pub fn has_kem(&self) -> bool {
        self.last_resort.is_some() || self.kem.stocked > 0
    }

    /// Whether fewer one-time prekeys of a type are left than the mark. Call [`Self::drop_dead`] first.
    #[must_use]
    pub fn is_low(&self, low_water_mark: u32) -> bool {
        self.x25519.left() < low_water_mark || (self.has_kem() && self.kem.left() < low_water_mark)
    }

    /// The pool as its owner sees it. Call [`Self::drop_dead`] first.
    #[must_use]
    pub fn status(&self, low_water_mark: u32) -> PreKeyStatus {
        PreKeyStatus {
            signed_prekey: self.signed_prekey.map(|prekey| SignedPreKeyStatus {
                id: prekey.id,
                expires: prekey.expires.0,
                floor: prekey.floor,
            }),
            last_resort: self.last_resort.map(|prekey| SignedPreKeyStatus {
                id: prekey.id,
                expires: prekey.expires.0,
                floor: prekey.floor,
            }),
            one_time: self.x25519.left(),
            one_time_kem: self.kem.left(),
            low_water: self.is_low(low_water_mark),
            low_water_mark,
            next_batch: self.next_batch,
            next_id: self.next_id,
            batches: self.x25519.status(),
            kem_batches: self.kem.status(),
            digest: None,
        }
    }

    /// The digest by which the owner checks what is here. Call [`Self::drop_dead`] first.
    #[must_use]
    pub fn digest(&self, origin: &str, device: &DeviceName) -> Digest {
        let signed_prekey = self.signed_prekey.map(|prekey| prekey.encode());
        let batches = self.x25519.contents(KeyType::X25519).chain(self.kem.contents(KeyType::MlKem768));
        let state = PoolState {
            next_batch: self.next_batch,
            next_id: self.next_id,
            signed_prekey: encoding_hash(signed_prekey.as_deref()),
            last_resort: self.last_resort.map_or_else(|| encoding_hash(None), |prekey| prekey.hash),
            batches: batches.collect(),
        };
        state.digest(origin, &device.label, device.device)
    }
}

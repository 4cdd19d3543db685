//! What a device uploads: a signed prekey, batches of one-time prekeys, or both.

use keyglass_account::{
    api::{Base64, PreKeyStatus, UploadPreKeys},
    pool::encoding_hash,
    prekey::{
        BatchHeader, KemPreKeyBatch, KeyType, LastResortPreKey, PreKeyBatch, PreKeyError, SignedPreKey,
    },
};
use keyglass_tlog::time::UnixMillis;
use thiserror::Error;

use super::{
    Service,
    pool::{LastResort, LiveBatch, Place, Pool},
    store::{Expiring, Write},
};
use crate::{
    store::StoreError,
    tokens::{Caller, DeviceName},
};

/// Why an upload is refused. Nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UploadError {
    /// A prekey is malformed, not the device's, or expired.
    #[error(transparent)]
    PreKey(#[from] PreKeyError),
    /// A prekey lives longer than the server allows, or was made in the future.
    #[error("a prekey lives longer than allowed, or was made in the future")]
    Lifetime,
    /// The first upload of a device needs a signed prekey.
    #[error("the device has no signed prekey yet")]
    NoSignedPreKey,
    /// KEM batches need a last-resort KEM prekey that has not expired.
    #[error("the device has no valid last-resort KEM prekey here")]
    NoLastResort,
    /// The signed prekey's id is not above the one before.
    #[error("the signed prekey's id {id} is not above {used}, which was used")]
    SignedPreKeyIdReused {
        /// The id.
        id: u32,
        /// The greatest that was used.
        used: u32,
    },
    /// The floor is below the one before.
    #[error("the floor {floor} is below {before}, the one before")]
    FloorLowered {
        /// The new floor.
        floor: u32,
        /// The floor before.
        before: u32,
    },
    /// The batch's number was used, with other contents, or is the last there is.
    #[error("the batch number {0} was used before")]
    BatchReused(u32),
    /// A one-time prekey's id was used, or is the last there is.
    #[error("the one-time prekey id {0} was used before")]
    IdReused(u32),
    /// The batch lies below the floor.
    #[error("the batch {batch} lies below the floor {floor}")]
    BelowFloor {
        /// The batch.
        batch: u32,
        /// The floor.
        floor: u32,
    },
    /// More keys or batches than the server keeps for a device.
    #[error("the pool would hold more than the server keeps")]
    PoolFull,
    /// The device uploads too often.
    #[error("the device has uploaded too many prekeys")]
    Quota,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl UploadError {
    /// The name in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::PreKey(PreKeyError::Expired | PreKeyError::BatchExpired) => "expired",
            Self::PreKey(
                PreKeyError::BadSignature | PreKeyError::BadBatchSignature | PreKeyError::WrongDevice { .. },
            ) => "signature",
            Self::PreKey(_) => "malformed",
            Self::Lifetime => "lifetime",
            Self::NoSignedPreKey => "no_signed_prekey",
            Self::NoLastResort => "no_last_resort",
            Self::SignedPreKeyIdReused { .. } | Self::BatchReused(_) | Self::IdReused(_) => "id_reused",
            Self::FloorLowered { .. } => "floor_lowered",
            Self::BelowFloor { .. } => "below_floor",
            Self::PoolFull => "pool_full",
            Self::Quota => "quota",
            Self::Store(_) => "store",
        }
    }
}

/// What of an upload the server does not have yet.
#[derive(Debug, Default)]
struct New {
    /// Prekeys and batches.
    count: u64,
    writes: Vec<Write>,
}

/// A signed key of an upload.
enum Signed {
    PreKey(SignedPreKey),
    LastResort(LastResortPreKey),
}

impl Signed {
    fn id(&self) -> u32 {
        match self {
            Self::PreKey(prekey) => prekey.id,
            Self::LastResort(prekey) => prekey.id,
        }
    }
}

/// A batch of an upload.
enum AnyBatch {
    X25519(PreKeyBatch),
    Kem(KemPreKeyBatch),
}

impl AnyBatch {
    fn header(&self) -> &BatchHeader {
        match self {
            Self::X25519(batch) => batch.header(),
            Self::Kem(batch) => batch.header(),
        }
    }

    /// The first and the last id.
    fn ids(&self) -> Option<(u32, u32)> {
        match self {
            Self::X25519(batch) => Some((batch.prekeys().first()?.id, batch.prekeys().last()?.id)),
            Self::Kem(batch) => Some((batch.prekeys().first()?.id, batch.prekeys().last()?.id)),
        }
    }

    fn write(&self, device: &DeviceName) -> Write {
        let number = self.header().batch;
        match self {
            Self::X25519(batch) => Write::Batch(device.clone(), number, batch.encode()),
            Self::Kem(batch) => {
                let entries = batch.entries().map(|entry| entry.encode());
                Write::KemBatch(device.clone(), number, entries.collect())
            }
        }
    }
}

/// An upload whose signatures hold.
struct Checked {
    /// In the order of their ids.
    signed: Vec<Signed>,
    /// Those of each type in their order, those of both in the order of their numbers.
    batches: Vec<AnyBatch>,
}

impl Service {
    /// Takes what the device uploads, all of it or nothing. Uploading the same again changes nothing. It may block.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn upload(&self, caller: &Caller, upload: &UploadPreKeys) -> Result<PreKeyStatus, UploadError> {
        let result = self.take(caller, upload);
        self.meters.upload(result.as_ref().map(|_| ()));
        result
    }

    fn take(&self, caller: &Caller, upload: &UploadPreKeys) -> Result<PreKeyStatus, UploadError> {
        let now = self.now();
        let checked = self.check(caller, upload, now)?;
        let _one_at_a_time = self.stripes.lock(&caller.name);
        let mut pool = self.pool(&caller.name)?;
        let mut dead = pool.drop_dead(now);
        let mut new = New::default();
        for signed in &checked.signed {
            replace_signed(&mut pool, &caller.name, signed, &mut new)?;
        }
        dead.append(&mut pool.drop_dead(now));
        if pool.signed_prekey.is_none() {
            return Err(UploadError::NoSignedPreKey);
        }
        for batch in &checked.batches {
            self.add_batch(&mut pool, &caller.name, batch, now, &mut new)?;
        }
        if new.count > 0 {
            let retire =
                |(key_type, batch): &(KeyType, LiveBatch)| self.retire(*key_type, &caller.name, batch, now);
            new.writes.extend(dead.iter().flat_map(retire));
            self.commit_upload(&caller.name, &pool, new, now)?;
        }
        self.told(&caller.name, &pool)
    }

    /// What the server holds for a device. It may block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn status(&self, device: &DeviceName) -> Result<PreKeyStatus, StoreError> {
        let mut pool = self.pool(device)?;
        drop(pool.drop_dead(self.now()));
        self.told(device, &pool)
    }

    /// A pool without dead batches, as its owner is told.
    fn told<E: From<StoreError>>(&self, device: &DeviceName, pool: &Pool) -> Result<PreKeyStatus, E> {
        let digest = Base64::new(pool.digest(&self.origin, device).to_vec());
        let digest = digest.map_err(|_| StoreError::Corrupt("a digest"))?;
        Ok(PreKeyStatus { digest: Some(digest), ..pool.status(self.settings.low_water_mark) })
    }

    /// Decodes and verifies everything that needs no pool.
    fn check(
        &self,
        caller: &Caller,
        upload: &UploadPreKeys,
        now: UnixMillis,
    ) -> Result<Checked, UploadError> {
        let latest = now.saturating_add(self.settings.max_lifetime);
        let newest = now.saturating_add(self.settings.max_skew);
        let (origin, label, device) = (&self.origin, &caller.name.label, &caller.device);
        let mut signed = Vec::new();
        if let Some(encoded) = &upload.signed_prekey {
            let prekey = SignedPreKey::decode(encoded.as_bytes())?;
            prekey.verify(origin, label, device, now)?;
            if prekey.created > newest || prekey.expires > latest {
                return Err(UploadError::Lifetime);
            }
            signed.push(Signed::PreKey(prekey));
        }
        if let Some(encoded) = &upload.last_resort {
            let prekey = LastResortPreKey::decode(encoded.as_bytes())?;
            prekey.verify(origin, label, device, now)?;
            if prekey.created > newest || prekey.expires > latest {
                return Err(UploadError::Lifetime);
            }
            signed.push(Signed::LastResort(prekey));
        }
        signed.sort_by_key(Signed::id);
        let (mut x25519, mut kem) = (Vec::new(), Vec::new());
        for encoded in &upload.batches {
            x25519.push(AnyBatch::X25519(PreKeyBatch::decode(encoded.as_bytes())?));
        }
        for encoded in &upload.kem_batches {
            kem.push(AnyBatch::Kem(KemPreKeyBatch::decode(encoded.as_bytes())?));
        }
        for batch in x25519.iter().chain(&kem) {
            batch.header().verify(origin, label, device, now)?;
            if batch.header().expires > latest {
                return Err(UploadError::Lifetime);
            }
        }
        Ok(Checked { signed, batches: merged(x25519, kem) })
    }

    fn add_batch(
        &self,
        pool: &mut Pool,
        device: &DeviceName,
        batch: &AnyBatch,
        now: UnixMillis,
        new: &mut New,
    ) -> Result<(), UploadError> {
        let header = batch.header();
        let number = header.batch;
        if number < pool.next_batch {
            // The answer to an earlier upload may have been lost.
            return if self.holds(device, batch)? { Ok(()) } else { Err(UploadError::BatchReused(number)) };
        }
        let floor = pool.floor();
        if number < floor {
            return Err(UploadError::BelowFloor { batch: number, floor });
        }
        let (first, last) = batch.ids().ok_or(PreKeyError::BatchSize(0))?;
        if first < pool.next_id {
            return Err(UploadError::IdReused(first));
        }
        if header.key_type == KeyType::MlKem768 && pool.last_resort.is_none_or(|prekey| prekey.expires <= now)
        {
            return Err(UploadError::NoLastResort);
        }
        let batches = pool.x25519.batches.len().saturating_add(pool.kem.batches.len());
        let max_pool = match header.key_type {
            KeyType::X25519 => self.settings.max_pool,
            KeyType::MlKem768 => self.settings.max_kem_pool,
        };
        let next_batch = number.checked_add(1).ok_or(UploadError::BatchReused(number))?;
        let next_id = last.checked_add(1).ok_or(UploadError::IdReused(last))?;
        let stock = pool.stock_mut(header.key_type);
        let left = stock.left().saturating_add(u32::from(header.leaf_count));
        if left > max_pool || batches >= self.settings.max_batches {
            return Err(UploadError::PoolFull);
        }
        stock.stocked = left;
        stock.batches.push(LiveBatch {
            batch: number,
            leaf_count: header.leaf_count,
            handed_out: 0,
            expires: header.expires,
            root: header.root,
            answered: UnixMillis(0),
        });
        (pool.next_batch, pool.next_id) = (next_batch, next_id);
        // An answer may refer to the batch for as long as the signed prekey lives that it was handed out with, and
        // that one was uploaded before the batch expired.
        let unneeded = header.expires.saturating_add(self.settings.max_lifetime);
        new.count = new.count.saturating_add(1);
        new.writes.push(batch.write(device));
        new.writes.push(Write::Schedule(unneeded, Expiring::batch(header.key_type, device, number)));
        Ok(())
    }

    /// Whether this very batch is in the store.
    fn holds(&self, device: &DeviceName, batch: &AnyBatch) -> Result<bool, StoreError> {
        let number = batch.header().batch;
        match batch {
            AnyBatch::X25519(batch) => {
                Ok(self.store.batch(device, number)?.is_some_and(|stored| stored == batch.encode()))
            }
            AnyBatch::Kem(batch) => {
                let stored = self.store.kem_entry(device, Place { batch: number, index: 0 })?;
                Ok(stored.is_some() && stored == batch.entry(0).map(|entry| entry.encode()))
            }
        }
    }

    fn commit_upload(
        &self,
        device: &DeviceName,
        pool: &Pool,
        New { count, mut writes }: New,
        now: UnixMillis,
    ) -> Result<(), UploadError> {
        let name = device.to_key();
        let taken = (0..count)
            .take_while(|_| self.uploaders.take(&name, now))
            .fold(0_u64, |n, _| n.saturating_add(1));
        if taken < count {
            self.uploaders.give_back(&name, taken);
            return Err(UploadError::Quota);
        }
        writes.push(Write::Pool(device.clone(), Box::new(pool.clone())));
        self.store.commit(&writes).map_err(|error| {
            self.uploaders.give_back(&name, taken);
            error.into()
        })
    }
}

/// Two sequences as one: whenever both have a next batch, the one with the lower number comes first.
fn merged(first: Vec<AnyBatch>, second: Vec<AnyBatch>) -> Vec<AnyBatch> {
    let mut merged = Vec::with_capacity(first.len().saturating_add(second.len()));
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    loop {
        let is_second = match (first.peek(), second.peek()) {
            (Some(a), Some(b)) => b.header().batch < a.header().batch,
            (a, _) => a.is_none(),
        };
        match if is_second { second.next() } else { first.next() } {
            Some(batch) => merged.push(batch),
            None => return merged,
        }
    }
}

fn replace_signed(
    pool: &mut Pool,
    device: &DeviceName,
    signed: &Signed,
    new: &mut New,
) -> Result<(), UploadError> {
    let (floor, expires) = match signed {
        Signed::PreKey(prekey) if pool.signed_prekey.as_ref() == Some(prekey) => return Ok(()),
        Signed::PreKey(prekey) => (prekey.floor, prekey.expires),
        Signed::LastResort(prekey) => {
            if pool.last_resort.is_some_and(|before| before.hash == encoding_hash(Some(&prekey.encode()))) {
                return Ok(());
            }
            (prekey.floor, prekey.expires)
        }
    };
    let id = signed.id();
    if let Some(used) = pool.greatest_signed_id().filter(|used| id <= *used) {
        return Err(UploadError::SignedPreKeyIdReused { id, used });
    }
    let before = pool.floor();
    if floor < before {
        return Err(UploadError::FloorLowered { floor, before });
    }
    new.count = new.count.saturating_add(1);
    let expiring = match signed {
        Signed::PreKey(prekey) => {
            pool.signed_prekey = Some(*prekey);
            new.writes.push(Write::SignedPreKey(device.clone(), id, prekey.encode()));
            Expiring::SignedPreKey(device.clone(), id)
        }
        Signed::LastResort(prekey) => {
            let encoded = prekey.encode();
            pool.last_resort = Some(LastResort { id, expires, floor, hash: encoding_hash(Some(&encoded)) });
            new.writes.push(Write::LastResort(device.clone(), id, encoded));
            Expiring::LastResort(device.clone(), id)
        }
    };
    new.writes.push(Write::Schedule(expires, expiring));
    Ok(())
}

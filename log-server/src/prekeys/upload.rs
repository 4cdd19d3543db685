//! What a device uploads: a signed prekey, batches of one-time prekeys, or both.

use keyglass_account::{
    api::{PreKeyStatus, UploadPreKeys},
    prekey::{PreKeyBatch, PreKeyError, SignedPreKey},
};
use keyglass_tlog::time::UnixMillis;
use thiserror::Error;

use super::{
    Service,
    pool::{LiveBatch, Pool},
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

/// An upload whose signatures hold.
struct Checked {
    signed_prekey: Option<SignedPreKey>,
    batches: Vec<PreKeyBatch>,
}

impl Service {
    /// Takes what the device uploads, all of it or nothing. Uploading the same again changes nothing. It may block.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn upload(&self, caller: &Caller, upload: &UploadPreKeys) -> Result<PreKeyStatus, UploadError> {
        let now = self.now();
        let checked = self.check(caller, upload, now)?;
        let _one_at_a_time = self.stripes.lock(&caller.name);
        let mut pool = self.pool(&caller.name)?;
        pool.drop_dead(now);
        let mut writes = Vec::new();
        if let Some(prekey) = checked.signed_prekey {
            replace_signed_prekey(&mut pool, &caller.name, prekey, &mut writes)?;
            pool.drop_dead(now);
        }
        let Some(signed_prekey) = pool.signed_prekey else {
            return Err(UploadError::NoSignedPreKey);
        };
        for batch in &checked.batches {
            self.add_batch(&mut pool, &caller.name, signed_prekey.floor, batch, &mut writes)?;
        }
        if !writes.is_empty() {
            self.commit_upload(&caller.name, &pool, writes, now)?;
        }
        Ok(pool.status(self.settings.low_water_mark))
    }

    /// What the server holds for a device. It may block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn status(&self, device: &DeviceName) -> Result<PreKeyStatus, StoreError> {
        let mut pool = self.pool(device)?;
        pool.drop_dead(self.now());
        Ok(pool.status(self.settings.low_water_mark))
    }

    /// Decodes and verifies everything that needs no pool.
    fn check(
        &self,
        caller: &Caller,
        upload: &UploadPreKeys,
        now: UnixMillis,
    ) -> Result<Checked, UploadError> {
        let latest = now.saturating_add(self.settings.max_lifetime);
        let label = &caller.name.label;
        let signed_prekey = match &upload.signed_prekey {
            None => None,
            Some(encoded) => {
                let prekey = SignedPreKey::decode(encoded.as_bytes())?;
                prekey.verify(&self.origin, label, &caller.device, now)?;
                if prekey.created > now.saturating_add(self.settings.max_skew) || prekey.expires > latest {
                    return Err(UploadError::Lifetime);
                }
                Some(prekey)
            }
        };
        let mut batches = Vec::new();
        for encoded in &upload.batches {
            let batch = PreKeyBatch::decode(encoded.as_bytes())?;
            batch.header().verify(&self.origin, label, &caller.device, now)?;
            if batch.header().expires > latest {
                return Err(UploadError::Lifetime);
            }
            batches.push(batch);
        }
        Ok(Checked { signed_prekey, batches })
    }

    fn add_batch(
        &self,
        pool: &mut Pool,
        device: &DeviceName,
        floor: u32,
        batch: &PreKeyBatch,
        writes: &mut Vec<Write>,
    ) -> Result<(), UploadError> {
        let header = batch.header();
        let number = header.batch;
        let encoded = batch.encode();
        if number < pool.next_batch {
            // The answer to an earlier upload may have been lost.
            let same = self.store.batch(device, number)?.is_some_and(|stored| stored == encoded);
            return if same { Ok(()) } else { Err(UploadError::BatchReused(number)) };
        }
        if number < floor {
            return Err(UploadError::BelowFloor { batch: number, floor });
        }
        let (Some(first), Some(last)) = (batch.prekeys().first(), batch.prekeys().last()) else {
            return Err(PreKeyError::BatchSize(0).into());
        };
        if first.id < pool.next_id {
            return Err(UploadError::IdReused(first.id));
        }
        let left = pool.left().saturating_add(u32::from(header.leaf_count));
        if left > self.settings.max_pool || pool.batches.len() >= self.settings.max_batches {
            return Err(UploadError::PoolFull);
        }
        pool.next_batch = number.checked_add(1).ok_or(UploadError::BatchReused(number))?;
        pool.next_id = last.id.checked_add(1).ok_or(UploadError::IdReused(last.id))?;
        pool.batches.push(LiveBatch {
            batch: number,
            leaf_count: header.leaf_count,
            handed_out: 0,
            expires: header.expires,
        });
        // An answer may refer to the batch for as long as the signed prekey lives that it was handed out with, and
        // that one was uploaded before the batch expired.
        let unneeded = header.expires.saturating_add(self.settings.max_lifetime);
        writes.push(Write::Batch(device.clone(), number, encoded));
        writes.push(Write::Schedule(unneeded, Expiring::Batch(device.clone(), number)));
        Ok(())
    }

    fn commit_upload(
        &self,
        device: &DeviceName,
        pool: &Pool,
        mut writes: Vec<Write>,
        now: UnixMillis,
    ) -> Result<(), UploadError> {
        // Each new prekey or batch made two writes.
        let count = writes.len() / 2;
        let taken = (0..count).take_while(|_| self.quotas.take_upload(device, now)).count();
        if taken < count {
            self.quotas.give_uploads_back(device, taken);
            return Err(UploadError::Quota);
        }
        writes.push(Write::Pool(device.clone(), pool.clone()));
        self.store.commit(&writes).map_err(|error| {
            self.quotas.give_uploads_back(device, taken);
            error.into()
        })
    }
}

fn replace_signed_prekey(
    pool: &mut Pool,
    device: &DeviceName,
    prekey: SignedPreKey,
    writes: &mut Vec<Write>,
) -> Result<(), UploadError> {
    if let Some(before) = &pool.signed_prekey {
        if *before == prekey {
            return Ok(());
        }
        if prekey.id <= before.id {
            return Err(UploadError::SignedPreKeyIdReused { id: prekey.id, used: before.id });
        }
        if prekey.floor < before.floor {
            return Err(UploadError::FloorLowered { floor: prekey.floor, before: before.floor });
        }
    }
    pool.signed_prekey = Some(prekey);
    writes.push(Write::SignedPreKey(device.clone(), prekey.id, prekey.encode()));
    writes.push(Write::Schedule(prekey.expires, Expiring::SignedPreKey(device.clone(), prekey.id)));
    Ok(())
}

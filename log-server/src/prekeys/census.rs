//! Looking through all pools, some at a time: how full they are, and whose device is gone.
//!
//! A device that leaves its account does not come back: ids are never used again. Its pool is deleted all the same only
//! after a while, since a record may be missing for a time, when the version that holds it was erased.

use std::sync::PoisonError;

use keyglass_account::prekey::KeyType;

use super::{
    Service,
    meters::Levels,
    pool::Pool,
    store::{Expiring, Write},
};
use crate::{store::StoreError, tokens::DeviceName};

/// How far a pass has come.
#[derive(Debug, Default)]
pub(super) struct Census {
    after: Option<DeviceName>,
    levels: Levels,
    /// Of the pass before.
    last: Option<Levels>,
}

impl Service {
    /// Looks at the next `limit` pools. Says how full all pools were if that ended a pass. It may block.
    ///
    /// # Errors
    /// [`StoreError`]; the next call goes on where this one was.
    pub fn census(&self, limit: usize) -> Result<Option<Levels>, StoreError> {
        let mut census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.store.pools(census.after.as_ref(), limit)?;
        let ended = names.len() < limit;
        for name in names {
            self.look(&name, &mut census.levels)?;
            census.after = Some(name);
        }
        if !ended {
            return Ok(None);
        }
        let levels = core::mem::take(&mut census.levels);
        (census.after, census.last) = (None, Some(levels));
        self.meters.observe(levels);
        Ok(Some(levels))
    }

    fn look(&self, device: &DeviceName, levels: &mut Levels) -> Result<(), StoreError> {
        let Some(mut pool) = self.store.pool(device)? else { return Ok(()) };
        let now = self.now();
        if self.accounts.device(&device.label, device.device)?.is_none() {
            levels.absent = levels.absent.saturating_add(1);
            return self.absent(device);
        }
        if pool.absent_since.is_some() {
            self.change(device, |pool| pool.absent_since = None)?;
        }
        drop(pool.drop_dead(now));
        if pool.signed_prekey.is_none_or(|prekey| prekey.expires <= now) {
            levels.expired = levels.expired.saturating_add(1);
            return Ok(());
        }
        let is_empty = pool.x25519.left() == 0 || (pool.has_kem() && pool.kem.left() == 0);
        levels.live = levels.live.saturating_add(1);
        levels.low = levels.low.saturating_add(u64::from(pool.is_low(self.settings.low_water_mark)));
        levels.empty = levels.empty.saturating_add(u64::from(is_empty));
        Ok(())
    }

    /// Notes that a device is gone, or deletes its pool once it has been gone for long enough.
    fn absent(&self, device: &DeviceName) -> Result<(), StoreError> {
        let now = self.now();
        let _one_at_a_time = self.stripes.lock(device);
        let Some(mut pool) = self.store.pool(device)? else { return Ok(()) };
        match pool.absent_since {
            Some(since) if now < since.saturating_add(self.settings.removed_grace) => Ok(()),
            Some(_) => {
                // Signed and last-resort prekeys and answers go when they expire.
                let x25519 = pool.x25519.batches.iter().map(|batch| (KeyType::X25519, batch.batch));
                let kem = pool.kem.batches.iter().map(|batch| (KeyType::MlKem768, batch.batch));
                let batches =
                    x25519.chain(kem).map(|(key_type, batch)| Expiring::batch(key_type, device, batch));
                let mut writes: Vec<Write> = batches.map(Write::Delete).collect();
                writes.push(Write::DeletePool(device.clone()));
                self.store.commit(&writes)?;
                self.meters.remove();
                Ok(())
            }
            None => {
                pool.absent_since = Some(now);
                self.store.commit(&[Write::Pool(device.clone(), Box::new(pool))])
            }
        }
    }

    fn change(&self, device: &DeviceName, change: impl FnOnce(&mut Pool)) -> Result<(), StoreError> {
        let _one_at_a_time = self.stripes.lock(device);
        let Some(mut pool) = self.store.pool(device)? else { return Ok(()) };
        change(&mut pool);
        self.store.commit(&[Write::Pool(device.clone(), Box::new(pool))])
    }
}

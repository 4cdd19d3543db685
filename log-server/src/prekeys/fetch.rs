//! Handing out bundles.

use std::sync::{PoisonError, atomic::Ordering};

use keyglass_account::{
    prekey::{OneTimeEntry, PreKeyBundle, SignedPreKey},
    time::UnixMillis,
};
use thiserror::Error;

use super::{
    Service,
    pool::{Place, Pool},
    store::{Answer, Expiring, RequestKey, Write},
};
use crate::{store::StoreError, tokens::DeviceName};

/// Why there is no bundle. Nothing was handed out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FetchError {
    /// No published record names the device.
    #[error("no published record names this device")]
    UnknownDevice,
    /// The device has left no signed prekey, or only one that has expired.
    #[error("the device has no valid signed prekey here")]
    NoSignedPreKey,
    /// The requester's quota is used up.
    #[error("the requester has fetched too many bundles")]
    RequesterQuota,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Service {
    /// A bundle of `target` for `requester`. The same request id gives the same bundle. It may block.
    ///
    /// # Errors
    /// [`FetchError`]. After [`FetchError::Store`] the same request id gives what was handed out, if anything was.
    pub fn fetch(
        &self,
        requester: &DeviceName,
        target: &DeviceName,
        request_id: &[u8; 16],
    ) -> Result<PreKeyBundle, FetchError> {
        if self.accounts.device(&target.label, target.device)?.is_none() {
            return Err(FetchError::UnknownDevice);
        }
        let request = RequestKey::new(requester, target, request_id);
        let _not_pruning = self.pruning.read().unwrap_or_else(PoisonError::into_inner);
        let _one_at_a_time = self.stripes.lock(target);
        let now = self.now();
        if let Some(answer) = self.store.answer(&request)?.filter(|answer| answer.expires > now) {
            let bundle = self.repeat(target, &answer)?;
            self.counts.repeated.fetch_add(1, Ordering::Relaxed);
            return Ok(bundle);
        }
        let mut pool = self.pool(target)?;
        pool.drop_dead(now);
        let signed_prekey =
            pool.signed_prekey.filter(|prekey| prekey.expires > now).ok_or(FetchError::NoSignedPreKey)?;
        if !self.quotas.take_bundle(requester, now) {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return Err(FetchError::RequesterQuota);
        }
        self.hand_out(requester, target, request, pool, signed_prekey, now)
            .inspect_err(|_| self.quotas.give_bundle_back(requester))
    }

    /// Makes a new bundle and remembers for whom, durably, before anybody sees it.
    fn hand_out(
        &self,
        requester: &DeviceName,
        target: &DeviceName,
        request: RequestKey,
        mut pool: Pool,
        signed_prekey: SignedPreKey,
        now: UnixMillis,
    ) -> Result<PreKeyBundle, FetchError> {
        let is_empty = pool.left() == 0;
        let granted = !is_empty && self.quotas.take_one_time(requester, target, now);
        let place = if granted { pool.pop() } else { None };
        let made = || -> Result<PreKeyBundle, FetchError> {
            let one_time = place.map(|place| self.entry(target, place)).transpose()?;
            let answer =
                Answer { signed_prekey: signed_prekey.id, one_time: place, expires: signed_prekey.expires };
            let mut writes = vec![
                Write::Answer(request, answer),
                Write::Schedule(answer.expires, Expiring::Answer(request)),
            ];
            if place.is_some() {
                writes.push(Write::Pool(target.clone(), pool));
            }
            self.store.commit(&writes)?;
            Ok(PreKeyBundle { signed_prekey, one_time, kem: None })
        };
        let bundle = made().inspect_err(|_| {
            if granted {
                self.quotas.give_one_time_back(requester, target);
            }
        })?;
        let counter = match (is_empty, granted) {
            (true, _) => &self.counts.pool_empty,
            (false, true) => &self.counts.with_one_time,
            (false, false) => &self.counts.one_time_withheld,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(bundle)
    }

    /// The bundle that an earlier request got.
    fn repeat(&self, target: &DeviceName, answer: &Answer) -> Result<PreKeyBundle, StoreError> {
        let corrupt = StoreError::Corrupt("a signed prekey");
        let encoded = self.store.signed_prekey(target, answer.signed_prekey)?.ok_or(corrupt.clone())?;
        let signed_prekey = SignedPreKey::decode(&encoded).map_err(|_| corrupt)?;
        let one_time = answer.one_time.map(|place| self.entry(target, place)).transpose()?;
        Ok(PreKeyBundle { signed_prekey, one_time, kem: None })
    }

    /// A one-time prekey with its path.
    fn entry(&self, device: &DeviceName, place: Place) -> Result<OneTimeEntry, StoreError> {
        let corrupt = StoreError::Corrupt("a batch of one-time prekeys");
        let encoded = self.store.batch(device, place.batch)?.ok_or(corrupt.clone())?;
        OneTimeEntry::from_batch(&encoded, place.index).ok().flatten().ok_or(corrupt)
    }
}

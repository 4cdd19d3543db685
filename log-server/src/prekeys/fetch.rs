//! Handing out bundles.

use std::{collections::BTreeMap, sync::PoisonError};

use keyglass_account::{
    prekey::{KemEntry, KemPreKey, KeyType, LastResortPreKey, OneTimeEntry, PreKeyBundle, SignedPreKey},
    time::UnixMillis,
};
use thiserror::Error;

use super::{
    Service,
    meters::KemKind,
    pool::{LiveBatch, Place},
    reserve::{Grant, PairKey},
    store::{Answer, Expiring, RequestKey, Write},
};
use crate::{store::StoreError, tokens::DeviceName};

/// Bundles that are handed out in one commit at most.
const STEP: usize = 16;

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

/// A bundle that is handed out once its writes are durable.
struct Staged {
    bundle: PreKeyBundle,
    new: Option<New>,
}

/// What makes a bundle a new one.
struct New {
    writes: Vec<Write>,
    grant: Grant,
    kem: KemKind,
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
        let results = self.fetch_all(requester, core::slice::from_ref(target), request_id);
        results.into_iter().next().unwrap_or(Err(FetchError::UnknownDevice))
    }

    /// A bundle of each of the targets, in their order, as [`Self::fetch`] gives it. Several are made durable at a time.
    pub fn fetch_all(
        &self,
        requester: &DeviceName,
        targets: &[DeviceName],
        request_id: &[u8; 16],
    ) -> Vec<Result<PreKeyBundle, FetchError>> {
        let mut known: BTreeMap<&DeviceName, Result<PreKeyBundle, FetchError>> = BTreeMap::new();
        let mut results = Vec::with_capacity(targets.len());
        for step in targets.chunks(STEP) {
            let mut new: Vec<&DeviceName> =
                step.iter().filter(|target| !known.contains_key(target)).collect();
            new.sort_unstable();
            new.dedup();
            let fetched = self.fetch_some(requester, &new, request_id);
            known.extend(new.into_iter().zip(fetched));
            let unknown = || Err(FetchError::UnknownDevice);
            results.extend(step.iter().map(|target| known.get(target).cloned().unwrap_or_else(unknown)));
        }
        results
    }

    /// The bundles of different targets, in one commit.
    fn fetch_some(
        &self,
        requester: &DeviceName,
        targets: &[&DeviceName],
        request_id: &[u8; 16],
    ) -> Vec<Result<PreKeyBundle, FetchError>> {
        let _not_pruning = self.pruning.read().unwrap_or_else(PoisonError::into_inner);
        let _one_at_a_time = self.stripes.lock_all(targets.iter().copied());
        let now = self.now();
        let mut staged: Vec<Result<Staged, FetchError>> =
            targets.iter().map(|target| self.stage(requester, target, request_id, now)).collect();
        let made = |staged: &mut Result<Staged, FetchError>| {
            staged.as_mut().ok().and_then(|staged| staged.new.take())
        };
        let new: Vec<Option<New>> = staged.iter_mut().map(made).collect();
        let writes: Vec<Write> = new.iter().flatten().flat_map(|new| &new.writes).cloned().collect();
        let committed = if writes.is_empty() { Ok(()) } else { self.store.commit(&writes) };
        let count = new.iter().flatten().count();
        if committed.is_err() {
            self.requesters.give_back(&requester.label, u64::try_from(count).unwrap_or(u64::MAX));
        }
        let results = staged.into_iter().zip(new).map(|(staged, new)| match (staged, new, &committed) {
            (Err(error), _, _) => Err(error),
            (Ok(_), Some(_), Err(error)) => Err(error.clone().into()),
            (Ok(staged), Some(new), Ok(())) => {
                self.meters.bundle(new.grant, new.kem);
                Ok(staged.bundle)
            }
            (Ok(staged), None, _) => {
                self.meters.repeat();
                Ok(staged.bundle)
            }
        });
        let refused = |result: &Result<_, _>| {
            if let Err(error) = result {
                self.meters.refuse(error);
            }
        };
        results.inspect(refused).collect()
    }

    /// Makes a bundle, or finds the one that an earlier request got. Nothing is written yet.
    fn stage(
        &self,
        requester: &DeviceName,
        target: &DeviceName,
        request_id: &[u8; 16],
        now: UnixMillis,
    ) -> Result<Staged, FetchError> {
        if self.accounts.device(&target.label, target.device)?.is_none() {
            return Err(FetchError::UnknownDevice);
        }
        let request = RequestKey::new(requester, target, request_id);
        if let Some(answer) = self.store.answer(&request)?.filter(|answer| answer.expires > now) {
            return Ok(Staged { bundle: self.repeat(target, &answer)?, new: None });
        }
        let signed_prekey = self.pool(target)?.signed_prekey.filter(|prekey| prekey.expires > now);
        let signed_prekey = signed_prekey.ok_or(FetchError::NoSignedPreKey)?;
        if !self.requesters.take(&requester.label, now) {
            return Err(FetchError::RequesterQuota);
        }
        self.stage_new(requester, target, request, signed_prekey, now)
            .inspect_err(|_| self.requesters.give_back(&requester.label, 1))
    }

    fn stage_new(
        &self,
        requester: &DeviceName,
        target: &DeviceName,
        request: RequestKey,
        signed_prekey: SignedPreKey,
        now: UnixMillis,
    ) -> Result<Staged, FetchError> {
        let mut pool = self.pool(target)?;
        let mut retired = pool.drop_dead(now);
        let mut writes = Vec::new();
        let pair = PairKey::new(requester, target);
        let before = self.store.pair(&pair)?;
        let decision = self.decide(requester, target, &mut pool, before.as_ref(), now)?;
        let expires = signed_prekey.expires;
        let mut pop = |key_type, is_taken: bool| {
            let (place, last) = is_taken.then(|| pool.stock_mut(key_type).pop(expires)).flatten()?;
            retired.extend(last.map(|last| (key_type, last)));
            Some(place)
        };
        let one_time = pop(KeyType::X25519, decision.x25519);
        let kem = pop(KeyType::MlKem768, decision.kem);
        let last_resort = pool.last_resort.filter(|prekey| kem.is_none() && prekey.expires > now);
        // An answer names the keys, so that it can be given again for as long as all of them may be used.
        let expires = last_resort.map_or(expires, |prekey| expires.min(prekey.expires));
        let last_resort = last_resort.map(|prekey| prekey.id);
        let answer = Answer { signed_prekey: signed_prekey.id, one_time, kem, last_resort, expires };
        let bundle = self.bundle(target, signed_prekey, &answer)?;
        if one_time.is_some() || kem.is_some() || !retired.is_empty() {
            writes.extend(
                retired.iter().flat_map(|(key_type, batch)| self.retire(*key_type, target, batch, now)),
            );
            writes.push(Write::Pool(target.clone(), Box::new(pool)));
        }
        if let Some(state) = decision.pair {
            writes.extend(before.map(|before| Write::Unschedule(before.expires, Expiring::Pair(pair))));
            writes.push(Write::Pair(pair, state));
            writes.push(Write::Schedule(state.expires, Expiring::Pair(pair)));
        }
        writes.push(Write::Answer(request, answer));
        writes.push(Write::Schedule(expires, Expiring::Answer(request)));
        let kem = match &bundle.kem {
            Some(KemPreKey::OneTime(_)) => KemKind::OneTime,
            Some(KemPreKey::LastResort(_)) => KemKind::LastResort,
            None => KemKind::None,
        };
        Ok(Staged { bundle, new: Some(New { writes, grant: decision.grant, kem }) })
    }

    /// A batch of which nothing is handed out any more stays only as long as answers refer to it.
    pub(super) fn retire(
        &self,
        key_type: KeyType,
        device: &DeviceName,
        batch: &LiveBatch,
        now: UnixMillis,
    ) -> [Write; 2] {
        let what = Expiring::batch(key_type, device, batch.batch);
        let planned = batch.expires.saturating_add(self.settings.max_lifetime);
        let unneeded = batch.answered.max(now);
        [Write::Unschedule(planned, what.clone()), Write::Schedule(unneeded, what)]
    }

    /// The bundle that an earlier request got.
    fn repeat(&self, target: &DeviceName, answer: &Answer) -> Result<PreKeyBundle, StoreError> {
        let corrupt = StoreError::Corrupt("a signed prekey");
        let encoded = self.store.signed_prekey(target, answer.signed_prekey)?.ok_or(corrupt.clone())?;
        let signed_prekey = SignedPreKey::decode(&encoded).map_err(|_| corrupt)?;
        self.bundle(target, signed_prekey, answer)
    }

    /// The bundle that an answer describes.
    fn bundle(
        &self,
        target: &DeviceName,
        signed_prekey: SignedPreKey,
        answer: &Answer,
    ) -> Result<PreKeyBundle, StoreError> {
        let one_time = answer.one_time.map(|place| self.entry(target, place)).transpose()?;
        let kem = match (answer.kem, answer.last_resort) {
            (Some(place), _) => Some(KemPreKey::OneTime(self.kem_entry(target, place)?)),
            (None, Some(id)) => Some(KemPreKey::LastResort(self.last_resort(target, id)?)),
            (None, None) => None,
        };
        Ok(PreKeyBundle { signed_prekey, one_time, kem })
    }

    /// An X25519 one-time prekey with its path.
    fn entry(&self, device: &DeviceName, place: Place) -> Result<OneTimeEntry, StoreError> {
        let corrupt = StoreError::Corrupt("a batch of one-time prekeys");
        let encoded = self.store.batch(device, place.batch)?.ok_or(corrupt.clone())?;
        OneTimeEntry::from_batch(&encoded, place.index).ok().flatten().ok_or(corrupt)
    }

    /// A KEM one-time prekey with its path.
    fn kem_entry(&self, device: &DeviceName, place: Place) -> Result<KemEntry, StoreError> {
        let corrupt = StoreError::Corrupt("a one-time KEM prekey");
        let encoded = self.store.kem_entry(device, place)?.ok_or(corrupt.clone())?;
        KemEntry::decode(&encoded).map_err(|_| corrupt)
    }

    fn last_resort(&self, device: &DeviceName, id: u32) -> Result<LastResortPreKey, StoreError> {
        let corrupt = StoreError::Corrupt("a last-resort KEM prekey");
        let encoded = self.store.last_resort(device, id)?.ok_or(corrupt.clone())?;
        LastResortPreKey::decode(&encoded).map_err(|_| corrupt)
    }
}

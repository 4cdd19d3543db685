//! Prekeys in memory, for tests: they do not survive the process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use keyglass_tlog::time::UnixMillis;

use super::{
    pool::{Place, Pool},
    reserve::{Pair, PairKey},
    store::{Answer, Expiring, PreKeyStore, RequestKey, Write},
};
use crate::{store::StoreError, tokens::DeviceName};

#[derive(Debug, Default)]
struct State {
    pools: BTreeMap<DeviceName, Pool>,
    signed: HashMap<(DeviceName, u32), Vec<u8>>,
    batches: HashMap<(DeviceName, u32), Vec<u8>>,
    kem_batches: HashMap<(DeviceName, u32), Vec<Vec<u8>>>,
    answers: HashMap<RequestKey, Answer>,
    last_resorts: HashMap<(DeviceName, u32), Vec<u8>>,
    pairs: HashMap<PairKey, Pair>,
    notes: BTreeSet<(UnixMillis, Expiring)>,
}

/// Prekeys in memory.
#[derive(Debug, Default)]
pub struct MemoryPreKeys {
    state: Mutex<State>,
}

impl MemoryPreKeys {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PreKeyStore for MemoryPreKeys {
    fn pool(&self, device: &DeviceName) -> Result<Option<Pool>, StoreError> {
        Ok(self.state().pools.get(device).cloned())
    }

    fn signed_prekey(&self, device: &DeviceName, id: u32) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().signed.get(&(device.clone(), id)).cloned())
    }

    fn batch(&self, device: &DeviceName, batch: u32) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().batches.get(&(device.clone(), batch)).cloned())
    }

    fn kem_entry(&self, device: &DeviceName, place: Place) -> Result<Option<Vec<u8>>, StoreError> {
        let state = self.state();
        let batch = state.kem_batches.get(&(device.clone(), place.batch));
        Ok(batch.and_then(|batch| batch.get(usize::from(place.index))).cloned())
    }

    fn answer(&self, request: &RequestKey) -> Result<Option<Answer>, StoreError> {
        Ok(self.state().answers.get(request).copied())
    }

    fn last_resort(&self, device: &DeviceName, id: u32) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().last_resorts.get(&(device.clone(), id)).cloned())
    }

    fn pair(&self, pair: &PairKey) -> Result<Option<Pair>, StoreError> {
        Ok(self.state().pairs.get(pair).copied())
    }

    fn pools(&self, after: Option<&DeviceName>, limit: usize) -> Result<Vec<DeviceName>, StoreError> {
        let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        Ok(self
            .state()
            .pools
            .range((start, Bound::Unbounded))
            .take(limit)
            .map(|(name, _)| name.clone())
            .collect())
    }

    fn due(&self, until: UnixMillis, limit: usize) -> Result<Vec<(UnixMillis, Expiring)>, StoreError> {
        let state = self.state();
        Ok(state.notes.iter().take_while(|(time, _)| *time <= until).take(limit).cloned().collect())
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut state = self.state();
        for write in writes.iter().cloned() {
            match write {
                Write::Pool(device, pool) => {
                    state.pools.insert(device, *pool);
                }
                Write::SignedPreKey(device, id, bytes) => {
                    state.signed.insert((device, id), bytes);
                }
                Write::Batch(device, batch, bytes) => {
                    state.batches.insert((device, batch), bytes);
                }
                Write::KemBatch(device, batch, entries) => {
                    state.kem_batches.insert((device, batch), entries);
                }
                Write::Delete(Expiring::KemBatch(device, batch)) => {
                    state.kem_batches.remove(&(device, batch));
                }
                Write::Answer(request, answer) => {
                    state.answers.insert(request, answer);
                }
                Write::Schedule(time, what) => {
                    state.notes.insert((time, what));
                }
                Write::Unschedule(time, what) => {
                    state.notes.remove(&(time, what));
                }
                Write::Delete(Expiring::SignedPreKey(device, id)) => {
                    state.signed.remove(&(device, id));
                }
                Write::Delete(Expiring::Batch(device, batch)) => {
                    state.batches.remove(&(device, batch));
                }
                Write::Delete(Expiring::Answer(request)) => {
                    state.answers.remove(&request);
                }
                Write::LastResort(device, id, bytes) => {
                    state.last_resorts.insert((device, id), bytes);
                }
                Write::Pair(key, pair) => {
                    state.pairs.insert(key, pair);
                }
                Write::Delete(Expiring::LastResort(device, id)) => {
                    state.last_resorts.remove(&(device, id));
                }
                Write::Delete(Expiring::Pair(key)) => {
                    state.pairs.remove(&key);
                }
                Write::DeletePool(device) => {
                    state.pools.remove(&device);
                }
            }
        }
        Ok(())
    }
}

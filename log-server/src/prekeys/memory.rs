//! Prekeys in memory, for tests: they do not survive the process.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use keyglass_tlog::time::UnixMillis;

use super::{
    pool::Pool,
    store::{Answer, Expiring, PreKeyStore, RequestKey, Write},
};
use crate::{store::StoreError, tokens::DeviceName};

#[derive(Debug, Default)]
struct State {
    pools: HashMap<DeviceName, Pool>,
    signed: HashMap<(DeviceName, u32), Vec<u8>>,
    batches: HashMap<(DeviceName, u32), Vec<u8>>,
    answers: HashMap<RequestKey, Answer>,
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

    fn answer(&self, request: &RequestKey) -> Result<Option<Answer>, StoreError> {
        Ok(self.state().answers.get(request).copied())
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
                    state.pools.insert(device, pool);
                }
                Write::SignedPreKey(device, id, bytes) => {
                    state.signed.insert((device, id), bytes);
                }
                Write::Batch(device, batch, bytes) => {
                    state.batches.insert((device, batch), bytes);
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
            }
        }
        Ok(())
    }
}

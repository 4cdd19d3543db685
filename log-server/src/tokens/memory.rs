//! Nonces in memory, for tests: they do not survive the process.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use keyglass_tlog::time::UnixMillis;

use super::{Nonce, NonceStore};
use crate::store::StoreError;

/// Nonces in memory.
#[derive(Debug, Default)]
pub struct MemoryNonces {
    nonces: Mutex<BTreeSet<Nonce>>,
}

impl NonceStore for MemoryNonces {
    fn load(&self) -> Result<Vec<Nonce>, StoreError> {
        Ok(self.nonces.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect())
    }

    fn add(&self, nonce: &Nonce, oldest: UnixMillis) -> Result<(), StoreError> {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.retain(|other| other.time >= oldest);
        nonces.insert(*nonce);
        Ok(())
    }
}

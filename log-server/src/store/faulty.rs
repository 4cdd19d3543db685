//! A store that fails on demand, before or after it has done what it was asked.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use super::{Batch, CommitError, PruneBatch, PublishError, PublishedHead, Snapshot, Store, StoreError};

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It fails and has no effect.
    Before,
    /// It has its effect and fails all the same.
    After,
}

/// Passes calls on to `inner`, with faults as planned. Without a plan nothing fails.
#[derive(Debug, Default)]
pub(crate) struct FaultyStore<S> {
    pub(crate) inner: S,
    plan: Mutex<VecDeque<Fault>>,
}

impl<S: Store> FaultyStore<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// The faults of the next writes, in order.
    pub(crate) fn plan(&self, faults: &[Fault]) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
    }

    fn write<E: From<StoreError>>(&self, write: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let failed = || Err(StoreError::Backend("planned fault".to_owned()).into());
        let fault = self.plan.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match fault.unwrap_or(Fault::None) {
            Fault::None => write(),
            Fault::Before => failed(),
            Fault::After => write().and_then(|()| failed()),
        }
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        self.inner.snapshot()
    }

    fn commit(&self, expected_size: u64, batch: &Batch) -> Result<(), CommitError> {
        self.write(|| self.inner.commit(expected_size, batch))
    }

    fn publish(&self, head: &PublishedHead) -> Result<(), PublishError> {
        self.write(|| self.inner.publish(head))
    }

    fn erase(&self, label: &[u8], version: u32) -> Result<(), StoreError> {
        self.write(|| self.inner.erase(label, version))
    }

    fn prune(&self, batch: &PruneBatch) -> Result<(), StoreError> {
        self.write(|| self.inner.prune(batch))
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.inner.reclaim()
    }
}

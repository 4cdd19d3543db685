//! Locks by device: one at a time works on a device, different devices mostly at once.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::tokens::DeviceName;

const COUNT: usize = 256;

/// A fixed number of locks, which devices share by hash.
pub(crate) struct Stripes(Vec<Mutex<()>>);

impl Default for Stripes {
    fn default() -> Self {
        Self((0..COUNT).map(|_| Mutex::default()).collect())
    }
}

impl Stripes {
    /// Waits for the locks of all devices. Takes them in one order, so that no two that do this wait for each other.
    pub(crate) fn lock_all<'a>(
        &self,
        devices: impl Iterator<Item = &'a DeviceName>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let indexes: BTreeSet<usize> = devices.map(index).collect();
        let stripes = indexes.into_iter().filter_map(|index| self.0.get(index));
        stripes.map(|stripe| stripe.lock().unwrap_or_else(PoisonError::into_inner)).collect()
    }

    /// Waits for the device's lock. Never take a second one while holding one: they may be the same.
    pub(crate) fn lock(&self, device: &DeviceName) -> Option<MutexGuard<'_, ()>> {
        // The locks guard no data in memory: a panic under one cannot have left any half changed.
        self.0.get(index(device)).map(|stripe| stripe.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn index(device: &DeviceName) -> usize {
    let [first, ..] = device.digest();
    usize::from(first)
}

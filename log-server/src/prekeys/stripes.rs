//! Locks by device: one at a time works on a device, different devices mostly at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// Waits for the device's lock. Never take a second one while holding one: they may be the same.
    pub(crate) fn lock(&self, device: &DeviceName) -> Option<MutexGuard<'_, ()>> {
        // The locks guard no data in memory: a panic under one cannot have left any half changed.
        let [first, ..] = device.digest();
        self.0.get(usize::from(first)).map(|stripe| stripe.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

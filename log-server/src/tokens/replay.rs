//! The memory of signed requests, so that each is taken once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use keyglass_crypto::hash::sha256;
use keyglass_tlog::time::UnixMillis;
use thiserror::Error;

use super::{DeviceName, Settings};
use crate::store::StoreError;

/// A signed request, as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nonce {
    /// The request's time: it first, so that the oldest come first.
    pub time: UnixMillis,
    /// A hash of the device's name.
    pub device: [u8; 16],
    /// The request's nonce.
    pub nonce: [u8; 16],
}

impl Nonce {
    /// The request of `name` at `time` with `nonce`.
    #[must_use]
    pub fn new(time: UnixMillis, name: &DeviceName, nonce: &[u8; 16]) -> Self {
        let digest = sha256(&[b"keyglass nonce", &name.to_key()]);
        let device = digest.first_chunk().copied().unwrap_or_default();
        Self { time, device, nonce: *nonce }
    }
}

/// Where nonces survive a restart.
pub trait NonceStore: Send + Sync + 'static {
    /// All nonces.
    ///
    /// # Errors
    /// [`StoreError`].
    fn load(&self) -> Result<Vec<Nonce>, StoreError>;

    /// Adds one and deletes all that are older than `oldest`, durably and in one step.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been added or not.
    fn add(&self, nonce: &Nonce, oldest: UnixMillis) -> Result<(), StoreError>;
}

/// Why a request whose signature holds is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// It was taken before.
    #[error("this request was received before")]
    Replayed,
    /// The device signs too many requests.
    #[error("the device signs too many requests")]
    TooManyOfDevice,
    /// Too many requests are remembered.
    #[error("too many signed requests at this time")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes each nonce once.
pub(super) struct ReplayGuard {
    store: Arc<dyn NonceStore>,
    seen: Mutex<Seen>,
    window: Duration,
    remembered: usize,
    remembered_per_device: u32,
}

/// What is in the store, indexed.
#[derive(Default)]
struct Seen {
    nonces: BTreeSet<Nonce>,
    devices: HashMap<[u8; 16], u32>,
}

impl Seen {
    fn insert(&mut self, nonce: Nonce) {
        if self.nonces.insert(nonce) {
            let count = self.devices.entry(nonce.device).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn remove(&mut self, nonce: &Nonce) {
        if self.nonces.remove(nonce)
            && let Some(count) = self.devices.get_mut(&nonce.device)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.devices.remove(&nonce.device);
            }
        }
    }

    fn forget_before(&mut self, oldest: UnixMillis) {
        while let Some(first) = self.nonces.first().copied().filter(|first| first.time < oldest) {
            self.remove(&first);
        }
    }
}

impl ReplayGuard {
    pub(super) fn open(store: Arc<dyn NonceStore>, settings: &Settings) -> Result<Self, StoreError> {
        let mut seen = Seen::default();
        for nonce in store.load()? {
            seen.insert(nonce);
        }
        Ok(Self {
            store,
            seen: Mutex::new(seen),
            window: settings.window,
            remembered: settings.remembered,
            remembered_per_device: settings.remembered_per_device,
        })
    }

    /// Remembers `nonce`, whose request is within the window of `now`, unless it is remembered.
    pub(super) fn admit(&self, nonce: Nonce, now: UnixMillis) -> Result<(), Refused> {
        // A request is refused for its time once `now` is past `time + window`: then it need not be remembered.
        let window = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX);
        let oldest = UnixMillis(now.0.saturating_sub(window));
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.forget_before(oldest);
            if seen.nonces.contains(&nonce) {
                return Err(Refused::Replayed);
            }
            if seen.devices.get(&nonce.device).is_some_and(|count| *count >= self.remembered_per_device) {
                return Err(Refused::TooManyOfDevice);
            }
            if seen.nonces.len() >= self.remembered {
                return Err(Refused::TooMany);
            }
            // From here on a second request with it is refused, also while this one is being written.
            seen.insert(nonce);
        }
        // If this fails, the nonce stays remembered: a client signs its next attempt anew anyway.
        Ok(self.store.add(&nonce, oldest)?)
    }
}

//! The prekey service: devices leave prekeys, senders fetch bundles.
//!
//! A one-time prekey is handed out at most once, ever: the pop is durable before the answer leaves. The same request
//! id gives the same bundle again, until its signed prekey expires, so that a lost answer costs nothing. What a
//! device uploads is taken as a whole or not at all.
//!
//! The server never vouches for a prekey: everything handed out is signed by a device that a published record names.

use std::{
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use keyglass_tlog::time::UnixMillis;

use crate::{
    clock::Clock,
    store::StoreError,
    tokens::{Accounts, DeviceName},
};

pub mod census;
pub mod fetch;
pub mod http;
pub mod memory;
pub mod meters;
pub mod pool;
pub mod prune;
pub mod quota;
pub mod reserve;
pub mod rocksdb;
pub mod store;
pub mod stripes;
pub mod upload;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

pub use fetch::FetchError;
pub use quota::Quota;
pub use store::PreKeyStore;
pub use upload::UploadError;

use meters::Meters;
use quota::{Counts, Rate};
use reserve::Rules;
use stripes::Stripes;

/// Bounds of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// X25519 one-time prekeys that a device may have on the server, expired ones not counted.
    pub max_pool: u32,
    /// ML-KEM-768 one-time prekeys likewise: each takes 1.5 kB.
    pub max_kem_pool: u32,
    /// Batches of which keys are left, of one device.
    pub max_batches: usize,
    /// Fewer one-time prekeys than this are reported as low.
    pub low_water_mark: u32,
    /// The longest that a signed prekey or a batch may live, from its upload on.
    pub max_lifetime: Duration,
    /// How far in the future a signed prekey may have been created, since clocks differ.
    pub max_skew: Duration,
    /// Bundles that one account may fetch, of all others together. Beyond it, fetching is refused.
    pub per_requester: Quota,
    /// One-time prekeys that one account may fetch of one device. Beyond it, its bundles of that device have none.
    pub per_pair: Quota,
    /// One-time prekeys of one device that all accounts together may fetch. Beyond it, bundles of that device have none,
    /// but for the reserve: whoever drains a pool must not be able to cut a device off.
    pub per_target: Quota,
    /// How much of what a pool held after its last upload is its reserve, in percent, of each type of key.
    pub reserve_percent: u32,
    /// How long ago an account's first version must have been published before it may have a key of the reserve.
    pub established_after: Duration,
    /// How long an account waits between two keys of one device's reserve.
    pub reserve_period: Duration,
    /// How long the pool of a device stays that no published record names any more.
    pub removed_grace: Duration,
    /// Batches and signed prekeys that a device may upload.
    pub per_uploader: Quota,
}

impl Default for Settings {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            max_pool: 2048,
            max_kem_pool: 512,
            max_batches: 64,
            low_water_mark: 30,
            max_lifetime: Duration::from_secs(120 * 24 * 3600),
            max_skew: Duration::from_secs(24 * 3600),
            per_requester: Quota { count: 3600, period: hour },
            per_pair: Quota { count: 32, period: hour },
            per_target: Quota { count: 64, period: hour },
            reserve_percent: 25,
            established_after: hour * 24 * 7,
            reserve_period: hour * 24 * 30,
            removed_grace: hour * 24 * 30,
            per_uploader: Quota { count: 200, period: hour * 24 },
        }
    }
}

/// The prekey service of one log.
pub struct Service {
    origin: String,
    store: Arc<dyn PreKeyStore>,
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    rules: Rules,
    requesters: Counts,
    uploaders: Counts,
    /// Held, for a device, from reading its pool to having written it.
    stripes: Stripes,
    /// Held for reading while a bundle is made, for writing while things are deleted.
    pruning: RwLock<()>,
    census: Mutex<census::Census>,
    meters: Meters,
}

impl Service {
    /// A service for the log `origin`.
    #[must_use]
    pub fn new(
        origin: String,
        store: Arc<dyn PreKeyStore>,
        accounts: Arc<dyn Accounts>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let rules = Rules { pair: Rate::new(settings.per_pair), target: Rate::new(settings.per_target) };
        let (requesters, uploaders) =
            (Counts::new(settings.per_requester), Counts::new(settings.per_uploader));
        Self {
            origin,
            store,
            accounts,
            clock,
            settings,
            rules,
            requesters,
            uploaders,
            stripes: Stripes::default(),
            pruning: RwLock::default(),
            census: Mutex::default(),
            meters: Meters::default(),
        }
    }

    /// What was handed out and refused.
    #[must_use]
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The pool of a device, empty if there is none yet.
    fn pool(&self, device: &DeviceName) -> Result<pool::Pool, StoreError> {
        Ok(self.store.pool(device)?.unwrap_or_default())
    }
}

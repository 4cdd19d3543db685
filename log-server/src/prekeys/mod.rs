//! The prekey service: devices leave prekeys, senders fetch bundles.
//!
//! A one-time prekey is handed out at most once, ever: the pop is durable before the answer leaves. The same request
//! id gives the same bundle again, until its signed prekey expires, so that a lost answer costs nothing. What a
//! device uploads is taken as a whole or not at all.
//!
//! The server never vouches for a prekey: everything handed out is signed by a device that a published record names.

use std::{
    sync::{Arc, RwLock, atomic::AtomicU64},
    time::Duration,
};

use keyglass_tlog::time::UnixMillis;

use crate::{
    clock::Clock,
    store::StoreError,
    tokens::{Accounts, DeviceName},
};

pub mod fetch;
pub mod http;
pub mod memory;
pub mod pool;
pub mod prune;
pub mod quota;
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

use quota::Quotas;
use stripes::Stripes;

/// Bounds of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// One-time prekeys that a device may have on the server, expired ones not counted.
    pub max_pool: u32,
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
    /// One-time prekeys of one device that all accounts together may fetch. Beyond it, bundles of that device have none:
    /// whoever drains a pool must not be able to cut a device off.
    pub per_target: Quota,
    /// Batches and signed prekeys that a device may upload.
    pub per_uploader: Quota,
}

impl Default for Settings {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            max_pool: 2048,
            max_batches: 64,
            low_water_mark: 30,
            max_lifetime: Duration::from_secs(120 * 24 * 3600),
            max_skew: Duration::from_secs(24 * 3600),
            per_requester: Quota { count: 3600, period: hour },
            per_pair: Quota { count: 32, period: hour },
            per_target: Quota { count: 64, period: hour },
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
    quotas: Quotas,
    /// Held, for a device, from reading its pool to having written it.
    stripes: Stripes,
    /// Held for reading while a bundle is made, for writing while things are deleted.
    pruning: RwLock<()>,
    counts: Counters,
}

/// What was handed out and refused since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// New bundles with a one-time prekey.
    pub with_one_time: AtomicU64,
    /// New bundles without one because the pool was empty.
    pub pool_empty: AtomicU64,
    /// New bundles without one because a quota was used up.
    pub one_time_withheld: AtomicU64,
    /// Bundles handed out again for a request id.
    pub repeated: AtomicU64,
    /// Bundles refused because the requester's quota was used up.
    pub refused: AtomicU64,
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
        let quotas = Quotas::new(&settings);
        Self {
            origin,
            store,
            accounts,
            clock,
            settings,
            quotas,
            stripes: Stripes::default(),
            pruning: RwLock::default(),
            counts: Counters::default(),
        }
    }

    /// What was handed out and refused.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counts
    }

    fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The pool of a device, empty if there is none yet.
    fn pool(&self, device: &DeviceName) -> Result<pool::Pool, StoreError> {
        Ok(self.store.pool(device)?.unwrap_or_default())
    }
}

//! The prekey service, over memory and over RocksDB.

use std::sync::Arc;

use keyglass_account::prekey::PreKeyBundle;

use super::{memory::MemoryPreKeys, store::PreKeyStore, *};
use crate::tokens::tests::cast::*;

mod census;
mod concurrency;
mod depletion;
mod faults;
mod fetching;
mod histories;
mod http;
mod kem;
pub(super) mod material;
mod uploads;

/// A prekey service with Alice and Bob.
struct Stage {
    world: World,
    service: Arc<Service>,
}

impl Stage {
    fn new() -> Self {
        Self::with(Arc::new(MemoryPreKeys::default()), no_reserve())
    }

    fn with(store: Arc<dyn PreKeyStore>, settings: Settings) -> Self {
        let world = World::new();
        let service = Arc::new(serve(&world, store, settings));
        Self { world, service }
    }

    /// Bob uploads a signed prekey 1 and batch 1 with `count` keys.
    fn stocked(count: u16) -> Self {
        let stage = Self::new();
        stage.stock(count);
        stage
    }

    fn stock(&self, count: u16) {
        let bob = &self.world.bob;
        let upload = material::upload(
            Some(&material::signed_prekey(bob, 1, 0)),
            &[&material::batch(bob, 1, 1, count)],
        );
        self.service.upload(&material::caller(bob), &upload).unwrap();
    }

    /// Alice asks for Bob's bundle under the request id `id`.
    fn fetch(&self, id: u32) -> Result<PreKeyBundle, FetchError> {
        self.fetch_as(&self.world.alice, id)
    }

    fn fetch_as(&self, requester: &Actor, id: u32) -> Result<PreKeyBundle, FetchError> {
        self.service.fetch(&requester.name, &self.world.bob.name, &material::request_id(id))
    }
}

fn serve(world: &World, store: Arc<dyn PreKeyStore>, settings: Settings) -> Service {
    Service::new(ORIGIN.to_owned(), store, world.accounts.clone(), world.clock.clone(), settings)
}

/// The default settings but for the reserve.
fn no_reserve() -> Settings {
    Settings { reserve_percent: 0, ..Settings::default() }
}

/// Quotas that nobody reaches.
fn unlimited() -> Settings {
    let quota = Quota { count: u32::MAX, period: Duration::from_millis(1) };
    Settings {
        per_requester: quota,
        per_pair: quota,
        per_target: quota,
        per_uploader: quota,
        reserve_percent: 0,
        ..Settings::default()
    }
}

//! Looking through the pools, and deleting those of devices that are gone.

use keyglass_account::{
    prekey::{KeyType, PreKeyBatch},
    time::UnixMillis,
};

use super::{material::*, meters::Levels, *};

/// A device with a pool of so many keys.
fn device(stage: &Stage, label: &str, count: u16) -> Actor {
    let actor = Actor::new(label, 1);
    stage.world.accounts.publish(&actor);
    let batches: Vec<PreKeyBatch> = (count > 0).then(|| batch(&actor, 1, 1, count)).into_iter().collect();
    let upload = upload(Some(&signed_prekey(&actor, 1, 0)), &batches.iter().collect::<Vec<_>>());
    stage.service.upload(&caller(&actor), &upload).unwrap();
    actor
}

fn census(stage: &Stage, step: usize) -> Levels {
    (0..1000).find_map(|_| stage.service.census(step).unwrap()).unwrap()
}

#[test]
fn pools_are_counted_by_how_full_they_are() {
    let stage = Stage::new();
    assert_eq!(census(&stage, 10), Levels::default());
    device(&stage, "full", 30);
    device(&stage, "low", 29);
    device(&stage, "empty", 0);
    let gone = device(&stage, "gone", 50);
    stage.world.accounts.remove(&gone);
    let expected = Levels { live: 3, low: 2, empty: 1, expired: 0, absent: 1 };
    for step in [1, 2, 3, 4, 5, 100] {
        assert_eq!(census(&stage, step), expected, "{step} at a time");
    }
    stage.world.clock.advance(30 * DAY);
    assert_eq!(census(&stage, 100), Levels { live: 0, low: 0, empty: 0, expired: 3, absent: 1 });
}

#[test]
fn the_pool_of_a_device_that_left_its_account_is_deleted_after_a_while() {
    let stage = Stage::new();
    let (gone, back) = (device(&stage, "gone", 5), device(&stage, "back", 5));
    let erased = kem_upload(&gone, 2, 2, 6, 3);
    stage.service.upload(&caller(&gone), &erased).unwrap();
    for actor in [&gone, &back] {
        stage.world.accounts.remove(actor);
    }
    census(&stage, 100);
    stage.world.clock.advance(20 * DAY);
    stage.world.accounts.publish(&back);
    census(&stage, 100);
    stage.world.accounts.remove(&back);
    stage.world.clock.advance(10 * DAY - 1);
    census(&stage, 100);
    assert!(stage.service.store.pool(&gone.name).unwrap().is_some());
    stage.world.clock.advance(1);
    census(&stage, 100);
    let store = &stage.service.store;
    assert_eq!(store.pool(&gone.name).unwrap(), None);
    assert_eq!(store.batch(&gone.name, 1).unwrap(), None);
    assert_eq!(store.kem_entry(&gone.name, pool::Place { batch: 2, index: 0 }).unwrap(), None);
    assert!(store.pool(&back.name).unwrap().is_some(), "its absence began anew");
    // What remains goes with time, and nothing is left.
    stage.world.clock.advance(31 * DAY);
    census(&stage, 100);
    stage.world.clock.advance(240 * DAY);
    while stage.service.prune().unwrap() > 0 {}
    assert_eq!(store.due(UnixMillis(u64::MAX), 100).unwrap(), []);
    assert_eq!(store.pools(None, 100).unwrap(), []);
    assert_eq!(store.signed_prekey(&gone.name, 1).unwrap(), None);
    assert_eq!(store.last_resort(&gone.name, 2).unwrap(), None);
}

#[test]
fn a_batch_that_is_used_up_goes_when_no_answer_needs_it() {
    let stage = Stage::stocked(2);
    let bob = &stage.world.bob;
    stage.service.upload(&caller(bob), &kem_upload(bob, 2, 2, 3, 2)).unwrap();
    let answers: Vec<_> = (0..2).map(|id| stage.fetch(id).unwrap()).collect();
    let store = &stage.service.store;
    let held = |key_type| match key_type {
        KeyType::X25519 => store.batch(&bob.name, 1).unwrap().is_some(),
        KeyType::MlKem768 => {
            store.kem_entry(&bob.name, pool::Place { batch: 2, index: 1 }).unwrap().is_some()
        }
    };
    stage.world.clock.advance(30 * DAY - 1);
    while stage.service.prune().unwrap() > 0 {}
    assert!(held(KeyType::X25519) && held(KeyType::MlKem768));
    assert_eq!((0..2).map(|id| stage.fetch(id).unwrap()).collect::<Vec<_>>(), answers);
    stage.world.clock.advance(120_000);
    while stage.service.prune().unwrap() > 0 {}
    assert!(!held(KeyType::X25519) && !held(KeyType::MlKem768), "long before the batches would have expired");
}

#[test]
fn a_batch_below_the_floor_that_nobody_got_a_key_of_goes_at_once() {
    let stage = Stage::stocked(5);
    let bob = &stage.world.bob;
    stage.service.upload(&caller(bob), &upload(Some(&signed_prekey(bob, 2, 2)), &[])).unwrap();
    stage.world.clock.advance(120_000);
    while stage.service.prune().unwrap() > 0 {}
    assert_eq!(stage.service.store.batch(&bob.name, 1).unwrap(), None);
}

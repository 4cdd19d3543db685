//! Fetching: at most once, the same again for the same id, visibly without when there is none.

use std::collections::BTreeSet;

use keyglass_account::{prekey::PreKeyBundle, time::UnixMillis};

use super::{
    material::*,
    reserve::Grant,
    store::{Expiring, RequestKey, Write},
    *,
};
use crate::store::StoreError;

fn key_of(bundle: &PreKeyBundle) -> Option<u32> {
    bundle.one_time.as_ref().map(|entry| entry.prekey.id)
}

#[test]
fn each_request_gets_a_key_of_its_own_that_verifies() {
    let stage = Stage::stocked(10);
    let mut seen = BTreeSet::new();
    for id in 0..10 {
        let bundle = stage.fetch(id).unwrap();
        assert!(seen.insert(key_of(&bundle).unwrap()));
        let decoded = PreKeyBundle::decode(&bundle.encode()).unwrap();
        decoded.verify(ORIGIN, b"bob", &stage.world.bob.device(), stage.world.clock.now()).unwrap();
    }
    assert_eq!(seen, (1..=10).collect());
}

#[test]
fn the_same_request_id_gets_the_same_bundle() {
    let stage = Stage::stocked(10);
    let first = stage.fetch(1).unwrap();
    let second = stage.fetch(2).unwrap();
    assert_ne!(first, second);
    for _ in 0..3 {
        assert_eq!(stage.fetch(1).unwrap(), first);
    }
    assert_eq!(stage.service.status(&stage.world.bob.name).unwrap().one_time, 8);
    assert_eq!(stage.service.meters().repeated(), 3);
    // Another requester with the same id is another request; so is another device of the same account.
    assert_ne!(stage.fetch_as(&stage.world.bob, 1).unwrap(), first);
    let other_device = Actor::new("alice", 2);
    assert_ne!(stage.fetch_as(&other_device, 1).unwrap(), first);
}

#[test]
fn a_bundle_is_repeated_until_its_signed_prekey_expires() {
    let stage = Stage::stocked(10);
    let bob = &stage.world.bob;
    let first = stage.fetch(1).unwrap();
    // A rotation, a floor above the batch, and a prune in between change nothing for this request.
    let rotated = signed_prekey_living(bob, 2, 2, START, UnixMillis(START.0 + 90 * DAY));
    let more = batch_living(bob, 2, 100, 5, UnixMillis(START.0 + 90 * DAY));
    stage.service.upload(&caller(bob), &upload(Some(&rotated), &[&more])).unwrap();
    stage.world.clock.advance(30 * DAY - 1);
    while stage.service.prune().unwrap() > 0 {}
    assert_eq!(stage.fetch(1).unwrap(), first);
    stage.world.clock.advance(1);
    let later = stage.fetch(1).unwrap();
    assert_eq!((later.signed_prekey.id, key_of(&later)), (2, Some(100)));
}

#[test]
fn a_repeated_bundle_outlives_its_batch() {
    let stage = Stage::new();
    let bob = &stage.world.bob;
    let short = batch_living(bob, 1, 1, 5, UnixMillis(START.0 + DAY));
    stage.service.upload(&caller(bob), &upload(Some(&signed_prekey(bob, 1, 0)), &[&short])).unwrap();
    let first = stage.fetch(1).unwrap();
    stage.world.clock.advance(29 * DAY);
    while stage.service.prune().unwrap() > 0 {}
    assert_eq!(stage.fetch(1).unwrap(), first);
    assert_eq!(key_of(&stage.fetch(2).unwrap()), None, "nothing of an expired batch is handed out anew");
}

#[test]
fn an_empty_pool_is_visible_and_no_error() {
    let stage = Stage::stocked(2);
    assert!(key_of(&stage.fetch(1).unwrap()).is_some());
    assert!(key_of(&stage.fetch(2).unwrap()).is_some());
    let without = stage.fetch(3).unwrap();
    assert_eq!(key_of(&without), None);
    // Who got none gets none again, also when there are some by then.
    let bob = &stage.world.bob;
    stage.service.upload(&caller(bob), &upload(None, &[&batch(bob, 2, 3, 5)])).unwrap();
    assert_eq!(stage.fetch(3).unwrap(), without);
    assert_eq!(key_of(&stage.fetch(4).unwrap()), Some(3));
    let meters = stage.service.meters();
    assert_eq!(meters.bundles(Grant::Empty), 1);
    assert_eq!(meters.bundles(Grant::Common) + meters.bundles(Grant::Reserve), 3);
}

#[test]
fn batches_are_used_in_their_order() {
    let stage = Stage::stocked(2);
    let bob = &stage.world.bob;
    stage
        .service
        .upload(&caller(bob), &upload(None, &[&batch(bob, 5, 50, 2), &batch(bob, 9, 90, 1)]))
        .unwrap();
    let keys: Vec<_> = (0..6).map(|id| key_of(&stage.fetch(id).unwrap())).collect();
    assert_eq!(keys, [Some(1), Some(2), Some(50), Some(51), Some(90), None]);
}

#[test]
fn devices_that_are_not_published_or_have_no_prekeys() {
    let stage = Stage::new();
    assert_eq!(stage.fetch(1), Err(FetchError::NoSignedPreKey));
    stage.stock(5);
    stage.world.accounts.remove(&stage.world.bob);
    assert_eq!(stage.fetch(1), Err(FetchError::UnknownDevice));
    stage.world.accounts.publish(&stage.world.bob);
    let first = stage.fetch(1).unwrap();
    // What was handed out is not handed out again once the device is gone from the account.
    stage.world.accounts.remove(&stage.world.bob);
    assert_eq!(stage.fetch(1), Err(FetchError::UnknownDevice));
    stage.world.accounts.publish(&stage.world.bob);
    assert_eq!(stage.fetch(1), Ok(first));
}

#[test]
fn an_expired_signed_prekey_is_not_handed_out() {
    let stage = Stage::stocked(5);
    stage.world.clock.advance(30 * DAY);
    assert_eq!(stage.fetch(1), Err(FetchError::NoSignedPreKey));
    assert_eq!(stage.service.status(&stage.world.bob.name).unwrap().one_time, 5);
}

/// Settings with these counts an hour.
fn quotas(requester: u32, pair: u32, target: u32) -> Settings {
    let quota = |count| Quota { count, period: Duration::from_secs(3600) };
    Settings {
        per_requester: quota(requester),
        per_pair: quota(pair),
        per_target: quota(target),
        ..no_reserve()
    }
}

fn limited(settings: Settings) -> Stage {
    let stage = Stage::with(Arc::new(MemoryPreKeys::default()), settings);
    stage.stock(100);
    stage
}

#[test]
fn a_requester_who_asks_too_often_is_refused_but_gets_old_answers() {
    let stage = limited(quotas(3, 100, 100));
    let first = stage.fetch(1).unwrap();
    stage.fetch(2).unwrap();
    stage.fetch(3).unwrap();
    assert_eq!(stage.fetch(4), Err(FetchError::RequesterQuota));
    // Another device of the same account shares the quota.
    assert_eq!(stage.fetch_as(&Actor::new("alice", 2), 5), Err(FetchError::RequesterQuota));
    assert_eq!(stage.fetch(1), Ok(first));
    assert!(stage.fetch_as(&Actor::new("carol", 1), 1).is_ok());
    assert_eq!(stage.service.status(&stage.world.bob.name).unwrap().one_time, 96);
    stage.world.clock.advance(HOUR / 3);
    assert!(stage.fetch(4).is_ok());
}

#[test]
fn one_account_cannot_drain_a_pool() {
    let stage = limited(quotas(10_000, 8, 64));
    let drained = (0..1000).filter(|id| key_of(&stage.fetch(*id).unwrap()).is_some()).count();
    assert_eq!(drained, 8);
    assert!(key_of(&stage.fetch_as(&Actor::new("carol", 1), 1).unwrap()).is_some(), "others still get keys");
    assert_eq!(stage.service.meters().bundles(Grant::PairQuota), 992);
}

#[test]
fn many_accounts_together_cannot_drain_a_pool_at_once_or_cut_the_device_off() {
    let stage = limited(quotas(100, 8, 20));
    let mut drained = 0;
    for account in 0..50 {
        let sybil = Actor::new(&format!("sybil {account}"), 1);
        for id in 0..10 {
            drained += usize::from(key_of(&stage.fetch_as(&sybil, id).unwrap()).is_some());
        }
    }
    assert_eq!(drained, 20);
    assert_eq!(stage.service.status(&stage.world.bob.name).unwrap().one_time, 80);
    stage.world.clock.advance(HOUR / 20);
    assert!(key_of(&stage.fetch(1).unwrap()).is_some());
}

#[test]
fn refused_requests_do_not_count() {
    let stage = Stage::with(Arc::new(MemoryPreKeys::default()), quotas(1, 1, 1));
    assert_eq!(stage.fetch(1), Err(FetchError::NoSignedPreKey));
    stage.stock(5);
    assert!(key_of(&stage.fetch(2).unwrap()).is_some());
}

#[test]
fn pruning_removes_what_has_expired_and_nothing_else() {
    let stage = Stage::stocked(5);
    let bob = &stage.world.bob;
    let request = RequestKey::new(&stage.world.alice.name, &bob.name, &request_id(1));
    stage.fetch(1).unwrap();
    assert_eq!(stage.service.prune().unwrap(), 0);
    stage.world.clock.advance(30 * DAY + 60_000);
    assert_eq!(stage.service.prune().unwrap(), 3, "the signed prekey, the answer and the count of the pair");
    let store = &stage.service.store;
    assert_eq!(store.answer(&request).unwrap(), None);
    assert_eq!(store.signed_prekey(&bob.name, 1).unwrap(), None);
    assert!(store.batch(&bob.name, 1).unwrap().is_some());
    assert!(store.pool(&bob.name).unwrap().is_some());
    stage.world.clock.advance(150 * DAY);
    assert_eq!(stage.service.prune().unwrap(), 1);
    assert_eq!(store.batch(&bob.name, 1).unwrap(), None);
    assert_eq!(store.due(UnixMillis(u64::MAX), 10).unwrap(), []);
}

#[test]
fn a_request_id_that_is_used_again_after_its_time_keeps_its_second_answer() {
    let stage = Stage::stocked(5);
    let bob = &stage.world.bob;
    stage.fetch(1).unwrap();
    stage.world.clock.advance(30 * DAY);
    let at = stage.world.clock.now();
    let second = signed_prekey_living(bob, 2, 0, at, UnixMillis(at.0 + 30 * DAY));
    stage.service.upload(&caller(bob), &upload(Some(&second), &[])).unwrap();
    let again = stage.fetch(1).unwrap();
    // The first answer's time comes when the second is in its place.
    stage.world.clock.advance(DAY);
    while stage.service.prune().unwrap() > 0 {}
    assert_eq!(stage.fetch(1).unwrap(), again);
}

#[test]
fn missing_contents_are_corruption_not_an_empty_pool() {
    let stage = Stage::stocked(5);
    let bob = &stage.world.bob.name;
    stage.service.store.commit(&[Write::Delete(Expiring::Batch(bob.clone(), 1))]).unwrap();
    assert!(matches!(stage.fetch(1), Err(FetchError::Store(StoreError::Corrupt(_)))));
    assert_eq!(stage.service.status(bob).unwrap().one_time, 5);
}

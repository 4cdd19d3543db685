//! Prekeys for PQXDH: one pop for both types of key, and a last resort.

use std::collections::BTreeSet;

use keyglass_account::{
    api::{Base64, UploadPreKeys},
    prekey::{KemPreKey, PreKeyBundle, PreKeyError},
    time::UnixMillis,
};

use super::{
    material::*,
    reserve::Grant,
    rocksdb::RocksPreKeys,
    store::{Expiring, Write},
    *,
};

/// The id of the one-time KEM key, if there is one.
fn one_time_kem(bundle: &PreKeyBundle) -> Option<u32> {
    match bundle.kem.as_ref().unwrap() {
        KemPreKey::OneTime(entry) => Some(entry.prekey.id),
        KemPreKey::LastResort(_) => None,
    }
}

fn ids(bundle: &PreKeyBundle) -> (Option<u32>, Option<u32>) {
    (bundle.one_time.as_ref().map(|entry| entry.prekey.id), one_time_kem(bundle))
}

/// Bob has so many X25519 keys from 1 on, and so many KEM keys after them.
fn stocked_with(store: Arc<dyn PreKeyStore>, settings: Settings, x25519: u16, kem: u16) -> Stage {
    let stage = Stage::with(store, settings);
    stage.stock(x25519);
    let bob = &stage.world.bob;
    let upload = kem_upload(bob, 2, 2, u32::from(x25519) + 1, kem);
    stage.service.upload(&caller(bob), &upload).unwrap();
    stage
}

fn stocked(x25519: u16, kem: u16) -> Stage {
    stocked_with(Arc::new(MemoryPreKeys::default()), no_reserve(), x25519, kem)
}

#[test]
fn a_bundle_has_a_one_time_key_of_each_type_and_then_the_last_resort() {
    let stage = stocked(3, 2);
    let mut bundles = Vec::new();
    for (id, expected) in (0..).zip([(Some(1), Some(4)), (Some(2), Some(5)), (Some(3), None), (None, None)]) {
        let bundle = stage.fetch(id).unwrap();
        assert_eq!(ids(&bundle), expected);
        assert_eq!(PreKeyBundle::decode(&bundle.encode()).unwrap(), bundle);
        bundle.clone().verify(ORIGIN, b"bob", &stage.world.bob.device(), stage.world.clock.now()).unwrap();
        bundles.push(bundle);
    }
    for (id, bundle) in (0..).zip(&bundles) {
        assert_eq!(stage.fetch(id).unwrap(), *bundle, "repeated");
    }
    assert_eq!(stage.service.meters().bundles(Grant::Empty), 1);
    let status = stage.service.status(&stage.world.bob.name).unwrap();
    assert_eq!((status.one_time, status.one_time_kem, status.low_water), (0, 0, true));
    assert_eq!(status.last_resort.unwrap().id, 2);
}

#[test]
fn a_repeated_bundle_outlives_rotation_and_batches() {
    let stage = stocked(5, 1);
    let bob = &stage.world.bob;
    let (one_time, last_resort) = (stage.fetch(1).unwrap(), stage.fetch(2).unwrap());
    assert_eq!((ids(&one_time), ids(&last_resort)), ((Some(1), Some(6)), (Some(2), None)));
    let later = UnixMillis(START.0 + 90 * DAY);
    let mut rotated = upload(Some(&signed_prekey_living(bob, 3, 9, START, later)), &[]);
    rotated.last_resort = Some(Base64::new(last_resort_living(bob, 4, 9, later).encode()).unwrap());
    stage.service.upload(&caller(bob), &rotated).unwrap();
    stage.world.clock.advance(30 * DAY - 1);
    while stage.service.prune().unwrap() > 0 {}
    assert_eq!(stage.fetch(1).unwrap(), one_time);
    assert_eq!(stage.fetch(2).unwrap(), last_resort);
    let new = stage.fetch(3).unwrap();
    assert_eq!((new.signed_prekey.id, ids(&new)), (3, (None, None)), "the floor holds for both types");
}

#[test]
fn an_expired_last_resort_is_not_handed_out() {
    let stage = stocked(5, 1);
    let bob = &stage.world.bob;
    let later = UnixMillis(START.0 + 90 * DAY);
    let lasting = signed_prekey_living(bob, 3, 0, START, later);
    stage.service.upload(&caller(bob), &upload(Some(&lasting), &[])).unwrap();
    stage.world.clock.advance(30 * DAY);
    assert!(stage.fetch(1).unwrap().kem.is_some(), "one-time keys need no last resort");
    assert!(stage.fetch(2).unwrap().kem.is_none());
    let more = UploadPreKeys { last_resort: None, ..kem_upload(bob, 9, 3, 50, 1) };
    assert_eq!(stage.service.upload(&caller(bob), &more), Err(UploadError::NoLastResort));
}

#[test]
fn what_a_kem_upload_must_be() {
    let stage = stocked(5, 5);
    let bob = &stage.world.bob;
    let refused = |upload: &UploadPreKeys| {
        let before = stage.service.status(&bob.name).unwrap();
        let error = stage.service.upload(&caller(bob), upload).unwrap_err();
        assert_eq!(stage.service.status(&bob.name).unwrap(), before);
        error
    };
    // Numbers and ids are common to both types.
    let only = |upload: UploadPreKeys| UploadPreKeys { last_resort: None, ..upload };
    assert_eq!(refused(&only(kem_upload(bob, 0, 1, 50, 1))), UploadError::BatchReused(1));
    assert_eq!(refused(&only(kem_upload(bob, 0, 3, 10, 1))), UploadError::IdReused(10));
    assert_eq!(refused(&upload(None, &[&batch(bob, 2, 50, 1)])), UploadError::BatchReused(2));
    assert_eq!(refused(&upload(None, &[&batch(bob, 3, 10, 1)])), UploadError::IdReused(10));
    let reused = |id| UploadError::SignedPreKeyIdReused { id, used: 2 };
    assert_eq!(refused(&upload(Some(&signed_prekey(bob, 2, 0)), &[])), reused(2));
    assert_eq!(refused(&kem_upload(bob, 1, 3, 50, 1)), reused(1));
    // Not the device's, too long, expired, malformed.
    let mallory = Actor::new("mallory", 1);
    assert_eq!(refused(&kem_upload(&mallory, 3, 3, 50, 1)), PreKeyError::BadSignature.into());
    let foreign = only(kem_upload(&mallory, 3, 3, 50, 1));
    assert_eq!(refused(&foreign), PreKeyError::BadBatchSignature.into());
    let signed = |prekey: Vec<u8>| UploadPreKeys {
        last_resort: Some(Base64::new(prekey).unwrap()),
        ..UploadPreKeys::default()
    };
    let long = last_resort_living(bob, 3, 0, UnixMillis(START.0 + 121 * DAY));
    assert_eq!(refused(&signed(long.encode())), UploadError::Lifetime);
    assert!(matches!(refused(&signed(vec![1; 9])), UploadError::PreKey(PreKeyError::Codec(_))));
    let x25519_as_kem = UploadPreKeys {
        kem_batches: vec![Base64::new(batch(bob, 3, 50, 1).encode()).unwrap()],
        ..UploadPreKeys::default()
    };
    assert!(matches!(refused(&x25519_as_kem), UploadError::PreKey(PreKeyError::Codec(_))));
    // The same again changes nothing, and another order of both types is taken as their numbers say.
    let before = stage.service.status(&bob.name).unwrap();
    let again = stage.service.upload(&caller(bob), &kem_upload(bob, 2, 2, 6, 5)).unwrap();
    assert_eq!(again, before);
    let mut both = only(kem_upload(bob, 0, 3, 20, 2));
    both.batches = upload(None, &[&batch(bob, 4, 22, 2)]).batches;
    let status = stage.service.upload(&caller(bob), &both).unwrap();
    assert_eq!((status.one_time, status.one_time_kem, status.next_batch, status.next_id), (7, 7, 5, 24));
    let mut both = only(kem_upload(bob, 0, 6, 40, 2));
    both.batches = upload(None, &[&batch(bob, 5, 30, 2)]).batches;
    assert_eq!(stage.service.upload(&caller(bob), &both).unwrap().next_id, 42);
}

#[test]
fn a_kem_batch_needs_a_last_resort_and_a_signed_prekey() {
    let stage = Stage::new();
    let bob = &stage.world.bob;
    let all = kem_upload(bob, 2, 1, 1, 5);
    assert_eq!(stage.service.upload(&caller(bob), &all), Err(UploadError::NoSignedPreKey));
    let without = UploadPreKeys {
        signed_prekey: upload(Some(&signed_prekey(bob, 1, 0)), &[]).signed_prekey,
        last_resort: None,
        ..all.clone()
    };
    assert_eq!(stage.service.upload(&caller(bob), &without), Err(UploadError::NoLastResort));
    let whole = UploadPreKeys { last_resort: all.last_resort, ..without };
    assert_eq!(stage.service.upload(&caller(bob), &whole).unwrap().one_time_kem, 5);
}

#[test]
fn a_full_pool_of_kem_keys() {
    let settings = Settings { max_kem_pool: 10, ..no_reserve() };
    let stage = stocked_with(Arc::new(MemoryPreKeys::default()), settings, 5, 8);
    let bob = &stage.world.bob;
    let more = |count| UploadPreKeys { last_resort: None, ..kem_upload(bob, 0, 3, 50, count) };
    assert_eq!(stage.service.upload(&caller(bob), &more(3)), Err(UploadError::PoolFull));
    assert_eq!(stage.service.upload(&caller(bob), &more(2)).unwrap().one_time_kem, 10);
}

#[test]
fn both_types_are_popped_at_most_once_under_concurrency() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(RocksPreKeys::new(open_db(directory.path())));
    let stage = stocked_with(store, unlimited(), 60, 40);
    let fetched: Vec<_> = std::thread::scope(|scope| {
        let fetch = |requester: u32| {
            let (stage, actor) = (&stage, Actor::new(&format!("requester {requester}"), 1));
            scope.spawn(move || {
                (0..10).map(|id| ids(&stage.fetch_as(&actor, id).unwrap())).collect::<Vec<_>>()
            })
        };
        let fetchers: Vec<_> = (0..8).map(fetch).collect();
        fetchers.into_iter().flat_map(|fetcher| fetcher.join().unwrap()).collect()
    });
    let x25519: Vec<u32> = fetched.iter().filter_map(|(x25519, _)| *x25519).collect();
    let kem: Vec<u32> = fetched.iter().filter_map(|(_, kem)| *kem).collect();
    assert_eq!((x25519.len(), kem.len()), (60, 40));
    let all: BTreeSet<u32> = x25519.into_iter().chain(kem).collect();
    assert_eq!(all, (1..=100).collect());
}

#[test]
fn the_reserve_is_kept_for_each_type() {
    let quota = Quota { count: u32::MAX, period: Duration::from_millis(1) };
    let settings = Settings { per_target: quota, per_pair: quota, ..Settings::default() };
    let stage = stocked_with(Arc::new(MemoryPreKeys::default()), settings, 8, 4);
    let young = Actor::new("young", 1);
    stage.world.accounts.first_seen(b"young", START);
    let got: Vec<_> = (0..8).map(|id| ids(&stage.fetch_as(&young, id).unwrap())).collect();
    assert_eq!(got.iter().filter(|(x25519, _)| x25519.is_some()).count(), 6);
    assert_eq!(got.iter().filter(|(_, kem)| kem.is_some()).count(), 3);
    assert_eq!(ids(&stage.fetch(1).unwrap()), (Some(7), Some(12)), "an established account");
    assert_eq!(ids(&stage.fetch(2).unwrap()), (None, None));
}

#[test]
fn missing_kem_contents_are_corruption() {
    let stage = stocked(5, 5);
    let bob = &stage.world.bob.name;
    stage.service.store.commit(&[Write::Delete(Expiring::KemBatch(bob.clone(), 2))]).unwrap();
    assert!(matches!(stage.fetch(1), Err(FetchError::Store(_))));
    assert_eq!(stage.service.status(bob).unwrap().one_time, 5);
}

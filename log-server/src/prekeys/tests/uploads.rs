//! Uploads: what is taken, what is refused, and that a refusal changes nothing.

use keyglass_account::{
    api::{Base64, UploadPreKeys},
    prekey::{PreKeyBatch, PreKeyError, SignedPreKey},
    time::UnixMillis,
};

use super::{material::*, *};

impl Stage {
    fn upload(&self, upload: &UploadPreKeys) -> Result<keyglass_account::api::PreKeyStatus, UploadError> {
        self.service.upload(&caller(&self.world.bob), upload)
    }

    /// Refuses the upload and leaves everything as it was.
    #[track_caller]
    fn refuses(&self, upload: &UploadPreKeys) -> UploadError {
        let before = self.service.status(&self.world.bob.name).unwrap();
        let notes = self.service.store.due(UnixMillis(u64::MAX), 1000).unwrap();
        let error = self.upload(upload).unwrap_err();
        assert_eq!(self.service.status(&self.world.bob.name).unwrap(), before);
        assert_eq!(self.service.store.due(UnixMillis(u64::MAX), 1000).unwrap(), notes);
        error
    }

    fn bob(&self) -> &Actor {
        &self.world.bob
    }
}

#[test]
fn a_first_upload_fills_the_pool() {
    let stage = Stage::new();
    let status = stage.service.status(&stage.bob().name).unwrap();
    assert_eq!((status.signed_prekey, status.one_time, status.next_batch), (None, 0, 0));
    let bob = stage.bob();
    let status = stage.upload(&upload(Some(&signed_prekey(bob, 1, 0)), &[&batch(bob, 1, 10, 100)])).unwrap();
    assert_eq!(status.signed_prekey.as_ref().unwrap().id, 1);
    assert_eq!((status.one_time, status.next_batch, status.next_id, status.low_water), (100, 2, 110, false));
    assert_eq!(stage.service.status(&bob.name).unwrap(), status);
    // Nobody else's pool changed.
    assert_eq!(stage.service.status(&stage.world.alice.name).unwrap().one_time, 0);
}

#[test]
fn the_same_upload_again_changes_nothing() {
    let stage = Stage::stocked(5);
    let bob = stage.bob();
    let again = upload(Some(&signed_prekey(bob, 1, 0)), &[&batch(bob, 1, 1, 5)]);
    stage.fetch(1).unwrap();
    let status = stage.upload(&again).unwrap();
    assert_eq!((status.one_time, status.next_batch), (4, 2), "what was handed out stays gone");
    // Also with a batch that is new beside one that is not.
    let more = upload(None, &[&batch(bob, 1, 1, 5), &batch(bob, 2, 6, 5)]);
    assert_eq!(stage.upload(&more).unwrap().one_time, 9);
    assert_eq!(stage.upload(&upload(None, &[])).unwrap().one_time, 9);
}

#[test]
fn a_batch_without_a_signed_prekey() {
    let stage = Stage::new();
    let only_batch = upload(None, &[&batch(stage.bob(), 1, 1, 5)]);
    assert_eq!(stage.refuses(&only_batch), UploadError::NoSignedPreKey);
    assert_eq!(stage.refuses(&UploadPreKeys::default()), UploadError::NoSignedPreKey);
}

#[test]
fn prekeys_that_the_device_did_not_sign() {
    let stage = Stage::stocked(5);
    let mallory = Actor::new("mallory", 1);
    let foreign = signed_prekey(&mallory, 2, 0);
    assert_eq!(stage.refuses(&upload(Some(&foreign), &[])), PreKeyError::BadSignature.into());
    let foreign = batch(&mallory, 2, 6, 5);
    assert_eq!(stage.refuses(&upload(None, &[&foreign])), PreKeyError::BadBatchSignature.into());
    let other_device = Actor::new("bob", 2);
    let wrong = PreKeyError::WrongDevice { found: 2, expected: 1 };
    assert_eq!(stage.refuses(&upload(Some(&signed_prekey(&other_device, 2, 0)), &[])), wrong.into());
    assert_eq!(stage.refuses(&upload(None, &[&batch(&other_device, 2, 6, 5)])), wrong.into());
}

#[test]
fn garbage() {
    let stage = Stage::stocked(5);
    let mut upload =
        UploadPreKeys { signed_prekey: Some(Base64::new(vec![1; 5]).unwrap()), ..UploadPreKeys::default() };
    assert!(matches!(stage.refuses(&upload), UploadError::PreKey(PreKeyError::Codec(_))));
    upload.signed_prekey = None;
    upload.batches.push(Base64::new(vec![1; 5]).unwrap());
    assert!(matches!(stage.refuses(&upload), UploadError::PreKey(PreKeyError::Codec(_))));
    let mut bytes = batch(stage.bob(), 2, 6, 5).encode();
    let last = bytes.len() - 33;
    bytes[last] ^= 1;
    upload.batches = vec![Base64::new(bytes).unwrap()];
    assert!(matches!(stage.refuses(&upload), UploadError::PreKey(_)));
}

#[test]
fn an_expired_signed_prekey_or_batch() {
    let stage = Stage::stocked(5);
    let bob = stage.bob();
    let expired = signed_prekey_living(bob, 2, 0, UnixMillis(START.0 - 1), START);
    assert_eq!(stage.refuses(&upload(Some(&expired), &[])), PreKeyError::Expired.into());
    let expired = batch_living(bob, 2, 6, 5, START);
    assert_eq!(stage.refuses(&upload(None, &[&expired])), PreKeyError::BatchExpired.into());
}

#[test]
fn prekeys_that_live_too_long_or_come_from_the_future() {
    let stage = Stage::stocked(5);
    let bob = stage.bob();
    let far = UnixMillis(START.0 + 121 * DAY);
    let long = signed_prekey_living(bob, 2, 0, START, far);
    assert_eq!(stage.refuses(&upload(Some(&long), &[])), UploadError::Lifetime);
    assert_eq!(stage.refuses(&upload(None, &[&batch_living(bob, 2, 6, 5, far)])), UploadError::Lifetime);
    let created = UnixMillis(START.0 + DAY + 1);
    let future = signed_prekey_living(bob, 2, 0, created, UnixMillis(created.0 + DAY));
    assert_eq!(stage.refuses(&upload(Some(&future), &[])), UploadError::Lifetime);
    let skewed = signed_prekey_living(bob, 2, 0, UnixMillis(START.0 + DAY), UnixMillis(START.0 + 2 * DAY));
    assert!(stage.upload(&upload(Some(&skewed), &[])).is_ok());
}

#[test]
fn a_signed_prekey_id_that_was_used() {
    let stage = Stage::stocked(5);
    let bob = stage.bob();
    let second = signed_prekey(bob, 5, 0);
    stage.upload(&upload(Some(&second), &[])).unwrap();
    let other_contents = signed_prekey(bob, 5, 1);
    let reused = |id| UploadError::SignedPreKeyIdReused { id, used: 5 };
    assert_eq!(stage.refuses(&upload(Some(&other_contents), &[])), reused(5));
    assert_eq!(stage.refuses(&upload(Some(&signed_prekey(bob, 1, 0)), &[])), reused(1));
    assert_eq!(stage.refuses(&upload(Some(&signed_prekey(bob, 4, 0)), &[])), reused(4));
}

#[test]
fn a_batch_number_or_key_id_that_was_used() {
    let stage = Stage::stocked(5);
    let bob = stage.bob();
    let other = batch(bob, 1, 6, 5);
    assert_eq!(stage.refuses(&upload(None, &[&other])), UploadError::BatchReused(1));
    let lower = batch(bob, 0, 6, 5);
    assert_eq!(stage.refuses(&upload(None, &[&lower])), UploadError::BatchReused(0));
    let overlapping = batch(bob, 2, 5, 5);
    assert_eq!(stage.refuses(&upload(None, &[&overlapping])), UploadError::IdReused(5));
    // Within one upload, too; and then nothing of it is taken.
    let pair = upload(None, &[&batch(bob, 2, 6, 5), &batch(bob, 3, 10, 5)]);
    assert_eq!(stage.refuses(&pair), UploadError::IdReused(10));
    let pair = upload(None, &[&batch(bob, 3, 6, 5), &batch(bob, 2, 11, 5)]);
    assert_eq!(stage.refuses(&pair), UploadError::BatchReused(2));
}

#[test]
fn the_last_number_and_id_cannot_be_used() {
    let stage = Stage::stocked(5);
    let bob = stage.bob();
    let last = batch(bob, u32::MAX, 6, 5);
    assert_eq!(stage.refuses(&upload(None, &[&last])), UploadError::BatchReused(u32::MAX));
    let last = batch(bob, 2, u32::MAX - 4, 5);
    assert_eq!(stage.refuses(&upload(None, &[&last])), UploadError::IdReused(u32::MAX));
}

#[test]
fn ids_stay_used_after_their_keys_are_gone() {
    let stage = Stage::stocked(1);
    let bob = stage.bob();
    assert!(stage.fetch(1).unwrap().one_time.is_some());
    assert_eq!(stage.service.status(&bob.name).unwrap().one_time, 0);
    assert_eq!(stage.refuses(&upload(None, &[&batch(bob, 2, 1, 1)])), UploadError::IdReused(1));
    // Also after everything has expired and was pruned.
    stage.world.clock.advance(119 * DAY);
    let at = stage.world.clock.now();
    let fresh = signed_prekey_living(bob, 2, 0, at, UnixMillis(at.0 + DAY));
    stage.upload(&upload(Some(&fresh), &[])).unwrap();
    stage.world.clock.advance(80 * DAY);
    while stage.service.prune().unwrap() > 0 {}
    assert_eq!(stage.service.store.batch(&bob.name, 1).unwrap(), None);
    let at = stage.world.clock.now();
    let old_id = batch_living(bob, 2, 1, 1, UnixMillis(at.0 + DAY));
    assert_eq!(stage.refuses(&upload(None, &[&old_id])), UploadError::IdReused(1));
    let old_number = batch_living(bob, 1, 2, 1, UnixMillis(at.0 + DAY));
    assert_eq!(stage.refuses(&upload(None, &[&old_number])), UploadError::BatchReused(1));
}

#[test]
fn a_floor_drops_batches_and_never_sinks() {
    let stage = Stage::stocked(5);
    let bob = stage.bob();
    stage.upload(&upload(None, &[&batch(bob, 2, 6, 5), &batch(bob, 7, 11, 5)])).unwrap();
    let status = stage.upload(&upload(Some(&signed_prekey(bob, 2, 3)), &[])).unwrap();
    assert_eq!(status.batches.iter().map(|batch| batch.batch).collect::<Vec<_>>(), [7]);
    assert_eq!(status.one_time, 5);
    let lowered = UploadError::FloorLowered { floor: 2, before: 3 };
    assert_eq!(stage.refuses(&upload(Some(&signed_prekey(bob, 3, 2)), &[])), lowered);

    // A device that lost its state starts over above everything that it may have used.
    let floor = signed_prekey(bob, 3, 20);
    let below = UploadError::BelowFloor { batch: 19, floor: 20 };
    assert_eq!(stage.refuses(&upload(Some(&floor), &[&batch(bob, 19, 100, 5)])), below);
    let status = stage.upload(&upload(Some(&floor), &[&batch(bob, 20, 100, 5)])).unwrap();
    assert_eq!((status.one_time, status.signed_prekey.unwrap().floor), (5, 20));
    let bundle = stage.fetch(1).unwrap();
    assert_eq!(bundle.one_time.unwrap().header.batch, 20);
}

#[test]
fn a_full_pool() {
    let settings = Settings { max_pool: 10, max_batches: 3, ..Settings::default() };
    let stage = Stage::with(Arc::new(MemoryPreKeys::default()), settings);
    stage.stock(5);
    let bob = stage.bob();
    assert_eq!(stage.refuses(&upload(None, &[&batch(bob, 2, 6, 6)])), UploadError::PoolFull);
    stage.upload(&upload(None, &[&batch(bob, 2, 6, 1), &batch(bob, 3, 7, 1)])).unwrap();
    assert_eq!(stage.refuses(&upload(None, &[&batch(bob, 4, 8, 1)])), UploadError::PoolFull);
    // What has expired takes no room.
    stage.world.clock.advance(61 * DAY);
    let at = stage.world.clock.now();
    let prekey = signed_prekey_living(bob, 2, 0, at, UnixMillis(at.0 + DAY));
    let new = batch_living(bob, 4, 8, 10, UnixMillis(at.0 + DAY));
    assert_eq!(stage.upload(&upload(Some(&prekey), &[&new])).unwrap().one_time, 10);
}

#[test]
fn a_device_that_uploads_too_often() {
    let quota = Quota { count: 3, period: Duration::from_secs(3600) };
    let settings = Settings { per_uploader: quota, ..Settings::default() };
    let stage = Stage::with(Arc::new(MemoryPreKeys::default()), settings);
    stage.stock(5);
    let bob = stage.bob();
    let two = upload(None, &[&batch(bob, 2, 6, 1), &batch(bob, 3, 7, 1)]);
    assert_eq!(stage.refuses(&two), UploadError::Quota);
    // The refused upload took nothing from the quota; a repeated one does not either.
    let one = upload(None, &[&batch(bob, 2, 6, 1)]);
    stage.upload(&one).unwrap();
    stage.upload(&one).unwrap();
    assert_eq!(stage.refuses(&upload(None, &[&batch(bob, 3, 7, 1)])), UploadError::Quota);
    stage.world.clock.advance(HOUR / 3);
    stage.upload(&upload(None, &[&batch(bob, 3, 7, 1)])).unwrap();
}

#[test]
fn low_water_is_told() {
    let stage = Stage::stocked(30);
    let status = |stage: &Stage| stage.service.status(&stage.bob().name).unwrap();
    assert!(!status(&stage).low_water);
    stage.fetch(1).unwrap();
    let now = status(&stage);
    assert!(now.low_water);
    assert_eq!((now.one_time, now.low_water_mark), (29, 30));
    assert_eq!((now.batches[0].handed_out, now.batches[0].leaf_count), (1, 30));
}

#[test]
fn what_is_stored_is_what_was_signed() {
    let stage = Stage::stocked(5);
    let bob = stage.bob();
    let stored = stage.service.store.batch(&bob.name, 1).unwrap().unwrap();
    assert_eq!(PreKeyBatch::decode(&stored).unwrap(), batch(bob, 1, 1, 5));
    let stored = stage.service.store.signed_prekey(&bob.name, 1).unwrap().unwrap();
    assert_eq!(SignedPreKey::decode(&stored).unwrap(), signed_prekey(bob, 1, 0));
}

//! Prekeys: every byte is covered, and nothing signed for one place passes in another.

use keyglass_account::{
    codec::CodecError,
    device::Device,
    merkle::PathError,
    prekey::{
        MAX_BATCH_LEN, MAX_BUNDLE_LEN, MAX_LEAVES, OneTimeEntry, OneTimePreKey, PreKeyBatch, PreKeyBundle,
        PreKeyError, SIGNED_PREKEY_LEN, SignedPreKey,
    },
    time::UnixMillis,
};
use keyglass_crypto::dh::DhError;
use proptest::prelude::*;

use crate::cast::*;

const CREATED: UnixMillis = UnixMillis(1_000_000);
const NOW: UnixMillis = UnixMillis(1_500_000);
const EXPIRES: UnixMillis = UnixMillis(2_000_000);

fn signed(floor: u32) -> SignedPreKey {
    let key = dh(50).public_key();
    SignedPreKey::sign(ORIGIN, LABEL, &device_key(1), 1, 7, key, CREATED, EXPIRES, floor).unwrap()
}

fn prekeys(count: u16) -> Vec<OneTimePreKey> {
    let key = |id: u16| {
        let seed = keyglass_crypto::hash::sha256(&[b"one-time", &id.to_be_bytes()]);
        keyglass_crypto::dh::DhSecretKey::from_bytes(&seed).public_key()
    };
    (0..count).map(|id| OneTimePreKey { id: u32::from(id) * 3 + 1, key: key(id) }).collect()
}

fn batch(number: u32, count: u16) -> PreKeyBatch {
    PreKeyBatch::sign(ORIGIN, LABEL, &device_key(1), 1, number, EXPIRES, prekeys(count)).unwrap()
}

fn bundle() -> PreKeyBundle {
    PreKeyBundle { signed_prekey: signed(3), one_time: batch(3, 10).entry(4), kem: None }
}

fn verify(bundle: PreKeyBundle, device: &Device) -> Result<(), PreKeyError> {
    bundle.verify(ORIGIN, LABEL, device, NOW).map(|_| ())
}

#[test]
fn everything_survives_encoding() {
    let signed = signed(3);
    assert_eq!(SignedPreKey::decode(&signed.encode()), Ok(signed));
    assert_eq!(signed.encode().len(), SIGNED_PREKEY_LEN);
    for count in [1, 2, 3, 100, MAX_LEAVES] {
        let batch = batch(3, count);
        assert_eq!(PreKeyBatch::decode(&batch.encode()).as_ref(), Ok(&batch));
        assert!(batch.encode().len() <= MAX_BATCH_LEN);
        let bundle = PreKeyBundle { signed_prekey: signed, one_time: batch.entry(count - 1), kem: None };
        assert_eq!(PreKeyBundle::decode(&bundle.encode()).as_ref(), Ok(&bundle));
        assert!(bundle.encode().len() <= MAX_BUNDLE_LEN);
        assert_eq!(batch.entry(count), None);
        assert_eq!(OneTimeEntry::from_batch(&batch.encode(), count), Ok(None));
    }
    let without = PreKeyBundle { signed_prekey: signed, one_time: None, kem: None };
    assert_eq!(PreKeyBundle::decode(&without.encode()), Ok(without));
}

#[test]
fn every_key_of_a_batch_is_handed_out_with_a_path_that_holds() {
    for count in [1, 2, 3, 5, 64, 100] {
        let batch = batch(3, count);
        for index in 0..count {
            let entry = batch.entry(index);
            assert_eq!(OneTimeEntry::from_batch(&batch.encode(), index), Ok(entry.clone()));
            let bundle = PreKeyBundle { signed_prekey: signed(3), one_time: entry, kem: None };
            let verified = bundle.verify(ORIGIN, LABEL, &device(1), NOW).unwrap();
            assert_eq!(verified.one_time().unwrap().prekey, batch.prekeys()[usize::from(index)]);
            assert_eq!((verified.device(), verified.signed_prekey().id), (&device(1), 7));
        }
    }
}

#[test]
fn every_flipped_bit_of_a_bundle_is_refused() {
    let bytes = bundle().encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let verdict = PreKeyBundle::decode(&flipped).and_then(|bundle| verify(bundle, &device(1)));
            assert!(verdict.is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn every_flipped_byte_of_a_batch_is_refused() {
    let bytes = batch(3, 10).encode();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x55;
        let verdict = PreKeyBatch::decode(&flipped)
            .and_then(|batch| batch.header().verify(ORIGIN, LABEL, &device(1), NOW));
        assert!(verdict.is_err(), "byte {at}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let bytes = bundle().encode();
    assert!((0..bytes.len()).all(|len| PreKeyBundle::decode(&bytes[..len]).is_err()));
    let bytes = batch(3, 2).encode();
    assert!((0..bytes.len()).all(|len| PreKeyBatch::decode(&bytes[..len]).is_err()));
    assert!((0..bytes.len()).all(|len| OneTimeEntry::from_batch(&bytes[..len], 0).is_err()));
    let mut longer = bytes;
    longer.push(0);
    assert!(OneTimeEntry::from_batch(&longer, 0).is_err());
    assert_eq!(PreKeyBatch::decode(&longer), Err(PreKeyError::Codec(CodecError::TrailingBytes)));
}

#[test]
fn prekeys_of_another_log_label_or_device() {
    for (origin, label) in [("log.example/other", LABEL), (ORIGIN, &b"bobby"[..])] {
        let error = bundle().verify(origin, label, &device(1), NOW).unwrap_err();
        assert_eq!(error, PreKeyError::BadSignature);
        let header = *batch(3, 10).header();
        assert_eq!(header.verify(origin, label, &device(1), NOW), Err(PreKeyError::BadBatchSignature));
    }
    assert_eq!(verify(bundle(), &device(2)), Err(PreKeyError::WrongDevice { found: 1, expected: 2 }));
    // The device's number with another device's key.
    assert_eq!(verify(bundle(), &device_of(ORIGIN, LABEL, 1, 2)), Err(PreKeyError::BadSignature));
}

#[test]
fn a_one_time_prekey_of_another_device_beside_the_right_signed_prekey() {
    let foreign = PreKeyBatch::sign(ORIGIN, LABEL, &device_key(2), 2, 3, EXPIRES, prekeys(10)).unwrap();
    let mixed = PreKeyBundle { signed_prekey: signed(3), one_time: foreign.entry(0), kem: None };
    assert_eq!(verify(mixed, &device(1)), Err(PreKeyError::WrongDevice { found: 2, expected: 1 }));
    let forged = PreKeyBatch::sign(ORIGIN, LABEL, &device_key(2), 1, 3, EXPIRES, prekeys(10)).unwrap();
    let mixed = PreKeyBundle { signed_prekey: signed(3), one_time: forged.entry(0), kem: None };
    assert_eq!(verify(mixed, &device(1)), Err(PreKeyError::BadBatchSignature));
}

#[test]
fn a_batch_below_the_floor_cannot_return() {
    for (number, verdict) in
        [(2, Err(PreKeyError::BelowFloor { batch: 2, floor: 3 })), (3, Ok(())), (4, Ok(()))]
    {
        let bundle =
            PreKeyBundle { signed_prekey: signed(3), one_time: batch(number, 10).entry(0), kem: None };
        assert_eq!(verify(bundle, &device(1)), verdict);
    }
}

#[test]
fn expiry_is_exclusive() {
    let at = |now| bundle().verify(ORIGIN, LABEL, &device(1), now).map(|_| ());
    assert_eq!(at(UnixMillis(EXPIRES.0 - 1)), Ok(()));
    assert_eq!(at(EXPIRES), Err(PreKeyError::Expired));
    let batch = PreKeyBatch::sign(ORIGIN, LABEL, &device_key(1), 1, 3, NOW, prekeys(1)).unwrap();
    let bundle = PreKeyBundle { signed_prekey: signed(3), one_time: batch.entry(0), kem: None };
    assert_eq!(verify(bundle, &device(1)), Err(PreKeyError::BatchExpired));
    let key = dh(50).public_key();
    let never = SignedPreKey::sign(ORIGIN, LABEL, &device_key(1), 1, 7, key, CREATED, CREATED, 0);
    assert_eq!(never, Err(PreKeyError::ExpiresBeforeCreated));
}

#[test]
fn a_path_with_a_trailing_hash_an_index_past_the_size_or_of_another_leaf() {
    let with = |change: &dyn Fn(&mut OneTimeEntry)| {
        let mut bundle = bundle();
        change(bundle.one_time.as_mut().unwrap());
        verify(PreKeyBundle::decode(&bundle.encode()).unwrap(), &device(1)).unwrap_err()
    };
    assert_eq!(with(&|entry| entry.path.push([0; 32])), PreKeyError::Path(PathError::WrongLength));
    assert_eq!(
        with(&|entry| entry.path.truncate(entry.path.len() - 1)),
        PreKeyError::Path(PathError::WrongLength)
    );
    for index in [10, 16 + 4, u16::MAX] {
        assert_eq!(with(&|entry| entry.index = index), PreKeyError::Path(PathError::IndexOutOfRange));
    }
    assert_eq!(with(&|entry| entry.index = 5), PreKeyError::Path(PathError::WrongRoot));
    assert_eq!(with(&|entry| entry.prekey.id += 1), PreKeyError::Path(PathError::WrongRoot));
    assert_eq!(with(&|entry| entry.prekey.key = dh(9).public_key()), PreKeyError::Path(PathError::WrongRoot));
    assert_eq!(with(&|entry| entry.header.leaf_count = 11), PreKeyError::BadBatchSignature);
}

#[test]
fn a_path_longer_than_any_batch_has_is_not_read() {
    let mut bundle = bundle();
    bundle.one_time.as_mut().unwrap().path = vec![[0; 32]; 11];
    let error = PreKeyBundle::decode(&bundle.encode()).unwrap_err();
    assert_eq!(error, PreKeyError::Codec(CodecError::VectorLength { len: 11, min: 0, max: 10 }));
}

#[test]
fn ids_that_repeat_or_descend_in_a_batch() {
    let sign = |prekeys| PreKeyBatch::sign(ORIGIN, LABEL, &device_key(1), 1, 3, EXPIRES, prekeys);
    let mut repeated = prekeys(3);
    repeated[2].id = repeated[1].id;
    assert_eq!(sign(repeated), Err(PreKeyError::IdsNotAscending(4)));
    let mut descending = prekeys(3);
    descending.swap(0, 1);
    assert_eq!(sign(descending), Err(PreKeyError::IdsNotAscending(1)));
    assert_eq!(sign(Vec::new()), Err(PreKeyError::BatchSize(0)));
    assert_eq!(sign(prekeys(MAX_LEAVES + 1)), Err(PreKeyError::BatchSize(1025)));
}

#[test]
fn a_batch_that_announces_no_keys_or_too_many() {
    let with = |count: u16| {
        let mut bytes = batch(3, 2).encode();
        bytes[10..12].copy_from_slice(&count.to_be_bytes());
        PreKeyBatch::decode(&bytes).unwrap_err()
    };
    assert_eq!(with(0), PreKeyError::BatchSize(0));
    assert_eq!(with(1025), PreKeyError::BatchSize(1025));
    assert_eq!(with(3), PreKeyError::Codec(CodecError::Truncated));
    assert_eq!(with(1), PreKeyError::Codec(CodecError::TrailingBytes));
}

#[test]
fn keys_of_small_order_or_not_canonical() {
    let mut bytes = signed(3).encode();
    bytes[10..42].fill(0);
    assert_eq!(SignedPreKey::decode(&bytes), Err(PreKeyError::BadKey { id: 7, error: DhError::SmallOrder }));
    bytes[10..42].fill(0xff);
    assert_eq!(
        SignedPreKey::decode(&bytes),
        Err(PreKeyError::BadKey { id: 7, error: DhError::NonCanonicalKey })
    );
    let mut bytes = batch(3, 1).encode();
    let at = bytes.len() - 32;
    bytes[at..].fill(0);
    assert_eq!(PreKeyBatch::decode(&bytes), Err(PreKeyError::BadKey { id: 1, error: DhError::SmallOrder }));
}

#[test]
fn key_types_that_this_format_does_not_have() {
    let mut bytes = signed(3).encode();
    bytes[1] = 2;
    assert_eq!(SignedPreKey::decode(&bytes), Err(PreKeyError::Codec(CodecError::UnknownVariant(2))));
    let mut bytes = bundle().encode();
    bytes[0] = 3;
    assert_eq!(PreKeyBundle::decode(&bytes), Err(PreKeyError::Codec(CodecError::UnknownFormat(3))));
}

proptest! {
    #[test]
    fn noise_is_never_a_bundle_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let verdict = PreKeyBundle::decode(&bytes).and_then(|bundle| verify(bundle, &device(1)));
        prop_assert!(verdict.is_err());
        prop_assert!(PreKeyBatch::decode(&bytes).is_err());
    }

    #[test]
    fn a_batch_never_proves_a_key_that_is_not_in_it(
        count in 1u16..80, index in 0u16..80, other in 0u16..80, id in any::<u32>(),
    ) {
        let (index, other) = (index % count, other % count);
        let batch = batch(3, count);
        let mut entry = batch.entry(index).unwrap();
        entry.index = other;
        entry.prekey.id = id;
        let holds = entry.verify(ORIGIN, LABEL, &device(1), NOW).is_ok();
        prop_assert_eq!(holds, index == other && id == batch.prekeys()[usize::from(index)].id);
    }
}

//! ML-KEM prekeys: batches, last resorts, bundles that carry them, and what a server cannot make of them.

use keyglass_account::{
    codec::CodecError,
    prekey::{
        BatchHeader, KemEntry, KemPreKey, KemPreKeyBatch, KeyType, LAST_RESORT_LEN, LastResortPreKey,
        MAX_BUNDLE_LEN, MAX_KEM_BATCH_LEN, MAX_KEM_LEAVES, MAX_LEAVES, OneTimeEntry, OneTimeKemPreKey,
        OneTimePreKey, PreKeyBatch, PreKeyBundle, PreKeyError, SignedPreKey,
    },
    time::UnixMillis,
};
use keyglass_crypto::{
    hash::sha256,
    kem::{self, KemError, KemPublicKey, KemSecretKey},
};

use crate::cast::*;

const CREATED: UnixMillis = UnixMillis(1_000_000);
const NOW: UnixMillis = UnixMillis(1_500_000);
const EXPIRES: UnixMillis = UnixMillis(2_000_000);

fn kem_key(id: u16) -> KemPublicKey {
    let half = sha256(&[b"one-time kem", &id.to_be_bytes()]);
    let mut seed = [7; kem::SEED_LEN];
    seed[..32].copy_from_slice(&half);
    KemSecretKey::from_seed(&seed).public_key().clone()
}

fn signed(floor: u32) -> SignedPreKey {
    let key = dh(50).public_key();
    SignedPreKey::sign(ORIGIN, LABEL, &device_key(1), 1, 7, key, CREATED, EXPIRES, floor).unwrap()
}

fn last_resort(floor: u32) -> LastResortPreKey {
    let key = kem_key(900);
    LastResortPreKey::sign(ORIGIN, LABEL, &device_key(1), 1, 8, key, CREATED, EXPIRES, floor).unwrap()
}

fn prekeys(count: u16) -> Vec<OneTimeKemPreKey> {
    (0..count).map(|id| OneTimeKemPreKey { id: u32::from(id) + 500, key: kem_key(id) }).collect()
}

fn batch(number: u32, count: u16) -> KemPreKeyBatch {
    KemPreKeyBatch::sign(ORIGIN, LABEL, &device_key(1), 1, number, EXPIRES, prekeys(count)).unwrap()
}

fn one_time(number: u32) -> OneTimeEntry {
    let keys = vec![OneTimePreKey { id: 1, key: dh(60).public_key() }];
    let batch = PreKeyBatch::sign(ORIGIN, LABEL, &device_key(1), 1, number, EXPIRES, keys).unwrap();
    batch.entry(0).unwrap()
}

/// With a one-time KEM key of batch 4 or a last resort, and a floor of 3.
fn bundle(is_last_resort: bool) -> PreKeyBundle {
    let kem = if is_last_resort {
        KemPreKey::LastResort(last_resort(3))
    } else {
        KemPreKey::OneTime(batch(4, 3).entry(1).unwrap())
    };
    PreKeyBundle { signed_prekey: signed(3), one_time: Some(one_time(3)), kem: Some(kem) }
}

fn verify(bundle: PreKeyBundle) -> Result<(), PreKeyError> {
    bundle.verify(ORIGIN, LABEL, &device(1), NOW).map(|_| ())
}

#[test]
fn everything_survives_encoding() {
    for is_last_resort in [false, true] {
        for one_time in [None, Some(one_time(3))] {
            let bundle = PreKeyBundle { one_time, ..bundle(is_last_resort) };
            let bytes = bundle.encode();
            assert_eq!(bytes[0], 2);
            assert_eq!(PreKeyBundle::decode(&bytes).as_ref(), Ok(&bundle));
            let verified = bundle.clone().verify(ORIGIN, LABEL, &device(1), NOW).unwrap();
            assert_eq!(verified.kem(), bundle.kem.as_ref());
        }
    }
    let last = last_resort(0);
    assert_eq!(last.encode().len(), LAST_RESORT_LEN);
    assert_eq!(LastResortPreKey::decode(&last.encode()).as_ref(), Ok(&last));
    for count in [1, 2, 3] {
        let batch = batch(4, count);
        assert_eq!(KemPreKeyBatch::decode(&batch.encode()).as_ref(), Ok(&batch));
        assert_eq!(batch.header().key_type, KeyType::MlKem768);
        assert_eq!(batch.entries().count(), usize::from(count));
        for (index, entry) in (0..).zip(batch.entries()) {
            assert_eq!(Some(&entry), batch.entry(index).as_ref());
            assert_eq!(KemEntry::from_batch(&batch.encode(), index), Ok(Some(entry.clone())));
            assert_eq!(KemEntry::decode(&entry.encode()).as_ref(), Ok(&entry));
            assert_eq!(entry.verify(ORIGIN, LABEL, &device(1), NOW), Ok(()));
        }
        assert_eq!(KemEntry::from_batch(&batch.encode(), count), Ok(None));
    }
}

#[test]
fn the_lengths_announced_are_reached_and_not_passed() {
    let key = kem_key(0);
    let keys = |count: u16| -> Vec<_> {
        (0..count).map(|id| OneTimeKemPreKey { id: id.into(), key: key.clone() }).collect()
    };
    let sign = |keys| KemPreKeyBatch::sign(ORIGIN, LABEL, &device_key(1), 1, 4, EXPIRES, keys);
    let largest = sign(keys(MAX_KEM_LEAVES)).unwrap();
    assert_eq!(largest.encode().len(), MAX_KEM_BATCH_LEN);
    assert_eq!(KemPreKeyBatch::decode(&largest.encode()).as_ref(), Ok(&largest));
    assert_eq!(sign(keys(MAX_KEM_LEAVES + 1)), Err(PreKeyError::BatchSize(129)));
    let mut announces_more = largest.encode();
    announces_more[10..12].copy_from_slice(&(MAX_KEM_LEAVES + 1).to_be_bytes());
    assert_eq!(KemPreKeyBatch::decode(&announces_more), Err(PreKeyError::BatchSize(129)));

    let keys = (0..MAX_LEAVES).map(|id| OneTimePreKey { id: id.into(), key: dh(60).public_key() }).collect();
    let others = PreKeyBatch::sign(ORIGIN, LABEL, &device_key(1), 1, 3, EXPIRES, keys).unwrap();
    let bundle = PreKeyBundle {
        signed_prekey: signed(3),
        one_time: others.entry(0),
        kem: Some(KemPreKey::OneTime(largest.entry(0).unwrap())),
    };
    let len = bundle.encode().len();
    println!("the longest bundle has {len} bytes");
    assert!(len <= MAX_BUNDLE_LEN);
    verify(PreKeyBundle::decode(&bundle.encode()).unwrap()).unwrap();
}

#[test]
fn every_flipped_byte_of_a_bundle_or_batch_is_refused() {
    for is_last_resort in [false, true] {
        let bytes = bundle(is_last_resort).encode();
        verify(PreKeyBundle::decode(&bytes).unwrap()).unwrap();
        for at in 0..bytes.len() {
            for change in [1, 0x80] {
                let mut flipped = bytes.clone();
                flipped[at] ^= change;
                assert!(PreKeyBundle::decode(&flipped).and_then(verify).is_err(), "byte {at} by {change}");
            }
        }
        assert!((0..bytes.len()).all(|len| PreKeyBundle::decode(&bytes[..len]).is_err()));
        let longer = [bytes, vec![0]].concat();
        assert_eq!(PreKeyBundle::decode(&longer), Err(PreKeyError::Codec(CodecError::TrailingBytes)));
    }
    let bytes = batch(4, 2).encode();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x55;
        let verdict = KemPreKeyBatch::decode(&flipped)
            .and_then(|batch| batch.header().verify(ORIGIN, LABEL, &device(1), NOW));
        assert!(verdict.is_err(), "byte {at}");
    }
    assert!((0..bytes.len()).step_by(7).all(|len| KemPreKeyBatch::decode(&bytes[..len]).is_err()));
}

/// The two types share no signature: what was signed as one is nothing as the other.
#[test]
fn types_are_not_taken_for_one_another() {
    let mut header = *batch(4, 3).header();
    header.key_type = KeyType::X25519;
    assert_eq!(header.verify(ORIGIN, LABEL, &device(1), NOW), Err(PreKeyError::BadBatchSignature));
    let header = BatchHeader { key_type: KeyType::MlKem768, ..one_time(3).header };
    assert_eq!(header.verify(ORIGIN, LABEL, &device(1), NOW), Err(PreKeyError::BadBatchSignature));

    let unknown = |byte| PreKeyError::Codec(CodecError::UnknownVariant(byte));
    assert_eq!(PreKeyBatch::decode(&batch(4, 1).encode()), Err(unknown(2)));
    assert_eq!(OneTimeEntry::from_batch(&batch(4, 1).encode(), 0), Err(unknown(2)));
    assert_eq!(SignedPreKey::decode(&last_resort(0).encode()), Err(unknown(2)));
    assert_eq!(LastResortPreKey::decode(&signed(0).encode()), Err(unknown(1)));
    assert_eq!(KemEntry::decode(&one_time(3).encode()), Err(unknown(1)));
    for kind in [0, 3, 255] {
        let kem_at = PreKeyBundle { kem: None, ..bundle(true) }.encode().len();
        let mut bytes = bundle(true).encode();
        bytes[kem_at] = kind;
        assert_eq!(PreKeyBundle::decode(&bytes), Err(unknown(kind)));
    }
}

/// A format number promises an ML-KEM key or its absence.
#[test]
fn a_bundle_has_one_format() {
    let mut cut = PreKeyBundle { kem: None, ..bundle(true) }.encode();
    assert_eq!(cut[0], 1);
    cut[0] = 2;
    assert_eq!(PreKeyBundle::decode(&cut), Err(PreKeyError::Codec(CodecError::Truncated)));
    let mut whole = bundle(true).encode();
    whole[0] = 1;
    assert_eq!(PreKeyBundle::decode(&whole), Err(PreKeyError::Codec(CodecError::TrailingBytes)));
    whole[0] = 3;
    assert_eq!(PreKeyBundle::decode(&whole), Err(PreKeyError::Codec(CodecError::UnknownFormat(3))));
}

#[test]
fn kem_prekeys_of_another_log_label_device_or_signer() {
    for (origin, label) in [("log.example/other", LABEL), (ORIGIN, &b"bobby"[..])] {
        let last = last_resort(0).verify(origin, label, &device(1), NOW);
        assert_eq!(last, Err(PreKeyError::BadSignature));
        let entry = batch(4, 3).entry(1).unwrap().verify(origin, label, &device(1), NOW);
        assert_eq!(entry, Err(PreKeyError::BadBatchSignature));
    }
    let with = |kem| verify(PreKeyBundle { kem: Some(kem), ..bundle(true) });
    let sign = |key: &_, device| {
        LastResortPreKey::sign(ORIGIN, LABEL, key, device, 8, kem_key(1), CREATED, EXPIRES, 0).unwrap()
    };
    let forged = with(KemPreKey::LastResort(sign(&device_key(2), 1)));
    assert_eq!(forged, Err(PreKeyError::BadSignature));
    let foreign = with(KemPreKey::LastResort(sign(&device_key(2), 2)));
    assert_eq!(foreign, Err(PreKeyError::WrongDevice { found: 2, expected: 1 }));
    let forged = KemPreKeyBatch::sign(ORIGIN, LABEL, &device_key(2), 1, 4, EXPIRES, prekeys(2)).unwrap();
    let forged = with(KemPreKey::OneTime(forged.entry(0).unwrap()));
    assert_eq!(forged, Err(PreKeyError::BadBatchSignature));
    // A key that is not the one that was signed, under a path that is right for another.
    let mut moved = batch(4, 3).entry(1).unwrap();
    moved.prekey = batch(4, 3).prekeys()[0].clone();
    assert!(matches!(with(KemPreKey::OneTime(moved)), Err(PreKeyError::Path(_))));
}

#[test]
fn the_floor_holds_for_both_types_and_the_higher_one_counts() {
    let below = |batch, floor| Err(PreKeyError::BelowFloor { batch, floor });
    let kem = |number| KemPreKey::OneTime(batch(number, 2).entry(0).unwrap());
    let with =
        |floor, kem| verify(PreKeyBundle { signed_prekey: signed(floor), one_time: None, kem: Some(kem) });
    assert_eq!(with(4, kem(4)), Ok(()));
    assert_eq!(with(5, kem(4)), below(4, 5));
    // The last resort is the newer of the two signed keys.
    let with = |kem_floor| {
        let kem = Some(KemPreKey::LastResort(last_resort(kem_floor)));
        verify(PreKeyBundle { signed_prekey: signed(0), one_time: Some(one_time(3)), kem })
    };
    assert_eq!(with(3), Ok(()));
    assert_eq!(with(4), below(3, 4));
}

#[test]
fn an_expired_kem_prekey_is_refused() {
    let soon = UnixMillis(NOW.0 + 1);
    let last = |expires| {
        let key = device_key(1);
        LastResortPreKey::sign(ORIGIN, LABEL, &key, 1, 8, kem_key(1), CREATED, expires, 0).unwrap()
    };
    let with = |kem| verify(PreKeyBundle { kem: Some(kem), ..bundle(true) });
    assert_eq!(with(KemPreKey::LastResort(last(soon))), Ok(()));
    assert_eq!(with(KemPreKey::LastResort(last(NOW))), Err(PreKeyError::Expired));
    let batch = |expires| {
        KemPreKeyBatch::sign(ORIGIN, LABEL, &device_key(1), 1, 4, expires, prekeys(1)).unwrap().entry(0)
    };
    assert_eq!(with(KemPreKey::OneTime(batch(soon).unwrap())), Ok(()));
    assert_eq!(with(KemPreKey::OneTime(batch(NOW).unwrap())), Err(PreKeyError::BatchExpired));
}

#[test]
fn a_key_with_a_coefficient_that_is_not_reduced() {
    let bad = |id| PreKeyError::BadKemKey { id, error: KemError::NotReduced };
    let mut bytes = last_resort(0).encode();
    bytes[10..12].fill(0xff);
    assert_eq!(LastResortPreKey::decode(&bytes), Err(bad(8)));
    let mut bytes = batch(4, 2).encode();
    let at = bytes.len() - kem::PUBLIC_KEY_LEN;
    bytes[at..at + 2].fill(0xff);
    assert_eq!(KemPreKeyBatch::decode(&bytes), Err(bad(501)));
    assert_eq!(KemEntry::from_batch(&bytes, 1), Err(bad(501)));
}

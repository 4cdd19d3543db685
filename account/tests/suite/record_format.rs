//! Encoding: what round-trips, and every input that is refused as such.

use keyglass_account::{
    author::{Draft, sign},
    codec::CodecError,
    device::Suite,
    record::{AccountRecord, KeyRole, MAX_DEVICES, MAX_RECORD_LEN, RecordError, fingerprint},
    verify::{ValidRecord, verify},
};
use keyglass_crypto::{dh::DhError, sign::SignError};
use proptest::prelude::*;

use crate::cast::*;

/// A record with every optional field present and a chain of two links.
fn rich() -> (ValidRecord, ValidRecord) {
    let zero = genesis();
    let one =
        valid(&after(&zero).remove_device(2).sign_rotation(&identity(1), &identity(2)).unwrap(), Some(&zero));
    let two = valid(&after(&one).sign_recovery(&recovery(1), &identity(3)).unwrap(), Some(&one));
    let three = after(&two).add_device(device(4)).sign_rotation(&identity(3), &identity(4)).unwrap();
    let three = valid(&three, Some(&two));
    let four = valid(&after(&three).sign_recovery(&recovery(1), &identity(5)).unwrap(), Some(&three));
    (three, four)
}

#[test]
fn records_survive_encoding() {
    let (three, four) = rich();
    for record in [genesis().record(), three.record(), four.record()] {
        let bytes = record.encode();
        assert_eq!(AccountRecord::decode(&bytes).as_ref(), Ok(record));
        assert_eq!(AccountRecord::decode(&bytes).unwrap().hash(), record.hash());
    }
    assert_eq!(four.record().chain.as_ref().unwrap().links.len(), 3);
}

#[test]
fn sizes_are_what_a_phone_can_afford() {
    let zero = genesis();
    assert_eq!(zero.record().encode().len(), 503, "two devices and a recovery key");
}

#[test]
fn every_truncation_and_every_trailing_byte_is_refused() {
    let (_, four) = rich();
    let bytes = four.record().encode();
    for len in 0..bytes.len() {
        assert!(AccountRecord::decode(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
    }
    let mut longer = bytes;
    longer.push(0);
    assert_eq!(AccountRecord::decode(&longer), Err(RecordError::Codec(CodecError::TrailingBytes)));
}

#[test]
fn every_flipped_bit_of_a_signed_record_is_refused() {
    let (three, four) = rich();
    let bytes = four.record().encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(verify(ORIGIN, LABEL, 4, &flipped, Some(&three)).is_err(), "byte {at} bit {bit}");
            assert!(verify(ORIGIN, LABEL, 4, &flipped, None).is_err(), "byte {at} bit {bit}, first contact");
        }
    }
}

/// Changes a valid genesis, then signs it again: what remains wrong is the content.
fn broken(change: impl FnOnce(&mut AccountRecord)) -> RecordError {
    let mut record = genesis().record().clone();
    change(&mut record);
    sign(ORIGIN, LABEL, &mut record, &identity(1), None);
    check(&record, None).unwrap_err()
}

#[test]
fn duplicate_device_ids() {
    assert_eq!(broken(|r| r.devices[1].id = 1), RecordError::DuplicateDevice(1));
}

#[test]
fn devices_out_of_order() {
    assert_eq!(broken(|r| r.devices.swap(0, 1)), RecordError::DevicesNotAscending(1));
}

#[test]
fn device_id_zero() {
    let error = broken(|r| r.devices[0] = device_of(ORIGIN, LABEL, 0, 1));
    assert_eq!(error, RecordError::DeviceIdOutOfRange(0));
}

#[test]
fn device_id_not_below_the_next() {
    assert_eq!(broken(|r| r.next_device_id = 2), RecordError::DeviceIdOutOfRange(2));
    assert_eq!(broken(|r| r.next_device_id = 4), RecordError::WrongNextDeviceId { found: 4, expected: 3 });
    let error = broken(|r| {
        r.devices[1] = device_of(ORIGIN, LABEL, u32::MAX, 2);
        r.next_device_id = u32::MAX;
    });
    assert_eq!(error, RecordError::DeviceIdOutOfRange(u32::MAX));
}

#[test]
fn suites_missing_unordered_or_repeated() {
    let empty = CodecError::VectorLength { len: 0, min: 1, max: 16 };
    assert_eq!(broken(|r| r.devices[0].suites.clear()), RecordError::Codec(empty));
    let unordered = broken(|r| r.devices[0].suites = vec![Suite(2), Suite(1)]);
    assert_eq!(unordered, RecordError::SuitesNotAscending(1));
    let repeated = broken(|r| r.devices[0].suites = vec![Suite(1), Suite(1)]);
    assert_eq!(repeated, RecordError::SuitesNotAscending(1));
}

#[test]
fn too_many_devices() {
    let error = broken(|r| {
        r.devices = (1..=65).map(device).collect();
        r.next_device_id = 66;
    });
    assert_eq!(error, RecordError::Codec(CodecError::VectorLength { len: 65, min: 0, max: MAX_DEVICES }));
}

#[test]
fn too_many_devices_are_refused_by_the_author_too() {
    let mut draft = draft();
    for id in 1..=65 {
        draft = draft.add_device(device(id));
    }
    assert_eq!(draft.sign_genesis(&identity(1)), Err(RecordError::Full));
}

#[test]
fn the_same_key_for_two_devices() {
    let error = broken(|r| r.devices[1] = device_of(ORIGIN, LABEL, 2, 1));
    assert_eq!(error, RecordError::KeyReused(KeyRole::DeviceSigning(2)));
    let error = broken(|r| r.devices[1].dh_key = r.devices[0].dh_key);
    assert_eq!(error, RecordError::KeyReused(KeyRole::DeviceDh(2)));
}

#[test]
fn the_same_key_for_two_purposes() {
    let error =
        draft().set_recovery(Some(identity(1).verifying_key())).sign_genesis(&identity(1)).unwrap_err();
    assert_eq!(error, RecordError::KeyReused(KeyRole::Recovery));
}

#[test]
fn a_device_without_its_own_signature() {
    assert_eq!(broken(|r| r.devices[0].signature.0[0] ^= 1), RecordError::DeviceNotSigned(1));
    // One key of the device replaced.
    assert_eq!(broken(|r| r.devices[0].dh_key = dh(7).public_key()), RecordError::DeviceNotSigned(1));
    // A device that signed for another account, another log, another id.
    for foreign in [device_of(ORIGIN, b"bobby", 2, 2), device_of("log.example/other", LABEL, 2, 2)] {
        assert_eq!(broken(|r| r.devices[1] = foreign), RecordError::DeviceNotSigned(2));
    }
    let error = broken(|r| {
        r.devices[1] = device_of(ORIGIN, LABEL, 3, 2);
        r.devices[1].id = 2;
    });
    assert_eq!(error, RecordError::DeviceNotSigned(2));
}

#[test]
fn a_recovery_key_that_was_not_granted() {
    let grant_error = RecordError::BadRecoveryGrant;
    assert_eq!(broken(|r| r.recovery.as_mut().unwrap().key = recovery(2).verifying_key()), grant_error);
    assert_eq!(broken(|r| r.recovery.as_mut().unwrap().since = 1), grant_error);
}

#[test]
fn retired_keys_of_a_genesis_or_out_of_order() {
    assert_eq!(broken(|r| r.retired = vec![1]), RecordError::WrongAuthorisation);
    assert_eq!(broken(|r| r.retired = vec![2, 1]), RecordError::RetiredNotAscending);
    assert_eq!(broken(|r| r.retired = vec![1, 1]), RecordError::RetiredNotAscending);
    let back = fingerprint(&dh(2).public_key().to_bytes());
    assert_eq!(broken(|r| r.retired = vec![back]), RecordError::KeyReused(KeyRole::DeviceDh(2)));
}

#[test]
fn fields_that_do_not_suit_the_kind() {
    use keyglass_account::record::Authorisation::{Genesis, Identity, Reset};
    let genesis = genesis();
    let before = Some(genesis.as_predecessor());
    let wrong = RecordError::WrongAuthorisation;
    assert_eq!(broken(|r| r.predecessor = before), wrong);
    assert_eq!(broken(|r| r.authorisation = Identity), wrong);
    assert_eq!(broken(|r| r.authorisation = Reset), wrong, "a reset is not at version 0");
    assert_eq!(broken(|r| r.version = 1), wrong, "genesis is only at version 0");
    let chained = after(&genesis).sign(&identity(1)).unwrap().chain;
    assert_eq!(broken(|r| r.chain = chained.clone()), wrong, "a chain without predecessor");
    let error = broken(|r| {
        (r.chain, r.predecessor, r.authorisation) = (chained, before, Genesis);
    });
    assert_eq!(error, RecordError::BrokenChain(0), "a predecessor that is not earlier");
}

/// The genesis with `bytes` written over the place of `old`.
fn patched(old: &[u8], bytes: &[u8]) -> RecordError {
    let mut encoded = genesis().record().encode();
    let at = encoded.windows(old.len()).position(|window| window == old).unwrap();
    encoded[at..at + bytes.len()].copy_from_slice(bytes);
    AccountRecord::decode(&encoded).unwrap_err()
}

#[test]
fn keys_that_are_no_canonical_points_or_of_small_order() {
    let identity_key = identity(1).verifying_key().to_bytes();
    let minus_zero = {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (1, 0x80);
        bytes
    };
    let above_p = {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xee, 0x7f);
        bytes
    };
    for (bytes, error) in [
        (minus_zero, SignError::NonCanonicalKey),
        (above_p, SignError::NonCanonicalKey),
        ([0; 32], SignError::SmallOrderKey),
    ] {
        assert_eq!(
            patched(&identity_key, &bytes),
            RecordError::BadSigningKey { role: KeyRole::Identity, error }
        );
    }
    let device_key = device_key(2).verifying_key().to_bytes();
    let error = SignError::SmallOrderKey;
    assert_eq!(
        patched(&device_key, &[0; 32]),
        RecordError::BadSigningKey { role: KeyRole::DeviceSigning(2), error }
    );
    let dh_key = dh(1).public_key().to_bytes();
    let role = KeyRole::DeviceDh(1);
    assert_eq!(patched(&dh_key, &[0; 32]), RecordError::BadDhKey { role, error: DhError::SmallOrder });
    assert_eq!(patched(&dh_key, &above_p), RecordError::BadDhKey { role, error: DhError::NonCanonicalKey });
    let recovery_key = recovery(1).verifying_key().to_bytes();
    assert_eq!(
        patched(&recovery_key, &[0; 32]),
        RecordError::BadSigningKey { role: KeyRole::Recovery, error }
    );
}

#[test]
fn unknown_format_kind_flag_and_presence() {
    let bytes = genesis().record().encode();
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        AccountRecord::decode(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 2), RecordError::Codec(CodecError::UnknownFormat(2)));
    assert_eq!(with(5, 4), RecordError::Codec(CodecError::UnknownVariant(4)));
    assert_eq!(with(6, 2), RecordError::Codec(CodecError::BadPresence(2)));
    // From the end: no new identity's signature (1), signature (64), no retired keys (2), flags (4).
    assert_eq!(with(bytes.len() - 68, 2), RecordError::UnknownFlags(2));
    assert_eq!(with(bytes.len() - 71, 1), RecordError::UnknownFlags(0x0100_0000));
}

#[test]
fn a_record_beyond_every_bound_is_refused_unread() {
    assert_eq!(
        AccountRecord::decode(&vec![1; MAX_RECORD_LEN + 1]),
        Err(RecordError::TooLong(MAX_RECORD_LEN + 1))
    );
}

#[test]
fn labels_have_1_to_255_bytes() {
    let bytes = genesis().record().encode();
    for len in [0, 256] {
        let error = verify(ORIGIN, &vec![b'x'; len], 0, &bytes, None).unwrap_err();
        assert!(matches!(error, RecordError::Label(refused) if refused.0 == len));
    }
    let label = [b'x'; 255];
    assert!(Draft::new(ORIGIN, &label, 0).sign_genesis(&identity(1)).is_ok());
}

proptest! {
    #[test]
    fn noise_is_never_a_record_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        prop_assert!(AccountRecord::decode(&bytes).is_err());
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        at in 0usize..503, value in any::<u8>(),
    ) {
        let mut bytes = genesis().record().encode();
        bytes[at] = value;
        if let Ok(record) = AccountRecord::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }

    #[test]
    fn spliced_records_are_refused(cut in 1usize..503, from in 1usize..503) {
        let zero = genesis();
        let other = after(&zero).set_lockdown(true).sign(&identity(1)).unwrap().encode();
        let bytes = zero.record().encode();
        let spliced = [&bytes[..cut], &other[from.min(other.len())..]].concat();
        prop_assume!(spliced != bytes && spliced != other);
        prop_assert!(verify(ORIGIN, LABEL, 0, &spliced, None).is_err());
        prop_assert!(verify(ORIGIN, LABEL, 1, &spliced, Some(&zero)).is_err());
    }
}

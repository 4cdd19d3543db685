//! What only PQXDH has: the ML-KEM prekey, its ciphertext, and ways to leave them out.

use super::*;

const WITH_BOTH: Kind = KINDS[5];

#[test]
fn a_one_time_kem_prekey_serves_one_handshake_and_a_last_resort_any_number() {
    let mut world = World::new();
    let without = Kind { one_time: false, ..WITH_BOTH };
    let first = world.send(without, 40, b"first");
    let second = world.send(without, 41, b"second");
    assert!(world.receive(&first.message).unwrap().is_some());
    let used = ONE_TIME_KEM.one_time().unwrap();
    assert_eq!(world.receive(&second.message).unwrap_err(), AcceptError::KemPreKeyReused(used));
    // The first is known again all the same.
    assert!(world.receive(&first.message).unwrap().is_none());

    let last_resort = Kind { one_time: false, kem: Some(LAST_RESORT) };
    for seed in 50..54 {
        let sent = world.send(last_resort, seed, b"hello");
        assert!(world.receive(&sent.message).unwrap().is_some());
        assert!(world.receive(&sent.message).unwrap().is_none());
    }
}

#[test]
fn each_failure_of_the_kem_part_has_its_own_name() {
    let mut world = World::new();
    let sent = world.send(WITH_BOTH, 40, b"hello").message;
    let with = |kem| {
        let mut message = sent.clone();
        message.header.prekeys.kem = Some(kem);
        message
    };
    let elsewhere = KemId::OneTime(OneTimeId { batch: 4, id: 12 });
    for unknown in [elsewhere, KemId::LastResort(6)] {
        assert_eq!(world.accept(&with(unknown)).unwrap_err(), AcceptError::KemPreKeyUnknown(unknown));
    }
    // A last resort is not used up; a memory that says so has lost it.
    world.keys.kem.insert(LAST_RESORT, None);
    let lost = AcceptError::KemPreKeyUnknown(LAST_RESORT);
    assert_eq!(world.accept(&with(LAST_RESORT)).unwrap_err(), lost);
}

/// A key that is known under two ids does not let a message move from one to the other, nor from one kind to the other.
#[test]
fn kem_prekey_ids_are_bound() {
    let mut world = World::new();
    for alias in
        [KemId::OneTime(OneTimeId { batch: 4, id: 12 }), KemId::OneTime(ONE_TIME), KemId::LastResort(11)]
    {
        world.keys.kem.insert(alias, Some([32; 64]));
        let mut moved = world.send(WITH_BOTH, 40, b"hello").message;
        moved.header.prekeys.kem = Some(alias);
        assert_eq!(world.accept(&moved).unwrap_err(), AcceptError::NotAuthentic);
    }
    let mut without = world.send(WITH_BOTH, 40, b"hello").message;
    without.header.prekeys.one_time = None;
    assert_eq!(world.accept(&without).unwrap_err(), AcceptError::NotAuthentic);
}

/// A ciphertext that another encapsulation made, for the same key or for another, gives a secret that the sender does not
/// know.
#[test]
fn a_ciphertext_of_another_encapsulation_is_refused() {
    let world = World::new();
    let sent = world.send(WITH_BOTH, 40, b"hello").message;
    let other = KemSecretKey::from_seed(&[34; 64]);
    let ours = KemSecretKey::from_seed(&[32; 64]);
    for key in [ours.public_key(), other.public_key()] {
        let mut swapped = sent.clone();
        swapped.header.kem_ciphertext = Some(key.encapsulate(&Secret::new([77; 32])).0);
        assert_eq!(world.accept(&swapped).unwrap_err(), AcceptError::NotAuthentic);
    }
    assert!(matches!(world.accept(&sent), Ok(Accepted::New(_))));
}

/// The same key behind both: a bundle in which a server swapped the KEM key for one of its own has no valid signature,
/// but even where a sender used it, the device would not open the message.
#[test]
fn a_message_to_a_swapped_kem_key_is_not_opened() {
    let world = World::new();
    let mut bundle = world.bundle(WITH_BOTH);
    let theirs = KemSecretKey::from_seed(&[35; 64]);
    bundle = ProvenBundle::for_tests(
        bundle.device().clone(),
        Suite::PQXDH,
        (7, *bundle.signed_key()),
        None,
        Some((ONE_TIME_KEM, theirs.public_key().clone())),
    );
    let sent = initiate(world.alice.own(), bundle, randomness(40), b"hello").unwrap();
    assert_eq!(world.accept(&sent.message).unwrap_err(), AcceptError::NotAuthentic);
}

/// The suite says whether there is an ML-KEM part, and a message that says otherwise is not opened at all.
#[test]
fn the_suite_and_the_kem_part_belong_together() {
    let world = World::new();
    for kind in KINDS {
        let mut message = world.send(kind, 40, b"hello").message;
        for suite in [Suite::X3DH, Suite::PQXDH, Suite(0), Suite(3)] {
            message.header.suite = suite;
            let decoded = InitialMessage::decode(&message.encode()).unwrap();
            assert_eq!((decoded.suite(), decoded.prekeys()), (suite, message.prekeys()));
            if suite == kind.suite() {
                assert!(matches!(world.accept(&decoded), Ok(Accepted::New(_))));
            } else {
                assert_eq!(world.accept(&decoded).unwrap_err(), AcceptError::Suite(suite));
            }
        }
    }
    // Without its ML-KEM part, a message of PQXDH is none of X3DH either.
    let mut stripped = world.send(WITH_BOTH, 40, b"hello").message;
    stripped.header.prekeys.kem = None;
    stripped.header.kem_ciphertext = None;
    assert_eq!(world.accept(&stripped).unwrap_err(), AcceptError::Suite(Suite::PQXDH));
    stripped.header.suite = Suite::X3DH;
    assert_eq!(world.accept(&stripped).unwrap_err(), AcceptError::NotAuthentic);
}

/// Who breaks X25519 still lacks the secret that ML-KEM carried: with the same keys, ids and ephemeral key, another
/// encapsulation leads to other keys.
#[test]
fn the_keys_depend_on_the_encapsulation() {
    let world = World::new();
    let send = |encapsulation| {
        let randomness =
            HandshakeRandomness { encapsulation: Secret::new([encapsulation; 32]), ..randomness(40) };
        initiate(world.alice.own(), world.bundle(WITH_BOTH), randomness, b"hello").unwrap()
    };
    let (one, two) = (send(1), send(2));
    assert_ne!(one.session.keys.root_key, two.session.keys.root_key);
    assert_eq!(one.session.handshake, two.session.handshake, "the second would be a redelivery of the first");
}

#[test]
fn formats_have_one_spelling() {
    let world = World::new();
    let pqxdh = world.send(WITH_BOTH, 40, b"hello").message.encode();
    let x3dh = world.send(true, 40, b"hello").message.encode();
    assert_eq!((x3dh[0], pqxdh[0]), (1, 2));
    for format in [0, 3, 255] {
        let mut bytes = pqxdh.clone();
        bytes[0] = format;
        let error = keyglass_account::codec::CodecError::UnknownFormat(format);
        assert_eq!(InitialMessage::decode(&bytes), Err(MessageError::Codec(error)));
    }
    for (mut bytes, other) in [(x3dh, 2), (pqxdh, 1)] {
        bytes[0] = other;
        assert!(InitialMessage::decode(&bytes).is_err());
    }
}

//! Both sides together, and what an adversary between them can do.

use std::collections::BTreeMap;

use keyglass_account::device::Suite;
use keyglass_crypto::{
    dh::{DhPublicKey, DhSecretKey},
    kem::KemSecretKey,
    secret::Secret,
    sign::SigningKey,
};
use proptest::prelude::*;

use super::*;
use crate::proven::{ProvenBundle, ProvenDevice};

mod pqxdh;
mod vectors;

const ORIGIN: &str = "log.example/origin";

/// What a bundle has.
#[derive(Debug, Clone, Copy)]
struct Kind {
    one_time: bool,
    kem: Option<KemId>,
}

/// Every kind of handshake.
const KINDS: [Kind; 6] = [
    Kind { one_time: false, kem: None },
    Kind { one_time: true, kem: None },
    Kind { one_time: false, kem: Some(LAST_RESORT) },
    Kind { one_time: true, kem: Some(LAST_RESORT) },
    Kind { one_time: false, kem: Some(ONE_TIME_KEM) },
    Kind { one_time: true, kem: Some(ONE_TIME_KEM) },
];

impl From<bool> for Kind {
    /// X3DH with or without a one-time prekey.
    fn from(one_time: bool) -> Self {
        Self { one_time, kem: None }
    }
}

impl Kind {
    fn suite(self) -> Suite {
        if self.kem.is_some() { Suite::PQXDH } else { Suite::X3DH }
    }

    /// Whether its message comes again only as long as the handshake is remembered.
    fn is_replayable(self) -> bool {
        !self.one_time && !matches!(self.kem, Some(KemId::OneTime(_)))
    }
}

struct Side {
    party: Party,
    dh: DhSecretKey,
}

impl Side {
    fn new(label: &str, seed: u8) -> Self {
        let dh = DhSecretKey::from_bytes(&[seed; 32]);
        let party = Party {
            label: label.into(),
            identity_key: SigningKey::from_seed(&[seed; 32]).verifying_key(),
            device_id: u32::from(seed),
            signing_key: SigningKey::from_seed(&[seed + 100; 32]).verifying_key(),
            dh_key: dh.public_key(),
        };
        Self { party, dh }
    }

    fn own(&self) -> OwnDevice<'_> {
        OwnDevice { party: &self.party, dh_secret: &self.dh, version: 3 }
    }

    fn proven(&self) -> ProvenDevice {
        ProvenDevice::for_tests(ORIGIN, self.party.clone(), SUITES.to_vec())
    }
}

/// A device's memory, as naive as can be.
#[derive(Default)]
struct Keys {
    signed: BTreeMap<u32, DhSecretKey>,
    one_time: BTreeMap<OneTimeId, Option<DhSecretKey>>,
    kem: BTreeMap<KemId, Option<[u8; 64]>>,
    seen: Vec<HandshakeId>,
}

impl Keys {
    fn absorb(&mut self, received: &Received) {
        if let Some(id) = received.consumed {
            self.one_time.insert(id, None);
        }
        if let Some(id) = received.consumed_kem {
            self.kem.insert(KemId::OneTime(id), None);
        }
        self.seen.push(received.session.handshake);
    }
}

impl Memory for Keys {
    fn has_seen(&self, handshake: &HandshakeId) -> bool {
        self.seen.contains(handshake)
    }

    fn signed_prekey(&self, id: u32) -> Option<&DhSecretKey> {
        self.signed.get(&id)
    }

    fn one_time_prekey(&self, id: &OneTimeId) -> OneTimeSecret<'_> {
        match self.one_time.get(id) {
            Some(Some(secret)) => OneTimeSecret::Live(secret),
            Some(None) => OneTimeSecret::Consumed,
            None => OneTimeSecret::Unknown,
        }
    }

    fn kem_prekey(&self, id: &KemId) -> PreKeySecret<KemSecretKey> {
        match self.kem.get(id) {
            Some(Some(seed)) => PreKeySecret::Live(KemSecretKey::from_seed(seed)),
            Some(None) => PreKeySecret::Consumed,
            None => PreKeySecret::Unknown,
        }
    }
}

const ONE_TIME: OneTimeId = OneTimeId { batch: 2, id: 9 };
const ONE_TIME_KEM: KemId = KemId::OneTime(OneTimeId { batch: 4, id: 11 });
const LAST_RESORT: KemId = KemId::LastResort(5);

/// As a test wants it: the ephemeral key is that of `seed`.
fn randomness(seed: u8) -> HandshakeRandomness {
    HandshakeRandomness { ephemeral: Secret::new([seed; 32]), encapsulation: Secret::new([!seed; 32]) }
}

struct World {
    alice: Side,
    bob: Side,
    keys: Keys,
}

impl World {
    fn new() -> Self {
        let mut keys = Keys::default();
        keys.signed.insert(7, DhSecretKey::from_bytes(&[30; 32]));
        keys.one_time.insert(ONE_TIME, Some(DhSecretKey::from_bytes(&[31; 32])));
        keys.kem.insert(ONE_TIME_KEM, Some([32; 64]));
        keys.kem.insert(LAST_RESORT, Some([33; 64]));
        Self { alice: Side::new("alice", 1), bob: Side::new("bob", 2), keys }
    }

    fn bundle(&self, kind: impl Into<Kind>) -> ProvenBundle {
        let kind = kind.into();
        let one_time = kind.one_time.then(|| (ONE_TIME, DhSecretKey::from_bytes(&[31; 32]).public_key()));
        let kem = kind.kem.map(|id| {
            let seed = if id == LAST_RESORT { 33 } else { 32 };
            (id, KemSecretKey::from_seed(&[seed; 64]).public_key().clone())
        });
        let signed = (7, DhSecretKey::from_bytes(&[30; 32]).public_key());
        ProvenBundle::for_tests(self.bob.proven(), kind.suite(), signed, one_time, kem)
    }

    fn send(&self, kind: impl Into<Kind>, seed: u8, text: &[u8]) -> Initiated {
        initiate(self.alice.own(), self.bundle(kind), randomness(seed), text).unwrap()
    }

    fn accept(&self, message: &InitialMessage) -> Result<Accepted, AcceptError> {
        accept(self.bob.own(), &self.alice.proven(), &self.keys, message)
    }

    fn receive(&mut self, message: &InitialMessage) -> Result<Option<Box<Received>>, AcceptError> {
        match self.accept(message)? {
            Accepted::New(received) => {
                self.keys.absorb(&received);
                Ok(Some(received))
            }
            Accepted::Seen(_) => Ok(None),
        }
    }
}

#[test]
fn both_sides_agree_and_the_text_arrives() {
    for kind in KINDS {
        let mut world = World::new();
        let sent = world.send(kind, 40, b"hello");
        let wire = sent.message.encode();
        let received = world.receive(&InitialMessage::decode(&wire).unwrap()).unwrap().unwrap();
        assert_eq!(received.plaintext.as_slice(), b"hello");
        assert_eq!(received.consumed, kind.one_time.then_some(ONE_TIME));
        assert_eq!(received.consumed_kem, kind.kem.and_then(|id| id.one_time()));
        assert_eq!(received.used_one_time(), !kind.is_replayable());
        let (a, b) = (&sent.session, &received.session);
        assert_eq!(a.keys, b.keys);
        assert_eq!(a.associated_data, b.associated_data);
        assert_eq!(a.handshake, b.handshake);
        assert_eq!((a.ephemeral, a.ratchet_key), (b.ephemeral, b.ratchet_key));
        assert_eq!((a.role, b.role), (Role::Initiator, Role::Responder));
        assert_eq!((a.suite, b.suite), (kind.suite(), kind.suite()));
        assert_eq!((&a.peer, &b.peer), (&world.bob.party, &world.alice.party));
    }
}

#[test]
fn a_redelivery_changes_nothing_and_shows_nothing() {
    for kind in KINDS {
        let mut world = World::new();
        let sent = world.send(kind, 40, b"hello");
        assert!(world.receive(&sent.message).unwrap().is_some());
        for _ in 0..3 {
            assert!(world.receive(&sent.message).unwrap().is_none());
        }
        assert_eq!(world.keys.seen.len(), 1);
    }
}

#[test]
fn a_redelivery_with_another_ciphertext_is_still_a_redelivery() {
    for kind in KINDS {
        let mut world = World::new();
        let sent = world.send(kind, 40, b"hello");
        world.receive(&sent.message).unwrap();
        let mut altered = sent.message;
        altered.ciphertext[0] ^= 1;
        assert!(world.receive(&altered).unwrap().is_none());
    }
}

#[test]
fn an_altered_message_does_not_spoil_the_genuine_one() {
    for kind in KINDS {
        let mut world = World::new();
        let sent = world.send(kind, 40, b"hello");
        let mut altered = sent.message.clone();
        altered.ciphertext[0] ^= 1;
        assert_eq!(world.receive(&altered).unwrap_err(), AcceptError::NotAuthentic);
        assert!(world.receive(&sent.message).unwrap().is_some());
    }
}

#[test]
fn a_one_time_prekey_serves_one_handshake() {
    let mut world = World::new();
    let first = world.send(true, 40, b"first");
    let second = world.send(true, 41, b"second");
    assert!(world.receive(&first.message).unwrap().is_some());
    assert_eq!(world.receive(&second.message).unwrap_err(), AcceptError::OneTimePreKeyReused(ONE_TIME));
}

#[test]
fn each_failure_has_its_own_name() {
    let world = World::new();
    let sent = world.send(true, 40, b"hello").message;

    let mut unknown_signed = sent.clone();
    unknown_signed.header.prekeys.signed = 8;
    assert_eq!(world.accept(&unknown_signed).unwrap_err(), AcceptError::SignedPreKeyUnknown(8));

    let mut unknown_one_time = sent.clone();
    let other = OneTimeId { batch: 2, id: 10 };
    unknown_one_time.header.prekeys.one_time = Some(other);
    assert_eq!(world.accept(&unknown_one_time).unwrap_err(), AcceptError::OneTimePreKeyUnknown(other));

    let mut other_suite = sent.clone();
    other_suite.header.suite = Suite::PQXDH;
    assert_eq!(world.accept(&other_suite).unwrap_err(), AcceptError::Suite(Suite::PQXDH));

    let mallory = Side::new("mallory", 5);
    let error = accept(world.bob.own(), &mallory.proven(), &world.keys, &sent).unwrap_err();
    assert_eq!(error, AcceptError::SenderNotProven);

    let wrong = OwnDevice { dh_secret: &mallory.dh, ..world.bob.own() };
    assert_eq!(
        accept(wrong, &world.alice.proven(), &world.keys, &sent).unwrap_err(),
        AcceptError::WrongSecret
    );
    let wrong = OwnDevice { dh_secret: &mallory.dh, ..world.alice.own() };
    let error = initiate(wrong, world.bundle(true), randomness(1), b"").unwrap_err();
    assert_eq!(error, InitiateError::WrongSecret);
    let long = vec![0; MAX_PLAINTEXT + 1];
    let error = initiate(world.alice.own(), world.bundle(true), randomness(1), &long).unwrap_err();
    assert_eq!(error, InitiateError::TooLong);
}

#[test]
fn the_longest_message_has_the_announced_length() {
    let mut world = World::new();
    world.alice.party.label = vec![b'a'; 255];
    let sent = world.send(KINDS[5], 40, &vec![0; MAX_PLAINTEXT]);
    let bytes = sent.message.encode();
    assert_eq!(bytes.len(), MAX_MESSAGE);
    assert!(world.receive(&InitialMessage::decode(&bytes).unwrap()).unwrap().is_some());
}

/// Someone who knows Bob's public keys cannot speak for Alice without her device key.
#[test]
fn a_sender_without_the_secret_of_the_proven_device_is_not_believed() {
    let world = World::new();
    let mallory = DhSecretKey::from_bytes(&[66; 32]);
    let party = Party { dh_key: mallory.public_key(), ..world.alice.party.clone() };
    let own = OwnDevice { party: &party, dh_secret: &mallory, version: 3 };
    let mut message = initiate(own, world.bundle(true), randomness(40), b"hello").unwrap().message;
    assert_eq!(world.accept(&message).unwrap_err(), AcceptError::SenderNotProven);
    message.header.sender = world.alice.party.clone();
    assert_eq!(world.accept(&message).unwrap_err(), AcceptError::NotAuthentic);
}

/// The log is part of what both sides agree on: the same keys in another log are another handshake.
#[test]
fn a_message_does_not_carry_over_to_another_log() {
    for kind in KINDS {
        let world = World::new();
        let sent = world.send(kind, 40, b"hello");
        let party = world.alice.party.clone();
        let elsewhere = ProvenDevice::for_tests("log.example/other", party, SUITES.to_vec());
        let error = accept(world.bob.own(), &elsewhere, &world.keys, &sent.message).unwrap_err();
        assert_eq!(error, AcceptError::NotAuthentic);
    }
}

/// Every public value of both parties and every prekey is bound: whoever disagrees on one derives other keys.
#[test]
fn every_public_value_is_bound() {
    for kind in KINDS {
        let world = World::new();
        let sent = world.send(kind, 40, b"hello");
        let other = Side::new("eve", 9);
        let alter: [fn(&mut Party, &Side); 4] = [
            |party, other| party.label = other.party.label.clone(),
            |party, other| party.identity_key = other.party.identity_key,
            |party, other| party.device_id = other.party.device_id,
            |party, other| party.signing_key = other.party.signing_key,
        ];
        for change in alter {
            let mut bob = world.bob.party.clone();
            change(&mut bob, &other);
            let own = OwnDevice { party: &bob, ..world.bob.own() };
            let error = accept(own, &world.alice.proven(), &world.keys, &sent.message).unwrap_err();
            assert_eq!(error, AcceptError::NotAuthentic);

            let mut message = sent.message.clone();
            change(&mut message.header.sender, &other);
            let claimed = ProvenDevice::for_tests(ORIGIN, message.header.sender.clone(), vec![Suite::X3DH]);
            let error = accept(world.bob.own(), &claimed, &world.keys, &message).unwrap_err();
            assert_eq!(error, AcceptError::NotAuthentic);
        }
    }
}

/// A key that is known under two ids does not let a message move from one to the other.
#[test]
fn prekey_ids_are_bound() {
    let mut world = World::new();
    let alias = OneTimeId { batch: 3, id: 9 };
    world.keys.one_time.insert(alias, Some(DhSecretKey::from_bytes(&[31; 32])));
    world.keys.signed.insert(8, DhSecretKey::from_bytes(&[30; 32]));
    let sent = world.send(true, 40, b"hello").message;
    let mut moved = sent.clone();
    moved.header.prekeys.one_time = Some(alias);
    assert_eq!(world.accept(&moved).unwrap_err(), AcceptError::NotAuthentic);
    let mut moved = sent.clone();
    moved.header.prekeys.signed = 8;
    assert_eq!(world.accept(&moved).unwrap_err(), AcceptError::NotAuthentic);
    let mut without = sent;
    without.header.prekeys.one_time = None;
    assert_eq!(world.accept(&without).unwrap_err(), AcceptError::NotAuthentic);
}

/// Small-order and non-canonical keys are refused before anything is computed with them.
#[test]
fn keys_of_small_order_do_not_decode() {
    let world = World::new();
    let bytes = world.send(false, 40, b"hello").message.encode();
    let ephemeral = bytes
        .windows(32)
        .position(|window| window == DhSecretKey::from_bytes(&[40; 32]).public_key().to_bytes())
        .unwrap();
    let mut one = [0; 32];
    one[0] = 1;
    let mut p = [0xFF; 32];
    p[0] = 0xED;
    p[31] = 0x7F;
    for bad in [[0; 32], one, p, [0xFF; 32]] {
        assert!(DhPublicKey::from_bytes(&bad).is_err());
        let mut bytes = bytes.clone();
        bytes[ephemeral..ephemeral + 32].copy_from_slice(&bad);
        assert!(matches!(InitialMessage::decode(&bytes), Err(MessageError::DhKey(_))));
    }
}

/// Every single bit of the message, flipped: refused, or a redelivery of nothing.
#[test]
fn no_flipped_bit_is_accepted() {
    for kind in KINDS {
        let world = World::new();
        let bytes = world.send(kind, 40, b"hello").message.encode();
        let mut refused = 0;
        // Of the long messages of PQXDH, one bit of each byte.
        let step = if kind.kem.is_some() { 7 } else { 1 };
        for index in (0..bytes.len() * 8).step_by(step) {
            let mut bytes = bytes.clone();
            bytes[index / 8] ^= 1 << (index % 8);
            refused += 1;
            let Ok(message) = InitialMessage::decode(&bytes) else { continue };
            // The worst case: the log proves whatever sender the message now claims.
            let claimed = ProvenDevice::for_tests(ORIGIN, message.claimed_sender().clone(), SUITES.to_vec());
            assert!(accept(world.bob.own(), &claimed, &world.keys, &message).is_err(), "bit {index}");
        }
        assert!(refused >= bytes.len());
    }
}

#[test]
fn no_truncation_or_extension_decodes() {
    for kind in KINDS {
        let bytes = World::new().send(kind, 40, b"hello").message.encode();
        for end in 0..bytes.len() {
            assert!(InitialMessage::decode(&bytes[..end]).is_err());
        }
        assert!(InitialMessage::decode(&[bytes, vec![0]].concat()).is_err());
    }
}

proptest! {
    #[test]
    fn encodings_are_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(message) = InitialMessage::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }

    #[test]
    fn any_text_arrives(text in proptest::collection::vec(any::<u8>(), 0..2000), seed in 1u8..250, kind in 0..KINDS.len()) {
        let mut world = World::new();
        let sent = world.send(KINDS[kind], seed, &text);
        let decoded = InitialMessage::decode(&sent.message.encode()).unwrap();
        prop_assert_eq!(&decoded, &sent.message);
        let received = world.receive(&decoded).unwrap().unwrap();
        prop_assert_eq!(received.plaintext.as_slice(), text);
        prop_assert_eq!(&received.session.keys, &sent.session.keys);
    }

    /// Deliveries in any order with any repetition show each text once.
    #[test]
    fn any_order_and_repetition_shows_each_text_once(order in proptest::collection::vec(0usize..4, 0..20)) {
        let mut world = World::new();
        let sent: Vec<_> = (0..4u8).map(|n| world.send(false, 50 + n, &[n]).message).collect();
        let mut shown = Vec::new();
        for &index in &order {
            if let Some(received) = world.receive(&sent[index]).unwrap() {
                shown.push(received.plaintext[0]);
            }
        }
        let mut expected: Vec<u8> = order.iter().map(|&index| u8::try_from(index).unwrap()).collect();
        let mut seen = std::collections::BTreeSet::new();
        expected.retain(|index| seen.insert(*index));
        prop_assert_eq!(shown, expected);
    }
}

#[test]
fn secrets_do_not_print() {
    let world = World::new();
    let sent = world.send(true, 40, b"hello");
    let printed = format!("{:?}", sent.session);
    assert!(printed.contains("Secret<32>(..)"));
    for byte in sent.session.keys.root_key.expose().windows(4) {
        assert!(!printed.contains(&format!("{}, {}, {}, {}", byte[0], byte[1], byte[2], byte[3])));
    }
}

#[test]
fn the_responders_chain_is_mixed_before_use() {
    let world = World::new();
    let session = world.send(true, 40, b"hello").session;
    let chain = &session.keys.responder_chain;
    let (a, b) = (chain.mix(&Secret::new([1; 32])), chain.mix(&Secret::new([2; 32])));
    assert_ne!(a, b);
    assert_ne!(&a, chain.to_stored());
}

#[test]
fn a_message_says_who_sent_it_and_where_that_is_proven() {
    let world = World::new();
    let sent = world.send(true, 50, b"hello").message;
    let message = InitialMessage::decode(&sent.encode()).unwrap();
    assert_eq!(message, sent);
    assert_eq!((message.claimed_sender(), message.claimed_version()), (&world.alice.party, 3));
    assert_eq!(message.prekeys(), PreKeyIds { signed: 7, one_time: Some(ONE_TIME), kem: None });
}

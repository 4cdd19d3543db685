//! Messages that are not what they were when they were sent, and senders who are not what they were when they wrote.

use super::*;
use crate::state::{MAX_SESSIONS, MAX_SESSIONS_WITH_PEER, StoredSession};

/// A world in which one text of Alice's is on its way, and its message.
fn one_message() -> (World, Vec<u8>) {
    let mut world = World::new();
    world.start(1, false).unwrap();
    world.alice.store();
    world.post_all(false);
    let body = world.posted.values().next().unwrap().clone();
    (world, body)
}

fn refusal(delivery: Option<Delivery>) -> Refusal {
    let Some(Delivery::Refused(refusal)) = delivery else { panic!("not refused") };
    refusal
}

/// Alice's device under another identity, as the log has it after a rotation.
fn rotated(world: &World) -> ProvenAccount {
    let device = world.alice_proven.valid().record().devices[0].clone();
    let identity = SigningKey::from_seed(&[99; 32]);
    let record = Draft::new(ORIGIN, b"alice", 0).add_device(device).sign_genesis(&identity).unwrap();
    let value = ProvenValue::for_tests(ORIGIN, b"alice", 0, record.encode());
    let Proving::Done(proven) = proven::prove(value, None).unwrap() else { panic!("a genesis") };
    *proven
}

/// Whoever alters a copy of a message and delivers it first must not use up the sender's retries: nobody is told of a
/// copy once the message itself was opened.
#[test]
fn nobody_is_told_of_an_altered_copy_of_what_was_opened() {
    let (mut world, body) = one_message();
    // A byte of the ciphertext, and the last of the one-time prekey's number, which stands before it.
    let place = body.windows(8).rposition(|window| window == [0, 0, 0, 1, 0, 0, 0, 1]).unwrap();
    let alter = |at: usize| {
        let mut altered = body.clone();
        altered[at] ^= 1;
        altered
    };
    let altered = [alter(body.len() - 1), alter(place + 7), alter(place + 3)];
    let mut reasons = Vec::new();
    for copy in &altered {
        let refusal = refusal(world.deliver(copy, false));
        reasons.push(refusal.receipt.unwrap().reason);
    }
    assert_eq!(reasons[0], FailureReason::NotAuthentic);
    assert!(!altered.iter().any(|copy| is_copy(&world.bob.own, 0, copy)), "nothing was opened yet");
    assert!(matches!(world.deliver(&body, false), Some(Delivery::Opened(_))));
    for copy in &altered {
        assert!(is_copy(&world.bob.own, 0, copy));
        assert!(matches!(world.deliver(copy, false), Some(Delivery::Seen)));
    }
    world.show();
    assert_eq!(world.shown, ["text 1"]);
}

/// A number that was altered to that of a used prekey cannot be told from a prekey that was repeated, and the words say so.
#[test]
fn an_altered_number_of_a_prekey_is_not_called_a_repeated_prekey() {
    let (mut world, first) = one_message();
    assert!(matches!(world.deliver(&first, false), Some(Delivery::Opened(_))));
    world.start(2, false).unwrap();
    world.post_all(false);
    let mut second = world.posted.values().find(|body| **body != first).unwrap().clone();
    let place = second.windows(8).rposition(|window| window == [0, 0, 0, 1, 0, 0, 0, 2]).unwrap();
    second[place + 7] = 1;
    let refusal = refusal(world.deliver(&second, false));
    assert!(refusal.cause.to_string().ends_with("or is not the one that the message was made with"));
    // The receipt names a handshake that Alice never started: it costs her no attempt.
    assert_eq!(world.take(&refusal.receipt.unwrap()), ReceiptEffect::Nothing);
}

/// A sender whose own rotation is published and not yet taken over writes under the identity before it.
#[test]
fn who_writes_under_an_identity_of_before_is_told_and_writes_again() {
    let (mut world, body) = one_message();
    world.alice_proven = rotated(&world);
    let refusal = refusal(world.deliver(&body, false));
    assert_eq!((refusal.cause, refusal.fate), (Cause::DeviceNotProven, Fate::Acknowledge));
    let receipt = refusal.receipt.unwrap();
    assert_eq!(
        (&receipt.to[..], receipt.device, receipt.reason),
        (&b"alice"[..], 1, FailureReason::KeyNotProven)
    );
    assert_eq!(world.take(&receipt), ReceiptEffect::Due);
    // She takes her rotation over, and the text arrives.
    world.alice.own.identity = OwnIdentity::Held(Secret::new([99; 32]));
    world.alice.store();
    world.retry_all();
    world.settle();
    assert_eq!(world.shown, ["text 1"]);
}

#[test]
fn a_version_that_the_log_must_show_by_now_is_not_waited_for() {
    let (mut world, body) = one_message();
    let mut newer = body;
    // The version stands behind format, suite and label.
    newer[1 + 2 + 1 + 5..][..4].copy_from_slice(&7_u32.to_be_bytes());
    let account = rotated(&world);
    for (is_current, fate) in [(false, Fate::Keep), (true, Fate::Acknowledge)] {
        let Opening::NeedsSender(pending) = open(&world.bob.own, 0, &newer) else { panic!("not a message") };
        let sender = Sender::Proven { account: &account, is_current };
        let Delivery::Refused(refusal) = pending.supply(&mut world.bob.own, sender) else { panic!("opened") };
        assert_eq!((refusal.cause, refusal.fate), (Cause::DeviceNotProven, fate));
        assert_eq!(refusal.receipt.is_some(), is_current);
    }
}

/// Devices that the account never had get no receipt: there is nobody to tell.
#[test]
fn a_device_that_the_record_does_not_name_is_told_nothing() {
    let (mut world, mut body) = one_message();
    let device = 1 + 2 + 1 + 5 + 4 + 32;
    body[device..device + 4].copy_from_slice(&9_u32.to_be_bytes());
    let refusal = refusal(world.deliver(&body, false));
    assert_eq!((refusal.cause, refusal.receipt), (Cause::DeviceNotProven, None));
}

#[test]
fn the_number_of_another_key_is_no_expired_signed_prekey() {
    let (mut world, body) = one_message();
    let device = &mut world.bob.own.devices[0];
    device.signed_prekeys.clear();
    device.kem.last_resorts.push(crate::state::LastResortState {
        id: 1,
        seed: Secret::new([1; 64]),
        created: 1,
        expires: LATER.0,
        signed: Vec::new(),
        uploaded: true,
    });
    let refusal = refusal(world.deliver(&body, false));
    assert_eq!(refusal.receipt.unwrap().reason, FailureReason::SignedPreKeyUnknown);
}

#[test]
fn sessions_are_bounded_for_each_peer_and_in_all_and_what_goes_is_not_accepted_again() {
    let mut world = World::new();
    let many = u8::try_from(MAX_SESSIONS_WITH_PEER).unwrap() + 3;
    for id in 1..=many {
        world.start(id, false).unwrap();
    }
    world.settle();
    assert_eq!(world.shown.len(), usize::from(many));
    for home in [&world.alice.own, &world.bob.own] {
        assert_eq!(home.devices[0].sessions.len(), MAX_SESSIONS_WITH_PEER);
    }
    let bodies: Vec<Vec<u8>> = world.posted.values().cloned().collect();
    for body in bodies {
        assert!(matches!(world.deliver(&body, false), Some(Delivery::Seen)), "its session may be gone");
    }

    // Many peers: the oldest session of all goes.
    let device = &mut world.bob.own.devices[0];
    let newest = device.sessions.last().unwrap().to_session().unwrap();
    for number in 0..MAX_SESSIONS + 10 {
        let mut session = newest.clone();
        session.peer.device_id = u32::try_from(number).unwrap() + 100;
        device.keep_session(&session);
    }
    assert_eq!(device.sessions.len(), MAX_SESSIONS);
    assert_eq!(device.sessions[0].peer_device, 110);
    let other: Vec<&StoredSession> = device.sessions.iter().filter(|kept| kept.peer_device < 110).collect();
    assert!(other.is_empty());
}

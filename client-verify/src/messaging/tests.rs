//! Both sides as documents that are stored, and a world that delays, repeats, reorders, loses and crashes.

use std::collections::BTreeMap;

use keyglass_account::{
    author::Draft,
    device::{Device, Suite},
    prekey::{OneTimePreKey, PreKeyBatch, PreKeyBundle, SignedPreKey},
    problem::Problem,
    receipt::FailureReason,
    time::UnixMillis,
};
use keyglass_crypto::{dh::DhSecretKey, secret::Secret, sign::SigningKey};
use proptest::prelude::*;

use super::*;
use crate::{
    proven::{self, ProvenAccount, ProvenValue, Proving, Unverified},
    state::{BatchState, OneTimeState, OwnAccount, OwnDeviceState, OwnIdentity, SignedPreKeyState, Step},
    x3dh::HandshakeId,
};

mod refusals;

const ORIGIN: &str = "log.example/origin";
const NOW: UnixMillis = UnixMillis(1_000);
const LATER: UnixMillis = UnixMillis(1_000_000_000);
const KEYS: u32 = 40;

/// An account with one device, as its home holds it and as the log proves it.
fn account(label: &str, seed: u8) -> (OwnAccount, ProvenAccount, Vec<PreKeyBundle>) {
    let identity = SigningKey::from_seed(&[seed; 32]);
    let mut device = OwnDeviceState::new(1, Secret::new([seed + 1; 32]), Secret::new([seed + 2; 32]));
    let (signing, dh) = (device.signing_key(), device.dh_key().public_key());
    let signed_dh = DhSecretKey::from_bytes(&[seed + 3; 32]);
    let signed = SignedPreKey::sign(
        ORIGIN,
        label.as_bytes(),
        &signing,
        1,
        1,
        signed_dh.public_key(),
        UnixMillis(1),
        LATER,
        1,
    )
    .unwrap();
    device.add_signed_prekey(SignedPreKeyState {
        id: 1,
        secret: Secret::new([seed + 3; 32]),
        created: 1,
        expires: LATER.0,
        signed: signed.encode(),
        uploaded: true,
    });
    let secret = |id: u32| {
        let mut bytes = [seed + 4; 32];
        bytes[..4].copy_from_slice(&id.to_be_bytes());
        bytes
    };
    let public = |id| OneTimePreKey { id, key: DhSecretKey::from_bytes(&secret(id)).public_key() };
    let batch =
        PreKeyBatch::sign(ORIGIN, label.as_bytes(), &signing, 1, 1, LATER, (1..=KEYS).map(public).collect())
            .unwrap();
    let keys = (1..=KEYS)
        .map(|id| OneTimeState { id, secret: Some(Secret::new(secret(id))), used_by: None })
        .collect();
    device.add_batch(BatchState {
        number: 1,
        expires: LATER.0,
        signed: batch.encode(),
        uploaded: true,
        keys,
    });
    let bundles = (0..u16::try_from(KEYS).unwrap())
        .map(|index| PreKeyBundle { signed_prekey: signed, one_time: batch.entry(index), kem: None })
        .collect();
    let suites = vec![Suite::X3DH];
    let named = Device::sign(ORIGIN, label.as_bytes(), 1, &signing, dh, suites, UnixMillis(1));
    let record = Draft::new(ORIGIN, label.as_bytes(), 0).add_device(named).sign_genesis(&identity).unwrap();
    let value = ProvenValue::for_tests(ORIGIN, label.as_bytes(), 0, record.encode());
    let Proving::Done(proven) = proven::prove(value, None).unwrap() else {
        panic!("a genesis needs no history")
    };
    let held = OwnIdentity::Held(Secret::new([seed; 32]));
    let mut own = OwnAccount::new(ORIGIN.into(), label.into(), held, record.encode(), vec![device]);
    own.published = Some(0);
    (own, *proven, bundles)
}

/// A home, of which only what was stored outlives a crash.
struct Home {
    stored: Vec<u8>,
    own: OwnAccount,
}

impl Home {
    fn new(own: OwnAccount) -> Self {
        Self { stored: own.encode().unwrap().to_vec(), own }
    }

    fn store(&mut self) {
        self.stored = self.own.encode().unwrap().to_vec();
    }

    fn crash(&mut self) {
        self.own = OwnAccount::decode(&self.stored).unwrap();
    }
}

/// Alice writes, Bob reads, and what lies in between is not to be relied upon.
struct World {
    alice: Home,
    bob: Home,
    alice_proven: ProvenAccount,
    bob_proven: ProvenAccount,
    bundles: Vec<PreKeyBundle>,
    next: usize,
    ephemeral: u8,
    /// Every message that was ever posted, by its id in the mailbox.
    posted: BTreeMap<[u8; 16], Vec<u8>>,
    receipts: Vec<Receipt>,
    shown: Vec<String>,
}

impl World {
    fn new() -> Self {
        let (alice, alice_proven, _) = account("alice", 10);
        let (bob, bob_proven, bundles) = account("bob", 60);
        Self {
            alice: Home::new(alice),
            bob: Home::new(bob),
            alice_proven,
            bob_proven,
            bundles,
            next: 0,
            ephemeral: 0,
            posted: BTreeMap::new(),
            receipts: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// Starts a handshake for a text. `repeat` is a server that hands the bundle before out again.
    fn start(&mut self, id: u8, repeat: bool) -> Result<Started, StartError> {
        if !(repeat && self.next > 0) {
            self.next += 1;
        }
        let bundle = self.bundles[(self.next - 1) % self.bundles.len()].clone();
        self.ephemeral = self.ephemeral.wrapping_add(1);
        let randomness = Randomness {
            ephemeral: Secret::new([self.ephemeral; 32]),
            encapsulation: Secret::new([self.ephemeral; 32]),
            message: [self.ephemeral; 16],
        };
        let (view, words) = (View::default(), format!("text {id}"));
        let text = WrittenText { id: [id; 16], text: &words, view: &view, now: NOW };
        let bundle = Unverified::from_wire(bundle);
        start(&mut self.alice.own, 0, &self.bob_proven, 1, bundle, &text, randomness)
    }

    fn post_all(&mut self, answer_is_lost: bool) {
        for post in unsent(&self.alice.own) {
            self.posted.insert(post.id, post.body.clone());
            let answer = if answer_is_lost { Answer::Later } else { Answer::Taken };
            posted(&mut self.alice.own, &post, answer);
        }
    }

    fn deliver(&mut self, body: &[u8], crash_before_storing: bool) -> Option<Delivery> {
        let delivery = match open(&self.bob.own, 0, body) {
            Opening::NeedsSender(pending) => pending
                .supply(&mut self.bob.own, Sender::Proven { account: &self.alice_proven, is_current: true }),
            Opening::Seen => Delivery::Seen,
            Opening::Refused(refusal) => Delivery::Refused(refusal),
        };
        if crash_before_storing {
            self.bob.crash();
            return None;
        }
        self.bob.store();
        if let Delivery::Refused(Refusal { receipt: Some(receipt), .. }) = &delivery {
            self.receipts.push(receipt.clone());
        }
        Some(delivery)
    }

    fn show(&mut self) {
        self.shown.extend(self.bob.own.unread.iter().map(|text| text.text.clone()));
        self.bob.own.mark_shown();
        self.bob.store();
    }

    fn take(&mut self, receipt: &Receipt) -> ReceiptEffect {
        let (handshake, reason) = (&receipt.handshake, receipt.reason);
        let effect = take_receipt(&mut self.alice.own, b"bob", 1, handshake, reason);
        self.alice.store();
        effect
    }

    fn retry_all(&mut self) {
        let texts: Vec<u8> = due(&self.alice.own).iter().map(|(text, _)| text.id[0]).collect();
        for id in texts {
            self.start(id, false).unwrap();
        }
        self.alice.store();
    }

    /// Goes on honestly until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..=MAX_ATTEMPTS {
            self.alice.store();
            self.post_all(false);
            self.alice.store();
            for body in self.posted.values().cloned().collect::<Vec<_>>() {
                self.deliver(&body, false);
            }
            for receipt in core::mem::take(&mut self.receipts) {
                self.take(&receipt);
            }
            self.retry_all();
        }
        self.show();
    }
}

#[test]
fn a_text_arrives_and_its_repetitions_do_not() {
    let mut world = World::new();
    assert!(world.start(1, false).unwrap().one_time);
    world.settle();
    assert_eq!(world.shown, ["text 1"]);
    let body = world.posted.values().next().unwrap().clone();
    for _ in 0..3 {
        assert!(matches!(world.deliver(&body, false), Some(Delivery::Seen)));
    }
    world.show();
    assert_eq!(world.shown, ["text 1"]);
}

#[test]
fn a_crash_between_storing_and_posting_posts_the_same_message() {
    let mut world = World::new();
    world.start(1, false).unwrap();
    world.alice.store();
    let before = unsent(&world.alice.own);
    world.alice.crash();
    assert_eq!(unsent(&world.alice.own), before);
    // A crash before storing leaves nothing: neither a session nor a message.
    world.start(2, false).unwrap();
    world.alice.crash();
    assert_eq!(unsent(&world.alice.own), before);
    assert_eq!(world.alice.own.devices[0].sessions.len(), 1);
}

#[test]
fn a_text_goes_to_a_device_once_and_again_only_when_it_failed() {
    let mut world = World::new();
    world.start(1, false).unwrap();
    assert_eq!(world.start(1, false), Err(StartError::OnItsWay));
    world.post_all(false);
    assert_eq!(world.start(1, false), Err(StartError::OnItsWay));
    let handshake = HandshakeId(world.alice.own.outbox[0].devices[0].handshake);
    for attempt in 1..MAX_ATTEMPTS {
        let handshake = HandshakeId(world.alice.own.outbox[0].devices[0].handshake);
        let reason = FailureReason::OneTimePreKeyReused;
        let receipt = Receipt { to: b"alice".to_vec(), device: 1, handshake, reason };
        assert_eq!(world.take(&receipt), ReceiptEffect::Due, "{attempt}");
        assert_eq!(world.take(&receipt), ReceiptEffect::Nothing, "it is said twice and counts once");
        world.start(1, false).unwrap();
        world.post_all(false);
    }
    let old = Receipt { to: b"alice".to_vec(), device: 1, handshake, reason: FailureReason::StateLost };
    assert_eq!(world.take(&old), ReceiptEffect::Nothing, "an earlier attempt is of no interest");
    let last = HandshakeId(world.alice.own.outbox[0].devices[0].handshake);
    assert_eq!(world.take(&Receipt { handshake: last, ..old.clone() }), ReceiptEffect::Abandoned);
    assert_eq!(world.start(1, false), Err(StartError::Exhausted));
    world.alice.own.mark_shown();
    assert!(world.alice.own.outbox.is_empty());
}

#[test]
fn what_no_retry_can_help_is_given_up_at_once() {
    for reason in FailureReason::ALL {
        let mut world = World::new();
        world.start(1, false).unwrap();
        world.post_all(false);
        let handshake = HandshakeId(world.alice.own.outbox[0].devices[0].handshake);
        let receipt = Receipt { to: b"alice".to_vec(), device: 1, handshake, reason: *reason };
        let expected = if reason.is_worth_a_retry() { ReceiptEffect::Due } else { ReceiptEffect::Abandoned };
        assert_eq!(world.take(&receipt), expected, "{reason}");
    }
}

#[test]
fn a_receipt_counts_for_its_own_device_alone() {
    let mut world = World::new();
    world.start(1, false).unwrap();
    world.post_all(false);
    let handshake = HandshakeId(world.alice.own.outbox[0].devices[0].handshake);
    for (from, device, id) in
        [(&b"bob"[..], 2, handshake), (b"bobby", 1, handshake), (b"bob", 1, HandshakeId([0; 32]))]
    {
        let effect = take_receipt(&mut world.alice.own, from, device, &id, FailureReason::StateLost);
        assert_eq!(effect, ReceiptEffect::Nothing);
    }
    assert_eq!(world.alice.own.outbox[0].devices[0].step, Step::Sent);
}

/// A one-time prekey that two handshakes share: one is opened, the other is told of, and arrives with another.
#[test]
fn the_loser_of_a_one_time_prekey_arrives_at_last() {
    let mut world = World::new();
    world.start(1, false).unwrap();
    world.start(2, true).unwrap();
    world.settle();
    world.shown.sort();
    assert_eq!(world.shown, ["text 1", "text 2"]);
}

#[test]
fn a_home_that_lost_its_state_says_so() {
    let mut world = World::new();
    world.start(1, false).unwrap();
    world.post_all(false);
    let body = world.posted.values().next().unwrap().clone();
    let device = &mut world.bob.own.devices[0];
    device.signed_prekeys.clear();
    for (counter, reason) in [(1, FailureReason::StateLost), (2, FailureReason::SignedPreKeyExpired)] {
        world.bob.own.devices[0].counters.signed_prekey = counter;
        let Some(Delivery::Refused(refusal)) = world.deliver(&body, false) else { panic!("opened") };
        assert_eq!(refusal.fate, Fate::Acknowledge);
        assert_eq!(refusal.receipt.unwrap().reason, reason);
    }
}

#[test]
fn a_sender_who_is_not_proven_now_is_waited_for_and_one_who_does_not_exist_is_not() {
    let mut world = World::new();
    world.start(1, false).unwrap();
    world.post_all(false);
    let body = world.posted.values().next().unwrap().clone();
    for (sender, fate) in [(Sender::NotProven, Fate::Keep), (Sender::Unknown, Fate::Acknowledge)] {
        let Opening::NeedsSender(pending) = open(&world.bob.own, 0, &body) else {
            panic!("not an initial message")
        };
        assert_eq!(pending.label(), "alice");
        let Delivery::Refused(refusal) = pending.supply(&mut world.bob.own, sender) else { panic!("opened") };
        assert_eq!((refusal.fate, refusal.receipt), (fate, None), "who is not proven is told nothing");
    }
    // Bob is no Alice, whatever the message says.
    let Opening::NeedsSender(pending) = open(&world.bob.own, 0, &body) else {
        panic!("not an initial message")
    };
    let bob = world.bob_proven.clone();
    let Delivery::Refused(refusal) =
        pending.supply(&mut world.bob.own, Sender::Proven { account: &bob, is_current: true })
    else {
        panic!("opened")
    };
    assert_eq!(refusal.cause, Cause::DeviceNotProven);
    assert!(matches!(open(&world.bob.own, 0, b"no message"), Opening::Refused(_)));
}

#[test]
fn the_outbox_is_bounded_in_texts_and_in_time() {
    let mut world = World::new();
    for id in 0..KEYS as u8 {
        world.start(id, false).unwrap();
    }
    let one = world.alice.own.outbox[0].clone();
    while world.alice.own.outbox.len() < MAX_KEPT {
        world.alice.own.outbox.push(one.clone());
    }
    assert_eq!(world.start(200, false), Err(StartError::OutboxFull), "all of them wait to be sent");
    world.alice.own.outbox[3].devices[0].step = Step::Sent;
    let third = world.alice.own.outbox[3].id;
    world.start(200, false).unwrap();
    assert!(!world.alice.own.outbox.iter().any(|text| text.id == third), "what was taken goes first");

    let over = UnixMillis(NOW.0 + KEPT_FOR);
    world.alice.own.outbox[0].devices[0].step = Step::Sent;
    forget_settled(&mut world.alice.own, UnixMillis(over.0 - 1));
    assert_eq!(world.alice.own.outbox.len(), MAX_KEPT);
    forget_settled(&mut world.alice.own, over);
    assert_eq!(world.alice.own.outbox.len(), MAX_KEPT - 1);
    let given_up = |text: &crate::state::OutgoingText| {
        text.devices.iter().all(|entry| matches!(entry.step, Step::Abandoned { .. }))
    };
    assert!(world.alice.own.outbox.iter().all(given_up), "what was never sent is told of before it goes");
}

#[test]
fn a_stale_record_costs_an_attempt_and_its_session() {
    let mut world = World::new();
    for attempt in 1..=MAX_ATTEMPTS {
        world.start(1, false).unwrap();
        let post = unsent(&world.alice.own).remove(0);
        posted(&mut world.alice.own, &post, Answer::of(Problem::StaleRecord));
        assert!(world.alice.own.devices[0].sessions.is_empty());
        let step = &world.alice.own.outbox[0].devices[0].step;
        let expected = if attempt < MAX_ATTEMPTS {
            Step::Due { reason: None }
        } else {
            Step::Abandoned { reason: None }
        };
        assert_eq!(*step, expected);
    }
    assert_eq!(plan(&mut world.alice.own, [1; 16], &world.bob_proven.clone()), [0; 0]);
    assert_eq!(plan(&mut world.alice.own, [2; 16], &world.bob_proven.clone()), [1]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any order of writing, posting, losing answers, delivering old messages, losing and repeating receipts, crashing on
    /// either side: every text is shown at most once meanwhile, and exactly once when the world is honest again, unless its
    /// attempts were used up.
    #[test]
    fn every_text_is_shown_once_whatever_happens(steps in proptest::collection::vec((0u8..9, any::<u8>()), 0..40)) {
        let mut world = World::new();
        let mut written = 0_u8;
        let mut kept: Vec<u8> = Vec::new();
        for (step, n) in steps {
            let bodies: Vec<Vec<u8>> = world.posted.values().cloned().collect();
            let pick = usize::from(n);
            match step {
                0 | 1 => {
                    if written < 6 {
                        written += 1;
                        world.start(written, step == 1).unwrap();
                        world.alice.store();
                        kept.push(written);
                    }
                }
                2 => world.post_all(false),
                3 => world.post_all(true),
                4 | 5 => {
                    if let Some(body) = bodies.get(pick % bodies.len().max(1)) {
                        world.deliver(body, step == 5);
                    }
                }
                6 => {
                    if !world.receipts.is_empty() {
                        let receipt = world.receipts[pick % world.receipts.len()].clone();
                        if n % 3 == 0 {
                            world.receipts.clear();
                        }
                        world.take(&receipt);
                        world.retry_all();
                    }
                }
                7 => world.alice.crash(),
                _ => {
                    world.show();
                    world.bob.crash();
                }
            }
            let mut once = world.shown.clone();
            once.sort();
            once.dedup();
            prop_assert_eq!(once.len(), world.shown.len());
        }
        world.receipts.clear();
        // A receipt that was lost is left again only when the message is read again, which the mailbox sees to.
        world.settle();
        let mut shown = world.shown.clone();
        shown.sort();
        let given_up = |id: u8| world.alice.own.outbox.iter().any(|text| {
            text.id[0] == id && text.devices.iter().any(|entry| matches!(entry.step, Step::Abandoned { .. }))
        });
        let mut expected: Vec<String> =
            kept.iter().filter(|id| !given_up(**id)).map(|id| format!("text {id}")).collect();
        expected.sort();
        shown.retain(|text| expected.contains(text));
        prop_assert_eq!(shown, expected);
        for text in &world.alice.own.outbox {
            prop_assert!(text.devices.iter().all(|entry| entry.attempts <= MAX_ATTEMPTS));
        }
    }
}

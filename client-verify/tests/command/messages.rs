//! Bundles and messages are not what they seem.

use keyglass_account::{
    api::{Base64, BundleResult, Bundles},
    prekey::{KemPreKey, OneTimePreKey, PreKeyBatch, PreKeyBundle, SignedPreKey},
    time::UnixMillis,
};
use keyglass_client_verify::verdict::Verdict;
use keyglass_crypto::dh::DhSecretKey;
use serde_json::json;

use crate::{
    Person,
    log::{TestLog, now},
    records::{BOB, signing},
    server::{Response, Server},
};

#[test]
fn a_bundle_of_other_keys_is_refused_before_anything_is_sent() {
    let server = Server::start();
    let alice = Person::new(&server);
    Person::new(&server).done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    server.lie(|world, request| {
        if request.path != "/v1/bundles" {
            return None;
        }
        let honest = world.honest(request);
        let mut bundles: Bundles = serde_json::from_slice(&honest.body).unwrap();
        for bundle in &mut bundles.bundles {
            let (origin, mallory) = (TestLog::origin(), signing(66));
            let key = DhSecretKey::from_bytes(&[67; 32]).public_key();
            let (created, expires) = (UnixMillis(1), UnixMillis(now() + 1_000_000));
            let device = bundle.target.device;
            let signed = SignedPreKey::sign(&origin, BOB, &mallory, device, 1, key, created, expires, 0);
            let keys = vec![OneTimePreKey { id: 1, key }];
            let batch = PreKeyBatch::sign(&origin, BOB, &mallory, device, 1, expires, keys);
            let forged =
                PreKeyBundle { signed_prekey: signed.unwrap(), one_time: batch.unwrap().entry(0), kem: None };
            bundle.result = BundleResult::Bundle(Base64::new(forged.encode()).unwrap());
        }
        Some(Response::ok(serde_json::to_vec(&bundles).unwrap()))
    });
    let (verdict, value) = alice.json(&["send", "bob", "secret"]);
    assert_eq!(verdict, Verdict::Refused, "{value}");
    assert_eq!(value["devices"][0]["reason"], "bundle_not_proven");
    assert!(server.world().mailboxes.is_empty());
}

/// A server that leaves the KEM prekey out does not bring the handshake down to X3DH.
#[test]
fn a_bundle_without_its_kem_prekey_is_refused_before_anything_is_sent() {
    let server = Server::start();
    let alice = Person::new(&server);
    Person::new(&server).done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    server.lie(|world, request| {
        if request.path != "/v1/bundles" {
            return None;
        }
        let honest = world.honest(request);
        let mut bundles: Bundles = serde_json::from_slice(&honest.body).unwrap();
        for bundle in &mut bundles.bundles {
            let BundleResult::Bundle(bytes) = &bundle.result else { panic!("no bundle") };
            let honest = PreKeyBundle::decode(bytes.as_bytes()).unwrap();
            assert!(matches!(honest.kem, Some(KemPreKey::OneTime(_))), "by default");
            let cut = PreKeyBundle { kem: None, ..honest };
            bundle.result = BundleResult::Bundle(Base64::new(cut.encode()).unwrap());
        }
        Some(Response::ok(serde_json::to_vec(&bundles).unwrap()))
    });
    let (verdict, value) = alice.json(&["send", "bob", "secret"]);
    assert_eq!(verdict, Verdict::Refused, "{value}");
    assert_eq!(value["devices"][0]["reason"], "no_kem_prekey");
    assert!(server.world().mailboxes.is_empty());
}

#[test]
fn a_message_in_anothers_name_is_not_shown() {
    let server = Server::start();
    let bob = Person::new(&server);
    bob.done(&["register", "bob"]);
    Person::new(&server).done(&["register", "alice"]);
    let mallory = Person::new(&server);
    mallory.done(&["register", "alicf"]);
    mallory.done(&["send", "bob", "I am Alice"]);
    for message in server.world().mailboxes.values_mut().flatten() {
        let mut bytes = message.body.as_bytes().to_vec();
        let place = bytes.windows(5).position(|window| window == b"alicf").unwrap();
        bytes[place..place + 5].copy_from_slice(b"alice");
        message.body = Base64::new(bytes).unwrap();
    }
    let (verdict, value) = bob.json(&["receive"]);
    assert_eq!(verdict, Verdict::Refused, "{value}");
    assert!(value["messages"].as_array().unwrap().is_empty());
    assert_eq!(value["problems"][0]["reason"], "sender_not_proven");
    assert_eq!(value["problems"][0]["kept"], false);
    bob.done(&["receive"]);
}

/// What may be proven later is kept; what cannot be is not, so that nobody can fill a mailbox for good.
#[test]
fn messages_wait_until_their_sender_can_be_proven() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    alice.done(&["send", "bob", "hello"]);
    server.world().log.append(&[]);
    server.world().log.cosigning = vec![1];
    for _ in 0..2 {
        let (verdict, value) = bob.json(&["receive"]);
        assert_eq!((verdict, &value["problems"][0]["kept"]), (Verdict::Unwitnessed, &json!(true)));
    }
    server.world().log.cosigning = vec![1, 2];
    assert_eq!(bob.done(&["receive"])["messages"][0]["text"], "hello");
}

#[test]
fn an_altered_message_is_reported_once_and_spoils_nothing() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    alice.done(&["send", "bob", "hello"]);
    let genuine = server.world().mailboxes.clone();
    for message in server.world().mailboxes.values_mut().flatten() {
        let mut bytes = message.body.as_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        message.body = Base64::new(bytes).unwrap();
    }
    let (verdict, value) = bob.json(&["receive"]);
    assert_eq!((verdict, &value["problems"][0]["reason"]), (Verdict::Undecryptable, &json!("not_authentic")));
    bob.done(&["receive"]);
    server.world().mailboxes = genuine;
    assert_eq!(bob.done(&["receive"])["messages"][0]["text"], "hello");
}

#[test]
fn a_one_time_prekey_that_the_server_repeats_is_noticed() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    let bundle = server.world().bundle(b"bob", 1).unwrap();
    server.lie(move |world, request| {
        (request.path == "/v1/bundles").then(|| {
            let mut bundles: Bundles = serde_json::from_slice(&world.honest(request).body).unwrap();
            bundles.bundles[0].result = BundleResult::Bundle(Base64::new(bundle.encode()).unwrap());
            Response::ok(serde_json::to_vec(&bundles).unwrap())
        })
    });
    alice.done(&["send", "bob", "first"]);
    alice.done(&["send", "bob", "second"]);
    let (verdict, value) = bob.json(&["receive"]);
    assert_eq!(verdict, Verdict::Undecryptable);
    assert_eq!(value["messages"].as_array().unwrap().len(), 1);
    assert_eq!(value["problems"][0]["reason"], "one_time_prekey_reused");
}

#[test]
fn a_crash_between_storing_and_printing_loses_no_text() {
    struct Broken;
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("closed"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    alice.done(&["send", "bob", "hello"]);
    let verdict = bob.run_into(&["receive"], &mut Broken);
    assert_eq!(verdict, Verdict::Failed);
    assert!(server.world().mailboxes.values().all(Vec::is_empty), "the message was accepted");
    assert_eq!(bob.run(&["receive"]).stdout, "hello\n");
    assert_eq!(bob.run(&["receive"]).stdout, "");
}

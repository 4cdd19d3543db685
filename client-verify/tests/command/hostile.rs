//! The server, the log or a sender lies; each lie has its verdict, and nothing unproven is used.

use keyglass_account::{
    api::{Base64, BundleResult, Bundles},
    author::{self, Draft},
    device::{Device, Suite},
    prekey::{OneTimePreKey, PreKeyBatch, PreKeyBundle, SignedPreKey},
    problem::Problem,
    record::AccountRecord,
    time::UnixMillis,
    verify::ValidRecord,
};
use keyglass_client_verify::verdict::Verdict;
use keyglass_crypto::{dh::DhSecretKey, sign::SigningKey};
use serde_json::json;

use crate::{
    Person,
    log::{TestLog, now},
    run,
    server::{Response, Server},
};

const BOB: &[u8] = b"bob";

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn device(id: u8) -> Device {
    let dh = DhSecretKey::from_bytes(&[20 + id; 32]).public_key();
    Device::sign(&TestLog::origin(), BOB, id.into(), &signing(10 + id), dh, vec![Suite::X3DH], UnixMillis(1))
}

fn genesis() -> AccountRecord {
    Draft::new(&TestLog::origin(), BOB, 0).add_device(device(1)).sign_genesis(&signing(1)).unwrap()
}

fn valid(record: &AccountRecord) -> ValidRecord {
    ValidRecord::restore(&TestLog::origin(), BOB, record.version, &record.encode()).unwrap()
}

fn publish(server: &Server, record: &AccountRecord) {
    server.world().log.append(&[(BOB, record.encode())]);
}

fn rotation() -> AccountRecord {
    let before = valid(&genesis());
    Draft::after(&TestLog::origin(), BOB, &before, 1).sign_rotation(&signing(1), &signing(2)).unwrap()
}

fn reset() -> AccountRecord {
    let before = valid(&genesis());
    let origin = TestLog::origin();
    let draft = Draft::after(&origin, BOB, &before, 1).remove_device(1).add_device(device(4));
    draft.sign_reset(&signing(6)).unwrap()
}

/// A device that Bob never added, in a record that Bob's identity has not signed.
fn forgery() -> AccountRecord {
    let before = valid(&genesis());
    let origin = TestLog::origin();
    let draft = Draft::after(&origin, BOB, &before, 1).add_device(device(2));
    let mut record = draft.sign(&signing(1)).unwrap();
    author::sign(&TestLog::origin(), BOB, &mut record, &signing(66), None);
    record
}

/// What the home holds, all of it.
fn contents(person: &Person) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut pending = vec![person.home()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

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
            let forged = PreKeyBundle { signed_prekey: signed.unwrap(), one_time: batch.unwrap().entry(0) };
            bundle.result = BundleResult::Bundle(Base64::new(forged.encode()).unwrap());
        }
        Some(Response::ok(serde_json::to_vec(&bundles).unwrap()))
    });
    let (verdict, value) = alice.json(&["send", "bob", "secret"]);
    assert_eq!(verdict, Verdict::Refused, "{value}");
    assert_eq!(value["devices"][0]["reason"], "bundle_not_proven");
    assert!(server.world().mailboxes.is_empty());
}

#[test]
fn a_version_that_the_identity_did_not_sign_is_refused_and_no_older_one_used() {
    let server = Server::start();
    publish(&server, &genesis());
    let (met, stranger) = (Person::new(&server), Person::new(&server));
    met.done(&["register", "met"]);
    stranger.done(&["register", "stranger"]);
    met.done(&["lookup", "bob"]);
    publish(&server, &forgery());
    for person in [&met, &stranger] {
        for command in
            [vec!["lookup", "bob"], vec!["send", "bob", "secret"], vec!["lookup", "bob", "--accept-change"]]
        {
            let (verdict, value) = person.json(&command);
            assert_eq!((verdict, &value["reason"]), (Verdict::Refused, &json!("version_not_vouched_for")));
            assert_eq!(value["version"], 1);
        }
    }
    assert!(server.world().mailboxes.is_empty());
    // Bob's next version skips the forged one, and all is well again.
    let repaired = Draft::after(&TestLog::origin(), BOB, &valid(&genesis()), 2).sign(&signing(1)).unwrap();
    publish(&server, &repaired);
    for person in [&met, &stranger] {
        let found = person.done(&["lookup", "bob"]);
        assert_eq!((&found["version"], found["devices"].as_array().unwrap().len()), (&json!(2), 1));
    }
}

#[test]
fn a_reset_is_loud_until_a_person_accepts_it() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["register", "alice"]);
    alice.done(&["lookup", "bob"]);
    publish(&server, &reset());
    for _ in 0..2 {
        let (verdict, value) = alice.json(&["lookup", "bob"]);
        assert_eq!((verdict, &value["reason"]), (Verdict::Changed, &json!("identity_reset")));
        assert_eq!(value["authorised_by"], "provider");
        assert_ne!(value["identity_key"], value["identity_key_before"]);
        assert_eq!(alice.json(&["send", "bob", "secret"]).0, Verdict::Changed);
    }
    let run = alice.run(&["lookup", "bob"]);
    assert!(run.stderr.contains("THE PROVIDER HAS RESET THIS ACCOUNT"), "{}", run.stderr);
    assert!(run.stdout.is_empty());
    // Somebody who has never met Bob is told as well.
    assert_eq!(Person::new(&server).json(&["lookup", "bob"]).0, Verdict::Changed);

    alice.done(&["lookup", "bob", "--accept-change"]);
    let found = alice.done(&["lookup", "bob"]);
    assert_eq!(found["first_contact"], false);
}

#[test]
fn a_rotation_that_the_identity_authorised_is_shown_once() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    publish(&server, &rotation());
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["authorised_by"]), (Verdict::Changed, &json!("identity")));
    alice.done(&["lookup", "bob"]);
    // At first contact the chain is followed back to its root, and nothing has changed for this person.
    let found = Person::new(&server).done(&["lookup", "bob"]);
    assert_eq!((&found["version"], &found["authorised_by"]), (&json!(1), &json!("identity")));
}

#[test]
fn a_withheld_beginning_counts_as_a_reset() {
    let server = Server::start();
    publish(&server, &genesis());
    publish(&server, &rotation());
    let mut searches = 0;
    server.lie(move |_, request| {
        searches += u32::from(request.path == "/v1/search");
        (searches % 2 == 0).then(|| Response::problem(Problem::UnknownVersion))
    });
    let (verdict, value) = Person::new(&server).json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["authorised_by"]), (Verdict::Changed, &json!("provider")));
}

#[test]
fn a_head_without_a_quorum_is_unwitnessed() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    let before = contents(&alice);
    publish(&server, &rotation());
    for (cosigning, have) in [(vec![2], json!(["w3"])), (vec![], json!([]))] {
        server.world().log.cosigning = cosigning;
        let (verdict, value) = alice.json(&["lookup", "bob"]);
        assert_eq!((verdict, &value["have"]), (Verdict::Unwitnessed, &have));
        assert_eq!((&value["needed"], &value["known"]), (&json!(2), &json!(3)));
        assert_eq!(contents(&alice), before);
    }
    server.world().log.cosigning = vec![0, 2];
    assert_eq!(alice.json(&["lookup", "bob"]).1["witnesses"], json!(["w1", "w3"]));
}

#[test]
fn a_policy_without_witnesses_takes_an_explicit_word() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    std::fs::write(alice.path("policy"), "quorum none\n").unwrap();
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Unwitnessed, &json!("no_quorum_required")));
    assert_eq!(alice.json(&["register", "alice"]).0, Verdict::Unwitnessed);
    let found = alice.run(&["lookup", "bob", "--trust-without-witnesses"]);
    assert_eq!(found.verdict, Verdict::Verified);
    assert!(found.stdout.contains("NONE REQUIRED"));
}

#[test]
fn an_old_head_is_stale_and_one_from_the_future_is_invalid() {
    let server = Server::start();
    let alice = Person::new(&server);
    // A log whose every entry is twenty minutes old.
    server.world().log = aged(-1_200_000);
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Stale, &json!("head_too_old")));
    assert!(value["head_age_ms"].as_u64().unwrap() >= 1_200_000);
    assert_eq!(value["allowed_ms"], 600_000);
    server.world().log = aged(3_600_000);
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Invalid, &json!("head_from_the_future")));
}

/// A log with Bob's account, whose clock is off by so many milliseconds.
fn aged(skew: i64) -> TestLog {
    let mut log = TestLog::with_skew(skew);
    log.append(&[(BOB, genesis().encode())]);
    log
}

/// A log of `size` entries with Bob's account in the second, and something else than the other logs of other `mark`s from
/// the fourth entry on.
fn branch(log: &TestLog, size: u64, mark: &[u8]) -> TestLog {
    let mut log = log.clone();
    log.append(&[(mark, b"something".to_vec())]);
    while log.size() < size {
        log.append(&[]);
    }
    log
}

#[test]
fn a_second_history_of_the_same_size_convicts_the_log() {
    let server = Server::start();
    publish(&server, &genesis());
    let base = server.world().log.clone();
    let alice = Person::new(&server);
    server.world().log = branch(&base, 6, b"left");
    alice.done(&["lookup", "bob"]);
    let mut right = branch(&base, 6, b"right");
    right.cosigning = vec![1, 2];
    server.world().log = right;
    // A server that keeps to the draft would answer that nothing is new, so this one pretends to hold another size.
    server.lie(|world, request| (request.path == "/v1/search").then(|| answer_without_last(world, request)));
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!(verdict, Verdict::Misbehaving, "{value}");
    assert_eq!(value["sizes"], json!([6, 6]));
    assert_eq!(value["faulty_witnesses"], json!(["w2", "w3"]));
    check_evidence(&alice, value["evidence"].as_str().unwrap(), &json!(["w2", "w3"]));
    convicted_for_good(&server, &alice);
}

#[test]
fn a_larger_history_that_does_not_extend_the_known_one_convicts_the_log() {
    for (small, large) in [(3, 4), (4, 7), (5, 300), (256, 259), (300, 600)] {
        let server = Server::start();
        publish(&server, &genesis());
        let base = server.world().log.clone();
        let alice = Person::new(&server);
        server.world().log = branch(&base, small, b"left");
        alice.done(&["lookup", "bob"]);
        server.world().log = branch(&base, large, b"right");
        let (verdict, value) = alice.json(&["lookup", "bob"]);
        assert_eq!(verdict, Verdict::Misbehaving, "{small} {large}: {value}");
        assert_eq!(value["sizes"], json!([small, large]));
        check_evidence(&alice, value["evidence"].as_str().unwrap(), &json!(["w1", "w2", "w3"]));
        convicted_for_good(&server, &alice);
    }
}

/// Anyone verifies the evidence offline with the log's key, and nobody with another one.
fn check_evidence(person: &Person, evidence: &str, faulty: &serde_json::Value) {
    let (vkey, policy) = (TestLog::vkey(), person.path("policy"));
    let line = [
        "keyglass",
        "evidence",
        "verify",
        evidence,
        "--log",
        &vkey,
        "--policy",
        policy.to_str().unwrap(),
        "--json",
    ];
    let verified = run(&line);
    assert_eq!(verified.verdict, Verdict::Verified);
    assert_eq!(&verified.json()["faulty_witnesses"], faulty);
    assert_eq!(run(&line[..6]).verdict, Verdict::Verified, "the policy is optional");

    let text = std::fs::read_to_string(evidence).unwrap();
    let altered = person.path("altered");
    std::fs::write(&altered, text.replacen('A', "B", 1)).unwrap();
    let line = ["keyglass", "evidence", "verify", altered.to_str().unwrap(), "--log", &vkey];
    assert_eq!(run(&line).verdict, Verdict::Unproven);
    let line = ["keyglass", "evidence", "verify", evidence, "--log", "nonsense"];
    assert_eq!(run(&line).verdict, Verdict::Usage);
}

/// Who holds evidence does not use the log any more, and asks it nothing.
fn convicted_for_good(server: &Server, person: &Person) {
    server.honest();
    let asked = server.world().seen.len();
    let (verdict, value) = person.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Misbehaving, &json!("convicted")));
    assert_eq!(server.world().seen.len(), asked);
}

fn answer_without_last(world: &mut crate::server::World, request: &crate::server::Request) -> Response {
    use keyglass_keytrans::{
        config::DeploymentMode,
        wire::{Context, SearchRequest, Wire as _},
    };
    let question =
        SearchRequest::decode(&request.body, Context::new(DeploymentMode::ContactMonitoring)).unwrap();
    let question = SearchRequest { last: None, ..question };
    world.honest(&crate::server::Request {
        method: request.method.clone(),
        path: request.path.clone(),
        authorization: String::new(),
        body: question.encode().unwrap(),
    })
}

#[test]
fn a_history_that_the_log_does_not_explain_is_unreconciled() {
    let server = Server::start();
    publish(&server, &genesis());
    let base = server.world().log.clone();
    let alice = Person::new(&server);
    server.world().log = branch(&base, 6, b"left");
    alice.done(&["lookup", "bob"]);
    let before = contents(&alice);

    // It refuses its tiles.
    server.world().log = branch(&base, 9, b"right");
    server.lie(|_, request| request.path.starts_with("/tile/").then(|| Response::problem(Problem::NotFound)));
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Unreconciled, &json!("not_reconciled")), "{value}");
    assert!(value["ours"].as_str().unwrap().contains("\n6\n"));
    assert!(value["theirs"].as_str().unwrap().contains("\n9\n"));

    // It serves the tiles of another tree.
    server.lie(|_, request| request.path.starts_with("/tile/").then(|| Response::ok(vec![7; 9 * 32])));
    assert_eq!(alice.json(&["lookup", "bob"]).0, Verdict::Unreconciled);

    // It has shrunk.
    server.honest();
    server.world().log = branch(&base, 4, b"right");
    assert_eq!(alice.json(&["lookup", "bob"]).0, Verdict::Unreconciled);

    // It does not answer the second question.
    server.world().log = branch(&base, 9, b"right");
    let mut searches = 0;
    server.lie(move |_, request| {
        searches += u32::from(request.path == "/v1/search");
        (searches > 1).then(|| Response::problem(Problem::Internal))
    });
    assert_eq!(alice.json(&["lookup", "bob"]).0, Verdict::Unreconciled);
    assert_eq!(contents(&alice), before);

    // The honest log again: all is well.
    server.honest();
    server.world().log = branch(&base, 6, b"left");
    alice.done(&["lookup", "bob"]);
}

#[test]
fn an_answer_that_is_merely_wrong_accuses_nobody() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    server.world().log.append(&[]);
    let before = contents(&alice);
    let mut first = true;
    server.lie(move |world, request| {
        if request.path != "/v1/search" || !std::mem::take(&mut first) {
            return None;
        }
        let mut response = world.honest(request);
        *response.body.last_mut().unwrap() ^= 1;
        Some(response)
    });
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!(verdict, Verdict::Invalid, "{value}");
    assert_eq!(contents(&alice), before);
    alice.done(&["lookup", "bob"]);
}

/// Any byte of the answer flipped: refused, and nothing in the home changes.
#[test]
fn no_flipped_byte_of_an_answer_is_accepted() {
    let server = Server::start();
    publish(&server, &genesis());
    for _ in 0..5 {
        server.world().log.append(&[]);
    }
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    for _ in 0..3 {
        server.world().log.append(&[]);
    }
    let before = contents(&alice);
    let length = {
        let (send, receive) = std::sync::mpsc::channel();
        server.lie(move |world, request| {
            let response = world.honest(request);
            send.send(response.body.len()).unwrap();
            Some(Response::problem(Problem::Internal))
        });
        alice.json(&["lookup", "bob"]);
        receive.recv().unwrap()
    };
    // A line of an unknown key in the head is rightly ignored, so that byte for byte the signature lines of the third
    // witness, which the quorum does not need, may change.
    server.world().log.cosigning = vec![0, 1];
    for index in (0..length).step_by(7) {
        server.lie(move |world, request| {
            let mut response = world.honest(request);
            if let Some(byte) = response.body.get_mut(index) {
                *byte ^= 1 << (index % 8);
            }
            Some(response)
        });
        let (verdict, value) = alice.json(&["lookup", "bob", "--timeout", "0"]);
        assert_ne!(verdict, Verdict::Verified, "byte {index}: {value}");
        assert_ne!(verdict, Verdict::Misbehaving, "byte {index}: {value}");
        assert_eq!(contents(&alice), before, "byte {index}");
    }
}

#[test]
fn a_label_that_was_proven_cannot_be_denied() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    server.lie(|_, _| Some(Response::problem(Problem::UnknownLabel)));
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Invalid, &json!("label_denied")));
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

/// Two people who are shown different histories find out by their first message, over a channel that the log cannot read.
#[test]
fn a_first_message_carries_the_proof_of_a_split_view() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    let base = server.world().log.clone();
    server.world().log = branch(&base, 5, b"left");
    alice.done(&["send", "bob", "hello"]);
    server.world().log = branch(&base, 5, b"right");
    let (verdict, value) = bob.json(&["receive"]);
    assert_eq!(verdict, Verdict::Misbehaving, "{value}");
    assert_eq!(value["messages"][0]["text"], "hello");
    check_evidence(&bob, value["problems"][0]["evidence"].as_str().unwrap(), &json!(["w1", "w2", "w3"]));
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

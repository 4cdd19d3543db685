//! A log is followed by another: what is carried over, and what must not be.

use keyglass_account::{
    author::Draft,
    device::{Device, Suite},
    time::UnixMillis,
};
use keyglass_client_verify::{verdict::Verdict, x3dh::FirstMessage};
use keyglass_crypto::dh::DhSecretKey;
use serde_json::{Value, json};

use crate::{
    Person,
    log::{TestLog, Which},
    records::{BOB, contents, signing},
    run,
    sender::send_as_bob,
    server::{Response, Server},
};

/// Alice and Bob in the first log, where Alice has met Bob.
fn first_log() -> (Server, Person, Person) {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob", "--devices", "2"]);
    alice.done(&["register", "alice"]);
    alice.done(&["lookup", "bob"]);
    (server, alice, bob)
}

/// Ends the log of the server, which serves the second one from now on. Gives the handover and the log that ended.
fn hand_over(server: &Server) -> (String, TestLog) {
    let old = server.world().replace_log(TestLog::second());
    (old.hand_over(Which::Second.vkey()).to_string(), old)
}

/// A person who was given the handover and what to trust from now on. Gives the file.
fn informed(person: &Person, handover: &str) -> String {
    person.trusts(Which::Second);
    let file = person.path("log.handover");
    std::fs::write(&file, handover).unwrap();
    file.to_str().unwrap().to_owned()
}

/// A server with the old log alone, for its tiles.
fn old_server(log: &TestLog) -> (Server, String) {
    let server = Server::start();
    server.world().log = log.clone();
    let url = format!("http://{}", server.address);
    (server, url)
}

fn identity(value: &Value) -> &Value {
    assert!(value["identity_key"].is_string(), "{value}");
    &value["identity_key"]
}

#[test]
fn contacts_are_recognised_and_own_accounts_begin_anew_with_the_same_keys() {
    let (server, alice, bob) = first_log();
    bob.done(&["heads"]);
    let before = alice.done(&["lookup", "bob"]);
    let (handover, _) = hand_over(&server);
    let (hers, his) = (informed(&alice, &handover), informed(&bob, &handover));

    // Bob is not in the new log before he publishes his account there.
    let asked = alice.run(&["--handover", &hers, "lookup", "bob"]);
    assert_eq!(asked.verdict, Verdict::NotFound, "{}", asked.stderr);
    assert!(asked.stderr.contains("carried over 1 contacts and 1 own accounts"), "{}", asked.stderr);
    let registered = bob.done(&["--handover", &his, "register", "bob"]);
    assert_eq!((&registered["resumed"], &registered["version"]), (&json!(true), &json!(0)));
    assert_eq!(registered["devices"].as_array().unwrap().len(), 2);

    // It is taken over once, whether or not the option stays.
    let kept = alice.run(&["--handover", &hers, "lookup", "bob"]);
    assert_eq!(kept.verdict, Verdict::Verified, "{}", kept.stderr);
    assert!(!kept.stderr.contains("carried over"), "{}", kept.stderr);
    assert!(kept.stdout.contains("in the log before this one"), "{}", kept.stdout);
    let found = alice.done(&["lookup", "bob"]);
    assert_eq!(identity(&found), identity(&before));
    assert_eq!(found["devices"][1]["dh_key"], before["devices"][1]["dh_key"]);

    alice.done(&["register", "alice"]);
    alice.done(&["send", "bob", "here we are"]);
    assert_eq!(bob.done(&["receive"])["messages"][0]["text"], "here we are");
}

#[test]
fn another_identity_in_the_new_log_is_a_change() {
    let (server, alice, _bob) = first_log();
    let before = alice.done(&["lookup", "bob"]);
    let (handover, _) = hand_over(&server);
    let file = informed(&alice, &handover);
    // Somebody takes Bob's label in the new log before Bob does.
    let mallory = Person::new(&server);
    mallory.trusts(Which::Second);
    mallory.done(&["register", "bob"]);
    alice.done(&["--handover", &file, "register", "alice"]);
    for command in [vec!["lookup", "bob"], vec!["send", "bob", "secret"]] {
        let (verdict, value) = alice.json(&command);
        assert_eq!((verdict, &value["reason"]), (Verdict::Changed, &json!("identity_changed_between_logs")));
        assert_eq!(&value["identity_key_before"], identity(&before));
        assert_ne!(value["identity_key"], value["identity_key_before"]);
    }
    assert!(server.world().mailboxes.values().all(Vec::is_empty));
    // Who never met Bob has nothing to compare with, and a person may accept it.
    let carol = Person::new(&server);
    carol.trusts(Which::Second);
    carol.done(&["--handover", &informed(&carol, &handover), "lookup", "bob"]);
    alice.done(&["lookup", "bob", "--accept-change"]);
    let found = alice.done(&["lookup", "bob"]);
    assert_eq!((&found["first_contact"], &found["carried_over"]), (&json!(false), &json!(false)));
}

/// A home whose view of the old log is older than the end proves that the end extends it, by the old log's tiles.
#[test]
fn a_home_that_is_behind_needs_the_old_logs_tiles() {
    let (server, alice, _bob) = first_log();
    server.world().log.grow_to(300);
    let (handover, old) = hand_over(&server);
    let file = informed(&alice, &handover);
    let before = contents(&alice);
    let (verdict, value) = alice.json(&["--handover", &file, "heads"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Usage, &json!("old_server_needed")));
    assert!(carried_nothing(&alice, &before));

    let (served, url) = old_server(&old);
    served.lie(|_, _| Some(Response::ok(vec![7; 32])));
    let with_server = ["--handover", &file, "--old-server", &url, "heads"];
    let (verdict, value) = alice.json(&with_server);
    assert_eq!((verdict, &value["reason"]), (Verdict::Unreconciled, &json!("end_not_explained")), "{value}");
    assert!(carried_nothing(&alice, &before));
    served.honest();
    let taken = alice.run(&with_server);
    assert_eq!(taken.verdict, Verdict::Verified, "{}", taken.stderr);
    assert!(taken.stderr.contains("ended with 300 entries"), "{}", taken.stderr);
}

/// Whether nothing but the new log's configuration was added to a home.
fn carried_nothing(person: &Person, before: &[(std::path::PathBuf, Vec<u8>)]) -> bool {
    contents(person)
        .iter()
        .filter(|file| !before.contains(file))
        .all(|(path, _)| path.file_name().is_some_and(|name| name == "trust.json"))
}

#[test]
fn an_end_of_another_history_convicts_the_old_log() {
    let (server, alice, _bob) = first_log();
    let base = server.world().log.clone();
    server.world().log.append(&[(b"left", b"something".to_vec())]);
    alice.done(&["heads"]);
    let (size, mut fork) = (server.world().log.size(), base);
    fork.append(&[(b"right", b"something".to_vec())]);
    fork.grow_to(9);
    server.world().log = fork;
    let (handover, old) = hand_over(&server);
    let file = informed(&alice, &handover);
    let (_served, url) = old_server(&old);
    let (verdict, value) = alice.json(&["--handover", &file, "--old-server", &url, "heads"]);
    assert_eq!((verdict, &value["sizes"]), (Verdict::Misbehaving, &json!([size, 9])), "{value}");
    // What the old log says is not taken over any more; the new log can be used without it.
    let (verdict, value) = alice.json(&["--handover", &file, "--old-server", &url, "heads"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Misbehaving, &json!("convicted")));
    alice.done(&["heads"]);
}

#[test]
fn an_end_before_what_this_home_has_seen_convicts_the_old_log() {
    let (server, alice, _bob) = first_log();
    let early = server.world().log.clone();
    server.world().log.append(&[]);
    alice.done(&["heads"]);
    let size = early.size();
    server.world().log = early;
    let (handover, _) = hand_over(&server);
    let (verdict, value) = alice.json(&["--handover", &informed(&alice, &handover), "heads"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Misbehaving, &json!("after_handover")), "{value}");
    assert_eq!(value["sizes"], json!([size, size + 1]));
    proves(&value);
}

/// The evidence convinces a stranger who knows the old log's key.
fn proves(value: &Value) {
    let (evidence, vkey) = (value["evidence"].as_str().unwrap(), TestLog::vkey());
    let verified = run(&["keyglass", "evidence", "verify", evidence, "--log", &vkey, "--json"]);
    assert_eq!(verified.verdict, Verdict::Verified, "{}", verified.stderr);
    assert_eq!(verified.json()["kind"], "after-handover");
    let other = Which::Second.vkey().to_string();
    let line = ["keyglass", "evidence", "verify", evidence, "--log", &other];
    assert_eq!(run(&line).verdict, Verdict::Unproven);
}

/// The old log goes on in secret, and shows it to those who still ask it.
#[test]
fn a_later_head_of_the_old_log_is_an_alarm_in_a_look_up() {
    let (server, alice, _bob) = first_log();
    let (handover, mut old) = hand_over(&server);
    let file = informed(&alice, &handover);
    alice.done(&["--handover", &file, "heads"]);
    // As it ended, it can still be read.
    alice.trusts(Which::First);
    server.world().log = old.clone();
    alice.done(&["lookup", "bob"]);
    old.append(&[]);
    server.world().log = old;
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Misbehaving, &json!("after_handover")), "{value}");
    proves(&value);
    assert_eq!(alice.json(&["lookup", "bob"]).1["reason"], "convicted");
    // The new log is another one.
    alice.trusts(Which::Second);
    server.world().log = TestLog::second();
    assert_ne!(alice.json(&["lookup", "bob"]).0, Verdict::Misbehaving);
}

#[test]
fn a_later_head_of_the_old_log_is_an_alarm_in_a_message() {
    let (server, alice, _bob) = first_log();
    let (handover, mut old) = hand_over(&server);
    let file = informed(&alice, &handover);
    alice.done(&["--handover", &file, "register", "alice"]);
    let origin = Which::Second.origin();
    let device = Device::sign(
        &origin,
        BOB,
        1,
        &signing(11),
        DhSecretKey::from_bytes(&[21; 32]).public_key(),
        vec![Suite::X3DH],
        UnixMillis(1),
    );
    let record = Draft::new(&origin, BOB, 0).add_device(device).sign_genesis(&signing(1)).unwrap();
    server.world().log.append(&[(BOB, record.encode())]);
    alice.done(&["lookup", "bob", "--accept-change"]);
    let send = |id: u8, checkpoint: String| {
        let message = FirstMessage {
            id: [id; 16],
            checkpoint,
            heads: Vec::new(),
            recipient_version: None,
            text: format!("hello {id}"),
        };
        send_as_bob(&server, "alice", &message.encode().unwrap());
    };
    // The old log's head as it ended says nothing new.
    send(1, old.note());
    let received = alice.done(&["receive"]);
    assert_eq!(received["remarks"][0]["remark"], "the checkpoint in it is of another log");
    old.append(&[]);
    // One that the old log has not signed proves nothing.
    send(2, old.note().replacen("\n4\n", "\n5\n", 1));
    assert_eq!(alice.done(&["receive"])["remarks"][0]["remark"], "the checkpoint in it is of another log");
    send(3, old.note());
    let (verdict, value) = alice.json(&["receive"]);
    assert_eq!(verdict, Verdict::Misbehaving, "{value}");
    assert_eq!(value["messages"][0]["text"], "hello 3");
    proves(&value["problems"][0]);
    // It is the old log that is convicted.
    alice.done(&["lookup", "bob"]);
    alice.trusts(Which::First);
    assert_eq!(alice.json(&["heads"]).1["reason"], "convicted");
}

#[test]
fn handovers_that_prove_nothing_carry_nothing_over() {
    let (server, alice, _bob) = first_log();
    let (genuine, old) = hand_over(&server);
    let file = informed(&alice, &genuine);
    alice.done(&["heads"]);
    let before = contents(&alice);
    let lines: Vec<&str> = genuine.lines().collect();
    let mut under_witnessed = old.clone();
    under_witnessed.cosigning = vec![1];
    // Signed by the right name with another signature: that of the checkpoint.
    let forged = genuine.replacen(lines[6], lines[12], 1);
    assert_ne!(forged, genuine);
    for (handover, verdict, reason) in [
        ("nonsense".to_owned(), Verdict::Usage, "handover_malformed"),
        (old.hand_over(other_log()).to_string(), Verdict::Usage, "handover_to_another_log"),
        (forged, Verdict::Invalid, "handover_not_proven"),
        (
            under_witnessed.hand_over(Which::Second.vkey()).to_string(),
            Verdict::Unwitnessed,
            "final_head_unwitnessed",
        ),
    ] {
        std::fs::write(&file, handover).unwrap();
        let (found, value) = alice.json(&["--handover", &file, "heads"]);
        assert_eq!((found, &value["reason"]), (verdict, &json!(reason)), "{value}");
        assert_eq!(contents(&alice), before, "{reason}");
    }
    // Another end, after one was taken over.
    std::fs::write(&file, &genuine).unwrap();
    alice.done(&["--handover", &file, "heads"]);
    let mut later = old;
    later.append(&[]);
    std::fs::write(&file, later.hand_over(Which::Second.vkey()).to_string()).unwrap();
    let (verdict, value) = alice.json(&["--handover", &file, "heads"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Usage, &json!("another_handover")));
    // A home that never used the old log has nothing to lose.
    let carol = Person::new(&server);
    let run = carol.run(&["--handover", &informed(&carol, &genuine), "heads"]);
    assert_eq!(run.verdict, Verdict::Verified, "{}", run.stderr);
    assert!(run.stderr.contains("nothing to carry over"), "{}", run.stderr);
}

/// The key of a log that nobody here uses.
fn other_log() -> keyglass_tlog::note::Vkey {
    use keyglass_tlog::note::{KeyName, NoteSigner};
    NoteSigner::new(KeyName::new("log.example/other").unwrap(), signing(7)).vkey().clone()
}

//! A lost phone and a stolen key: the recovery key puts a new identity in their place.

use keyglass_account::{author::Draft, record::AccountRecord};
use keyglass_client_verify::{
    state::{Home, OwnAccount},
    verdict::Verdict,
};
use serde_json::{Value, json};

use crate::{
    Person,
    log::TestLog,
    records::{BOB, contents, published, signing},
    server::{Response, Server},
};
use keyglass_account::problem::Problem;

fn account(person: &Person) -> OwnAccount {
    Home::open(&person.home(), &TestLog::origin()).unwrap().account("bob").unwrap().unwrap()
}

fn newest(server: &Server) -> AccountRecord {
    let version = server.world().log.greatest(BOB).unwrap();
    AccountRecord::decode(server.world().log.value(BOB, version)).unwrap()
}

/// Bob with a recovery key; a file with what he wrote down.
fn prepared(server: &Server) -> (Person, String) {
    let bob = Person::new(server);
    bob.done(&["register", "bob"]);
    let created = bob.done(&["recovery", "create"]);
    let path = bob.path("paper").to_str().unwrap().to_owned();
    std::fs::write(&path, created["recovery_key"].as_str().unwrap()).unwrap();
    (bob, path)
}

fn recover(person: &Person, key: &str) -> (Verdict, Value) {
    person.json(&["recover", "bob", "--recovery-key", key])
}

#[test]
fn a_recovery_key_is_shown_once_and_kept_nowhere() {
    let server = Server::start();
    let (bob, path) = prepared(&server);
    let text = std::fs::read_to_string(path).unwrap();
    let part = &text[text.len() - 20..];
    for (path, bytes) in contents(&bob) {
        assert!(!String::from_utf8_lossy(&bytes).contains(part), "{}", path.display());
    }
    assert!(newest(&server).recovery.is_some());
    let shown = bob.run(&["recovery", "create"]);
    assert!(shown.stdout.contains("KEYGLASS-RECOVERY-"), "{}", shown.stdout);
    bob.done(&["recovery", "drop"]);
    assert!(newest(&server).recovery.is_none());
    assert_eq!(bob.json(&["recovery", "drop"]).0, Verdict::Usage);
}

/// The server declines a recovery in the home that still holds the identity: it is not given up for nothing.
#[test]
fn an_identity_that_is_held_is_not_lost_to_a_recovery_that_is_declined() {
    let server = Server::start();
    let (bob, paper) = prepared(&server);
    server.lie(|_, request| (request.path == "/v1/update").then(|| Response::problem(Problem::KeyReused)));
    assert_eq!(recover(&bob, &paper).0, Verdict::Declined);
    server.honest();
    bob.done(&["lock"]);
    let (verdict, done) = recover(&bob, &paper);
    assert_eq!(verdict, Verdict::Verified, "{done}");
    assert_eq!(newest(&server).identity_key, account(&bob).identity_key());
}

#[test]
fn a_lost_phone_is_recovered_from_in_an_empty_home() {
    let server = Server::start();
    let alice = Person::new(&server);
    alice.done(&["register", "alice"]);
    let (bob, paper) = prepared(&server);
    alice.done(&["lookup", "bob"]);
    let fresh = Person::new(&server);
    let (verdict, done) = recover(&fresh, &paper);
    assert_eq!(verdict, Verdict::Verified, "{done}");
    assert_eq!((&done["removed_devices"], &done["devices"]), (&json!([1]), &json!([2])));
    assert_eq!(newest(&server).identity_key, account(&fresh).identity_key());
    assert!(newest(&server).recovery.is_some(), "the recovery key goes on");
    fresh.done(&["monitor"]);
    // Alice is told who authorised it, and goes on.
    let (verdict, told) = alice.json(&["monitor"]);
    assert_eq!(verdict, Verdict::Changed);
    assert_eq!(told["events"][0]["authorised_by"], "recovery");
    alice.done(&["send", "bob", "hello again"]);
    assert!(fresh.run(&["receive"]).stdout.contains("hello again"));
    // The lost phone is out.
    assert_eq!(bob.json(&["monitor"]).0, Verdict::Unexpected);
    assert_eq!(bob.json(&["rotate"]).0, Verdict::Unexpected);
    // The paper still works, here and elsewhere.
    assert_eq!(recover(&Person::new(&server), &paper).0, Verdict::Verified);
}

/// A thief with the identity key rotates it; who holds the recovery key takes the account back, in the home it was in.
#[test]
fn a_stolen_identity_is_taken_back() {
    let server = Server::start();
    let (bob, paper) = prepared(&server);
    let (stolen, thief, origin) =
        (account(&bob).identity.signing_key().unwrap(), signing(66), TestLog::origin());
    let before = published(&server.world(), 1);
    let theft = Draft::after(&origin, BOB, &before, 2).sign_rotation(&stolen, &thief).unwrap();
    server.world().log.append(&[(BOB, theft.encode())]);
    assert_eq!(bob.json(&["lock"]).0, Verdict::Unexpected);
    let (verdict, done) = recover(&bob, &paper);
    assert_eq!((verdict, &done["version"]), (Verdict::Verified, &json!(3)), "{done}");
    assert_eq!(done["devices"], json!([1]), "the device of this home stays");
    assert_eq!(newest(&server).identity_key, account(&bob).identity_key());
    bob.done(&["monitor"]);
    bob.done(&["lock"]);
}

#[test]
fn another_key_or_none_recovers_nothing() {
    let server = Server::start();
    let (bob, paper) = prepared(&server);
    let other = bob.path("other");
    let created = bob.done(&["recovery", "create"]);
    std::fs::write(&other, created["recovery_key"].as_str().unwrap()).unwrap();
    // The first was replaced.
    let fresh = Person::new(&server);
    let (verdict, told) = recover(&fresh, &paper);
    assert_eq!((verdict, &told["reason"]), (Verdict::Refused, &json!("not_the_recovery_key")));
    assert!(Home::open(&fresh.home(), &TestLog::origin()).unwrap().account("bob").unwrap().is_none());
    bob.done(&["recovery", "drop"]);
    assert_eq!(recover(&fresh, other.to_str().unwrap()).0, Verdict::Refused);
    assert_eq!(recover(&fresh, "/nowhere").0, Verdict::Usage);
    std::fs::write(&other, "KEYGLASS-RECOVERY-AAAAA").unwrap();
    assert_eq!(recover(&fresh, other.to_str().unwrap()).0, Verdict::Rejected);
    assert_eq!(server.world().log.greatest(BOB), Some(3));
}

/// The answer is lost after the log took the version: running it again finishes it, and does not recover twice.
#[test]
fn a_recovery_that_was_interrupted_is_finished() {
    let server = Server::start();
    let (_bob, paper) = prepared(&server);
    let fresh = Person::new(&server);
    server.lie(|world, request| {
        let answer = world.honest(request);
        Some(if request.path == "/v1/update" { Response::problem(Problem::Unavailable) } else { answer })
    });
    assert_eq!(recover(&fresh, &paper).0, Verdict::Unreachable);
    server.honest();
    let (verdict, done) = recover(&fresh, &paper);
    assert_eq!((verdict, &done["version"], &done["devices"]), (Verdict::Verified, &json!(2), &json!([2])));
    assert_eq!(server.world().log.greatest(BOB), Some(2));
    fresh.done(&["monitor"]);
}

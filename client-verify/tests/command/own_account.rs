//! The next version of one's own account: devices, rotation, lockdown, and what crashes, races and lies leave of them.

use keyglass_account::{author::Draft, problem::Problem, record::AccountRecord, verify::ValidRecord};
use keyglass_client_verify::{
    state::{Home, OwnAccount},
    verdict::Verdict,
};
use serde_json::json;

use crate::{
    Person,
    log::TestLog,
    records::{BOB, device, forgery_after, published},
    server::{Response, Server},
};

fn home(person: &Person) -> Home {
    Home::open(&person.home(), &TestLog::origin()).unwrap()
}

fn account(person: &Person) -> OwnAccount {
    home(person).account("bob").unwrap().unwrap()
}

fn record(server: &Server, version: u32) -> AccountRecord {
    AccountRecord::decode(server.world().log.value(BOB, version)).unwrap()
}

#[test]
fn an_identity_is_rotated_and_contacts_are_told() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    alice.done(&["lookup", "bob"]);
    let before = alice.done(&["safety-number", "bob"]);
    let rotated = bob.done(&["rotate"]);
    assert_eq!((&rotated["version"], &rotated["skipped_versions"]), (&json!(1), &json!(0)));
    assert_ne!(rotated["identity_key"], rotated["identity_key_before"]);
    assert_eq!(record(&server, 1).identity_key, account(&bob).identity_key());
    assert!(account(&bob).pending.is_none());
    bob.done(&["monitor"]);
    // Everything goes on under the new one.
    bob.done(&["lock"]);
    let (verdict, told) = alice.json(&["monitor"]);
    assert_eq!(verdict, Verdict::Changed);
    let events = told["events"].as_array().unwrap();
    assert_eq!(events[0]["event"], "identity_replaced");
    assert_eq!(events[0]["authorised_by"], "identity");
    assert_eq!(events[0]["since_version"], 1);
    assert_eq!(alice.done(&["lookup", "bob"])["identity_key"], rotated["identity_key"]);
    assert_ne!(alice.done(&["safety-number", "bob"])["safety_number"], before["safety_number"]);
    alice.done(&["send", "bob", "hello"]);
    assert!(bob.run(&["receive"]).stdout.contains("hello"));
}

#[test]
fn lockdown_is_switched_and_says_when_there_is_nothing_to_do() {
    let server = Server::start();
    let bob = Person::new(&server);
    bob.done(&["register", "bob"]);
    let run = bob.run(&["lock"]);
    assert_eq!(run.verdict, Verdict::Verified);
    assert!(run.stderr.contains("THE ACCOUNT HAS NO RECOVERY KEY"), "{}", run.stderr);
    assert!(record(&server, 1).flags.lockdown);
    assert!(bob.run(&["lock"]).stdout.contains("nothing to do, version 1 says so already"));
    assert_eq!(server.world().log.greatest(BOB), Some(1));
    bob.done(&["unlock"]);
    assert!(!record(&server, 2).flags.lockdown);
    bob.done(&["monitor"]);
}

#[test]
fn devices_are_listed_and_removed_and_nobody_sends_to_them_any_more() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob", "--devices", "3"]);
    alice.done(&["register", "alice"]);
    let listed = bob.done(&["device", "list"]);
    assert_eq!(listed["devices"].as_array().unwrap().len(), 3);
    assert_eq!((&listed["devices"][1]["id"], &listed["devices"][1]["here"]), (&json!(2), &json!(true)));
    assert_eq!(bob.done(&["device", "remove", "2"])["version"], 1);
    let ids: Vec<u32> = record(&server, 1).devices.iter().map(|device| device.id).collect();
    assert_eq!(ids, [1, 3]);
    // Its secrets are gone from the home, too.
    assert_eq!(account(&bob).devices.iter().map(|device| device.id).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(bob.json(&["device", "remove", "2"]).0, Verdict::Usage);
    assert_eq!(server.world().log.greatest(BOB), Some(1));
    assert!(account(&bob).pending.is_none());
    let sent = alice.done(&["send", "bob", "hello"]);
    assert!(!sent.to_string().contains("\"device\":2"), "{sent}");
}

/// The server declines a rotation, keeps it, and publishes it once the home might have forgotten the new key.
#[test]
fn a_version_that_was_declined_and_is_published_all_the_same_is_recognised() {
    for next in [&["monitor"][..], &["device", "list"], &["rotate"]] {
        let server = Server::start();
        let bob = Person::new(&server);
        bob.done(&["register", "bob"]);
        server.lie(|_, request| {
            (request.path == "/v1/update").then(|| Response::problem(Problem::WrongAuthorisation))
        });
        assert_eq!(bob.json(&["rotate"]).0, Verdict::Declined);
        assert_eq!(bob.json(&["lock"]).0, Verdict::Declined);
        server.honest();
        let declined = account(&bob);
        assert!(declined.pending.is_none());
        assert_eq!(declined.identity_key(), record(&server, 0).identity_key);
        let [rotation] = &declined.declined[..] else { panic!("what brings no secret is not kept") };
        server.world().log.append(&[(BOB, rotation.record.clone())]);
        bob.done(next);
        let settled = account(&bob);
        let last = server.world().log.greatest(BOB).unwrap();
        assert_eq!((settled.published, settled.declined.len()), (Some(last), 0));
        assert_eq!(settled.identity_key(), record(&server, last).identity_key);
        bob.done(&["monitor"]);
    }
    // Once the log has another version in its place, it can never count.
    let server = Server::start();
    let bob = Person::new(&server);
    bob.done(&["register", "bob"]);
    server.lie(|_, request| (request.path == "/v1/update").then(|| Response::problem(Problem::KeyReused)));
    assert_eq!(bob.json(&["rotate"]).0, Verdict::Declined);
    server.honest();
    bob.done(&["lock"]);
    assert!(account(&bob).declined.is_empty());
}

/// The server took the version and the answer was lost; meanwhile this home does not know. Then it finds its own version.
#[test]
fn a_version_whose_answer_was_lost_is_recognised_by_the_next_command_or_round() {
    for next in [&["monitor"][..], &["device", "list"], &["rotate"]] {
        let server = Server::start();
        let bob = Person::new(&server);
        bob.done(&["register", "bob"]);
        server.lie(|world, request| {
            let answer = world.honest(request);
            Some(if request.path == "/v1/update" { Response::problem(Problem::Unavailable) } else { answer })
        });
        assert_eq!(bob.json(&["rotate"]).0, Verdict::Unreachable);
        server.honest();
        let open = account(&bob);
        assert_eq!((open.published, open.pending.as_ref().unwrap().version), (Some(0), 1));
        // The old identity counts until the new one is known to be in the log.
        assert_eq!(open.identity_key(), record(&server, 0).identity_key);
        bob.done(next);
        let settled = account(&bob);
        let last = server.world().log.greatest(BOB).unwrap();
        assert_eq!((settled.published, settled.pending.is_none()), (Some(last), true));
        assert_eq!(settled.identity_key(), record(&server, last).identity_key);
        assert_eq!(last, if next == ["rotate"] { 2 } else { 1 });
        bob.done(&["monitor"]);
    }
}

/// The version was stored at home and never reached the server: it is sent again, as it is.
#[test]
fn a_version_that_never_arrived_is_sent_again() {
    let server = Server::start();
    let bob = Person::new(&server);
    bob.done(&["register", "bob"]);
    server.lie(|_, request| (request.path == "/v1/update").then(|| Response::problem(Problem::Unavailable)));
    assert_eq!(bob.json(&["rotate"]).0, Verdict::Unreachable);
    server.honest();
    let pending = account(&bob).pending.unwrap().record;
    // A round of monitoring leaves it open: it publishes nothing.
    bob.done(&["monitor"]);
    assert!(account(&bob).pending.is_some());
    bob.done(&["lock"]);
    assert_eq!(server.world().log.value(BOB, 1), pending);
    assert!(record(&server, 2).flags.lockdown);
}

#[test]
fn what_the_server_refuses_is_dropped_and_does_not_stand_in_the_way() {
    let server = Server::start();
    let bob = Person::new(&server);
    bob.done(&["register", "bob"]);
    server.lie(|_, request| (request.path == "/v1/update").then(|| Response::problem(Problem::Lockdown)));
    assert_eq!(bob.json(&["rotate"]).0, Verdict::Declined);
    server.honest();
    assert!(account(&bob).pending.is_none());
    bob.done(&["rotate"]);
}

/// Another device that holds the same identity was faster by a moment: its version is taken over and this one's made anew.
#[test]
fn a_concurrent_version_of_the_same_identity_is_built_upon() {
    let server = Server::start();
    let bob = Person::new(&server);
    bob.done(&["register", "bob", "--devices", "2"]);
    let identity = account(&bob).identity.signing_key().unwrap();
    let mut raced = false;
    server.lie(move |world, request| {
        if request.path == "/v1/update" && !raced {
            raced = true;
            let before = published(world, 0);
            let origin = TestLog::origin();
            let other = Draft::after(&origin, BOB, &before, 1).remove_device(2).sign(&identity).unwrap();
            world.log.append(&[(BOB, other.encode())]);
        }
        None
    });
    assert_eq!(bob.done(&["lock"])["version"], 2);
    let last = record(&server, 2);
    assert!(last.flags.lockdown);
    assert_eq!(last.devices.len(), 1, "what the other device did stands");
    bob.done(&["monitor"]);
}

/// Whoever else has the identity key can add a device. No command takes that over in silence.
#[test]
fn versions_made_elsewhere_are_never_built_upon_in_silence() {
    let server = Server::start();
    let bob = Person::new(&server);
    bob.done(&["register", "bob"]);
    let identity = account(&bob).identity.signing_key().unwrap();
    let add = |id: u8| {
        let version = u32::from(id) - 1;
        let before = published(&server.world(), version - 1);
        let origin = TestLog::origin();
        let draft = Draft::after(&origin, BOB, &before, version).add_device(device(id));
        server.world().log.append(&[(BOB, draft.sign(&identity).unwrap().encode())]);
    };
    add(2);
    let listed = bob.run(&["device", "list"]);
    assert_eq!(listed.verdict, Verdict::Verified);
    assert!(listed.stderr.contains("DEVICES ADDED: 2"), "{}", listed.stderr);
    bob.done(&["monitor"]);
    assert!(bob.done(&["device", "list"]).get("built_upon").is_none(), "it was said");
    // Where a command ends before it comes to that, the next round says it.
    add(3);
    server.lie(|_, request| (request.path == "/v1/update").then(|| Response::problem(Problem::Unavailable)));
    assert_eq!(bob.json(&["lock"]).0, Verdict::Unreachable);
    server.honest();
    let (verdict, told) = bob.json(&["monitor"]);
    assert_eq!((verdict, &told["reason"]), (Verdict::Updated, &json!("built_upon")), "{told}");
    bob.done(&["monitor"]);
}

/// Somebody else's identity in between is never built upon.
#[test]
fn another_identity_is_an_alarm_and_nothing_is_published() {
    let server = Server::start();
    let bob = Person::new(&server);
    bob.done(&["register", "bob"]);
    let thief = crate::records::signing(66);
    let before = published(&server.world(), 0);
    let stolen = account(&bob).identity.signing_key().unwrap();
    let origin = TestLog::origin();
    let theft = Draft::after(&origin, BOB, &before, 1).sign_rotation(&stolen, &thief).unwrap();
    server.world().log.append(&[(BOB, theft.encode())]);
    for command in [&["lock"][..], &["rotate"], &["device", "remove", "1"], &["recovery", "create"]] {
        let (verdict, told) = bob.json(command);
        assert_eq!(
            (verdict, &told["reason"]),
            (Verdict::Unexpected, &json!("another_identity")),
            "{command:?}"
        );
    }
    assert_eq!(server.world().log.greatest(BOB), Some(1));
}

/// A version that none of the account's keys signed cannot stop its owner: the next version goes past it, and says so.
#[test]
fn an_invalid_version_does_not_brick_the_account() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["lookup", "bob"]);
    let forged = forgery_after(&published(&server.world(), 0), 1);
    server.world().log.append(&[(BOB, forged)]);
    server.world().log.append(&[(BOB, b"no record at all".to_vec())]);
    assert_eq!(alice.json(&["lookup", "bob"]).0, Verdict::Refused);
    assert_eq!(bob.json(&["monitor"]).0, Verdict::Unexpected);
    let (verdict, done) = bob.json(&["lock"]);
    assert_eq!(
        (verdict, &done["version"], &done["skipped_versions"]),
        (Verdict::Unexpected, &json!(3), &json!(2))
    );
    assert_eq!(record(&server, 3).predecessor.unwrap().version, 0);
    bob.done(&["monitor"]);
    assert_eq!(bob.done(&["unlock"])["version"], 4);
    // Contacts are told of it, and go on.
    let told = alice.json(&["monitor"]).1.to_string();
    assert!(
        told.contains("none of bob's keys") || alice.json(&["lookup", "bob"]).0 == Verdict::Verified,
        "{told}"
    );
}

#[test]
fn an_older_version_shown_as_the_newest_is_withholding() {
    let server = Server::start();
    let bob = Person::new(&server);
    bob.done(&["register", "bob"]);
    let old = server.world().log.clone();
    bob.done(&["lock"]);
    let valid = ValidRecord::restore(&TestLog::origin(), BOB, 1, server.world().log.value(BOB, 1)).unwrap();
    assert!(valid.record().flags.lockdown);
    server.world().log = old;
    let verdict = bob.json(&["unlock"]).0;
    assert!(
        matches!(verdict, Verdict::Withheld | Verdict::Unreconciled | Verdict::Misbehaving),
        "{verdict:?}"
    );
}

//! Everybody is honest.

use keyglass_account::device::Suite;
use keyglass_client_verify::{
    verdict::Verdict,
    x3dh::{InitialMessage, KemId},
};
use serde_json::json;

use crate::{Person, server::Server};

#[test]
fn a_message_reaches_every_device_once() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    let registered = bob.done(&["register", "bob", "--devices", "2"]);
    assert_eq!(registered["devices"].as_array().unwrap().len(), 2);
    assert_eq!(registered["devices"][0]["one_time_prekeys"], 100);
    alice.done(&["register", "alice"]);

    let found = alice.done(&["lookup", "bob"]);
    assert_eq!(found["version"], 0);
    assert_eq!(found["tree_size"], 3);
    assert_eq!(found["witnesses"], json!(["w1", "w2", "w3"]));
    assert_eq!(found["devices"].as_array().unwrap().len(), 2);
    // Bob's log entry is the root of the search tree, where his own devices have looked; Alice's is not.
    assert_eq!(found["watch_pending"], false);
    assert_eq!(bob.done(&["lookup", "alice"])["watch_pending"], true);
    assert_eq!(found["first_contact"], true);
    for number in ["head_age_ms", "proof_bytes", "verify_us"] {
        assert!(found[number].is_u64(), "{number}");
    }
    assert!(found["proof_bytes"].as_u64().unwrap() > 500);

    let sent = alice.done(&["send", "bob", "good morning"]);
    assert!(
        sent["devices"].as_array().unwrap().iter().all(|d| d["sent"] == true && d["one_time_prekey"] == true)
    );
    // By PQXDH, with a one-time KEM prekey of each device.
    for message in server.world().mailboxes.values().flatten() {
        let message = InitialMessage::decode(message.body.as_bytes()).unwrap();
        assert_eq!(message.suite(), Suite::PQXDH);
        assert!(matches!(message.prekeys().kem, Some(KemId::OneTime(_))));
    }
    assert_eq!(server.world().mailboxes.values().flatten().count(), 2);

    let received = bob.done(&["receive"]);
    let messages = received["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 1, "both devices are in this home");
    assert_eq!(messages[0]["text"], "good morning");
    assert_eq!(messages[0]["from"], "alice");
    assert_eq!(messages[0]["devices"], json!([1, 2]));
    assert!(bob.done(&["receive"])["messages"].as_array().unwrap().is_empty());
}

#[test]
fn people_see_what_scripts_see() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.run(&["register", "bob"]);
    alice.run(&["register", "alice"]);
    let found = alice.run(&["lookup", "bob"]);
    assert_eq!(found.verdict, Verdict::Verified);
    for part in [
        "bob: verified",
        "3 entries",
        "w1 (",
        "w2 (",
        "2 had to",
        "version     0",
        "device 1",
        "bytes, verified in",
    ] {
        assert!(found.stdout.contains(part), "{part} in {}", found.stdout);
    }
    assert_eq!(alice.run(&["send", "bob", "hello"]).verdict, Verdict::Verified);
    let received = bob.run(&["receive"]);
    assert_eq!(received.stdout, "hello\n", "texts are alone on standard output");
    assert!(received.stderr.contains("from alice"));
    assert_eq!(bob.run(&["receive"]).stdout, "");
}

/// The second device's copy comes later, and the same words come as another message.
#[test]
fn a_text_is_shown_once_for_all_devices_and_again_when_sent_again() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob", "--devices", "2"]);
    alice.done(&["register", "alice"]);
    alice.done(&["send", "bob", "hello"]);
    let second = server.world().mailboxes.remove(&(b"bob".to_vec(), 2)).unwrap();
    assert_eq!(bob.run(&["receive"]).stdout, "hello\n");
    server.world().mailboxes.insert((b"bob".to_vec(), 2), second);
    assert_eq!(bob.run(&["receive"]).stdout, "");
    alice.done(&["send", "bob", "hello"]);
    assert_eq!(bob.run(&["receive"]).stdout, "hello\n");
}

#[test]
fn a_redelivery_is_ignored() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    alice.done(&["send", "bob", "once"]);
    let queue = server.world().mailboxes.clone();
    assert_eq!(bob.done(&["receive"])["messages"].as_array().unwrap().len(), 1);
    server.world().mailboxes = queue;
    let again = bob.done(&["receive"]);
    assert!(again["messages"].as_array().unwrap().is_empty());
    assert_eq!(again["redelivered"], 1);
    assert!(server.world().mailboxes.values().all(Vec::is_empty));
}

#[test]
fn registering_resumes_where_it_stopped() {
    let server = Server::start();
    let bob = Person::new(&server);
    // Each run fails at a later step: where to begin, owning, the update, the prekeys of one device and of the other.
    for stop in [1, 2, 3, 3, 1, 2] {
        let mut count = 0;
        server.lie(move |_, _| {
            count += 1;
            (count >= stop)
                .then(|| crate::server::Response::problem(keyglass_account::problem::Problem::Internal))
        });
        assert_eq!(bob.json(&["register", "bob", "--devices", "2"]).0, Verdict::Declined);
    }
    server.honest();
    let done = bob.done(&["register", "bob"]);
    assert_eq!((&done["version"], &done["resumed"]), (&json!(0), &json!(true)));
    assert_eq!(server.world().log.greatest(b"bob"), Some(0));
    let before = server.world().seen.len();
    bob.done(&["register", "bob"]);
    assert_eq!(server.world().seen.len(), before, "nothing was left to do");
}

/// The server did what it was asked and the answer was lost: asking again finds it done.
#[test]
fn registering_survives_lost_answers() {
    let server = Server::start();
    let bob = Person::new(&server);
    for _ in 0..3 {
        server.lie(|world, request| {
            world.honest(request);
            Some(crate::server::Response::problem(keyglass_account::problem::Problem::Internal))
        });
        assert_eq!(bob.json(&["register", "bob"]).0, Verdict::Declined);
    }
    server.honest();
    bob.done(&["register", "bob"]);
    assert_eq!(server.world().log.greatest(b"bob"), Some(0));
}

#[test]
fn a_label_belongs_to_whoever_came_first() {
    let server = Server::start();
    let (bob, mallory) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    let (verdict, value) = mallory.json(&["register", "bob"]);
    assert_eq!(verdict, Verdict::Taken, "{value}");
    assert_eq!(server.world().log.greatest(b"bob"), Some(0));
}

#[test]
fn a_look_up_needs_no_account_and_no_home() {
    let server = Server::start();
    Person::new(&server).done(&["register", "bob"]);
    let stranger = Person::new(&server);
    assert!(!stranger.home().exists());
    assert_eq!(stranger.done(&["lookup", "bob"])["first_contact"], true);
    assert_eq!(stranger.done(&["lookup", "bob"])["first_contact"], false);
}

#[test]
fn look_ups_follow_a_growing_log() {
    let server = Server::start();
    Person::new(&server).done(&["register", "bob"]);
    let alice = Person::new(&server);
    for size in [2, 3, 5, 9, 9, 20] {
        while server.world().log.size() < size {
            server.world().log.append(&[]);
        }
        assert_eq!(alice.done(&["lookup", "bob"])["tree_size"], size);
    }
}

#[test]
fn a_home_with_several_accounts_asks_which_one_sends() {
    let server = Server::start();
    let home = Person::new(&server);
    for label in ["alice", "bob"] {
        home.done(&["register", label]);
    }
    let (verdict, value) = home.json(&["send", "bob", "hello"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Usage, &json!("no_account")));
    home.done(&["send", "bob", "hello", "--from", "alice"]);
    let messages = home.done(&["receive"]);
    assert_eq!(messages["messages"][0]["account"], "bob");
    assert_eq!(messages["messages"][0]["from"], "alice");
}

#[test]
fn an_empty_pool_is_visible_and_not_fatal() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    for _ in 0..100 {
        server.world().bundle(b"bob", 1).unwrap();
    }
    let sent = alice.done(&["send", "bob", "hello"]);
    assert_eq!(sent["devices"][0]["one_time_prekey"], false);
    assert_eq!(bob.done(&["receive"])["messages"][0]["text"], "hello");
}

//! Texts that do not arrive at once: receipts, retries, answers that are lost, records that change, groups.

use std::sync::{Arc, Mutex};

use keyglass_account::{
    api::{Base64, BundleResult, Bundles, Id128, Receipt, Target},
    author::Draft,
    problem::Problem,
    search_many::{decode_answers, encode_answers},
    verify::ValidRecord,
};
use keyglass_client_verify::{state::OwnAccount, verdict::Verdict};
use serde_json::json;

use crate::{
    Person,
    log::{TestLog, now},
    records::{contents, device},
    server::{Response, Server},
};

fn people(server: &Server) -> (Person, Person) {
    let (alice, bob) = (Person::new(server), Person::new(server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    (alice, bob)
}

/// The account that a home holds.
fn account(person: &Person) -> OwnAccount {
    let is_account = |path: &std::path::Path| path.to_string_lossy().contains("account-");
    let (_, bytes) = contents(person).into_iter().find(|(path, _)| is_account(path)).unwrap();
    OwnAccount::decode(&bytes).unwrap()
}

/// The server hands the first bundle out so often, and is honest then.
fn repeat_a_bundle(server: &Server, times: usize) {
    let bundle = server.world().bundle(b"bob", 1).unwrap();
    let mut left = times;
    server.lie(move |world, request| {
        if request.path != "/v1/bundles" || left == 0 {
            return None;
        }
        left -= 1;
        let mut bundles: Bundles = serde_json::from_slice(&world.honest(request).body).unwrap();
        bundles.bundles[0].result = BundleResult::Bundle(Base64::new(bundle.encode()).unwrap());
        Some(Response::ok(serde_json::to_vec(&bundles).unwrap()))
    });
}

#[test]
fn whoever_loses_a_one_time_prekey_is_told_and_tries_again() {
    let server = Server::start();
    let (alice, bob) = people(&server);
    repeat_a_bundle(&server, 2);
    alice.done(&["send", "bob", "first"]);
    alice.done(&["send", "bob", "second"]);
    let (verdict, value) = bob.json(&["receive"]);
    assert_eq!(verdict, Verdict::Undecryptable);
    assert_eq!(value["messages"][0]["text"], "first");
    assert_eq!(value["problems"][0]["reason"], "one_time_prekey_reused");
    // Nobody is accused: the server and a sender look the same.
    assert!(!value.to_string().contains("misbehaving"));

    let resent = alice.done(&["receive"]);
    let expected = json!([{
        "from": "alice", "to": "bob", "device": 1, "state": "sent_again", "reason": "one_time_prekey_reused"
    }]);
    assert_eq!(resent["resent"], expected);
    assert_eq!(bob.done(&["receive"])["messages"][0]["text"], "second");
    assert_eq!(alice.done(&["receive"])["resent"], json!([]));
}

#[test]
fn retries_end() {
    let server = Server::start();
    let (alice, bob) = people(&server);
    repeat_a_bundle(&server, usize::MAX);
    alice.done(&["send", "bob", "first"]);
    alice.done(&["send", "bob", "second"]);
    for retry in 0..2 {
        assert_eq!(bob.json(&["receive"]).0, Verdict::Undecryptable);
        assert_eq!(alice.done(&["receive"])["resent"][0]["state"], "sent_again", "retry {retry}");
    }
    assert_eq!(bob.json(&["receive"]).0, Verdict::Undecryptable);
    let (verdict, value) = alice.json(&["receive"]);
    assert_eq!(verdict, Verdict::Partial);
    assert_eq!(value["resent"][0]["state"], "given_up");
    assert_eq!(value["resent"][0]["reason"], "one_time_prekey_reused");
    assert_eq!(alice.done(&["receive"])["resent"], json!([]), "the person was told");
    assert_eq!(account(&alice).outbox.len(), 1, "the first may still fail, the second is gone");
}

/// The server took the message and the answer was lost, or it did not take it: the sender cannot tell.
#[test]
fn a_message_whose_answer_is_lost_is_posted_again_and_read_once() {
    for taken in [false, true] {
        let server = Server::start();
        let (alice, bob) = people(&server);
        server.lie(move |world, request| {
            let sends = request.method == "POST" && request.path == "/v1/messages";
            sends.then(|| {
                if taken {
                    world.honest(request);
                }
                Response::problem(Problem::Unavailable)
            })
        });
        let (verdict, value) = alice.json(&["send", "bob", "hello"]);
        assert_eq!(verdict, Verdict::Unreachable);
        assert_eq!(
            (&value["devices"][0]["sent"], &value["devices"][0]["waits"]),
            (&json!(false), &json!(true))
        );
        server.honest();
        assert_eq!(alice.done(&["receive"])["resent"][0]["state"], "sent");
        let ids: Vec<_> = server.world().mailboxes.values().flatten().map(|message| message.id).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "it is the same message");
        let received = bob.done(&["receive"]);
        assert_eq!(received["messages"].as_array().unwrap().len(), 1);
        assert_eq!(received["redelivered"].as_u64().unwrap() > 0, taken);
        assert_eq!(alice.done(&["receive"])["resent"], json!([]));
    }
}

/// Bob adds a device after Alice has looked him up and before her message is there.
#[test]
fn a_device_that_appears_between_look_up_and_send_is_caught() {
    let server = Server::start();
    let (alice, bob) = people(&server);
    let own = account(&bob);
    let before = ValidRecord::restore(&own.origin, b"bob", 0, &own.record).unwrap();
    let origin = TestLog::origin();
    let draft = Draft::after(&origin, b"bob", &before, 1).add_device(device(2));
    let linked = draft.sign(&own.identity.signing_key().unwrap()).unwrap();
    let mut published = false;
    server.lie(move |world, request| {
        if request.path == "/v1/bundles" && !published {
            published = true;
            world.log.append(&[(b"bob", linked.encode())]);
        }
        None
    });
    let (verdict, value) = alice.json(&["send", "bob", "hello"]);
    assert_eq!(verdict, Verdict::Partial, "the new device has no prekeys yet: {value}");
    assert_eq!(value["version"], 1);
    assert_eq!((&value["devices"][0]["id"], &value["devices"][0]["sent"]), (&json!(1), &json!(true)));
    assert_eq!(
        (&value["devices"][1]["id"], &value["devices"][1]["reason"]),
        (&json!(2), &json!("no_bundle"))
    );
    let sent = server.world().mailboxes.values().map(Vec::len).sum::<usize>();
    assert_eq!(sent, 1, "what was encrypted for the older record did not get in");
    let alices = account(&alice);
    assert_eq!(alices.devices[0].sessions.len(), 1, "and its session is gone");
}

/// A server cannot make a sender encrypt for ever by claiming that the record has changed: the log shows whether it has.
#[test]
fn a_server_that_calls_every_record_stale_gets_a_bounded_number_of_messages() {
    let server = Server::start();
    let (alice, _bob) = people(&server);
    server.lie(|_, request| {
        let sends = request.method == "POST" && request.path == "/v1/messages";
        sends.then(|| Response::problem(Problem::StaleRecord))
    });
    let (verdict, value) = alice.json(&["send", "bob", "hello"]);
    assert_eq!((verdict, &value["devices"][0]["reason"]), (Verdict::Declined, &json!("stale_record")));
    for _ in 0..5 {
        alice.json(&["receive"]);
    }
    let posts =
        |world: &crate::server::World| world.seen.iter().filter(|line| *line == "POST /v1/messages").count();
    assert_eq!(posts(&server.world()), 3);
    assert!(account(&alice).outbox.is_empty());
    assert_eq!(alice.done(&["receive"])["resent"], json!([]));
}

/// The server can forge receipts. It gets the same text to the same proven keys, three times at most.
#[test]
fn forged_receipts_make_a_text_be_sent_again_and_nothing_else() {
    let server = Server::start();
    let (alice, bob) = people(&server);
    alice.done(&["send", "bob", "hello"]);
    for round in 0..5 {
        let session = account(&alice).devices[0].sessions.last().unwrap().handshake;
        for (label, handshake) in [("bob", session), ("bob", [round; 32]), ("carol", session)] {
            let from = Target { label: Base64::new(label.into()).unwrap(), device: 1 };
            let handshake = Base64::new(handshake.to_vec()).unwrap();
            let mut world = server.world();
            let queue = world.receipts.entry((b"alice".to_vec(), 1)).or_default();
            let id = Id128([queue.len() as u8; 16]);
            let reason = if round == 0 { "of a later version" } else { "state_lost" }.to_owned();
            queue.push(Receipt { id, received: now(), from, handshake, reason });
        }
        alice.json(&["receive"]);
    }
    let messages = server.world().mailboxes[&(b"bob".to_vec(), 1)].len();
    assert_eq!(messages, 3);
    let received = bob.done(&["receive"]);
    assert_eq!(received["messages"].as_array().unwrap().len(), 1, "all of them are one text");
}

/// Without an answer the receiver does not know whether its receipt was taken, and neither gives up nor forgets.
#[test]
fn a_receipt_that_cannot_be_left_is_left_later() {
    let server = Server::start();
    let (alice, bob) = people(&server);
    repeat_a_bundle(&server, 2);
    alice.done(&["send", "bob", "first"]);
    alice.done(&["send", "bob", "second"]);
    server.lie(|_, request| {
        let leaves = request.method == "POST" && request.path == "/v1/receipts";
        leaves.then(|| Response::problem(Problem::Unavailable))
    });
    for _ in 0..2 {
        let (_, value) = bob.json(&["receive"]);
        assert_eq!(value["problems"][0]["kept"], true);
    }
    server.honest();
    let (_, value) = bob.json(&["receive"]);
    assert_eq!(value["problems"][0]["kept"], false);
    assert_eq!(alice.done(&["receive"])["resent"][0]["state"], "sent_again");
    // A server that takes no receipts keeps nobody from being done with a message.
    server.lie(|_, request| {
        request.path.starts_with("/v1/receipts").then(|| Response::problem(Problem::NotFound))
    });
    let (_, value) = bob.json(&["receive"]);
    assert_eq!(value["messages"][0]["text"], "second");
}

#[test]
fn a_text_to_several_people_takes_their_bundles_at_once() {
    let server = Server::start();
    let (alice, bob) = people(&server);
    let carol = Person::new(&server);
    carol.done(&["register", "carol", "--devices", "2"]);
    let fetches = Arc::new(Mutex::new(0));
    let count = Arc::clone(&fetches);
    server.lie(move |_, request| {
        *count.lock().unwrap() += usize::from(request.path == "/v1/bundles");
        None
    });
    let sent = alice.done(&["send", "bob", "carol", "hello all"]);
    assert_eq!(*fetches.lock().unwrap(), 1);
    let recipients = sent["recipients"].as_array().unwrap();
    let labels: Vec<_> = recipients.iter().map(|recipient| recipient["label"].clone()).collect();
    assert_eq!(labels, ["bob", "carol"]);
    assert_eq!(recipients[1]["devices"].as_array().unwrap().len(), 2);
    for person in [&bob, &carol] {
        let received = person.done(&["receive"]);
        assert_eq!(received["messages"].as_array().unwrap().len(), 1);
        assert!(!received.to_string().contains("bob\",\"carol"), "nobody is told of the others");
    }
    // Who is not there does not keep the others from getting it.
    let (verdict, value) = alice.json(&["send", "bob", "nobody", "again"]);
    assert_eq!(verdict, Verdict::Partial);
    assert_eq!(value["recipients"][1]["verdict"], "not_found");
    assert_eq!(bob.done(&["receive"])["messages"][0]["text"], "again");
}

/// Many accounts at once: one request, one head, and each account proven as if it had been asked for alone.
#[test]
fn many_accounts_are_looked_up_in_one_request() {
    let server = Server::start();
    let (alice, _bob) = people(&server);
    for name in ["carol", "dave"] {
        Person::new(&server).done(&["register", name]);
    }
    let alone = Person::new(&server);
    let single = alone.done(&["lookup", "carol"]);
    server.world().seen.clear();
    let found = Person::new(&server).done(&["lookup", "bob", "carol", "dave"]);
    assert_eq!(server.world().seen, ["POST /v1/search-many"]);
    let accounts = found["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 3);
    assert_eq!(accounts[1]["identity_key"], single["identity_key"]);
    let bytes = |account: &serde_json::Value| account["proof_bytes"].as_u64().unwrap();
    assert!(bytes(&accounts[1]) < bytes(&single), "the head stands there once");

    let (verdict, value) = alice.json(&["lookup", "bob", "nobody", "carol"]);
    assert_eq!(verdict, Verdict::Partial);
    let verdicts: Vec<_> =
        value["accounts"].as_array().unwrap().iter().map(|one| one["verdict"].clone()).collect();
    assert_eq!(verdicts, ["verified", "not_found", "verified"]);
    // A log that does not know the request is asked one by one.
    server
        .lie(|_, request| (request.path == "/v1/search-many").then(|| Response::problem(Problem::NotFound)));
    alice.done(&["lookup", "bob", "carol", "dave"]);
}

/// No byte of an answer about many accounts can be changed, and no answer stands for another label.
#[test]
fn answers_about_many_accounts_prove_each_its_own() {
    let server = Server::start();
    let (_alice, _bob) = people(&server);
    let mut swapped = false;
    server.lie(move |world, request| {
        if request.path != "/v1/search-many" {
            return None;
        }
        let answer = world.honest(request).body;
        let mut answers = decode_answers(&answer).unwrap();
        if swapped {
            answers.pop();
        } else {
            answers.swap(0, 1);
        }
        swapped = true;
        Some(Response::ok(encode_answers(&answers)))
    });
    let person = Person::new(&server);
    let (verdict, value) = person.json(&["lookup", "alice", "bob"]);
    assert_ne!(verdict, Verdict::Verified);
    assert!(value["accounts"].as_array().unwrap().iter().all(|one| one["verdict"] != "verified"), "{value}");
    let (verdict, value) = person.json(&["lookup", "alice", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Invalid, &json!("malformed")));
    server.honest();
    person.done(&["lookup", "alice", "bob"]);
}

/// Inside the message stands which record it was sent to: a server that lets a message to an older one in is found out.
#[test]
fn a_text_to_an_older_record_is_remarked_on_by_who_reads_it() {
    let server = Server::start();
    let (alice, bob) = people(&server);
    alice.done(&["send", "bob", "hello"]);
    let mut own = account(&bob);
    own.published = Some(1);
    let (path, _) =
        contents(&bob).into_iter().find(|(path, _)| path.to_string_lossy().contains("account-")).unwrap();
    std::fs::write(path, own.encode().unwrap()).unwrap();
    let received = bob.done(&["receive"]);
    assert_eq!(received["messages"][0]["text"], "hello");
    assert!(received["remarks"][0]["remark"].as_str().unwrap().contains("older record"));
}

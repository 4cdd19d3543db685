//! The provider lies about accounts, heads and labels; each lie has its verdict, and nothing unproven is used.

use keyglass_account::{author::Draft, problem::Problem};
use keyglass_client_verify::verdict::Verdict;
use serde_json::json;

use crate::{
    Person,
    log::TestLog,
    records::{BOB, contents, forgery, genesis, publish, reset, rotation, signing, valid},
    server::{Response, Server},
};

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
    assert!(found.stderr.contains("NOTHING IS WITNESSED"));
    let (verdict, value) = alice.json(&["lookup", "bob", "--trust-without-witnesses"]);
    assert_eq!((verdict, &value["unwitnessed"]), (Verdict::Verified, &json!(true)));
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

#[test]
fn a_label_that_was_proven_cannot_be_denied() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    server.lie(|_, _| Some(Response::problem(Problem::UnknownLabel)));
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Withheld, &json!("label_withheld")));
}

/// "Expired" is another word for "withheld" in a log whose configuration says that nothing expires.
#[test]
fn what_never_expires_is_not_called_expired() {
    let server = Server::start();
    publish(&server, &genesis());
    server
        .lie(|_, request| (request.path == "/v1/search").then(|| Response::problem(Problem::ExpiredVersion)));
    let (verdict, value) = Person::new(&server).json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Withheld, &json!("never_expires")));
}

#[test]
fn ones_own_label_with_anothers_identity_is_shouted() {
    let server = Server::start();
    let bob = Person::new(&server);
    bob.done(&["register", "bob"]);
    let found = bob.run(&["lookup", "bob"]);
    assert!(found.stdout.contains("your own"));
    let first = server.world().log.value(BOB, 0).to_vec();
    let before = keyglass_account::verify::ValidRecord::restore(&TestLog::origin(), BOB, 0, &first).unwrap();
    let origin = TestLog::origin();
    let stolen = Draft::after(&origin, BOB, &before, 1).remove_device(1).sign_reset(&signing(6)).unwrap();
    publish(&server, &stolen);
    for command in [vec!["lookup", "bob"], vec!["lookup", "bob", "--accept-change"]] {
        let (verdict, value) = bob.json(&command);
        assert_eq!((verdict, &value["reason"]), (Verdict::Changed, &json!("own_identity_replaced")));
    }
}

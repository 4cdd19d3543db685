//! What a person types, and the label that is asked for.

use keyglass_client_verify::verdict::Verdict;
use serde_json::json;

use crate::{Person, records::BOB, server::Server};

#[test]
fn all_ways_to_type_a_name_are_one_account() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    assert_eq!(bob.done(&["register", " Ｂob "])["label"], "bob");
    assert_eq!(server.world().log.greatest(BOB), Some(0));
    for typed in ["bob", "BOB", "Bob"] {
        assert_eq!(alice.done(&["lookup", typed])["label"], "bob");
        assert_eq!(alice.done(&["proof", "export", typed])["label"], "bob");
        alice.done(&["contacts", "--ignore", typed]);
        alice.done(&["contacts", "--watch", typed]);
        bob.done(&["prekeys", "--label", typed]);
        bob.done(&["monitor", "--accept", typed]);
    }
    alice.done(&["register", "+49 (151) 1234-5678"]);
    alice.done(&["safety-number", "BOB", "--from", "+4915112345678"]);
    assert_eq!(bob.done(&["lookup", "+49 151 12345678"])["label"], "+4915112345678");
}

#[test]
fn what_is_no_label_is_not_asked_for() {
    let server = Server::start();
    let alice = Person::new(&server);
    for typed in ["", "two words", "0151 1234567", "a@b", "+1", "\u{202e}bob", "pass\u{2163}"] {
        let (verdict, told) = alice.json(&["lookup", typed]);
        assert_eq!((verdict, &told["reason"]), (Verdict::Usage, &json!("label")), "{typed}");
    }
    assert!(server.world().seen.is_empty());
}

/// Labels from before the rule go on, for those who know them and for those who say so.
#[test]
fn labels_of_old_are_found_as_they_were_typed() {
    let server = Server::start();
    let (alice, old) = (Person::new(&server), Person::new(&server));
    old.done(&["register", "Old Name", "--labels-as-typed"]);
    old.done(&["rotate", "--from", "Old Name"]);
    old.done(&["lookup", "Old Name"]);
    assert_eq!(alice.json(&["lookup", "Old Name"]).0, Verdict::Usage);
    alice.done(&["lookup", "Old Name", "--labels-as-typed"]);
    // A contact is known by now.
    alice.done(&["lookup", "Old Name"]);
}

//! Two people compare what they see.

use keyglass_client_verify::verdict::Verdict;

use crate::{
    Person,
    records::{genesis, linked, publish, reset, rotation},
    server::Server,
};

#[test]
fn two_people_read_the_same_digits_to_each_other() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    alice.done(&["register", "alice"]);
    bob.done(&["register", "bob", "--devices", "2"]);
    let (hers, his) = (alice.done(&["safety-number", "bob"]), bob.done(&["safety-number", "alice"]));
    assert_eq!(hers["safety_number"], his["safety_number"]);
    assert_eq!(hers["code"], his["code"]);
    for text in [&his["safety_number"], &his["code"]] {
        let compared = alice.done(&["safety-number", "bob", "--compare", text.as_str().unwrap()]);
        assert_eq!(compared["matches"], true);
    }
    let digits = his["safety_number"].as_str().unwrap();
    let shown = alice.run(&["safety-number", "bob"]).stdout;
    for group in digits.split(' ') {
        assert!(shown.contains(group), "{group} in {shown}");
    }
    assert!(shown.contains('█') || shown.contains('▄'), "no code to scan in {shown}");

    let first = digits.get(..1).unwrap();
    let other = if first == "0" { "1" } else { "0" };
    let wrong = format!("{other}{}", digits.get(1..).unwrap());
    let (verdict, value) = alice.json(&["safety-number", "bob", "--compare", &wrong]);
    assert_eq!(verdict, Verdict::Disputed);
    assert_eq!((&value["reason"], &value["matches"]), (&"safety_number_differs".into(), &false.into()));
    let (verdict, value) = alice.json(&["safety-number", "bob", "--compare", "12345"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Usage, &"safety_number".into()));
}

#[test]
fn a_number_needs_an_account_and_somebody_to_compare_with() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    let (verdict, value) = alice.json(&["safety-number", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Usage, &"no_account".into()));
    alice.done(&["register", "alice"]);
    assert_eq!(alice.json(&["safety-number", "carol"]).0, Verdict::NotFound);
}

/// Alice's number with Bob, and the verdict that comes with it.
fn with_bob(alice: &Person) -> (Verdict, String) {
    let (verdict, value) = alice.json(&["safety-number", "bob"]);
    (verdict, value["safety_number"].as_str().unwrap().to_owned())
}

#[test]
fn devices_come_and_go_and_the_number_stays() {
    let server = Server::start();
    let alice = Person::new(&server);
    alice.done(&["register", "alice"]);
    publish(&server, &genesis());
    let before = with_bob(&alice);
    publish(&server, &linked());
    assert_eq!(with_bob(&alice), before);
    assert_eq!(before.0, Verdict::Verified);
}

#[test]
fn a_rotation_changes_the_number_and_is_said_once() {
    let server = Server::start();
    let alice = Person::new(&server);
    alice.done(&["register", "alice"]);
    publish(&server, &genesis());
    let (_, before) = with_bob(&alice);
    publish(&server, &rotation());
    let (verdict, after) = with_bob(&alice);
    assert_eq!(verdict, Verdict::Changed);
    assert_ne!(before, after);
    assert_eq!(with_bob(&alice), (Verdict::Verified, after));
}

#[test]
fn a_reset_has_a_number_to_compare_and_is_not_accepted_by_showing_it() {
    let server = Server::start();
    let alice = Person::new(&server);
    alice.done(&["register", "alice"]);
    publish(&server, &genesis());
    let (_, before) = with_bob(&alice);
    publish(&server, &reset());
    for _ in 0..2 {
        let (verdict, after) = with_bob(&alice);
        assert_eq!(verdict, Verdict::Changed);
        assert_ne!(before, after);
    }
    assert_eq!(alice.json(&["lookup", "bob"]).0, Verdict::Changed);
}

//! One round of monitoring: what the owner and the contacts of a label notice, and what remains of a lie.

use keyglass_account::{author::Draft, problem::Problem, verify::ValidRecord};
use keyglass_client_verify::{
    state::{Home, OwnAccount},
    verdict::Verdict,
};
use keyglass_keytrans::client::UserState;
use serde_json::{Value, json};

use crate::{
    Person,
    log::TestLog,
    records::{BOB, contents, forgery, genesis, linked, publish, reset, rotation, signing, valid},
    server::{Response, Server},
};

fn home(person: &Person) -> Home {
    Home::open(&person.home(), &TestLog::origin()).unwrap()
}

fn state(person: &Person) -> UserState {
    home(person).log().unwrap().unwrap().user_state().unwrap()
}

fn account(person: &Person) -> OwnAccount {
    home(person).account("bob").unwrap().unwrap()
}

/// The names of the events of a round, with their labels.
fn events(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let events = value["events"].as_array().unwrap();
    events.iter().map(|event| (text(&event["event"]), text(&event["label"]))).collect()
}

fn named(names: &[(&str, &str)]) -> Vec<(String, String)> {
    names.iter().map(|(name, label)| ((*name).to_owned(), (*label).to_owned())).collect()
}

/// Bob has an account here; its record as the log holds it.
fn registered(server: &Server, bob: &Person) -> ValidRecord {
    bob.done(&["register", "bob"]);
    ValidRecord::restore(&TestLog::origin(), BOB, 0, server.world().log.value(BOB, 0)).unwrap()
}

#[test]
fn owning_begins_at_the_rightmost_distinguished_entry() {
    let server = Server::start();
    server.world().log.grow_to(11);
    let bob = Person::new(&server);
    bob.done(&["register", "bob"]);
    assert_eq!(
        server.world().seen[..3],
        ["POST /v1/distinguished", "POST /v1/owner-init", "POST /v1/update"]
    );
    // In this log all times are about the same, so that only the root and what is left of it is distinguished.
    let state = state(&bob);
    let owner = state.label(BOB).unwrap().owner.as_ref().unwrap();
    assert_eq!((owner.start, owner.version_at_start), (7, None));
    assert_eq!(owner.later_versions, [(11, 0)]);
    bob.done(&["monitor"]);
}

#[test]
fn a_label_that_was_there_where_owning_begins_is_taken() {
    let server = Server::start();
    publish(&server, &genesis());
    server.world().log.grow_to(9);
    assert_eq!(Person::new(&server).json(&["register", "bob"]).0, Verdict::Taken);
}

/// The log stored the record, the answer was lost, and much happened since: the label is one's own all the same.
#[test]
fn an_account_that_was_stored_long_ago_is_recognised_and_owned() {
    let server = Server::start();
    let bob = Person::new(&server);
    server.lie(|world, request| {
        let answer = world.honest(request);
        Some(if request.path == "/v1/update" { Response::problem(Problem::Internal) } else { answer })
    });
    assert_eq!(bob.json(&["register", "bob"]).0, Verdict::Declined);
    server.honest();
    server.world().log.grow_to(16);
    bob.done(&["register", "bob"]);
    assert_eq!(server.world().log.greatest(BOB), Some(0));
    assert_eq!(state(&bob).label(BOB).unwrap().owner.as_ref().unwrap().version_at_start, Some(0));
    bob.done(&["monitor"]);
}

#[test]
fn a_quiet_round_says_what_was_checked() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    alice.done(&["lookup", "bob"]);
    let round = alice.done(&["monitor"]);
    assert_eq!((&round["own"], &round["contacts"]), (&json!(1), &json!(1)));
    assert_eq!((&round["tree_size"], &round["complete"]), (&json!(3), &json!(true)));
    assert!(round["events"].as_array().unwrap().is_empty());
    let run = alice.run(&["monitor"]);
    assert!(
        run.stdout.starts_with("Everything checked: 1 own account, 1 contact, log has 3 entries, newest ")
    );
    // The same by another name.
    assert_eq!(alice.run(&["watch", "--once"]).verdict, Verdict::Verified);
    // The distinguished heads are walked once in a window, by whoever watches anything or nothing.
    let walks = |server: &Server| {
        server.world().seen.iter().filter(|asked| *asked == "POST /v1/distinguished").count()
    };
    let (stranger, before) = (Person::new(&server), walks(&server));
    for _ in 0..2 {
        assert!(stranger.run(&["monitor"]).stdout.starts_with("nothing to watch"));
        assert_eq!(walks(&server), before + 1);
    }
}

#[test]
fn a_contact_is_monitored_until_an_owner_has_looked() {
    let server = Server::start();
    publish(&server, &genesis());
    server.world().log.append(&[(BOB, linked().encode())]);
    let alice = Person::new(&server);
    assert_eq!(alice.done(&["lookup", "bob"])["watch_pending"], true);
    assert!(!state(&alice).label(BOB).unwrap().map.is_empty());
    alice.done(&["monitor"]);
    assert!(!state(&alice).label(BOB).unwrap().map.is_empty(), "nothing to its right is distinguished");
    server.world().log.grow_to(5);
    alice.done(&["monitor"]);
    assert_eq!(state(&alice).label(BOB), None);
}

#[test]
fn what_the_accounts_keys_signed_is_told_once() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    publish(&server, &linked());
    let (verdict, round) = alice.json(&["monitor"]);
    assert_eq!((verdict, events(&round)), (Verdict::Updated, named(&[("device_linked", "bob")])));
    assert_eq!((&round["events"][0]["device"], &round["events"][0]["version"]), (&json!(2), &json!(1)));
    let text = round["message"].as_str().unwrap();
    assert!(text.starts_with("bob linked a device (number 2) on "), "{text}");
    assert!(text.ends_with("; their identity key signed it"), "{text}");
    alice.done(&["monitor"]);
    assert_eq!(alice.done(&["lookup", "bob"])["devices_added"], json!([]));
}

#[test]
fn a_new_identity_is_told_once_if_the_old_one_signed_it() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    publish(&server, &rotation());
    let (verdict, round) = alice.json(&["monitor"]);
    assert_eq!((verdict, events(&round)), (Verdict::Changed, named(&[("identity_replaced", "bob")])));
    alice.done(&["monitor"]);
}

#[test]
fn a_reset_stands_until_a_person_accepts_it() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    publish(&server, &reset());
    for _ in 0..2 {
        let (verdict, round) = alice.json(&["monitor"]);
        assert_eq!((verdict, events(&round)), (Verdict::Changed, named(&[("reset", "bob")])));
        assert!(round["message"].as_str().unwrap().contains("none of bob's keys signed it"));
    }
    alice.done(&["lookup", "bob", "--accept-change"]);
    alice.done(&["monitor"]);
}

#[test]
fn a_version_that_nobody_signed_is_refused_and_the_others_are_still_checked() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    for label in ["alice", "carol"] {
        Person::new(&server).done(&["register", label]);
        alice.done(&["lookup", label]);
    }
    alice.done(&["lookup", "bob"]);
    publish(&server, &forgery());
    let (verdict, round) = alice.json(&["monitor"]);
    assert_eq!((verdict, &round["contacts"]), (Verdict::Refused, &json!(3)));
    assert_eq!(events(&round), named(&[("version_not_vouched_for", "bob")]));
    // The next version says that it was never valid.
    let after = Draft::after(&TestLog::origin(), BOB, &valid(&genesis()), 2).sign(&signing(1)).unwrap();
    publish(&server, &after);
    let (verdict, round) = alice.json(&["monitor"]);
    assert_eq!((verdict, events(&round)), (Verdict::Updated, named(&[("invalid_versions", "bob")])));
}

/// Who made a version of Bob's label that Bob's home did not make, and what the home says.
#[test]
fn a_version_of_ones_own_that_was_not_made_here_is_an_alarm() {
    let origin = TestLog::origin();
    for (case, maker) in [
        ("linked", "own_identity"),
        ("rotated", "own_identity_replaced"),
        ("reset", "provider"),
        ("garbage", "nobody"),
        ("erased", "erased"),
    ] {
        for covered in [false, true] {
            let server = Server::start();
            let bob = Person::new(&server);
            let first = registered(&server, &bob);
            bob.done(&["monitor"]);
            let identity = account(&bob).identity.signing_key().unwrap();
            let draft = || Draft::after(&origin, BOB, &first, 1).remove_device(1);
            let value = match case {
                "rotated" => draft().sign_rotation(&identity, &signing(2)).unwrap().encode(),
                "reset" => draft().sign_reset(&signing(2)).unwrap().encode(),
                "garbage" => b"not a record".to_vec(),
                _ => draft().sign(&identity).unwrap().encode(),
            };
            server.world().log.append(&[(BOB, value)]);
            if case == "erased" {
                server.world().log.erase(BOB, 1);
            }
            if covered {
                // A distinguished entry follows, which owner monitoring comes by.
                server.world().log.grow_to(8);
            }
            for _ in 0..2 {
                let (verdict, round) = bob.json(&["monitor"]);
                assert_eq!(verdict, Verdict::Unexpected, "{case}: {round}");
                assert_eq!(events(&round), named(&[("unexpected_version", "bob")]), "{case}");
                assert_eq!(round["events"][0]["made_by"], maker);
                assert_eq!(round["reason"], "unexpected_version");
            }
            let (verdict, value) = bob.json(&["monitor", "--accept", "bob"]);
            if case == "linked" {
                assert_eq!((verdict, &value["accepted"]), (Verdict::Verified, &json!(true)), "{value}");
                bob.done(&["monitor"]);
                server.world().log.grow_to(16);
                bob.done(&["monitor"]);
                assert_eq!(bob.done(&["monitor", "--accept", "bob"])["accepted"], false);
            } else {
                assert_ne!(verdict, Verdict::Verified, "{case}: {value}");
                assert_eq!(bob.json(&["monitor"]).0, Verdict::Unexpected, "{case}");
            }
        }
    }
}

#[test]
fn only_ones_own_label_can_be_accepted() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    let (verdict, value) = alice.json(&["monitor", "--accept", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Usage, &json!("no_account")));
}

/// An owner that no longer gets to see the proof that nobody else made a version.
#[test]
fn owner_monitoring_that_is_cut_short_is_withheld() {
    let server = Server::start();
    let bob = Person::new(&server);
    registered(&server, &bob);
    server.lie(|_, request| {
        (request.path == "/v1/owner-monitor").then(|| Response::problem(Problem::UnknownLabel))
    });
    let (verdict, round) = bob.json(&["monitor"]);
    assert_eq!((verdict, events(&round)), (Verdict::Withheld, named(&[("label_withheld", "bob")])));
    server.lie(|_, request| {
        (request.path == "/v1/owner-monitor").then(|| Response::problem(Problem::GreatestVersionBeyond))
    });
    let (verdict, round) = bob.json(&["monitor"]);
    assert_eq!((verdict, events(&round)), (Verdict::Withheld, named(&[("monitoring_declined", "bob")])));
    server.honest();
    bob.done(&["monitor"]);
}

#[test]
fn an_erased_version_of_ones_own_is_told_once_and_accuses_nobody() {
    let server = Server::start();
    let bob = Person::new(&server);
    let first = registered(&server, &bob);
    // Another device of Bob's goes on, and this one follows.
    let identity = account(&bob).identity.signing_key().unwrap();
    let origin = TestLog::origin();
    let second = Draft::after(&origin, BOB, &first, 1).set_lockdown(true).sign(&identity).unwrap();
    server.world().log.append(&[(BOB, second.encode())]);
    bob.done(&["monitor", "--accept", "bob"]);
    for version in [0, 1] {
        server.world().log.erase(BOB, version);
        let (verdict, round) = bob.json(&["monitor"]);
        assert_eq!((verdict, events(&round)), (Verdict::Updated, named(&[("erased", "bob")])), "{round}");
        assert_eq!(round["events"][0]["version"], version);
        let text = round["message"].as_str().unwrap();
        assert!(text.contains(&format!("erased the contents of version {version} of your account bob")));
        server.world().log.grow_to(9);
        bob.done(&["monitor"]);
    }
}

#[test]
fn versions_are_looked_for_in_turn() {
    let server = Server::start();
    let bob = Person::new(&server);
    let mut last = registered(&server, &bob);
    let identity = account(&bob).identity.signing_key().unwrap();
    let origin = TestLog::origin();
    for version in 1..=20 {
        let lockdown = version % 2 == 1;
        let next = Draft::after(&origin, BOB, &last, version).set_lockdown(lockdown).sign(&identity).unwrap();
        server.world().log.append(&[(BOB, next.encode())]);
        last = ValidRecord::restore(&origin, BOB, version, &next.encode()).unwrap();
    }
    bob.done(&["monitor", "--accept", "bob"]);
    server.world().log.erase(BOB, 15);
    let rounds = (0..3).filter(|_| bob.json(&["monitor"]).0 == Verdict::Updated).count();
    assert_eq!(rounds, 1, "in three rounds of eight each of twenty versions was looked for");
}

#[test]
fn what_was_shown_before_cannot_be_denied() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    registered(&server, &bob);
    alice.done(&["register", "alice"]);
    alice.done(&["lookup", "bob"]);
    for problem in [Problem::UnknownLabel, Problem::UnknownVersion] {
        server.lie(move |_, request| (request.path == "/v1/search").then(|| Response::problem(problem)));
        let before = contents(&alice);
        for command in [vec!["lookup", "bob"], vec!["send", "bob", "hello"]] {
            let (verdict, value) = alice.json(&command);
            assert_eq!(verdict, Verdict::Withheld, "{command:?}: {value}");
        }
        assert!(contents(&alice) == before);
        for person in [&alice, &bob] {
            let (verdict, round) = person.json(&["monitor"]);
            assert_eq!(verdict, Verdict::Withheld, "{round}");
        }
        assert_eq!(bob.json(&["lookup", "bob"]).0, Verdict::Withheld, "one's own");
        assert_eq!(alice.json(&["lookup", "nobody"]).0, Verdict::NotFound);
    }
}

/// The log goes on as if Bob's second version had never been; every head extends the one before.
#[test]
fn a_version_that_is_hidden_again_is_withheld() {
    for grown in [0, 8] {
        let server = Server::start();
        publish(&server, &genesis());
        server.world().log.append(&[(BOB, linked().encode())]);
        let alice = Person::new(&server);
        alice.done(&["lookup", "bob"]);
        server.world().log.hide_newest(BOB);
        server.world().log.grow_to(grown);
        let (verdict, round) = alice.json(&["monitor"]);
        assert_eq!(verdict, Verdict::Withheld, "{round}");
        let found = named(&[("monitoring_declined", "bob"), ("version_hidden", "bob")]);
        assert_eq!(events(&round), found);
        let (verdict, value) = alice.json(&["lookup", "bob"]);
        assert_eq!((verdict, &value["reason"]), (Verdict::Withheld, &json!("version_hidden")));
    }
}

#[test]
fn an_own_version_that_is_hidden_again_is_withheld() {
    let server = Server::start();
    let bob = Person::new(&server);
    let first = registered(&server, &bob);
    let identity = account(&bob).identity.signing_key().unwrap();
    let origin = TestLog::origin();
    let second = Draft::after(&origin, BOB, &first, 1).set_lockdown(true).sign(&identity).unwrap();
    server.world().log.append(&[(BOB, second.encode())]);
    bob.done(&["monitor", "--accept", "bob"]);
    server.world().log.hide_newest(BOB);
    let (verdict, round) = bob.json(&["monitor"]);
    assert_eq!(verdict, Verdict::Withheld, "{round}");
    assert!(events(&round).contains(&("version_hidden".into(), "bob".into())));
}

#[test]
fn a_log_that_is_rolled_back_is_unreconciled_and_one_that_forks_is_convicted() {
    let server = Server::start();
    let bob = Person::new(&server);
    registered(&server, &bob);
    let base = server.world().log.clone();
    server.world().log.grow_to(6);
    bob.done(&["monitor"]);
    let before = contents(&bob);
    let mut short = base.clone();
    short.append(&[(b"other", b"something".to_vec())]);
    server.world().log = short.clone();
    let (verdict, round) = bob.json(&["monitor"]);
    assert_eq!((verdict, &round["complete"]), (Verdict::Unreconciled, &json!(false)), "{round}");
    let changed: Vec<_> =
        contents(&bob).into_iter().filter(|file| !before.contains(file)).map(|(path, _)| path).collect();
    assert!(changed.iter().all(|path| path.ends_with("watch.json")), "{changed:?}");
    short.grow_to(9);
    server.world().log = short;
    let (verdict, round) = bob.json(&["monitor"]);
    assert_eq!(verdict, Verdict::Misbehaving, "{round}");
    assert!(round["events"][0]["evidence"].is_string());
    assert_eq!(bob.json(&["monitor"]).1["reason"], "convicted");
}

#[test]
fn heads_are_judged_as_in_a_look_up() {
    let server = Server::start();
    let bob = Person::new(&server);
    registered(&server, &bob);
    server.world().log.append(&[]);
    server.world().log.cosigning = vec![1];
    let (verdict, round) = bob.json(&["monitor"]);
    assert_eq!((verdict, &round["events"][0]["have"]), (Verdict::Unwitnessed, &json!(["w2"])));
    server.lie(|_, _| Some(Response::problem(Problem::Unavailable)));
    let (verdict, round) = bob.json(&["monitor", "--timeout", "1"]);
    assert_eq!((verdict, &round["reason"]), (Verdict::Unreachable, &json!("not_ready")));
}

/// Any byte of a monitoring answer flipped: refused, and what the home holds of the log is as before.
#[test]
fn no_flipped_byte_of_a_monitoring_answer_is_accepted() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    registered(&server, &bob);
    server.world().log.grow_to(2);
    alice.done(&["register", "alice"]);
    bob.done(&["lookup", "alice"]);
    assert!(!state(&bob).label(b"alice").unwrap().map.is_empty());
    server.world().log.grow_to(5);
    server.world().log.cosigning = vec![0, 1];
    // Beside what is said and when to ask again nothing may change.
    let kept = |bob: &Person| -> Vec<_> {
        let own = ["watch.json", "heads.json"];
        contents(bob).into_iter().filter(|(path, _)| own.iter().all(|own| !path.ends_with(own))).collect()
    };
    let before = kept(&bob);
    for path in ["/v1/owner-monitor", "/v1/contact-monitor"] {
        let (send, receive) = std::sync::mpsc::channel();
        server.lie(move |world, request| {
            let response = world.honest(request);
            if request.path == path {
                send.send(response.body.len()).unwrap();
            }
            // Nothing else is answered, so that nothing else changes the home.
            Some(Response::problem(Problem::Internal))
        });
        bob.json(&["monitor"]);
        let length = receive.recv().unwrap();
        for index in (0..length).step_by(5) {
            server.lie(move |world, request| {
                if request.path != path {
                    return Some(Response::problem(Problem::Internal));
                }
                let mut response = world.honest(request);
                response.body[index] ^= 1 << (index % 8);
                Some(response)
            });
            let (verdict, round) = bob.json(&["monitor"]);
            assert_ne!(verdict, Verdict::Misbehaving, "byte {index}: {round}");
            assert_ne!(verdict, Verdict::Unreachable, "byte {index}: {round}");
            assert!(kept(&bob) == before, "{path}, byte {index}: {round}");
        }
    }
    server.honest();
    bob.done(&["monitor"]);
}

/// A home from before owners monitored: its label is owned from entry 0 on, or not at all.
#[test]
fn homes_of_old_are_taken_over() {
    let server = Server::start();
    let bob = Person::new(&server);
    registered(&server, &bob);
    let mut old = state(&bob);
    old.labels.clear();
    let document = keyglass_client_verify::state::LogDocument::new(TestLog::origin(), &old).unwrap();
    home(&bob).store_log(&document).unwrap();
    server.world().log.grow_to(7);
    bob.done(&["monitor"]);
    assert_eq!(state(&bob).label(BOB).unwrap().owner.as_ref().unwrap().greatest_version(), Some(0));
}

#[test]
fn whom_a_person_does_not_want_watched_is_not_looked_up() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    assert_eq!(alice.json(&["contacts", "--ignore", "bob"]).1["reason"], "not_met");
    alice.done(&["lookup", "bob"]);
    assert_eq!(alice.done(&["contacts"])["contacts"][0]["watched"], true);
    assert!(alice.run(&["contacts", "--ignore", "bob"]).stdout.contains("NOT WATCHED"));
    publish(&server, &linked());
    assert_eq!(alice.done(&["monitor"])["contacts"], 0);
    // A look-up says what it always said, and changes nothing about that.
    assert_eq!(alice.done(&["lookup", "bob"])["devices_added"], json!([2]));
    assert_eq!(alice.done(&["monitor"])["contacts"], 0);
    alice.done(&["contacts", "--watch", "bob"]);
    assert_eq!(alice.done(&["monitor"])["contacts"], 1);
}

/// A log whose entries never expire says that something has.
#[test]
fn an_expiry_that_cannot_be_is_withheld() {
    let server = Server::start();
    let bob = Person::new(&server);
    registered(&server, &bob);
    server.lie(|_, request| {
        (request.path == "/v1/owner-monitor").then(|| Response::problem(Problem::ExpiredVersion))
    });
    let (verdict, round) = bob.json(&["monitor"]);
    assert_eq!((verdict, events(&round)), (Verdict::Withheld, named(&[("never_expires", "bob")])));
}

/// Nobody looked for longer than the log's entries live: that is said once, and watching goes on.
#[test]
fn what_nobody_looked_at_for_too_long_is_watched_anew() {
    for (path, label) in [("/v1/owner-monitor", "bob"), ("/v1/contact-monitor", "alice")] {
        let server = Server::start();
        server.world().log = TestLog::with_lifetime(40 * 86_400_000);
        let (alice, bob) = (Person::new(&server), Person::new(&server));
        bob.done(&["register", "bob"]);
        alice.done(&["register", "alice"]);
        assert_eq!(bob.done(&["lookup", "alice"])["watch_pending"], true);
        server.world().log.grow_to(5);
        let mut expired = true;
        server.lie(move |_, request| {
            let expires = request.path == path && std::mem::take(&mut expired);
            expires.then(|| Response::problem(Problem::ExpiredVersion))
        });
        let (verdict, round) = bob.json(&["monitor"]);
        assert_eq!((verdict, events(&round)), (Verdict::Updated, named(&[("unwatched", label)])), "{round}");
        bob.done(&["monitor"]);
        server.world().log.grow_to(9);
        bob.done(&["monitor"]);
    }
}

//! Watching: rounds that follow each other, and what is said of them.

use keyglass_account::problem::Problem;
use keyglass_client_verify::{state::Home, verdict::Verdict};
use serde_json::{Value, json};

use crate::{
    Person,
    log::TestLog,
    records::{BOB, genesis, linked, publish, reset},
    server::{Response, Server},
};

fn home(person: &Person) -> Home {
    Home::open(&person.home(), &TestLog::origin()).unwrap()
}

/// The objects that a watcher printed.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["event"].as_str()).collect()
}

fn watch(person: &Person, rounds: &str) -> Vec<Value> {
    let run = person.run(&["watch", "--every", "1", "--rounds", rounds, "--json"]);
    lines(&run.stdout)
}

#[test]
fn what_is_new_is_said_once_and_what_stands_not_again() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    let said = watch(&alice, "2");
    assert_eq!(names(&said), ["checked"], "{said:?}");
    assert_eq!(said.last().unwrap(), &json!({ "verdict": "verified", "rounds": 2 }));
    publish(&server, &linked());
    let said = watch(&alice, "2");
    assert_eq!(names(&said), ["device_linked", "checked"]);
    assert!(said[0]["text"].as_str().unwrap().starts_with("bob linked a device"));
    assert!(said[1]["next_round"].as_u64() > said[1]["time"].as_u64());

    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    publish(&server, &reset());
    let run = alice.run(&["watch", "--every", "1", "--rounds", "2"]);
    assert_eq!(run.verdict, Verdict::Verified);
    let said: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("CHANGED: bob's provider reset bob's account on "), "{said:?}");
    assert!(said[1].starts_with("Everything checked: 0 own accounts, 1 contact, "), "{said:?}");
    // It stands, and the next watcher knows that it was said; `monitor` says what is.
    let run = alice.run(&["watch", "--rounds", "1", "--every", "1"]);
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
    assert_eq!(alice.json(&["monitor"]).0, Verdict::Changed);
}

#[test]
fn verbose_watchers_speak_every_time() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    let run = alice.run(&["watch", "--every", "1", "--rounds", "2", "--verbose"]);
    assert_eq!(run.stdout.matches("Nothing to watch yet").count(), 2, "{}", run.stdout);
    alice.done(&["lookup", "bob"]);
    let run = alice.run(&["watch", "--every", "1", "--rounds", "2", "--verbose"]);
    assert_eq!(run.stdout.matches("Everything checked").count(), 2, "{}", run.stdout);
}

/// A server that asks for more patience than anybody has.
fn away() -> Response {
    let mut response = Response::problem(Problem::Unavailable);
    response.headers.push(("retry-after", "3600".into()));
    response
}

#[test]
fn an_outage_is_said_once_and_so_is_its_end() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    let mut busy = 2;
    server.lie(move |_, _| {
        busy -= 1;
        (busy >= 0).then(away)
    });
    let said = watch(&alice, "4");
    assert_eq!(names(&said), ["not_ready", "checked"], "{said:?}");
    assert_eq!(home(&alice).watch().unwrap().unanswered, 0);
    server.lie(|_, _| Some(away()));
    watch(&alice, "2");
    assert_eq!(home(&alice).watch().unwrap().unanswered, 2);
}

#[test]
fn what_the_log_withholds_is_said() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    server.lie(|_, _| Some(Response::problem(Problem::UnknownLabel)));
    let said = watch(&alice, "2");
    assert_eq!(names(&said), ["label_withheld", "checked"], "{said:?}");
    assert_eq!(said[1]["verdict"], "withheld");
    server.honest();
    let said = watch(&alice, "1");
    assert_eq!((names(&said), &said[0]["verdict"]), (vec!["checked"], &json!("verified")));
}

#[test]
fn a_convicted_log_is_watched_no_longer() {
    let server = Server::start();
    publish(&server, &genesis());
    let base = server.world().log.clone();
    server.world().log.grow_to(5);
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    let mut other = base;
    other.append(&[(b"other", b"something".to_vec())]);
    other.grow_to(8);
    server.world().log = other;
    let run = alice.run(&["watch", "--every", "1", "--rounds", "9", "--json"]);
    assert_eq!(run.verdict, Verdict::Misbehaving);
    let said = lines(&run.stdout);
    assert_eq!(names(&said), ["two_histories"]);
    assert_eq!(said[1]["verdict"], "misbehaving");
    assert_eq!(alice.json(&["watch", "--every", "1"]).1["reason"], "convicted");
}

#[test]
fn a_second_watcher_is_refused_and_other_commands_are_not() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    let lock = home(&alice).lock_watch().unwrap();
    let (verdict, value) = alice.json(&["watch", "--rounds", "1"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Failed, &json!("already_watched")));
    let message = value["message"].as_str().unwrap();
    assert!(message.contains(&format!("(process {})", std::process::id())), "{message}");
    alice.done(&["lookup", "bob"]);
    alice.done(&["monitor"]);
    drop(lock);
    assert_eq!(names(&watch(&alice, "1")), ["checked"]);
}

#[test]
fn the_next_round_is_planned_for_whoever_comes_next() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    let said = watch(&alice, "1");
    let planned = home(&alice).watch().unwrap().next_round;
    assert_eq!(planned, said[0]["next_round"].as_u64());
    // The plan of a watcher that was not in a hurry does not bind one that is.
    let mut memory = home(&alice).watch().unwrap();
    memory.next_round = planned.map(|planned| planned + 3_600_000);
    home(&alice).store_watch(&memory).unwrap();
    assert_eq!(names(&watch(&alice, "1")), ["checked"]);
}

/// Nothing is remembered of what could not be printed: it is said again.
#[test]
fn what_could_not_be_said_is_said_again() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    for command in [vec!["monitor"], vec!["watch", "--rounds", "1", "--every", "1"]] {
        let server = Server::start();
        publish(&server, &genesis());
        let alice = Person::new(&server);
        alice.done(&["lookup", "bob"]);
        server.world().log.append(&[(BOB, linked().encode())]);
        assert_eq!(alice.run_into(&command, &mut Closed), Verdict::Failed);
        assert!(alice.run(&command).stdout.contains("bob linked a device"));
        assert!(!alice.run(&command).stdout.contains("bob linked a device"));
    }
}

//! Servers that are away, busy or broken, and command lines that cannot work. None of it is taken for a lie.

use std::net::TcpListener;

use keyglass_account::problem::Problem;
use keyglass_client_verify::verdict::Verdict;
use serde_json::json;

use crate::{
    Person, run,
    server::{Response, Server},
};

#[test]
fn a_refused_connection_is_unreachable() {
    let server = Server::start();
    let mut person = Person::new(&server);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    person.address = format!("http://{free}");
    let (verdict, value) = person.json(&["lookup", "bob", "--timeout", "0"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Unreachable, &json!("no_answer")));
}

#[test]
fn a_busy_server_is_asked_again() {
    let server = Server::start();
    Person::new(&server).done(&["register", "bob"]);
    let mut busy = 3;
    server.lie(move |_, _| {
        busy -= 1;
        (busy >= 0).then(|| Response::problem(Problem::NotPublished))
    });
    Person::new(&server).done(&["lookup", "bob"]);
    server.lie(|_, _| Some(Response::problem(Problem::NotPublished)));
    let (verdict, value) = Person::new(&server).json(&["lookup", "bob", "--timeout", "1"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Unreachable, &json!("not_ready")));
    assert_eq!(value["problem"], Problem::NotPublished.uri());
}

#[test]
fn a_server_that_asks_for_more_patience_than_there_is_is_not_waited_for() {
    let server = Server::start();
    for (asked, seconds) in [(1, "3600"), (2, "18446744073709551615"), (3, "18000000000000000000")] {
        server.lie(move |_, _| {
            let mut response = Response::problem(Problem::Unavailable);
            response.headers.push(("retry-after", seconds.into()));
            Some(response)
        });
        assert_eq!(Person::new(&server).json(&["lookup", "bob"]).0, Verdict::Unreachable);
        assert_eq!(server.world().seen.len(), asked);
    }
}

#[test]
fn an_unknown_label_is_not_found() {
    let server = Server::start();
    let (verdict, value) = Person::new(&server).json(&["lookup", "nobody"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::NotFound, &json!("unknown_label")));
}

#[test]
fn a_refusal_is_passed_on_with_its_cause() {
    let server = Server::start();
    server.lie(|_, _| Some(Response::problem(Problem::LabelLength)));
    let (verdict, value) = Person::new(&server).json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["problem"]), (Verdict::Declined, &json!(Problem::LabelLength.uri())));
}

#[test]
fn endless_and_malformed_answers_are_invalid() {
    let server = Server::start();
    for body in [vec![0; 2 << 20], Vec::new(), vec![0xFF; 100], b"<html>".to_vec()] {
        server.lie(move |_, _| Some(Response::ok(body.clone())));
        assert_eq!(Person::new(&server).json(&["lookup", "bob"]).0, Verdict::Invalid);
    }
}

#[test]
fn a_text_from_the_server_cannot_reach_the_terminal_raw() {
    let server = Server::start();
    server.lie(|_, _| {
        let body = r#"{"type":"urn:x","title":"\u001b[2J\nkeyglass: verified","detail":"\u0007\u202egpj"}"#;
        Some(Response { status: 400, headers: Vec::new(), body: body.into() })
    });
    let run = Person::new(&server).run(&["lookup", "bob"]);
    assert_eq!(run.verdict, Verdict::Declined);
    assert!(!run.stderr.contains(['\u{1b}', '\u{7}', '\u{202e}']));
    assert!(!run.stderr.lines().any(|line| line == "keyglass: verified"));
}

#[test]
fn missing_options_and_unusable_files_are_usage_errors() {
    let server = Server::start();
    let person = Person::new(&server);
    let home = person.path("home");
    let without = run(&["keyglass", "lookup", "bob", "--json", "--home", home.to_str().unwrap()]);
    assert_eq!((without.verdict, &without.json()["reason"]), (Verdict::Usage, &json!("missing_option")));

    for policy in ["", "quorum", "log x\nquorum none\n", "group g 0\nquorum g\n"] {
        std::fs::write(person.path("policy"), policy).unwrap();
        assert_eq!(person.json(&["lookup", "bob"]).0, Verdict::Usage, "{policy}");
    }
    let person = Person::new(&server);
    std::fs::write(person.path("configuration"), b"no configuration").unwrap();
    assert_eq!(person.json(&["lookup", "bob"]).0, Verdict::Usage);
    assert!(server.world().seen.is_empty(), "nothing was asked");
}

#[test]
fn a_foreign_home_is_left_alone() {
    let server = Server::start();
    let person = Person::new(&server);
    std::fs::create_dir(person.home()).unwrap();
    std::fs::write(person.home().join("thesis.txt"), "x").unwrap();
    let (verdict, value) = person.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Failed, &json!("home_foreign")));
    assert_eq!(std::fs::read_dir(person.home()).unwrap().count(), 1);
}

#[test]
fn sending_needs_an_account() {
    let server = Server::start();
    Person::new(&server).done(&["register", "bob"]);
    let (verdict, value) = Person::new(&server).json(&["send", "bob", "hello"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Usage, &json!("no_account")));
    assert_eq!(Person::new(&server).json(&["receive"]).0, Verdict::Usage);
}

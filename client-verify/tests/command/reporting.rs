//! `--auditor`: what a command was shown is reported, bounded in time, and what comes of it changes no verdict.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use keyglass_account::problem::Problem;
use keyglass_client_verify::verdict::Verdict;
use keyglass_tlog::{checkpoint::Checkpoint, evidence::Evidence, note::SignedNote};

use crate::{
    Person,
    histories::branch,
    log::TestLog,
    records::{genesis, publish},
    server::{Response, Server},
};

/// What an auditor was sent: path and body.
type Sent = Arc<Mutex<Vec<(String, String)>>>;

/// An auditor that answers this to everything.
fn auditor(status: u16, body: &'static str) -> (Server, String, Sent) {
    let (server, sent) = (Server::start(), Sent::default());
    let kept = Arc::clone(&sent);
    server.lie(move |_, request| {
        assert_eq!((request.method.as_str(), request.authorization.as_str()), ("POST", ""));
        kept.lock().unwrap().push((request.path.clone(), String::from_utf8(request.body.clone()).unwrap()));
        Some(Response { status, headers: Vec::new(), body: body.into() })
    });
    let url = format!("http://{}", server.address);
    (server, url, sent)
}

const AGREES: &str = r#"{"standing":"agrees","tree_size":1,"verified_size":1}"#;
const CONTRADICTS: &str = r#"{"standing":"contradicts","tree_size":1,"verified_size":1}"#;

/// The sizes of the heads that were sent, in order.
fn sizes(sent: &Sent) -> Vec<u64> {
    let sent = std::mem::take(&mut *sent.lock().unwrap());
    let size = |(path, body): &(String, String)| {
        assert_eq!(path, "/v1/heads");
        let note = SignedNote::parse(body.as_bytes()).unwrap();
        note.verify(&[&TestLog::vkey().parse().unwrap()]).unwrap();
        Checkpoint::from_note(&note).unwrap().tree_size()
    };
    sent.iter().map(size).collect()
}

#[test]
fn every_auditor_is_told_the_head_that_was_verified_and_nothing_else() {
    let server = Server::start();
    publish(&server, &genesis());
    let ((_a, a, told_a), (_b, b, told_b)) = (auditor(200, AGREES), auditor(200, AGREES));
    let alice = Person::new(&server);
    let outcome = alice.run(&["lookup", "bob", "--auditor", &a, "--auditor", &b]);
    assert_eq!(outcome.verdict, Verdict::Verified);
    assert!(!outcome.stderr.contains("auditor"), "{}", outcome.stderr);
    let size = sizes(&told_a);
    assert_eq!(size.len(), 1);
    assert_eq!(sizes(&told_b), size);
    // Who is not asked to tell tells nobody, and so does a command that asks nobody.
    alice.done(&["lookup", "bob"]);
    assert_eq!(alice.run(&["contacts", "--auditor", &a]).verdict, Verdict::Verified);
    assert_eq!(sizes(&told_a), Vec::<u64>::new());
}

#[test]
fn both_heads_are_told_when_they_cannot_be_reconciled_and_evidence_when_there_is_some() {
    let server = Server::start();
    publish(&server, &genesis());
    let base = server.world().log.clone();
    let (_auditor, url, told) = auditor(200, AGREES);
    let alice = Person::new(&server);
    server.world().log = branch(&base, 6, b"left");
    alice.done(&["lookup", "bob"]);
    server.world().log = branch(&base, 9, b"right");
    server.lie(|_, request| request.path.starts_with("/tile/").then(|| Response::problem(Problem::NotFound)));
    let lookup = ["lookup", "bob", "--auditor", url.as_str()];
    assert_eq!(alice.run(&lookup).verdict, Verdict::Unreconciled);
    assert_eq!(sizes(&told), [6, 9]);
    server.honest();
    assert_eq!(alice.run(&lookup).verdict, Verdict::Misbehaving);
    let told = std::mem::take(&mut *told.lock().unwrap());
    let (path, body) = told.last().unwrap();
    assert_eq!(path, "/v1/evidence");
    let evidence = Evidence::parse(body.as_bytes()).unwrap();
    let conviction = evidence.verify(&[&TestLog::vkey().parse().unwrap()], None).unwrap();
    assert_eq!(conviction.sizes(), (6, 9));
}

/// Also where the log merely does not answer, so that nobody is accused here: the auditor may see what it keeps from Bob.
#[test]
fn a_senders_head_that_the_log_does_not_explain_is_told_with_ones_own() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    let base = server.world().log.clone();
    server.world().log = branch(&base, 5, b"left");
    alice.done(&["send", "bob", "hello"]);
    server.world().log = branch(&base, 9, b"right");
    bob.done(&["lookup", "alice"]);
    let (_auditor, url, told) = auditor(200, AGREES);
    let receive = ["receive", "--timeout", "1", "--auditor", url.as_str()];
    for (problem, verdict) in
        [(Problem::Unavailable, Verdict::Verified), (Problem::NotFound, Verdict::Unreconciled)]
    {
        server.lie(move |_, request| request.path.starts_with("/tile/").then(|| Response::problem(problem)));
        assert_eq!(bob.run(&receive).verdict, verdict);
        let told = sizes(&told);
        assert!(told.contains(&5) && told.contains(&9), "{told:?}");
    }
    server.honest();
    assert_eq!(bob.run(&receive).verdict, Verdict::Misbehaving);
    assert_eq!(told.lock().unwrap().last().unwrap().0, "/v1/evidence");
}

#[test]
fn what_an_auditor_answers_is_said_and_changes_no_verdict() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    for (status, body, said) in [
        (200, CONTRADICTS, "CONTRADICTS"),
        (200, r#"{"standing":"disputed"}"#, "holds no evidence yet"),
        (404, "", "could not be told"),
        (200, "not json", "could not be told"),
        (500, AGREES, "could not be told"),
    ] {
        let (_auditor, url, _) = auditor(status, body);
        let outcome = alice.run(&["lookup", "bob", "--json", "--auditor", &url]);
        assert_eq!(outcome.verdict, Verdict::Verified);
        assert_eq!(outcome.json()["verdict"], "verified");
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
}

#[test]
fn an_auditor_that_is_away_or_silent_or_without_end_costs_little() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_long, long, _) = auditor(200, Box::leak("x".repeat(1 << 20).into_boxed_str()));
    let urls = [silent.local_addr().unwrap(), away].map(|address| format!("http://{address}"));
    let began = Instant::now();
    let mut line = vec!["lookup", "bob", "--auditor", &long];
    urls.iter().for_each(|url| line.extend(["--auditor", url]));
    let outcome = alice.run(&line);
    assert_eq!(outcome.verdict, Verdict::Verified);
    assert_eq!(outcome.stderr.matches("could not be told").count(), 3, "{}", outcome.stderr);
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_address_that_is_none_is_a_usage_error() {
    use clap::Parser as _;
    for bad in ["x", "ftp://a.example", "http://"] {
        let line = ["keyglass", "lookup", "bob", "--auditor", bad];
        assert!(keyglass_client_verify::command::Arguments::try_parse_from(line).is_err(), "{bad}");
    }
}

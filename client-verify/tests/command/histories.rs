//! The log shows more than one history.

use keyglass_account::problem::Problem;
use keyglass_client_verify::verdict::Verdict;
use serde_json::json;

use crate::{
    Person,
    log::TestLog,
    records::{contents, genesis, publish},
    run,
    server::{Response, Server},
};

/// A log of `size` entries with Bob's account in the second, and something else than the other logs of other `mark`s from
/// the fourth entry on.
pub fn branch(log: &TestLog, size: u64, mark: &[u8]) -> TestLog {
    let mut log = log.clone();
    log.append(&[(mark, b"something".to_vec())]);
    while log.size() < size {
        log.append(&[]);
    }
    log
}

#[test]
fn a_second_history_of_the_same_size_convicts_the_log() {
    let server = Server::start();
    publish(&server, &genesis());
    let base = server.world().log.clone();
    let alice = Person::new(&server);
    server.world().log = branch(&base, 6, b"left");
    alice.done(&["lookup", "bob"]);
    let mut right = branch(&base, 6, b"right");
    right.cosigning = vec![1, 2];
    server.world().log = right;
    // A server that keeps to the draft would answer that nothing is new, so this one pretends to hold another size.
    server.lie(|world, request| (request.path == "/v1/search").then(|| answer_without_last(world, request)));
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!(verdict, Verdict::Misbehaving, "{value}");
    assert_eq!(value["sizes"], json!([6, 6]));
    assert_eq!(value["faulty_witnesses"], json!(["w2", "w3"]));
    check_evidence(&alice, value["evidence"].as_str().unwrap(), &json!(["w2", "w3"]));
    convicted_for_good(&server, &alice);
}

#[test]
fn a_larger_history_that_does_not_extend_the_known_one_convicts_the_log() {
    for (small, large) in [(3, 4), (4, 7), (5, 300), (256, 259), (300, 600)] {
        let server = Server::start();
        publish(&server, &genesis());
        let base = server.world().log.clone();
        let alice = Person::new(&server);
        server.world().log = branch(&base, small, b"left");
        alice.done(&["lookup", "bob"]);
        server.world().log = branch(&base, large, b"right");
        let (verdict, value) = alice.json(&["lookup", "bob"]);
        assert_eq!(verdict, Verdict::Misbehaving, "{small} {large}: {value}");
        assert_eq!(value["sizes"], json!([small, large]));
        check_evidence(&alice, value["evidence"].as_str().unwrap(), &json!(["w1", "w2", "w3"]));
        convicted_for_good(&server, &alice);
    }
}

/// Anyone verifies the evidence offline with the log's key, and nobody with another one.
fn check_evidence(person: &Person, evidence: &str, faulty: &serde_json::Value) {
    let (vkey, policy) = (TestLog::vkey(), person.path("policy"));
    let line = [
        "keyglass",
        "evidence",
        "verify",
        evidence,
        "--log",
        &vkey,
        "--policy",
        policy.to_str().unwrap(),
        "--json",
    ];
    let verified = run(&line);
    assert_eq!(verified.verdict, Verdict::Verified);
    assert_eq!(&verified.json()["faulty_witnesses"], faulty);
    assert_eq!(run(&line[..6]).verdict, Verdict::Verified, "the policy is optional");
    check_explanation(&line, faulty);

    let text = std::fs::read_to_string(evidence).unwrap();
    let altered = person.path("altered");
    std::fs::write(&altered, text.replacen('A', "B", 1)).unwrap();
    let line = ["keyglass", "evidence", "verify", altered.to_str().unwrap(), "--log", &vkey];
    assert_eq!(run(&line).verdict, Verdict::Unproven);
    let line = ["keyglass", "evidence", "show", altered.to_str().unwrap(), "--log", &vkey];
    assert_eq!(run(&line).verdict, Verdict::Unproven);
    let line = ["keyglass", "evidence", "verify", evidence, "--log", "nonsense"];
    assert_eq!(run(&line).verdict, Verdict::Usage);
}

/// The same file explained: `line` is that of `evidence verify`, with a key, a policy and --json.
fn check_explanation(line: &[&str; 9], faulty: &serde_json::Value) {
    let mut line = *line;
    line[2] = "show";
    let shown = run(&line);
    assert_eq!(shown.verdict, Verdict::Verified);
    let value = shown.json();
    assert_eq!(&value["faulty_witnesses"], faulty);
    let named = |witness: &&serde_json::Value| witness["faulty"] == true;
    let named: Vec<_> =
        value["witnesses"].as_array().unwrap().iter().filter(named).map(|w| &w["name"]).collect();
    assert_eq!(json!(named), *faulty);
    assert_eq!(value["statements"][0]["signatures"][0]["signer"], "log");
    let words = run(&line[..8]);
    assert!(words.stdout.starts_with("PROVEN: "), "{}", words.stdout);
    for name in faulty.as_array().unwrap() {
        assert!(
            words.stdout.contains(&format!("The witness {} cosigned both", name.as_str().unwrap())),
            "{}",
            words.stdout
        );
    }
    // The log lines of the policy are keys enough; without any key, what the file says is shown as a claim.
    let by_policy = [line[0], line[1], line[2], line[3], line[6], line[7]];
    assert_eq!(run(&by_policy).verdict, if keyed(line[7]) { Verdict::Verified } else { Verdict::Unproven });
    let claimed = run(&line[..4]);
    assert_eq!(claimed.verdict, Verdict::Unproven);
    assert!(
        claimed.stderr.contains("NOT PROVEN") && claimed.stderr.contains("who is unknown here"),
        "{}",
        claimed.stderr
    );
}

/// Whether a policy has a line for the log.
fn keyed(policy: &str) -> bool {
    std::fs::read_to_string(policy).unwrap().lines().any(|line| line.starts_with("log "))
}

/// Who holds evidence does not use the log any more, and asks it nothing.
fn convicted_for_good(server: &Server, person: &Person) {
    server.honest();
    let asked = server.world().seen.len();
    let (verdict, value) = person.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Misbehaving, &json!("convicted")));
    assert_eq!(server.world().seen.len(), asked);
}

fn answer_without_last(world: &mut crate::server::World, request: &crate::server::Request) -> Response {
    use keyglass_keytrans::{
        config::DeploymentMode,
        wire::{Context, SearchRequest, Wire as _},
    };
    let question =
        SearchRequest::decode(&request.body, Context::new(DeploymentMode::ContactMonitoring)).unwrap();
    let question = SearchRequest { last: None, ..question };
    world.honest(&crate::server::Request {
        method: request.method.clone(),
        path: request.path.clone(),
        authorization: String::new(),
        body: question.encode().unwrap(),
    })
}

#[test]
fn a_history_that_the_log_does_not_explain_is_unreconciled() {
    let server = Server::start();
    publish(&server, &genesis());
    let base = server.world().log.clone();
    let alice = Person::new(&server);
    server.world().log = branch(&base, 6, b"left");
    alice.done(&["lookup", "bob"]);
    let before = contents(&alice);

    // It refuses its tiles.
    server.world().log = branch(&base, 9, b"right");
    server.lie(|_, request| request.path.starts_with("/tile/").then(|| Response::problem(Problem::NotFound)));
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Unreconciled, &json!("not_reconciled")), "{value}");
    assert!(value["ours"].as_str().unwrap().contains("\n6\n"));
    assert!(value["theirs"].as_str().unwrap().contains("\n9\n"));

    // It serves the tiles of another tree.
    server.lie(|_, request| request.path.starts_with("/tile/").then(|| Response::ok(vec![7; 9 * 32])));
    assert_eq!(alice.json(&["lookup", "bob"]).0, Verdict::Unreconciled);

    // It has shrunk.
    server.honest();
    server.world().log = branch(&base, 4, b"right");
    assert_eq!(alice.json(&["lookup", "bob"]).0, Verdict::Unreconciled);

    // It does not answer the second question.
    server.world().log = branch(&base, 9, b"right");
    let mut searches = 0;
    server.lie(move |_, request| {
        searches += u32::from(request.path == "/v1/search");
        (searches > 1).then(|| Response::problem(Problem::Internal))
    });
    assert_eq!(alice.json(&["lookup", "bob"]).0, Verdict::Unreconciled);
    assert_eq!(contents(&alice), before);

    // The honest log again: all is well.
    server.honest();
    server.world().log = branch(&base, 6, b"left");
    alice.done(&["lookup", "bob"]);
}

#[test]
fn an_answer_that_is_merely_wrong_accuses_nobody() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    server.world().log.append(&[]);
    let before = contents(&alice);
    let mut first = true;
    server.lie(move |world, request| {
        if request.path != "/v1/search" || !std::mem::take(&mut first) {
            return None;
        }
        let mut response = world.honest(request);
        *response.body.last_mut().unwrap() ^= 1;
        Some(response)
    });
    let (verdict, value) = alice.json(&["lookup", "bob"]);
    assert_eq!(verdict, Verdict::Invalid, "{value}");
    assert_eq!(contents(&alice), before);
    alice.done(&["lookup", "bob"]);
}

/// Any byte of the answer flipped: refused, and nothing in the home changes.
#[test]
fn no_flipped_byte_of_an_answer_is_accepted() {
    let server = Server::start();
    publish(&server, &genesis());
    for _ in 0..5 {
        server.world().log.append(&[]);
    }
    let alice = Person::new(&server);
    alice.done(&["lookup", "bob"]);
    for _ in 0..3 {
        server.world().log.append(&[]);
    }
    // A line of an unknown key in the head is rightly ignored, so that byte for byte the signature lines of the third
    // witness, which the quorum does not need, may change.
    server.world().log.cosigning = vec![0, 1];
    let before = contents(&alice);
    let length = {
        let (send, receive) = std::sync::mpsc::channel();
        server.lie(move |world, request| {
            let response = world.honest(request);
            send.send(response.body.len()).unwrap();
            Some(Response::problem(Problem::Internal))
        });
        alice.json(&["lookup", "bob"]);
        receive.recv().unwrap()
    };
    for index in (0..length).step_by(7) {
        server.lie(move |world, request| {
            if request.path != "/v1/search" {
                return None;
            }
            let mut response = world.honest(request);
            response.body[index] ^= 1 << (index % 8);
            Some(response)
        });
        let (verdict, value) = alice.json(&["lookup", "bob"]);
        assert_ne!(verdict, Verdict::Verified, "byte {index}: {value}");
        assert_ne!(verdict, Verdict::Unreachable, "byte {index}: {value}");
        assert_ne!(verdict, Verdict::Misbehaving, "byte {index}: {value}");
        assert_eq!(contents(&alice), before, "byte {index}");
    }
}

/// Two people who are shown different histories find out by their first message, over a channel that the log cannot read.
#[test]
fn a_first_message_carries_the_proof_of_a_split_view() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    let base = server.world().log.clone();
    server.world().log = branch(&base, 5, b"left");
    alice.done(&["send", "bob", "hello"]);
    server.world().log = branch(&base, 5, b"right");
    let (verdict, value) = bob.json(&["receive"]);
    assert_eq!(verdict, Verdict::Misbehaving, "{value}");
    assert_eq!(value["messages"][0]["text"], "hello");
    check_evidence(&bob, value["problems"][0]["evidence"].as_str().unwrap(), &json!(["w1", "w2", "w3"]));
}

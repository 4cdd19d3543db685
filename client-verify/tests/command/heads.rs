//! Distinguished heads: walked, kept, compared between people, and carried in first messages.

use keyglass_account::{codec::Writer, problem::Problem};
use keyglass_client_verify::{verdict::Verdict, x3dh::FirstMessage};
use serde_json::{Value, json};

use crate::{
    Person,
    log::TestLog,
    records::{contents, genesis, publish},
    sender::send_as_bob,
    server::{Response, Server},
};

/// A log that leaves the common history with its next entry, by `mark`, and has `size` entries.
fn branch(log: &TestLog, size: u64, mark: &[u8]) -> TestLog {
    let mut log = log.clone();
    log.append(&[(mark, b"something".to_vec())]);
    while log.size() < size {
        log.append(&[]);
    }
    log
}

fn positions(value: &Value) -> Vec<u64> {
    value["heads"].as_array().unwrap().iter().map(|head| head["position"].as_u64().unwrap()).collect()
}

#[test]
fn the_recent_heads_are_shown_and_kept() {
    let server = Server::start();
    publish(&server, &genesis());
    while server.world().log.size() < 9 {
        server.world().log.append(&[]);
    }
    let alice = Person::new(&server);
    let walked = alice.done(&["heads"]);
    // All entries are of one moment, so that only those on the left spine of the search tree span a window.
    assert_eq!(positions(&walked), [0, 1, 3, 7]);
    assert_eq!(
        (&walked["tree_size"], &walked["kept"], &walked["unsettled"]),
        (&json!(9), &json!(4), &json!(0))
    );
    let shown = alice.run(&["heads"]);
    for head in walked["heads"].as_array().unwrap() {
        assert!(shown.stdout.contains(head["root"].as_str().unwrap()), "{}", shown.stdout);
    }
    assert!(shown.stdout.contains(" UTC "), "{}", shown.stdout);

    while server.world().log.size() < 20 {
        server.world().log.append(&[]);
    }
    assert_eq!(positions(&alice.done(&["heads"])), [0, 1, 3, 7, 15]);
}

#[test]
fn people_compare_their_heads() {
    let server = Server::start();
    publish(&server, &genesis());
    let base = server.world().log.clone();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    let export = |person: &Person, name: &str| {
        let text = person.run(&["heads", "--export"]).stdout;
        std::fs::write(person.path(name), &text).unwrap();
        (person.path(name).to_str().unwrap().to_owned(), text)
    };

    server.world().log = branch(&base, 5, b"left");
    let (file, _) = export(&alice, "early");
    while server.world().log.size() < 9 {
        server.world().log.append(&[]);
    }
    let agreed = bob.done(&["heads", "--compare", &file]);
    assert_eq!((&agreed["agreement"], &agreed["common"]), (&json!("agree"), &json!(3)));
    // The text itself does as well, without the newline that shells remove.
    let (_, text) = export(&alice, "late");
    assert!(text.starts_with("keyglass-heads/v1\n"));
    assert_eq!(bob.done(&["heads", "--compare", text.trim_end()])["common"], 4);
    assert_eq!(bob.json(&["heads", "--export"]).1["export"], text.as_str());

    // A list of heads to the right of all that are known here.
    let lines: Vec<&str> = text.lines().collect();
    let future = [lines[0], lines[1], &lines[2].replacen("0 ", "1000000 ", 1), ""].join("\n");
    std::fs::write(alice.path("future"), &future).unwrap();
    let (verdict, value) = bob.json(&["heads", "--compare", alice.path("future").to_str().unwrap()]);
    assert_eq!((verdict, &value["agreement"]), (Verdict::NoOverlap, &json!("no_overlap")));

    // Somebody who is shown another branch.
    let carol = Person::new(&server);
    server.world().log = branch(&base, 9, b"right");
    let (verdict, value) = carol.json(&["heads", "--compare", &text]);
    assert_eq!((verdict, &value["agreement"]), (Verdict::Disputed, &json!("disputed")));
    assert_eq!(value["common"], 2, "{value}");

    // What is no list, or of another log, is nobody's view.
    let other = text.replacen(&TestLog::origin(), "log.example/other", 1);
    for (text, reason) in
        [(other.as_str(), "another_log"), ("keyglass-heads/v1\nx\ny", "heads_malformed"), ("/absent", "file")]
    {
        let (verdict, value) = carol.json(&["heads", "--compare", text]);
        assert_eq!((verdict, &value["reason"]), (Verdict::Usage, &json!(reason)));
    }
}

#[test]
fn no_altered_walk_is_kept() {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["heads"]);
    let before = contents(&alice);
    while server.world().log.size() < 9 {
        server.world().log.append(&[]);
    }
    server.world().log.cosigning = vec![0, 1];
    for index in 0..40 {
        server.lie(move |world, request| {
            let mut response = world.honest(request);
            let place = index * response.body.len() / 40;
            response.body[place] ^= 1 << (index % 8);
            Some(response)
        });
        let (verdict, value) = alice.json(&["heads", "--timeout", "0"]);
        assert_ne!(verdict, Verdict::Verified, "{index}: {value}");
        assert_ne!(verdict, Verdict::Misbehaving, "{index}: {value}");
        assert_eq!(contents(&alice), before, "{index}");
    }
    server.honest();
    server.world().log.cosigning = vec![1];
    assert_eq!(alice.json(&["heads"]).0, Verdict::Unwitnessed);
    assert_eq!(contents(&alice), before);
}

#[test]
fn a_walk_under_another_history_convicts_the_log() {
    let server = Server::start();
    publish(&server, &genesis());
    let base = server.world().log.clone();
    let alice = Person::new(&server);
    server.world().log = branch(&base, 5, b"left");
    alice.done(&["heads"]);
    server.world().log = branch(&base, 9, b"right");
    let (verdict, value) = alice.json(&["heads"]);
    assert_eq!((verdict, &value["sizes"]), (Verdict::Misbehaving, &json!([5, 9])), "{value}");
    assert_eq!(alice.json(&["heads"]).1["reason"], "convicted");
}

/// A log that shows Alice and Bob different histories of any sizes, larger or smaller than the other's, is found out by
/// the first message between them.
#[test]
fn a_message_finds_a_split_view_at_any_two_sizes() {
    for (hers, his) in [(5, 5), (5, 9), (9, 5), (6, 300), (300, 7), (256, 257)] {
        let server = Server::start();
        let (alice, bob) = (Person::new(&server), Person::new(&server));
        bob.done(&["register", "bob"]);
        alice.done(&["register", "alice"]);
        let base = server.world().log.clone();
        server.world().log = branch(&base, hers, b"left");
        alice.done(&["send", "bob", "hello"]);
        server.world().log = branch(&base, his, b"right");
        let (verdict, value) = bob.json(&["receive"]);
        assert_eq!(value["messages"][0]["text"], "hello");
        let problem = &value["problems"][0];
        if his >= hers {
            assert_eq!(verdict, Verdict::Misbehaving, "{hers} {his}: {value}");
            assert_eq!(problem["sizes"], json!([hers, his]));
            assert_eq!(problem["faulty_witnesses"], json!(["w1", "w2", "w3"]));
            assert_eq!(bob.json(&["lookup", "alice"]).1["reason"], "convicted");
            continue;
        }
        // The log hides behind a smaller tree. It cannot explain the head, and cannot grow without being convicted.
        assert_eq!(verdict, Verdict::Unreconciled, "{hers} {his}: {value}");
        assert_eq!((&problem["reason"], &problem["opened"]), (&json!("head_not_explained"), &json!(true)));
        assert_eq!((&problem["from"], &problem["account"]), (&json!("alice"), &json!("bob")));
        assert_eq!(bob.json(&["receive"]).0, Verdict::Unreconciled, "it is asked again");
        assert_eq!(bob.json(&["heads"]).0, Verdict::Unreconciled);
        let mut grown = server.world().log.clone();
        while grown.size() <= hers {
            grown.append(&[]);
        }
        server.world().log = grown;
        let (verdict, value) = bob.json(&["receive"]);
        assert_eq!(verdict, Verdict::Misbehaving, "{hers} {his}: {value}");
        assert_eq!(value["problems"][0]["sizes"], json!([hers, hers + 1]));
    }
}

#[test]
fn an_honest_log_and_its_messages_are_silent() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    for (sent_at, received_at) in [(4, 4), (5, 300), (300, 301)] {
        while server.world().log.size() < sent_at {
            server.world().log.append(&[]);
        }
        alice.done(&["send", "bob", &format!("at {sent_at}")]);
        while server.world().log.size() < received_at {
            server.world().log.append(&[]);
        }
        let received = bob.done(&["receive"]);
        assert_eq!(received["messages"].as_array().unwrap().len(), 1, "{received}");
        assert_eq!((&received["problems"], &received["remarks"]), (&json!([]), &json!([])));
    }
    assert_eq!(bob.done(&["heads"])["unsettled"], 0);
}

/// The log is not asked for its heads more than once in a monitoring window.
#[test]
fn messages_do_not_cost_a_walk_each() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    for _ in 0..3 {
        alice.done(&["send", "bob", "hello"]);
    }
    bob.done(&["receive"]);
    let walks =
        |server: &Server| server.world().seen.iter().filter(|line| line.contains("distinguished")).count();
    assert_eq!(
        walks(&server),
        3,
        "one by either side to own the label, and one because Alice knows of a newer head"
    );
    // A log-server that does not know the request is not asked again at once either.
    let carol = Person::new(&server);
    carol.done(&["register", "carol"]);
    let heads = contents(&carol).into_iter().find(|(path, _)| path.ends_with("heads.json")).unwrap().0;
    std::fs::remove_file(heads).unwrap();
    server.lie(|_, request| {
        (request.path == "/v1/distinguished").then(|| Response::problem(Problem::NotFound))
    });
    for _ in 0..3 {
        carol.done(&["send", "bob", "hello"]);
    }
    assert_eq!(walks(&server), 5);
    assert_eq!(bob.done(&["receive"])["messages"].as_array().unwrap().len(), 3);
}

/// No tile arrives: nobody is accused, and the question is not forgotten.
#[test]
fn a_head_that_cannot_be_compared_now_is_compared_later() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    let base = server.world().log.clone();
    server.world().log = branch(&base, 5, b"left");
    alice.done(&["send", "bob", "hello"]);
    server.world().log = branch(&base, 9, b"right");
    bob.done(&["lookup", "alice"]);
    server.lie(|_, request| {
        request.path.starts_with("/tile/").then(|| Response::problem(Problem::Unavailable))
    });
    let received = bob.done(&["receive", "--timeout", "1"]);
    assert_eq!(received["messages"][0]["text"], "hello");
    assert_eq!(bob.done(&["heads", "--timeout", "1"])["unsettled"], 1);
    server.honest();
    assert_eq!(bob.json(&["receive"]).0, Verdict::Misbehaving);
}

/// Alice receives from a Bob who writes what he likes.
fn world_with_bob() -> (Server, Person) {
    let server = Server::start();
    publish(&server, &genesis());
    let alice = Person::new(&server);
    alice.done(&["register", "alice"]);
    while server.world().log.size() < 9 {
        server.world().log.append(&[]);
    }
    (server, alice)
}

fn roots(server: &Server) -> Vec<[u8; 32]> {
    let person = Person::new(server);
    let text = person.run(&["heads", "--export"]).stdout;
    use base64::Engine as _;
    let root = |line: &str| {
        let encoded = line.rsplit(' ').next().unwrap();
        base64::engine::general_purpose::STANDARD.decode(encoded).unwrap().try_into().unwrap()
    };
    text.lines().skip(2).map(root).collect()
}

fn first_message(checkpoint: String, heads: Vec<[u8; 32]>) -> Vec<u8> {
    // Texts that are one and the same are shown once, so that each message here has an id of its own.
    let hash = keyglass_crypto::hash::sha256(&[checkpoint.as_bytes(), &heads.concat()]);
    let id = *hash.first_chunk().unwrap();
    FirstMessage { id, checkpoint, heads, recipient_version: Some(0), text: "hello".into() }.encode().unwrap()
}

#[test]
fn a_forged_list_is_a_dispute_and_accuses_nobody() {
    let (server, alice) = world_with_bob();
    let genuine = roots(&server);
    assert_eq!(genuine.len(), 4);
    let note = server.world().log.note();
    let forged: [(&str, Vec<[u8; 32]>); 5] = [
        ("another end", vec![genuine[1], genuine[2], [7; 32]]),
        ("another beginning", vec![[7; 32], genuine[2], genuine[3]]),
        ("a gap", vec![genuine[0], genuine[2]]),
        ("another order", vec![genuine[1], genuine[3], genuine[2]]),
        ("one twice", vec![genuine[2], genuine[2]]),
    ];
    for (what, heads) in forged {
        send_as_bob(&server, "alice", &first_message(note.clone(), heads));
        let (verdict, value) = alice.json(&["receive"]);
        assert_eq!(verdict, Verdict::Disputed, "{what}: {value}");
        let problem = &value["problems"][0];
        assert_eq!((&problem["reason"], &problem["opened"]), (&json!("heads_disputed"), &json!(true)));
        assert!(problem.get("evidence").is_none());
        // The log is used as before.
        alice.done(&["lookup", "bob"]);
    }
    for (what, heads) in [
        ("nothing", Vec::new()),
        ("strangers", vec![[7; 32], [8; 32]]),
        ("part", vec![genuine[1], genuine[2]]),
        ("all", genuine.clone()),
        ("newer ones", vec![genuine[2], genuine[3], [9; 32]]),
    ] {
        send_as_bob(&server, "alice", &first_message(note.clone(), heads));
        let value = alice.done(&["receive"]);
        assert_eq!(value["problems"], json!([]), "{what}");
    }
}

#[test]
fn a_checkpoint_that_anybody_could_write_is_only_remarked_on() {
    let (server, alice) = world_with_bob();
    let mut log = server.world().log.clone();
    let note = log.note();
    let lines: Vec<&str> = note.lines().collect();
    log.cosigning = vec![2];
    let under_witnessed = log.note();
    let unsigned = note.replacen(lines[4], "\u{2014} nobody.example AAAAAAAAAAAA", 1);
    let badly_cosigned = {
        // The first witness's line with the signature of the second.
        let (one, two) = (lines[5].rsplit_once(' ').unwrap(), lines[6].rsplit_once(' ').unwrap());
        let spliced = format!("{} {}{}", one.0, &one.1[..8], &two.1[8..]);
        note.replacen(lines[5], &spliced, 1)
    };
    for (checkpoint, remark) in [
        ("nonsense".to_owned(), "the checkpoint in it is none"),
        (note.replacen(lines[0], "log.example/other", 1), "the checkpoint in it is of another log"),
        (note.replacen("\n9\n", "\n10\n", 1), "the log has not signed the checkpoint in it"),
        (unsigned, "the log has not signed the checkpoint in it"),
        (under_witnessed, "too few witnesses have signed the checkpoint in it"),
        (badly_cosigned, "a signature under the checkpoint in it does not verify"),
    ] {
        send_as_bob(&server, "alice", &first_message(checkpoint.clone(), Vec::new()));
        let value = alice.done(&["receive"]);
        assert_eq!(value["messages"][0]["text"], "hello");
        assert_eq!(value["remarks"][0]["remark"], remark, "{checkpoint}");
        assert_eq!(value["problems"], json!([]));
        assert_eq!(alice.done(&["heads"])["unsettled"], 0);
    }
}

/// The log's own signature is what convicts it, however few witnesses looked on.
#[test]
fn a_contradiction_that_the_log_signed_convicts_without_a_quorum() {
    let (server, alice) = world_with_bob();
    alice.done(&["lookup", "bob"]);
    let mut other = branch(&TestLog::new(), 5, b"right");
    other.cosigning = Vec::new();
    send_as_bob(&server, "alice", &first_message(other.note(), Vec::new()));
    let (verdict, value) = alice.json(&["receive"]);
    assert_eq!(verdict, Verdict::Misbehaving, "{value}");
    assert_eq!(value["problems"][0]["sizes"], json!([5, 9]));
    assert_eq!(value["problems"][0]["faulty_witnesses"], json!([]));
}

#[test]
fn messages_of_the_format_before_are_still_read() {
    let (server, alice) = world_with_bob();
    let note = server.world().log.note();
    let mut message = Writer::new();
    message.u8(1).bytes(&[3; 16]).opaque16(note.as_bytes()).opaque16(b"an older program");
    send_as_bob(&server, "alice", &message.finish());
    assert_eq!(alice.done(&["receive"])["messages"][0]["text"], "an older program");
}

/// `monitor` asks again about what a message told of, so that a watcher does not wait for the next message.
#[test]
fn monitoring_asks_again_about_heads_that_were_not_explained() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    let base = server.world().log.clone();
    server.world().log = branch(&base, 5, b"left");
    alice.done(&["send", "bob", "hello"]);
    server.world().log = branch(&base, 9, b"right");
    bob.done(&["lookup", "alice"]);
    server.lie(|_, request| {
        request.path.starts_with("/tile/").then(|| Response::problem(Problem::Unavailable))
    });
    bob.done(&["receive", "--timeout", "1"]);
    let (verdict, _) = bob.json(&["monitor", "--timeout", "1"]);
    assert_eq!(verdict, Verdict::Verified, "without tiles nobody is accused");
    server.honest();
    let (verdict, value) = bob.json(&["monitor"]);
    assert_eq!(verdict, Verdict::Misbehaving, "{value}");
    assert_eq!(value["events"].as_array().unwrap().last().unwrap()["from"], "alice");
}

//! Proofs that leave the log: exported, and checked without it.

use keyglass_client_verify::verdict::Verdict;
use keyglass_keytrans::wire::Wire as _;
use serde_json::{Value, json};

use crate::{Person, log::TestLog, run, server::Response, server::Server};

/// Checks a proof offline, with nothing but the three files.
fn verify(person: &Person, proof: &str, entry: &str, policy: &str) -> (Verdict, Value) {
    let path = |name: &str| person.path(name).to_str().unwrap().to_owned();
    let (proof, entry, policy) = (path(proof), path(entry), path(policy));
    let checked =
        run(&["keyglass", "proof", "verify", &proof, "--entry", &entry, "--policy", &policy, "--json"]);
    (checked.verdict, checked.json())
}

fn export(person: &Person, which: &[&str], proof: &str, entry: &str) -> Value {
    let (proof, entry) = (person.path(proof), person.path(entry));
    let mut line = vec!["proof", "export"];
    line.extend_from_slice(which);
    line.extend_from_slice(&["--out", proof.to_str().unwrap(), "--entry-out", entry.to_str().unwrap()]);
    person.done(&line)
}

#[test]
fn every_entry_is_proven_to_strangers() {
    let server = Server::start();
    server.world().log.grow_to(300);
    let alice = Person::new(&server);
    for index in [0, 1, 254, 255, 256, 298, 299] {
        let done = export(&alice, &["--index", &index.to_string()], "a.tlog-proof", "a.entry");
        assert_eq!((&done["index"], &done["tree_size"]), (&json!(index), &json!(300)));
        let entry = std::fs::read(alice.path("a.entry")).unwrap();
        assert_eq!(entry, server.world().log.entry(index));
        let (verdict, value) = verify(&alice, "a.tlog-proof", "a.entry", "policy");
        assert_eq!(verdict, Verdict::Verified, "{value}");
        assert_eq!(value["origin"], TestLog::origin());
        assert_eq!((&value["index"], &value["witnessed"]), (&json!(index), &json!(true)));
        assert_eq!(value["witnesses"].as_array().unwrap().len(), 3);
        assert!(value["log_entry"]["timestamp"].is_u64());
    }
    let size = server.world().log.size().to_string();
    let (verdict, value) = alice.json(&["proof", "export", "--index", &size]);
    assert_eq!((verdict, &value["reason"]), (Verdict::Usage, &json!("no_such_entry")));
}

#[test]
fn a_proof_proves_one_entry_to_those_who_trust_its_witnesses() {
    let server = Server::start();
    server.world().log.grow_to(3);
    // Entries of one millisecond are the same unless their prefix trees differ.
    server.world().log.append(&[(b"x", vec![1])]);
    server.world().log.grow_to(5);
    let alice = Person::new(&server);
    export(&alice, &["--index", "3"], "p", "e");
    export(&alice, &["--index", "2"], "p2", "e2");
    assert_eq!(verify(&alice, "p", "e", "policy").0, Verdict::Verified);
    assert_eq!(verify(&alice, "p", "e2", "policy").0, Verdict::Rejected);
    assert_eq!(verify(&alice, "p2", "e", "policy").0, Verdict::Rejected);
    assert_eq!(verify(&alice, "e", "e", "policy").1["reason"], "malformed");
    // Nobody else's policy accepts it, nor one that asks for more witnesses than signed.
    server.world().log.cosigning = vec![0, 1];
    server.world().log.append(&[]);
    export(&alice, &["--index", "3"], "p", "e");
    let stricter = TestLog::policy().replace("group all 2", "group all 3");
    std::fs::write(alice.path("stricter"), stricter).unwrap();
    assert_eq!(verify(&alice, "p", "e", "policy").0, Verdict::Verified);
    assert_eq!(verify(&alice, "p", "e", "stricter").0, Verdict::Rejected);
    std::fs::write(alice.path("none"), "quorum none\n").unwrap();
    assert_eq!(verify(&alice, "p", "e", "none").0, Verdict::Rejected, "no log is named");
    let lone = format!("log {}\nquorum none\n", TestLog::vkey());
    std::fs::write(alice.path("none"), lone).unwrap();
    let (verdict, value) = verify(&alice, "p", "e", "none");
    assert_eq!((verdict, &value["witnessed"]), (Verdict::Verified, &json!(false)));
    let words = alice.run(&[
        "proof",
        "verify",
        alice.path("p").to_str().unwrap(),
        "--entry",
        alice.path("e").to_str().unwrap(),
    ]);
    assert!(
        words.stdout.starts_with("PROVEN: these 40 bytes are entry 3 of a log that had 6 entries\n"),
        "{}",
        words.stdout
    );
}

#[test]
fn a_label_leads_to_an_entry_that_holds_its_newest_version() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    let done = export(&alice, &["bob"], "p", "e");
    assert_eq!((&done["label"], &done["version"]), (&json!("bob"), &json!(0)));
    assert_eq!(done["index"], 1, "the entry that Bob's key came with");
    assert_eq!(verify(&alice, "p", "e", "policy").0, Verdict::Verified);
    assert_eq!(alice.json(&["proof", "export", "nobody"]).0, Verdict::NotFound);
}

#[test]
fn without_files_the_proof_is_on_standard_output() {
    let server = Server::start();
    server.world().log.grow_to(2);
    let alice = Person::new(&server);
    let run = alice.run(&["proof", "export", "--index", "1"]);
    assert_eq!(run.verdict, Verdict::Verified, "{}", run.stderr);
    std::fs::write(alice.path("p"), &run.stdout).unwrap();
    std::fs::write(alice.path("e"), server.world().log.entry(1)).unwrap();
    assert_eq!(verify(&alice, "p", "e", "policy").0, Verdict::Verified);
    assert!(run.stderr.contains("entry 1 of 2, verified"), "{}", run.stderr);
    // A policy that leaves the log to the configuration serves the client, and not strangers: that is said.
    let nameless: String = TestLog::policy().lines().skip(1).map(|line| format!("{line}\n")).collect();
    std::fs::write(alice.path("policy"), nameless).unwrap();
    let run = alice.run(&["proof", "export", "--index", "1"]);
    assert!(run.stderr.contains(&format!("log {}", TestLog::vkey())), "{}", run.stderr);
}

#[test]
fn nothing_is_exported_that_does_not_verify() {
    let server = Server::start();
    server.world().log.grow_to(4);
    let alice = Person::new(&server);
    let out = alice.path("p");
    let line = ["proof", "export", "--index", "2", "--out", out.to_str().unwrap()];
    let spoil = |part: &'static str| {
        move |world: &mut crate::server::World, request: &crate::server::Request| {
            request.path.contains(part).then(|| {
                let mut honest = world.honest(request);
                *honest.body.last_mut().unwrap() ^= 1;
                honest
            })
        }
    };
    for part in ["/tile/entries/", "/tile/0/"] {
        server.lie(spoil(part));
        // The last entry of the bundle is another one; the first is what is asked for here.
        let index = if part == "/tile/entries/" { "3" } else { "2" };
        let mut line = line;
        line[3] = index;
        assert_eq!(alice.json(&line).0, Verdict::Invalid, "{part}");
    }
    server.lie(|_, request| request.path.contains("/tile/entries/").then(|| Response::ok(vec![0; 7])));
    assert_eq!(alice.json(&line).0, Verdict::Invalid);
    server.lie(|_, request| request.path.contains("/tile/entries/").then(|| Response::ok(vec![0; 20_000])));
    assert_eq!(alice.json(&line).0, Verdict::Invalid);
    server.honest();
    server.world().log.cosigning = vec![0];
    server.world().log.append(&[]);
    assert_eq!(alice.json(&line).0, Verdict::Unwitnessed);
    assert!(!out.exists());
}

/// A log that has grown may have dropped its partial tiles and bundles.
#[test]
fn full_tiles_stand_in_for_partial_ones() {
    let server = Server::start();
    server.world().log.grow_to(250);
    let alice = Person::new(&server);
    let mut grown = server.world().log.clone();
    grown.grow_to(256);
    server.lie(move |_, request| {
        let path = request.path.strip_prefix('/')?;
        if !path.starts_with("tile/") {
            return None;
        }
        let partial = path.contains(".p/");
        Some(if partial {
            Response::problem(keyglass_account::problem::Problem::NotFound)
        } else {
            Response::ok(grown.tile(path).unwrap())
        })
    });
    export(&alice, &["--index", "249"], "p", "e");
    assert_eq!(verify(&alice, "p", "e", "policy").0, Verdict::Verified);
    assert!(server.world().log.config().encode().is_ok());
}

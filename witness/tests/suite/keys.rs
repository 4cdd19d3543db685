//! Two keys by default, under one name or two; one if that is wanted; and a second one later.

use std::{fs, os::unix::fs::PermissionsExt as _};

use hyper::{Method, StatusCode};
use keyglass_tlog::{
    note::{SignedNote, Vkey, parse_signature_lines},
    time::UnixSeconds,
    witness::checkpoint_path,
};
use keyglass_witness::{head::OriginHash, kept::Kept};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::{
    log::ORIGIN,
    process::{Home, add, run, text},
};

const META: TableDefinition<&str, &str> = TableDefinition::new("keyglass-witness");
const HEADS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("heads");

fn types(vkeys: &[Vkey]) -> Vec<u8> {
    vkeys.iter().map(|vkey| vkey.key().signature_type()).collect()
}

fn printed(output: &std::process::Output) -> Vec<Vkey> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| Vkey::parse(line).unwrap()).collect()
}

#[test]
fn init_prints_both_vkeys_ed25519_first_and_once() {
    let home = Home::new();
    assert_eq!(types(&home.vkeys), [0x04, 0x06]);
    assert!(home.vkeys.iter().all(|vkey| vkey.name().as_str() == "witness.example/w1"));
    for file in ["witness.key", "witness-ml-dsa-44.key", "witness.redb", "witness.count"] {
        let mode = fs::metadata(home.data().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{file}");
    }
    let again = home.run(&["init", "--name", "witness.example/w1"]);
    assert_eq!((again.status.code(), text(&again.stdout)), (Some(3), ""));
    assert_eq!(printed(&home.run(&["vkey"])), home.vkeys);
    // Options may come first; --json gives one object on one line.
    let json = home.run(&["--json", "vkey"]);
    let line: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(text(&json.stdout).lines().count(), 1);
    assert_eq!(line["vkey"], home.vkeys[0].to_string());
    assert_eq!(line["vkeys"][0]["type"], "ed25519");
    assert_eq!(line["vkeys"][1]["vkey"], home.vkeys[1].to_string());
    assert_eq!(line["vkeys"][1]["type"], "ml-dsa-44");
    for file in ["witness.key", "witness-ml-dsa-44.key"] {
        fs::remove_file(home.data().join(file)).unwrap();
    }
    let without_key = home.run(&["init", "--name", "witness.example/w1"]);
    assert_eq!(without_key.status.code(), Some(3));
    assert!(text(&without_key.stderr).contains("without a key"));
}

#[test]
fn keys_may_have_two_names_or_be_one() {
    let two = Home::with_options(&["--ml-dsa-name", "witness.example/pq"]);
    let names: Vec<&str> = two.vkeys.iter().map(|vkey| vkey.name().as_str()).collect();
    assert_eq!(names, ["witness.example/w1", "witness.example/pq"]);
    assert_eq!(types(&Home::with_options(&["--only", "ed25519"]).vkeys), [0x04]);
    let only = Home::with_options(&["--only", "ml-dsa-44"]);
    assert_eq!(types(&only.vkeys), [0x06]);
    only.start("127.0.0.1:0");
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let long = run(&["init", "--data", data.to_str().unwrap(), "--name", &"n".repeat(256)]);
    assert_eq!(long.status.code(), Some(3), "the message of ML-DSA cosigners has no room for it");
    assert!(!data.join("witness.redb").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_cosignatures_are_returned_and_served_in_their_order() {
    let home = Home::with_options(&["--ml-dsa-name", "witness.example/pq"]);
    let running = home.start("127.0.0.1:0");
    let mut connection = running.connect().await;
    for (old, new) in [(0, 0), (0, 4), (4, 9)] {
        let answer = add(&mut connection, &home.log, old, new).await;
        assert_eq!(answer.status, StatusCode::OK);
        let lines = parse_signature_lines(answer.body.as_bytes()).unwrap();
        let claimed: Vec<_> = lines.iter().map(|line| (line.name(), line.id())).collect();
        let keys: Vec<_> = home.vkeys.iter().map(|vkey| (vkey.name(), vkey.id())).collect();
        assert_eq!(claimed, keys);
        let path = format!("/{}", checkpoint_path(ORIGIN));
        let served = connection.send(Method::GET, &path, String::new()).await.unwrap().body;
        assert_eq!(served, format!("{}{}", home.log.note(new), answer.body));
        let verified = SignedNote::parse(served.as_bytes()).unwrap();
        let verified = verified.verify(&home.keys()).unwrap();
        assert_eq!(verified.len(), 2);
        assert!(verified[0].time > Some(UnixSeconds(0)) && verified[0].time == verified[1].time);
    }
}

/// Makes the state what a program without ML-DSA keys has written.
fn make_old(home: &Home) {
    let database = Database::open(home.state()).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        transaction.open_table(META).unwrap().remove("files").unwrap().unwrap();
        let origin = OriginHash::of(ORIGIN);
        let mut heads = transaction.open_table(HEADS).unwrap();
        let stored = heads.get(&origin.0).unwrap().unwrap().value().to_vec();
        let Kept::Head(head) = Kept::decode(origin, &stored).unwrap() else { panic!("no head") };
        let body = [&[1], &head.time().0.to_be_bytes()[..], head.note().to_string().as_bytes()].concat();
        let checksum = keyglass_crypto::hash::sha256(&[&body]);
        heads.insert(&origin.0, [&checksum[..8], &body].concat().as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_from_before_goes_on_and_gets_a_second_key() {
    let mut home = Home::with_options(&["--only", "ed25519"]);
    let running = home.start("127.0.0.1:0");
    let first = add(&mut running.connect().await, &home.log, 0, 5).await.body;
    assert!(running.terminate().0.success());
    make_old(&home);

    let path = format!("/{}", checkpoint_path(ORIGIN));
    let running = home.start("127.0.0.1:0");
    let mut connection = running.connect().await;
    let served = connection.send(Method::GET, &path, String::new()).await.unwrap().body;
    assert_eq!(served, format!("{}{first}", home.log.note(5)), "the same line again");
    assert_eq!(add(&mut connection, &home.log, 5, 6).await.status, StatusCode::OK);
    let in_use = home.run(&["add-key"]);
    assert_eq!(in_use.status.code(), Some(3));
    assert!(running.terminate().0.success());
    assert!(!home.data().join("witness-ml-dsa-44.key").exists());

    let added = printed(&home.run(&["add-key", "--ml-dsa-name", "witness.example/pq"]));
    assert_eq!((types(&added), &added[..1]), (vec![0x04, 0x06], &home.vkeys[..]));
    assert_eq!(added[1].name().as_str(), "witness.example/pq");
    home.vkeys = added;
    let running = home.start("127.0.0.1:0");
    let answer = add(&mut running.connect().await, &home.log, 6, 7).await;
    assert_eq!(parse_signature_lines(answer.body.as_bytes()).unwrap().len(), 2);
    assert!(running.terminate().0.success());
    let none_left = home.run(&["add-key"]);
    assert_eq!((none_left.status.code(), text(&none_left.stdout)), (Some(3), ""));
}

/// A key file that the state does not know: refused, until `add-key` has been run to its end.
#[test]
fn an_add_key_that_was_cut_off_is_run_again() {
    let home = Home::with_options(&["--only", "ed25519"]);
    let other = Home::with_options(&["--only", "ml-dsa-44"]);
    let file = "witness-ml-dsa-44.key";
    fs::copy(other.data().join(file), home.data().join(file)).unwrap();
    let (code, error) = home.refused();
    assert_eq!(code, 3);
    assert!(error.contains("the state of the witness") && error.contains("but the keys here are"), "{error}");
    let vkeys = printed(&home.run(&["add-key"]));
    assert_eq!(vkeys, [home.vkeys[0].clone(), other.vkeys[0].clone()]);
    home.start("127.0.0.1:0");
    // A key that is lost is missed.
    fs::remove_file(home.data().join("witness.key")).unwrap();
    assert_eq!(home.refused().0, 3);
}

/// The state names its witness by all of its keys.
#[test]
fn the_state_is_bound_to_the_set_of_keys() {
    let home = Home::new();
    drop(Database::open(home.state()).unwrap());
    let database = Database::open(home.state()).unwrap();
    let read = database.begin_read().unwrap();
    let bound = read.open_table(META).unwrap().get("vkey").unwrap().unwrap().value().to_owned();
    assert_eq!(bound, format!("{}\n{}", home.vkeys[0], home.vkeys[1]));
    drop((read, database));
    fs::rename(home.data().join("witness-ml-dsa-44.key"), home.path().join("elsewhere")).unwrap();
    assert_eq!(home.refused().0, 3);
}

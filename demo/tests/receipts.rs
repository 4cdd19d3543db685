//! First messages that fail and arrive all the same, and several accounts at once, over the real programs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

#[allow(dead_code, reason = "each test program uses another part")]
mod support;

use std::path::{Path, PathBuf};

use keyglass_demo::{
    client::{Answer, Client},
    system::System,
};
use serde_json::{Value, json};

use crate::support::programs::QUIET;

async fn done(person: &Client, arguments: &[&str]) -> Answer {
    let answer = person.run(arguments).await.unwrap();
    assert_eq!(answer.verdict(), "verified", "{arguments:?}: {}", answer.transcript);
    answer
}

/// The home of a person.
fn home(person: &Client) -> PathBuf {
    let options = person.options();
    let at = options.iter().position(|option| option == "--home").unwrap();
    PathBuf::from(&options[at + 1])
}

/// The document of the one account below a home.
fn account_file(home: &Path) -> PathBuf {
    let mut pending = vec![home.to_path_buf()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.file_name().unwrap().to_string_lossy().starts_with("account-") {
            return path;
        }
    }
    panic!("no account in {}", home.display());
}

async fn metric(system: &System, name: &str) -> u64 {
    let url = format!("{}/metrics", system.url().unwrap());
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

/// Bob's device loses its signed prekey; the sender hears of it, and the text arrives under the next one.
#[tokio::test]
async fn a_text_that_cannot_be_opened_arrives_after_a_receipt() {
    let system = System::start(QUIET).await.unwrap();
    let (alice, bob) = (system.client("alice").unwrap(), system.client("bob").unwrap());
    done(&bob, &["register", "bob"]).await;
    done(&alice, &["register", "alice"]).await;
    done(&alice, &["send", "bob", "hello"]).await;

    let file = account_file(&home(&bob));
    let mut document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    document["devices"][0]["signed_prekeys"] = json!([]);
    std::fs::write(&file, serde_json::to_vec(&document).unwrap()).unwrap();
    let counted = r#"keyglass_log_handshake_failures_total{reason="signed_prekey_expired"}"#;
    assert_eq!(metric(&system, counted).await, 0);
    let failed = bob.run(&["receive"]).await.unwrap();
    assert_eq!(failed.verdict(), "undecryptable", "{}", failed.transcript);
    assert_eq!(failed.json["problems"][0]["reason"], "signed_prekey_expired");
    assert_eq!(metric(&system, counted).await, 1);

    done(&bob, &["register", "bob"]).await;
    let resent = done(&alice, &["receive"]).await;
    assert_eq!(resent.json["resent"][0]["state"], "sent_again", "{}", resent.transcript);
    let received = done(&bob, &["receive"]).await;
    assert_eq!(received.json["messages"][0]["text"], "hello");
    assert_eq!(done(&alice, &["receive"]).await.json["resent"], json!([]));
}

#[tokio::test]
async fn several_accounts_are_found_and_written_to_at_once() {
    let system = System::start(QUIET).await.unwrap();
    let people: Vec<Client> =
        ["alice", "bob", "carol", "dave"].iter().map(|name| system.client(name).unwrap()).collect();
    for (person, name) in people.iter().zip(["alice", "bob", "carol", "dave"]) {
        done(person, &["register", name]).await;
    }
    let stranger = system.client("stranger").unwrap();
    let found = done(&stranger, &["lookup", "alice", "bob", "carol", "dave"]).await;
    let bytes: Vec<u64> = found.json["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| account["proof_bytes"].as_u64().unwrap())
        .collect();
    println!("proof bytes of four accounts in one request: {bytes:?}");
    assert!(bytes[1..].iter().all(|later| *later < bytes[0]), "the head is sent once: {bytes:?}");

    done(&people[0], &["send", "bob", "carol", "dave", "hello all"]).await;
    for person in &people[1..] {
        assert_eq!(done(person, &["receive"]).await.json["messages"][0]["text"], "hello all");
    }
    let searches = r#"keyglass_log_http_requests_total{route="/v1/search-many",status="200"}"#;
    assert_eq!(metric(&system, searches).await, 2);
    let fetches = r#"keyglass_log_http_requests_total{route="/v1/bundles",status="200"}"#;
    assert_eq!(metric(&system, fetches).await, 1);
}

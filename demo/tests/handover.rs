//! A log is stopped and handed over to another, and its users move.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

#[allow(dead_code, reason = "each test program uses another part")]
mod support;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{Router, extract::Request, http::StatusCode};
use keyglass_demo::{
    client::{Answer, Client},
    daemon::Daemon,
    lying::log::{LyingLog, copy_data},
    system::{Log, System, WITNESSES, path, policy_text, start_witness, witness_line, write},
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::programs::{QUIET, run_to_end, serve};

/// The exit code for a data directory that was refused.
const REFUSED: i32 = 3;

/// The log that comes after, with witnesses of its own.
struct Next {
    log: Log,
    policy: PathBuf,
    server: Daemon,
    witnesses: Vec<Daemon>,
}

impl Next {
    async fn start(system: &System) -> Self {
        let directory = system.directory().join("next");
        std::fs::create_dir(&directory).unwrap();
        let log = Log::init(&directory, "log", QUIET).await.unwrap();
        let witness_policy = directory.join("witness.policy");
        write(&witness_policy, format!("log {}\nquorum none\n", log.vkey)).unwrap();
        let (mut witnesses, mut lines) = (Vec::new(), Vec::new());
        for name in WITNESSES {
            let (witness, vkey) = start_witness(&directory, name, &witness_policy).await.unwrap();
            lines.push(witness_line(name, &vkey, witness.url()));
            witnesses.push(witness);
        }
        let policy = directory.join("policy");
        write(&policy, policy_text(&log.vkey, &lines)).unwrap();
        let server = log.serve("127.0.0.1:0", &policy, QUIET).await.unwrap();
        Self { log, policy, server, witnesses }
    }

    /// The same person, who was told of this log.
    fn moved(&self, person: &Client) -> Client {
        Client {
            home: person.home.clone(),
            server: self.server.url().to_owned(),
            configuration: self.log.configuration.clone(),
            policy: self.policy.clone(),
        }
    }
}

/// Any web server will do for tiles.
async fn file_server(directory: &Path) -> String {
    let directory = directory.to_owned();
    let file = move |request: Request| {
        let file = directory.join(request.uri().path().trim_start_matches('/'));
        async move { std::fs::read(file).map_err(|_| StatusCode::NOT_FOUND) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(file)).await });
    format!("http://{address}")
}

async fn done(person: &Client, arguments: &[&str]) -> Answer {
    let answer = person.run(arguments).await.unwrap();
    assert_eq!(answer.verdict(), "verified", "{arguments:?}: {}", answer.transcript);
    answer
}

#[tokio::test]
async fn users_follow_a_log_to_the_next() {
    let mut system = System::start(QUIET).await.unwrap();
    let (alice, bob) = (system.client("alice").unwrap(), system.client("bob").unwrap());
    done(&bob, &["register", "bob"]).await;
    done(&alice, &["register", "alice"]).await;
    let before = done(&alice, &["lookup", "bob"]).await;
    // Alice does not see the last entry of the old log.
    done(&system.client("carol").unwrap(), &["register", "carol"]).await;

    let next = Next::start(&system).await;
    let (tiles, file) = (system.directory().join("tiles"), system.directory().join("log.handover"));
    let data = system.log.data.clone();
    let arguments = ["handover", "--data", path(&data), "--to", &next.log.vkey, "--tiles", path(&tiles)];
    let arguments = arguments.map(str::to_owned);
    let running = run_to_end("keyglass-log-server", &arguments).await;
    assert_eq!(running.status.code(), Some(REFUSED), "a running log is not ended");
    let address = system.stop_log().await.unwrap();
    let secret = system.directory().join("secret");
    copy_data(&data, &secret).unwrap();
    let ended = run_to_end("keyglass-log-server", &arguments).await;
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    write(&file, &ended.stdout).unwrap();
    let again = [&arguments[..], &["--json".to_owned()]].concat();
    let again = run_to_end("keyglass-log-server", &again).await;
    let printed: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(printed["handover"].as_str().unwrap().as_bytes(), ended.stdout);
    let served = run_to_end("keyglass-log-server", &serve(&data, &system.policy, &address)).await;
    assert_eq!(served.status.code(), Some(REFUSED), "a log that ended is not served");

    let url = file_server(&tiles).await;
    let (new_alice, new_bob) = (next.moved(&alice), next.moved(&bob));
    let option = ["--handover", path(&file), "--old-server", &url];
    done(&new_bob, &[&option[..], &["register", "bob"]].concat()).await;
    let found = done(&new_alice, &[&option[..], &["lookup", "bob"]].concat()).await;
    assert_eq!(found.text("identity_key"), before.text("identity_key"));
    assert_eq!(found.json["carried_over"], true, "{}", found.transcript);
    done(&new_alice, &["register", "alice"]).await;
    done(&new_alice, &["send", "bob", "hello again"]).await;
    let received = done(&new_bob, &["receive"]).await;
    assert_eq!(received.json["messages"][0]["text"], "hello again");

    // The old log goes on in secret, its witnesses none the wiser.
    let policy = std::fs::read_to_string(&system.policy).unwrap();
    let secret = LyingLog::start(&secret, &policy, Duration::from_secs(3600)).await.unwrap();
    secret.insert(b"dave", b"value".to_vec()).await.unwrap();
    let shown = system.client_of("alice", &secret.url()).run(&["lookup", "bob"]).await.unwrap();
    assert_eq!(shown.verdict(), "misbehaving", "{}", shown.transcript);
    assert_eq!(shown.text("reason"), "after_handover");
    let evidence = shown.text("evidence").to_owned();
    let proven = done(&alice, &["evidence", "verify", &evidence, "--log", &system.log.vkey]).await;
    assert_eq!(proven.text("kind"), "after-handover");
    done(&new_alice, &["lookup", "bob"]).await;
    secret.stop().await;
    next.server.stop().await.unwrap();
    for witness in next.witnesses {
        witness.stop().await.unwrap();
    }
}

//! Witnesses that others wrote cosign our log, and logs that others wrote are cosigned by our witnesses.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use keyglass_crypto::sign::SigningKey;
use keyglass_demo::{
    client::Client,
    daemon::Daemon,
    system::{Log, Timing, start_witness, witness_line},
};
use keyglass_interop::{
    judge::{Bytes, Judge},
    programs::Programs,
    stranger::{Stranger, run},
    witnesses::{Litewitness, Omniwitness, WitnessedLog},
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::{KeyName, NoteSigner, SignedNote},
    policy::Policy,
    rfc6962::{leaf_hash, root_at, verify_inclusion},
    tile::{Content, Tile, node_in_tile, parse_bundle, tile_of_node},
    time::UnixMillis,
    witness::AddCheckpoint,
    witnessed::{Horizon, Judge as PolicyJudge},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    kit::{Tree, programs},
    tiles::TilesRead,
};

/// Without heartbeats: the log grows by updates only.
const QUIET: Timing = Timing { max_behind: 3_600_000, heartbeat: 3_000_000 };

async fn register(client: &Client, label: &str) {
    let answer = client.run(&["register", label]).await.unwrap();
    assert_eq!(answer.verdict(), "verified", "{}", answer.transcript);
}

async fn look_up(client: &Client, label: &str) {
    let answer = client.run(&["lookup", label]).await.unwrap();
    assert_eq!(answer.verdict(), "verified", "{}", answer.transcript);
}

#[derive(Deserialize)]
struct LogRead {
    size: u64,
    root: Bytes,
    note: Bytes,
    fsck: String,
    trees: BTreeMap<String, TilesRead>,
}

/// A log whose quorum is litewitness, omniwitness and one of ours: nothing is published without each of them.
#[tokio::test]
async fn witnesses_that_others_wrote_cosign_our_log() {
    let Some(programs) = programs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let log = Log::init(directory.path(), "log", QUIET).await.unwrap();
    let witnessed = [WitnessedLog { origin: log.origin.clone(), vkey: log.vkey.clone() }];
    let lite = Litewitness::new(&directory.path().join("lite"), "lite.example/w").unwrap();
    let lite_runs = lite.start(programs).unwrap();
    lite.add_logs(programs, &witnessed).unwrap();
    let omni = Omniwitness::new(&directory.path().join("omni"), "omni.example/w", &witnessed).unwrap();
    let omni_runs = omni.start(programs).unwrap();
    let witness_policy = directory.path().join("witness.policy");
    fs::write(&witness_policy, format!("log {}\nquorum none\n", log.vkey)).unwrap();
    let (_ours, vkey) = start_witness(directory.path(), "ours", &witness_policy).await.unwrap();
    let policy = directory.path().join("policy");
    let text = [
        format!("log {}\n", log.vkey),
        witness_line("lite", &lite.0.vkey, &lite.0.url()),
        witness_line("omni", &omni.0.vkey, &omni.0.url()),
        witness_line("ours", &vkey, _ours.url()),
        "group everyone all lite omni ours\nquorum everyone\n".to_owned(),
    ];
    fs::write(&policy, text.concat()).unwrap();
    let server = log.serve("127.0.0.1:0", &policy, QUIET).await.unwrap();
    let client = |name: &str| Client {
        home: directory.path().join(name),
        server: server.url().to_owned(),
        configuration: log.configuration.clone(),
        policy: policy.clone(),
    };
    let alice = client("alice");
    for label in ["a1", "a2", "a3"] {
        register(&client(label), label).await;
        look_up(&alice, label).await;
    }

    // One of them is gone: what is registered meanwhile is published once it is back, at the state that it had.
    for restart_lite in [true, false] {
        let label = if restart_lite { "b1" } else { "b2" };
        let (mut lite_down, mut omni_down) = (None, None);
        if restart_lite { lite_down = Some(()) } else { omni_down = Some(()) }
        let stopped = if restart_lite { &lite_runs } else { &omni_runs };
        let id = stopped.id().to_string();
        run(Path::new("/bin/kill"), &["-STOP", &id], "").unwrap();
        let bob = client(label);
        let registering = async { bob.run(&["register", label]).await.unwrap() };
        let resuming = async {
            // A head is pending now: the witness is asked, and does not answer.
            let stalled = look_for_pending(server.url()).await;
            run(Path::new("/bin/kill"), &["-CONT", &id], "").unwrap();
            stalled
        };
        let (answer, ()) = tokio::join!(registering, resuming);
        assert_eq!(answer.verdict(), "verified", "{}", answer.transcript);
        look_up(&alice, label).await;
        drop((lite_down.take(), omni_down.take()));
    }
    lite_runs.kill().unwrap();
    omni_runs.kill().unwrap();
    let lite_runs = lite.start(programs).unwrap();
    let omni_runs = omni.start(programs).unwrap();
    register(&client("c1"), "c1").await;
    look_up(&alice, "c1").await;

    // The whole log, as libraries that others wrote read it.
    let mut judge = Judge::start(programs).unwrap();
    let read: LogRead = judge
        .ask(&json!({ "op": "read_log", "url": format!("{}/", server.url()), "vkey": log.vkey }))
        .unwrap();
    assert!(read.size >= 6 && read.root.0.len() == 32);
    assert_eq!(read.fsck, "");
    for (library, tree) in read.trees {
        assert_eq!(tree.error, "", "{library}");
        assert_eq!(tree.entries, read.size, "{library}");
    }
    let text = fs::read(&policy).unwrap();
    judge_note(&text, &read.note.0);
    drop((lite_runs, omni_runs));
    server.stop().await.unwrap();
}

fn judge_note(policy: &[u8], note: &[u8]) -> Checkpoint {
    let policy = Policy::parse(policy).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let horizon = Horizon::at(UnixMillis(now.as_millis() as u64), std::time::Duration::from_secs(5));
    let judged = PolicyJudge::new(&policy, horizon).judge(&SignedNote::parse(note).unwrap()).unwrap();
    judged.into_unverified()
}

//! A log of two faces among witnesses and an auditor that gossip, each a process of its own: nobody but they themselves tells
//! them of the fork.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

use std::{fs, path::Path, time::Duration};

use keyglass_account::{
    author::Draft,
    device::{Device, Suite},
    time::UnixMillis,
};
use keyglass_crypto::{dh::DhSecretKey, sign::SigningKey};
use keyglass_demo::{
    daemon::{Daemon, ask, run},
    lying::log::{LyingLog, copy_data},
    system::{Log, Timing, path, start_witness, witness_line, write},
};
use keyglass_tlog::{evidence::Evidence, policy::Policy};

const NO_HEARTBEAT: Duration = Duration::from_secs(3600);
const ATTEMPTS: u32 = 1200;
const PAUSE: Duration = Duration::from_millis(25);

fn account(origin: &str, label: &[u8], seed: u8) -> Vec<u8> {
    let signing_key = SigningKey::from_seed(&[seed + 1; 32]);
    let dh_key = DhSecretKey::from_bytes(&[seed + 2; 32]).public_key();
    let device = Device::sign(origin, label, 1, &signing_key, dh_key, vec![Suite::X3DH], UnixMillis(0));
    let draft = Draft::new(origin, label, 0).add_device(device);
    draft.sign_genesis(&SigningKey::from_seed(&[seed; 32])).unwrap().encode()
}

/// The evidence that a party lists, once it lists any.
async fn evidence_of(url: &str) -> String {
    for _ in 0..ATTEMPTS {
        let get =
            async |path: &str| reqwest::get(format!("{url}/{path}")).await.unwrap().text().await.unwrap();
        let list = get("gossip/v1/evidence").await;
        if let Some(line) = list.lines().nth(1) {
            return get(&format!("gossip/v1/evidence/{}", line.split(' ').next().unwrap())).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{url} holds no evidence");
}

/// A witness that gossips with nobody yet, in the place of one that was made.
async fn gossiping(directory: &Path, name: &str, policy: &Path) -> (Daemon, String) {
    let (made, vkey) = start_witness(directory, name, policy).await.unwrap();
    made.stop().await.unwrap();
    let (data, peers) = (directory.join(name), directory.join(format!("{name}.peers")));
    write(&peers, "").unwrap();
    let arguments = [
        "serve",
        "--data",
        path(&data),
        "--listen",
        "127.0.0.1:0",
        "--policy",
        path(policy),
        "--peers",
        path(&peers),
        "--gossip-period",
        "500",
    ];
    (Daemon::start("keyglass-witness", &arguments, &data.with_extension("log")).await.unwrap(), vkey)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_among_honest_witnesses_is_known_to_all_of_them_and_the_auditor() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let log = Log::init(directory, "log", Timing { max_behind: 120_000, heartbeat: 0 }).await.unwrap();
    let fork_data = directory.join("fork");
    copy_data(&log.data, &fork_data).unwrap();
    let policy = directory.join("policy");
    write(&policy, format!("log {}\nquorum none\n", log.vkey)).unwrap();
    let mut witnesses = Vec::new();
    for name in ["w1", "w2", "w3"] {
        witnesses.push(gossiping(directory, name, &policy).await);
    }
    // Either side asks a witness of its own; the third has seen nothing of the log.
    let line = |i: usize| witness_line(&format!("w{}", i + 1), &witnesses[i].1, witnesses[i].0.url());
    let side = |i: usize| format!("log {}\n{}quorum w{}\n", log.vkey, line(i), i + 1);
    let honest = LyingLog::start(&log.data, &side(0), NO_HEARTBEAT).await.unwrap();
    honest.insert(b"bob", account(&log.origin, b"bob", 0x40)).await.unwrap();
    honest.insert(b"carol", account(&log.origin, b"carol", 0x60)).await.unwrap();
    let fork = LyingLog::start(&fork_data, &side(1), NO_HEARTBEAT).await.unwrap();
    fork.insert(b"bob", account(&log.origin, b"bob", 0x50)).await.unwrap();

    // The auditor follows the honest side, and is told of no fork: its policy has the first witness only.
    let all: String = (0..3).map(line).collect();
    let text = format!("log {} {}\n{all}quorum w1\n", log.vkey, honest.url());
    Policy::parse(text.as_bytes()).unwrap();
    write(&policy, &text).unwrap();
    write(&directory.join("auditor.policy"), format!("log {}\n{}quorum w1\n", log.vkey, line(0))).unwrap();
    let data = directory.join("auditor");
    run("keyglass-auditor", &["init", "--data", path(&data), "--name", "auditor.demo.example"])
        .await
        .unwrap();
    let config = directory.join("auditor.toml");
    let entry = format!(
        "[[log]]\nname = \"log\"\nurls = [\"{}\"]\npolicy = \"auditor.policy\"\nconfiguration = \"log.configuration\"\n",
        honest.url()
    );
    write(&config, entry).unwrap();
    let peers_of = |but: usize| -> String {
        let others = witnesses.iter().enumerate().filter(|(i, _)| *i != but);
        others.map(|(i, (witness, _))| format!("peer w{} {}\n", i + 1, witness.url())).collect()
    };
    // It asks the third alone, which has no head of its own: evidence reaches it over two steps.
    let third = format!("peer w3 {}\n", witnesses[2].0.url());
    let auditor_peers = directory.join("auditor.peers");
    write(&auditor_peers, third).unwrap();
    let arguments = [
        "serve",
        "--data",
        path(&data),
        "--config",
        path(&config),
        "--listen",
        "127.0.0.1:0",
        "--peers",
        path(&auditor_peers),
        "--gossip-period",
        "500",
    ];
    let auditor =
        Daemon::start("keyglass-auditor", &arguments, &directory.join("auditor.log")).await.unwrap();
    for (i, (witness, _)) in witnesses.iter().enumerate() {
        write(&directory.join(format!("w{}.peers", i + 1)), peers_of(i)).unwrap();
        witness.reload().unwrap();
    }

    for url in witnesses.iter().map(|(witness, _)| witness.url()).chain([auditor.url()]) {
        let evidence = evidence_of(url).await;
        let log_key = keyglass_tlog::note::Vkey::parse(&log.vkey).unwrap();
        let proven = Evidence::parse(evidence.as_bytes()).unwrap().verify(&[&log_key], None).unwrap();
        assert_eq!(proven.origin(), log.origin);
    }
    // The witness of the honest side cosigns nothing more: an entry is not published.
    let body = format!(
        "old 3\n\n{}",
        reqwest::get(format!("{}/checkpoint", honest.url())).await.unwrap().text().await.unwrap()
    );
    let answer = reqwest::Client::new()
        .post(format!("{}/add-checkpoint", witnesses[0].0.url()))
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 423);
    let text = answer.text().await.unwrap();
    assert!(text.contains("evidence-held"), "{text}");
    // An operator decides otherwise, and it goes on.
    let (first, _) = witnesses.remove(0);
    let address = first.address().to_owned();
    first.stop().await.unwrap();
    let (w1, peers) = (directory.join("w1"), directory.join("w1.peers"));
    let arguments = [
        "resolve",
        "--data",
        path(&w1),
        "--policy",
        path(&policy),
        "--origin",
        &log.origin,
        "--reason",
        "a test",
    ];
    let (code, resolved) = ask("keyglass-witness", &arguments).await.unwrap();
    assert_eq!(code, 0, "{resolved}");
    let arguments = [
        "serve",
        "--data",
        path(&w1),
        "--listen",
        &address,
        "--policy",
        path(&policy),
        "--peers",
        path(&peers),
    ];
    let log_file = w1.with_extension("log");
    let _first = Daemon::start("keyglass-witness", &arguments, &log_file).await.unwrap();
    honest.insert(b"dave", account(&log.origin, b"dave", 0x70)).await.unwrap();
    let said = fs::read_to_string(&log_file).unwrap();
    assert!(said.contains("the log signed two histories"), "{said}");
    honest.stop().await;
    fork.stop().await;
    auditor.stop().await.unwrap();
}

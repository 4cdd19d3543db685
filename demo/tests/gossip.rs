//! A log of two faces among witnesses and an auditor that gossip, each a process of its own: nobody but they themselves tells
//! them of the fork.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

use std::{fs, time::Duration};

use keyglass_demo::{
    daemon::ask,
    lies::split_view::{NO_HEARTBEAT, account},
    lying::log::{LyingLog, copy_data},
    system::{
        Log, Timing, introduce, path, serve_witness, start_auditor, start_witness, witness_line, write,
    },
};
use keyglass_tlog::{evidence::Evidence, policy::Policy};

const ATTEMPTS: u32 = 1200;
const PAUSE: Duration = Duration::from_millis(25);

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
        witnesses.push(start_witness(directory, name, &policy).await.unwrap());
    }
    // Either side asks a witness of its own; the third has seen nothing of the log.
    let line = |i: usize| witness_line(&format!("w{}", i + 1), &witnesses[i].1, witnesses[i].0.url());
    let side = |i: usize| format!("log {}\n{}quorum w{}\n", log.vkey, line(i), i + 1);
    let honest = LyingLog::start(&log.data, &side(0), NO_HEARTBEAT).await.unwrap();
    honest.insert(b"bob", account(&log.origin, b"bob", 0x40).unwrap()).await.unwrap();
    honest.insert(b"carol", account(&log.origin, b"carol", 0x60).unwrap()).await.unwrap();
    let fork = LyingLog::start(&fork_data, &side(1), NO_HEARTBEAT).await.unwrap();
    fork.insert(b"bob", account(&log.origin, b"bob", 0x50).unwrap()).await.unwrap();

    // The auditor follows the honest side, and is told of no fork: its policy has the first witness only.
    let all: String = (0..3).map(line).collect();
    let text = format!("log {} {}\n{all}quorum w1\n", log.vkey, honest.url());
    Policy::parse(text.as_bytes()).unwrap();
    write(&policy, &text).unwrap();
    let auditor_policy = directory.join("auditor.policy");
    write(&auditor_policy, format!("log {}\n{}quorum w1\n", log.vkey, line(0))).unwrap();
    let auditor = start_auditor(directory, &log, &auditor_policy, &honest.url()).await.unwrap();
    // It asks the third alone, which has no head of its own: evidence reaches it over two steps.
    introduce(directory, "auditor", &auditor, [("w3", &witnesses[2].0)].into_iter()).unwrap();
    let names = ["w1", "w2", "w3"];
    for (i, (witness, _)) in witnesses.iter().enumerate() {
        let others = names.iter().copied().zip(witnesses.iter().map(|(other, _)| other));
        let others = others.enumerate().filter(|(j, _)| *j != i).map(|(_, other)| other);
        introduce(directory, names[i], witness, others).unwrap();
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
    let w1 = directory.join("w1");
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
    let _first = serve_witness(directory, "w1", &policy, &address).await.unwrap();
    let log_file = w1.with_extension("log");
    honest.insert(b"dave", account(&log.origin, b"dave", 0x70).unwrap()).await.unwrap();
    let said = fs::read_to_string(&log_file).unwrap();
    assert!(said.contains("the log signed two histories"), "{said}");
    honest.stop().await;
    fork.stop().await;
    auditor.stop().await.unwrap();
}

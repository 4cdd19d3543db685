//! Two people on different sides of a fork compare the distinguished heads that they were shown.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::time::Duration;

use keyglass_demo::{
    client::Client,
    lying::{
        log::{LyingLog, copy_data},
        witness::{ColludingWitness, start},
    },
    system::{Log, Timing, witness_line, write},
};

/// So long that no log adds an entry by itself.
const NO_HEARTBEAT: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn the_two_sides_of_a_fork_dispute_each_others_heads() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let log = Log::init(directory, "log", Timing { max_behind: 600_000, heartbeat: 0 }).await.unwrap();
    let witness = ColludingWitness::new("w1.demo.example", 0x77).unwrap();
    let vkey = witness.vkey();
    let witness = start(std::sync::Arc::new(witness)).await.unwrap();
    let line = witness_line("w1", &vkey, &format!("http://{}", witness.address()));
    let policy = directory.join("policy");
    let text = format!("log {}\n{line}quorum w1\n", log.vkey);
    write(&policy, &text).unwrap();

    // What both sides have in common, then one entry that they have not, then more.
    let common = LyingLog::start(&log.data, &text, NO_HEARTBEAT).await.unwrap();
    for name in ["one", "two", "three"] {
        common.insert(name.as_bytes(), b"value".to_vec()).await.unwrap();
    }
    common.stop().await;
    let fork_data = directory.join("fork");
    copy_data(&log.data, &fork_data).unwrap();
    let honest = LyingLog::start(&log.data, &text, NO_HEARTBEAT).await.unwrap();
    let fork = LyingLog::start(&fork_data, &text, NO_HEARTBEAT).await.unwrap();
    for (side, value) in [(&honest, "left"), (&fork, "right")] {
        for name in ["four", "five", "six", "seven"] {
            side.insert(name.as_bytes(), value.into()).await.unwrap();
        }
    }
    let person = |home: &str, server: &LyingLog| Client {
        home: directory.join(home),
        server: server.url(),
        configuration: log.configuration.clone(),
        policy: policy.clone(),
    };
    let (alice, bob, carol) = (person("alice", &honest), person("bob", &fork), person("carol", &honest));

    let exported = alice.run(&["heads", "--export"]).await.unwrap();
    assert_eq!(exported.verdict(), "verified", "{}", exported.transcript);
    let list = directory.join("alice.heads");
    write(&list, exported.text("export")).unwrap();
    let list = list.to_str().unwrap();
    let agreed = carol.run(&["heads", "--compare", list]).await.unwrap();
    assert_eq!((agreed.code, agreed.text("agreement")), (0, "agree"), "{}", agreed.transcript);
    let disputed = bob.run(&["heads", "--compare", list]).await.unwrap();
    assert_eq!((disputed.code, disputed.text("agreement")), (27, "disputed"), "{}", disputed.transcript);
    assert!(disputed.number("common") > 0, "the entries before the fork are common: {}", disputed.transcript);
    // Disputed heads are what sends people to look closer; the log's signatures are what convicts it.
    let convicted = person("bob", &honest).run(&["heads"]).await.unwrap();
    assert!(
        ["misbehaving", "unreconciled"].contains(&convicted.verdict()),
        "both sides have one size: {}",
        convicted.transcript
    );
    honest.insert(b"eight", b"value".to_vec()).await.unwrap();
    let convicted = person("bob", &honest).run(&["heads"]).await.unwrap();
    assert_eq!(convicted.verdict(), "misbehaving", "{}", convicted.transcript);

    honest.stop().await;
    fork.stop().await;
    witness.stop().await;
}

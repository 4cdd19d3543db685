//! Logs come and go while the witness runs.

use std::fs;

use hyper::{Method, StatusCode};

use crate::{
    client::Connection,
    log::{Log, ORIGIN},
    process::{Home, add},
};

fn write_policy(home: &Home, logs: &[&Log]) {
    let lines: String = logs.iter().map(|log| format!("log {}\n", log.vkey())).collect();
    fs::write(home.policy(), format!("{lines}quorum none\n")).unwrap();
}

async fn metric(connection: &mut Connection, name: &str) -> String {
    let text = connection.send(Method::GET, "/metrics", String::new()).await.unwrap().body;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or("-").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_adds_and_removes_logs() {
    let home = Home::new();
    let (one, two) = (&home.log, Log::new("log.example/two"));
    let mut running = home.start("127.0.0.1:0");
    let mut connection = running.connect().await;
    assert_eq!(add(&mut connection, one, 0, 5).await.status, StatusCode::OK);
    assert_eq!(add(&mut connection, &two, 0, 3).await.problem(), "unknown-origin");

    write_policy(&home, &[one, &two]);
    running.signal("-HUP");
    let said = running.wait_for("a new policy");
    assert!(said.contains("added=1") && said.contains("removed=0"), "{said}");
    assert_eq!(add(&mut connection, &two, 0, 3).await.status, StatusCode::OK, "on the same connection");
    assert_eq!(metric(&mut connection, "keyglass_witness_logs").await, "2");

    write_policy(&home, &[&two]);
    running.signal("-HUP");
    running.wait_for("a new policy");
    assert_eq!(add(&mut connection, one, 5, 6).await.problem(), "unknown-origin");

    // A log that comes back goes on where it was: its state has stayed.
    write_policy(&home, &[&two, one]);
    running.signal("-HUP");
    running.wait_for("a new policy");
    let fork = Log::forked(ORIGIN, 2, 1);
    assert_eq!(add(&mut connection, &fork, 0, 6).await.body, "5\n");
    assert_eq!(add(&mut connection, &fork, 5, 6).await.problem(), "bad-consistency-proof");
    assert_eq!(add(&mut connection, one, 5, 6).await.status, StatusCode::OK);
    assert!(running.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_policy_leaves_the_one_before_in_force() {
    let home = Home::new();
    let mut running = home.start("127.0.0.1:0");
    let mut connection = running.connect().await;
    let counter = "keyglass_witness_policy_reloads_total{outcome=\"refused\"}";
    for (policy, refusals) in [("log nonsense\nquorum none\n", "1"), ("quorum none\n", "2")] {
        fs::write(home.policy(), policy).unwrap();
        running.signal("-HUP");
        running.wait_for("the policy was refused");
        assert_eq!(metric(&mut connection, counter).await, refusals);
    }
    fs::remove_file(home.policy()).unwrap();
    running.signal("-HUP");
    running.wait_for("the policy was refused");
    assert_eq!(add(&mut connection, &home.log, 0, 5).await.status, StatusCode::OK);
    assert!(running.terminate().0.success());
}

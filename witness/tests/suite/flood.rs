//! One log's flood is that log's affair. Nothing here is timed: a log whose requests cannot end stands for the slowest.

use std::{num::NonZeroU32, sync::Arc};

use hyper::{Method, StatusCode};
use keyglass_tlog::policy::Policy;
use keyglass_witness::{
    head::OriginHash,
    http::{Limits, Server, router, serve},
    logs::{Logs, MAX_WAITING},
    metrics::Metrics,
    service::Witness,
};
use tokio::task::JoinSet;

use crate::{
    client::{Answer, Connection},
    log::{Log, ORIGIN},
    race::cosigner,
    stores::{MemoryStore, TestClock},
};

async fn start(logs: &[&Log], store: MemoryStore, per_second: u32) -> Server {
    let lines: String = logs.iter().map(|log| format!("log {}\n", log.vkey())).collect();
    let policy = Policy::parse(format!("{lines}quorum none\n").as_bytes()).unwrap();
    let logs = Logs::of_policy(&policy, NonZeroU32::new(per_second).unwrap());
    let metrics = Arc::new(Metrics::default());
    let clock = TestClock::at(1_700_000_000);
    let witness = Witness::new(vec![cosigner()], logs, store, clock, Arc::clone(&metrics));
    let router = router(Arc::new(witness), metrics, Limits::default());
    serve("127.0.0.1:0".parse().unwrap(), router).unwrap()
}

async fn add(connection: &mut Connection, log: &Log, old: u64, new: u64) -> Answer {
    let body = log.request(old, new).to_string();
    connection.send(Method::POST, "/add-checkpoint", body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_log_floods_a_disk_that_stands_still_others_are_answered() {
    const FLOOD: usize = 3 * MAX_WAITING;
    let (flooding, other) = (Arc::new(Log::new(ORIGIN)), Log::new("log.example/two"));
    let store = MemoryStore::default();
    let stuck = store.hold(OriginHash::of(ORIGIN));
    let server = start(&[&flooding, &other], store, 1_000_000).await;

    let mut flood = JoinSet::new();
    for _ in 0..FLOOD {
        let (log, mut connection) =
            (Arc::clone(&flooding), Connection::open(server.address()).await.unwrap());
        flood.spawn(async move { add(&mut connection, &log, 0, 5).await.status });
    }
    // All that find no place to wait are sent away, while nothing of this log is stored.
    for _ in 0..FLOOD - MAX_WAITING {
        let status = flood.join_next().await.unwrap().unwrap();
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    }
    let mut connection = Connection::open(server.address()).await.unwrap();
    for size in 1..50 {
        assert_eq!(add(&mut connection, &other, size - 1, size).await.status, StatusCode::OK);
    }
    assert!(flood.try_join_next().is_none(), "the others wait for their disk");
    // It moves again: those that waited are answered, the first with a cosignature.
    stuck.add_permits(MAX_WAITING);
    let statuses = flood.join_all().await;
    assert_eq!(statuses.len(), MAX_WAITING);
    let of = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((of(StatusCode::OK), of(StatusCode::CONFLICT)), (1, MAX_WAITING - 1));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_used_up_its_share_takes_nothing_from_others() {
    let (flooding, other) = (Log::new(ORIGIN), Log::new("log.example/two"));
    let server = start(&[&flooding, &other], MemoryStore::default(), 1).await;
    let mut connection = Connection::open(server.address()).await.unwrap();
    let mut sent_away = 0;
    for _ in 0..20 {
        let answer = add(&mut connection, &flooding, 9, 9).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.retry_after.as_deref(), Some("1"));
            sent_away += 1;
        }
    }
    assert!(sent_away > 0);
    assert_eq!(add(&mut connection, &other, 0, 5).await.status, StatusCode::OK);

    // Nor does it take a share to be refused: who has not the log's key cannot use it up.
    let server = start(&[&other], MemoryStore::default(), 1).await;
    let mut connection = Connection::open(server.address()).await.unwrap();
    let forged = other.request(0, 5).to_string().replace("log.example/two\n5\n", "log.example/two\n6\n");
    for _ in 0..20 {
        let answer = connection.send(Method::POST, "/add-checkpoint", forged.clone()).await.unwrap();
        assert_eq!(answer.problem(), "bad-log-signature");
    }
    assert_eq!(add(&mut connection, &other, 0, 5).await.status, StatusCode::OK);
}

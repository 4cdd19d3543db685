//! Clocks that jump: back, a year ahead, and to nowhere. Times never go back, and nothing is signed a year ahead.

use std::{fs, num::NonZeroU32, path::PathBuf, sync::Arc};

use axum::{Router, body::Body};
use hyper::{Method, StatusCode};
use keyglass_witness::{
    clock::TOLERANCE,
    http::{Limits, router},
    logs::Logs,
    metrics::Metrics,
    service::Witness,
};
use tower::ServiceExt as _;

use crate::{
    client::{Answer, read, request},
    log::{Log, ORIGIN},
    process::{self, Home, Running},
    race::{cosigner, time_of},
    stores::{MemoryStore, TestClock},
};

const NOW: u64 = 1_700_000_000;
const YEAR: u64 = 365 * 24 * 3600;

fn start(log: &Log, store: &MemoryStore, clock: &TestClock) -> Router {
    let metrics = Arc::new(Metrics::default());
    let logs = Logs::of_policy(&log.policy(), NonZeroU32::MAX);
    let witness = Witness::new(vec![cosigner()], logs, store.clone(), clock.clone(), Arc::clone(&metrics));
    router(Arc::new(witness), metrics, Limits::default())
}

async fn send(router: &Router, method: Method, path: &str, body: impl Into<Body>) -> Answer {
    read(router.clone().oneshot(request(method, path, body)).await.unwrap()).await
}

async fn add(router: &Router, log: &Log, old: u64, new: u64) -> Answer {
    send(router, Method::POST, "/add-checkpoint", log.request(old, new).to_string()).await
}

#[tokio::test]
async fn nothing_is_signed_a_year_ahead() {
    let (log, store, clock) = (Log::new(ORIGIN), MemoryStore::default(), TestClock::at(NOW));
    let router = start(&log, &store, &clock);
    assert_eq!(add(&router, &log, 0, 1).await.status, StatusCode::OK);
    clock.set(NOW + YEAR);
    for _ in 0..3 {
        let answer = add(&router, &log, 1, 2).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "clock-jumped")
        );
        assert!(answer.retry_after.is_some());
        clock.pass(60);
    }
    let ready = send(&router, Method::GET, "/readyz", "").await;
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "the clock has jumped ahead\n")
    );
    // What the specification refuses, it refuses at any time.
    assert_eq!(add(&router, &log, 0, 2).await.body, "1\n");
    assert_eq!(store.history().len(), 1, "nothing is stored either");
    // Put right again, it goes on.
    clock.set(NOW + 180);
    let answer = add(&router, &log, 1, 2).await;
    assert_eq!(time_of(&answer.body, &log.checkpoint(2), cosigner().vkey()).0, NOW + 180);
    // After a restart the clock is all that there is to go by.
    clock.set(NOW + YEAR);
    assert_eq!(add(&start(&log, &store, &clock), &log, 2, 3).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_clock_that_is_far_behind_is_said_and_gives_the_last_time_again() {
    let (log, store, clock) = (Log::new(ORIGIN), MemoryStore::default(), TestClock::at(NOW));
    assert_eq!(add(&start(&log, &store, &clock), &log, 0, 1).await.status, StatusCode::OK);
    store.set_newest_at_start(NOW);
    clock.set(NOW - TOLERANCE.as_secs() - 1);
    let router = start(&log, &store, &clock);
    let ready = send(&router, Method::GET, "/readyz", "").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.body, "the clock is far behind the newest cosignature\n");
    let answer = add(&router, &log, 1, 2).await;
    assert_eq!(time_of(&answer.body, &log.checkpoint(2), cosigner().vkey()).0, NOW);
    clock.pass(2);
    assert_eq!(send(&router, Method::GET, "/readyz", "").await.status, StatusCode::OK);
}

/// The library of Debian's package libfaketime, which shows a program another time.
fn library() -> Option<PathBuf> {
    let architectures = fs::read_dir("/usr/lib").ok()?;
    architectures
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")))
        .find(|path| path.is_file())
}

/// The real program, on a machine whose clock is set while it runs.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_notices_that_its_clock_jumps() {
    let Some(library) = library() else {
        println!("skipped: there is no libfaketime to set a program's clock (Debian package faketime)");
        return;
    };
    let home = Home::new();
    let offset = home.path().join("clock");
    fs::write(&offset, "+0").unwrap();
    let mut command = home.serve("127.0.0.1:0");
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &offset);
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let running = Running::start(command);
    let mut connection = running.connect().await;
    let log = &home.log;
    let first = process::add(&mut connection, log, 0, 1).await.body;
    fs::write(&offset, "+365d").unwrap();
    assert_eq!(process::add(&mut connection, log, 1, 2).await.problem(), "clock-jumped");
    // Back: the time that was given last is given again, at least.
    fs::write(&offset, "-2h").unwrap();
    let behind = process::add(&mut connection, log, 1, 2).await.body;
    fs::write(&offset, "+0").unwrap();
    let right = process::add(&mut connection, log, 2, 3).await.body;
    let time = |answer: &str, size| {
        let lines = keyglass_tlog::note::parse_signature_lines(answer.as_bytes()).unwrap();
        time_of(&format!("{}\n", lines[0]), &log.checkpoint(size), &home.vkeys[0])
    };
    let (first, behind, right) = (time(&first, 1), time(&behind, 2), time(&right, 3));
    assert_eq!(first, behind);
    assert!(right >= first && right.0 < first.0 + 3600);
}

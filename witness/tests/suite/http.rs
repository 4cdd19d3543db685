//! Every status code and media type.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Method, StatusCode};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::SignedNote,
    witness::{MAX_REQUEST_LEN, checkpoint_path, parse_size},
};
use keyglass_witness::{
    http::{Limits, router, serve},
    logs::Logs,
    metrics::Metrics,
    service::Witness,
};
use tower::ServiceExt as _;

use crate::{
    client::{Answer, Connection, read, request},
    log::{self, Log, ORIGIN},
    race::cosigner,
    stores::{Fate, MemoryStore, TestClock},
};

struct Setup {
    log: Log,
    store: MemoryStore,
    clock: TestClock,
    router: Router,
}

fn setup() -> Setup {
    setup_with(1_000, Limits::default())
}

fn setup_with(per_second: u32, limits: Limits) -> Setup {
    let (log, store, clock) = (Log::new(ORIGIN), MemoryStore::default(), TestClock::at(1_700_000_000));
    let metrics = Arc::new(Metrics::default());
    let logs = Logs::of_policy(&log.policy(), NonZeroU32::new(per_second).unwrap());
    let witness = Witness::new(vec![cosigner()], logs, store.clone(), clock.clone(), Arc::clone(&metrics));
    let router = router(Arc::new(witness), metrics, limits);
    Setup { log, store, clock, router }
}

impl Setup {
    async fn send(&self, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        read(self.router.clone().oneshot(request(method, path, body)).await.unwrap()).await
    }

    async fn add(&self, request: impl ToString) -> Answer {
        self.send(Method::POST, "/add-checkpoint", request.to_string()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Body::empty()).await
    }

    /// The status and type of a refusal, which must store nothing.
    async fn refused(&self, request: impl ToString) -> (u16, String) {
        let before = self.store.history();
        let answer = self.add(request).await;
        assert_eq!(self.store.history(), before);
        (answer.status.as_u16(), answer.problem())
    }
}

fn problem(status: u16, slug: &str) -> (u16, String) {
    (status, slug.to_owned())
}

#[tokio::test]
async fn a_cosignature_is_answered_and_served() {
    let setup = setup();
    let path = format!("/{}", checkpoint_path(ORIGIN));
    let none = setup.get(&path).await;
    assert_eq!((none.status, none.problem()), (StatusCode::NOT_FOUND, "never-cosigned".to_owned()));
    for (old, new) in [(0, 3), (3, 3), (3, 9)] {
        let answer = setup.add(setup.log.request(old, new)).await;
        assert_eq!(
            (answer.status, answer.media_type.as_str()),
            (StatusCode::OK, "text/plain; charset=utf-8")
        );
        let served = setup.get(&path).await;
        assert_eq!(
            (served.status, served.media_type.as_str()),
            (StatusCode::OK, "text/plain; charset=utf-8")
        );
        // The log's line and the very lines that were returned.
        assert_eq!(served.body, format!("{}{}", setup.log.note(new), answer.body));
        let note = SignedNote::parse(served.body.as_bytes()).unwrap();
        assert_eq!(note.verify(&[setup.log.vkey(), cosigner().vkey()]).unwrap().len(), 2);
    }
    let head = setup.send(Method::HEAD, &path, Body::empty()).await;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn refusals_have_their_status() {
    let setup = setup();
    let (log, fork) = (&setup.log, Log::forked(ORIGIN, 2, 1));
    setup.add(log.request(0, 7)).await;
    assert_eq!(setup.refused("").await, problem(400, "malformed-request"));
    assert_eq!(setup.refused("old 7\n\nnot a note\n").await, problem(400, "malformed-request"));
    let crlf = log.request(7, 9).to_string().replace('\n', "\r\n");
    assert_eq!(setup.refused(crlf).await, problem(400, "malformed-request"));
    let too_many = log::request(7, vec![[0; 32]; 63], log.note(9)).to_string();
    let too_many = too_many.replacen("old 7\n", "old 7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 1);
    assert_eq!(setup.refused(too_many).await, problem(400, "malformed-request"));
    let old_too_large = log::request(8, Vec::new(), log.note(7));
    assert_eq!(setup.refused(old_too_large).await, problem(400, "old-size-too-large"));
    let checkpoint = log.checkpoint(9);
    let unsigned =
        SignedNote::new(&checkpoint.text(), vec![Log::new("x.example").sign(&checkpoint)]).unwrap();
    assert_eq!(
        setup.refused(log::request(7, Vec::new(), unsigned)).await,
        problem(403, "log-signature-missing")
    );
    let forged = SignedNote::new(&checkpoint.text(), vec![log.sign(&log.checkpoint(8))]).unwrap();
    assert_eq!(setup.refused(log::request(7, Vec::new(), forged)).await, problem(403, "bad-log-signature"));
    assert_eq!(setup.refused(Log::new("x.example").request(0, 9)).await, problem(404, "unknown-origin"));
    let bad_proof = log::request(7, log.proof(6, 9), log.note(9));
    assert_eq!(setup.refused(bad_proof).await, problem(422, "bad-consistency-proof"));
    assert_eq!(setup.refused(fork.request(7, 9)).await, problem(422, "bad-consistency-proof"));
    assert_eq!(setup.refused(fork.request(7, 7)).await, problem(422, "roots-differ"));
}

#[tokio::test]
async fn first_contact_has_its_refusals() {
    let setup = setup();
    let log = &setup.log;
    let not_empty = log::request(0, vec![[0; 32]], log.note(9));
    assert_eq!(setup.refused(not_empty).await, problem(422, "proof-not-empty"));
    let empty = Checkpoint::new(ORIGIN, 0, [0; 32]).unwrap();
    let empty = SignedNote::new(&empty.text(), vec![log.sign(&empty)]).unwrap();
    assert_eq!(setup.refused(log::request(0, Vec::new(), empty)).await, problem(422, "wrong-empty-root"));
    assert_eq!(setup.add(log.request(0, 0)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_old_size_is_answered_with_the_right_one() {
    let setup = setup();
    let conflict = |answer: Answer| {
        assert_eq!((answer.status, answer.media_type.as_str()), (StatusCode::CONFLICT, "text/x.tlog.size"));
        (parse_size(answer.body.as_bytes()).unwrap(), answer.body)
    };
    assert_eq!(conflict(setup.add(setup.log.request(3, 7)).await), (0, "0\n".to_owned()));
    setup.add(setup.log.request(0, 7)).await;
    assert_eq!(conflict(setup.add(setup.log.request(0, 9)).await), (7, "7\n".to_owned()));
    assert_eq!(conflict(setup.add(setup.log.request(8, 9)).await), (7, "7\n".to_owned()));
    assert!(setup.store.history().len() == 1);
}

#[tokio::test]
async fn bodies_are_bounded() {
    let setup = setup();
    let large = setup.add("x".repeat(MAX_REQUEST_LEN + 1)).await;
    assert_eq!((large.status.as_u16(), large.problem()), problem(413, "body-too-large"));
    // The longest note that is allowed fits.
    let checkpoint = setup.log.checkpoint(5);
    let mut lines = vec![setup.log.sign(&checkpoint)];
    let large = format!("\u{2014} pq.example {}", "A".repeat(3240));
    lines.extend(vec![keyglass_tlog::note::SignatureLine::parse(&large).unwrap(); 63]);
    let note = SignedNote::new(&checkpoint.text(), lines).unwrap();
    assert_eq!(setup.add(log::request(0, Vec::new(), note)).await.status, StatusCode::OK);
    // A body that never comes: no time is left for it at all.
    let limits = Limits { body_timeout: Duration::ZERO, ..Limits::default() };
    let stalled = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let slow = setup_with(1_000, limits).send(Method::POST, "/add-checkpoint", stalled).await;
    assert_eq!((slow.status.as_u16(), slow.problem()), problem(408, "body-too-slow"));
}

#[tokio::test]
async fn a_log_has_its_share_and_strangers_cannot_use_it_up() {
    let setup = setup_with(2, Limits::default());
    let log = &setup.log;
    setup.add(log.request(0, 5)).await;
    let checkpoint = log.checkpoint(5);
    let forged = SignedNote::new(&checkpoint.text(), vec![log.sign(&log.checkpoint(6))]).unwrap();
    for _ in 0..50 {
        assert_eq!(
            setup.refused(log::request(5, Vec::new(), forged.clone())).await,
            problem(403, "bad-log-signature")
        );
    }
    assert_eq!(setup.add(log.request(5, 5)).await.status, StatusCode::OK);
    // Two a second, four at once: far fewer than these.
    let mut refused = 0;
    for _ in 0..200 {
        let answer = setup.add(log.request(5, 5)).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.problem(), "too-many-requests");
            assert_eq!(answer.retry_after.as_deref(), Some("1"));
            refused += 1;
        }
    }
    assert!(refused > 100, "only {refused} of 200 were refused");
}

#[tokio::test]
async fn a_disk_that_fails_is_not_the_clients_fault() {
    let setup = setup();
    setup.add(setup.log.request(0, 5)).await;
    setup.store.next([Fate::FailsBefore]);
    assert_eq!(setup.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(setup.get("/healthz").await.status, StatusCode::OK);
    let answer = setup.add(setup.log.request(5, 6)).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), problem(503, "store-failed"));
    assert_eq!(answer.retry_after.as_deref(), Some("5"));
    assert!(!answer.body.contains("disk"), "what is wrong with the machine is nobody's business");
    assert_eq!(setup.get("/readyz").await.status, StatusCode::OK);
    assert_eq!(setup.add(setup.log.request(5, 6)).await.status, StatusCode::OK);
    setup.clock.set(0);
    let other = setup_with(1_000, Limits::default());
    other.clock.set(0);
    let answer = other.add(other.log.request(0, 5)).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), problem(503, "no-time"));
}

#[tokio::test]
async fn other_paths_and_methods_are_told_apart() {
    let setup = setup();
    setup.add(setup.log.request(0, 5)).await;
    let path = format!("/{}", checkpoint_path(ORIGIN));
    let hash = path.trim_end_matches("/checkpoint");
    for other in [
        "/checkpoint".to_owned(),
        "/add-checkpoint/".to_owned(),
        format!("{path}/"),
        format!("{}/checkpoint", hash.to_uppercase()),
        format!("{}/checkpoint", &hash[..64]),
        format!("{hash}0/checkpoint"),
        format!("{hash}/checkpoints"),
        format!("/{ORIGIN}/checkpoint"),
    ] {
        let answer = setup.get(&other).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), problem(404, "no-such-path"), "{other}");
    }
    for (method, path) in
        [(Method::GET, "/add-checkpoint"), (Method::PUT, "/add-checkpoint"), (Method::POST, &path)]
    {
        let answer = setup.send(method, path, Body::empty()).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), problem(405, "wrong-method"), "{path}");
    }
}

#[tokio::test]
async fn outcomes_are_counted() {
    let setup = setup();
    setup.add(setup.log.request(0, 5)).await;
    setup.add(setup.log.request(0, 5)).await;
    setup.add("junk").await;
    let metrics = setup.get("/metrics").await;
    assert!(metrics.media_type.starts_with("application/openmetrics-text"));
    for (outcome, count) in [("cosigned", 1), ("old-size-conflict", 1), ("malformed-request", 1)] {
        let line =
            format!("keyglass_witness_add_checkpoint_requests_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.body.contains(&line), "{}", metrics.body);
    }
    assert!(metrics.body.contains("keyglass_witness_logs 1\n"));
}

#[tokio::test]
async fn connections_are_kept_alive_and_stalled_ones_stop_nobody() {
    let setup = setup();
    let server = serve("127.0.0.1:0".parse().unwrap(), setup.router.clone()).unwrap();
    // A client that sends half a request and then nothing.
    let mut stalled = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stalled, b"POST /add-checkpoint HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    let mut connection = Connection::open(server.address()).await.unwrap();
    for size in 1..20 {
        let body = setup.log.request(size - 1, size).to_string();
        let answer = connection.send(Method::POST, "/add-checkpoint", body).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    // Idle connections are closed at once; the half request is given up after its grace.
    drop(stalled);
    server.stop().await;
    assert!(connection.send(Method::GET, "/healthz", String::new()).await.is_err());
}

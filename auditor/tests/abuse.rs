//! What strangers can do to an auditor's endpoints, and what they cannot: bodies without end, paths that are no text, texts that a
//! browser would run, logs that keep readers waiting.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::{collections::HashMap, net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use keyglass_auditor::{
    fetch::{Http, LogSource},
    followed::Logs,
    http::{Metrics, Service},
    overview::AuditorOverview,
};
use kit::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};

/// Serves these logs, whose entries are shown; gives the address.
async fn serve(logs: Arc<Logs>, sources: HashMap<String, LogSource>) -> SocketAddr {
    let service = Service::new(logs, Arc::new(Metrics::default())).asking(sources);
    let router = service.router(NonZeroU32::new(1_000_000).unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

async fn get(address: SocketAddr, path: &str) -> reqwest::Response {
    reqwest::get(format!("http://{address}{path}")).await.unwrap()
}

/// The type of a problem, which is all that a program goes by.
async fn problem(response: reqwest::Response) -> String {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: serde_json::Value = response.json().await.unwrap();
    body["type"].as_str().unwrap().strip_prefix("urn:keyglass:problem:").unwrap().to_owned()
}

#[tokio::test]
async fn every_answer_tells_browsers_what_they_may_do_with_it() {
    let world = World::new().await;
    world.publish(&honest(9), &[0, 2]);
    world.cosigned(2, &world.keys.note(&history(5, 1, 9), &[2]));
    let auditor = world.follower();
    let logs = world.logs(&auditor.records);
    logs.only().unwrap().observe(Arc::new(auditor.round().await)).await.unwrap();
    let address = serve(Arc::clone(&logs), HashMap::new()).await;
    let file = logs.only().unwrap().convictions().await.unwrap()[0].file.clone();
    let evidence = format!("/v1/evidence/{file}");
    for path in [
        "/",
        "/healthz",
        "/metrics",
        "/v1/status",
        "/v1/report",
        "/v1/evidence",
        &evidence,
        "/nothing",
        "/v1/heads",
        "/v1/growth",
        "/assets/0000000000000000/htmx.min.js",
        "/fragments/logs/none",
    ] {
        let response = get(address, path).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert!(header("content-security-policy").starts_with("default-src 'none';"), "{path}");
        assert!(["no-cache", "no-store"].contains(&&*header("cache-control")), "{path}");
    }
    // A stranger's text is kept, not shown: the page beside it explains it.
    let response = get(address, &evidence).await;
    assert_eq!(response.headers()["content-disposition"], format!("attachment; filename=\"{file}\""));
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn what_the_router_refuses_has_the_form_of_all_refusals() {
    let world = World::new().await;
    let auditor = world.follower();
    let address = serve(world.logs(&auditor.records), HashMap::new()).await;
    for path in [
        "/v1/evidence/%ff",
        "/logs/%ff",
        "/gossip/v1/evidence/%c0%80",
        "/%ff/checkpoint",
        "/fragments/logs/x",
    ] {
        assert_eq!(problem(get(address, path).await).await, "not-found", "{path}");
    }
}

/// The head of a POST whose body is on its way for as long as its sender likes.
async fn slow_post(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        "POST /v1/heads HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 100000\r\n\r\nx";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn slow_bodies_of_one_address_are_few_and_keep_nobody_from_reading() {
    let world = World::new().await;
    let auditor = world.follower();
    let address = serve(world.logs(&auditor.records), HashMap::new()).await;
    let (answers, mut answered) = mpsc::unbounded_channel();
    let slow: Vec<_> = (0..40)
        .map(|_| {
            let answers = answers.clone();
            tokio::spawn(async move {
                let (mut stream, mut answer) = (slow_post(address).await, [0; 12]);
                stream.read_exact(&mut answer).await.unwrap();
                answers.send(answer).unwrap();
            })
        })
        .collect();
    // There is room for 16: these are waited for, the others refused at once.
    for _ in 0..24 {
        assert_eq!(&answered.recv().await.unwrap(), b"HTTP/1.1 429");
    }
    assert!(answered.try_recv().is_err());
    assert_eq!(get(address, "/healthz").await.status(), 200);
    slow.into_iter().for_each(|task| task.abort());
    // Once they have gone there is room again.
    let client = reqwest::Client::new();
    let handed_in = async || {
        let request = client.post(format!("http://{address}/v1/heads")).header("content-type", "text/plain");
        problem(request.body("x").send().await.unwrap()).await
    };
    while handed_in().await == "rate-limited" {
        tokio::task::yield_now().await;
    }
    assert_eq!(handed_in().await, "malformed-head");
}

#[tokio::test]
async fn a_log_that_keeps_readers_waiting_takes_no_room_from_others() {
    let (slow, other) = (World::new().await, World::other().await);
    let (mut followed, mut sources, mut auditors) = (Vec::new(), HashMap::new(), Vec::new());
    for world in [&slow, &other] {
        world.publish(&honest(9), &ALL);
        let auditor = world.follower();
        let log = Arc::clone(world.logs(&auditor.records).only().unwrap());
        log.observe(Arc::new(auditor.round().await)).await.unwrap();
        let source = LogSource::new(Http::new(Duration::from_secs(60)).unwrap(), &world.log.url).unwrap();
        sources.insert(hex::encode(world.trust.id()), source);
        followed.push(log);
        auditors.push(auditor);
    }
    slow.log.lie("tile/entries/000.p/9", Lie::Silence);
    let (name, vkey) = ("auditor.example".to_owned(), "vkey".to_owned());
    let auditor = AuditorOverview { name, vkey, version: "test" };
    let clock = Arc::clone(&slow.clock) as _;
    let logs = Logs::new(auditor, clock, followed, Arc::new(tokio::sync::watch::channel(0).0));
    let address = serve(Arc::new(logs), sources).await;
    let path = |world: &World| format!("/logs/{}/entry?index=3", hex::encode(world.trust.id()));
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let path = path(&slow);
            tokio::spawn(async move { get(address, &path).await })
        })
        .collect();
    // As soon as all of them wait, the next one is told so.
    while slow.log.asked().iter().filter(|path| path.contains("entries")).count() == 0 {
        tokio::task::yield_now().await;
    }
    let busy = loop {
        let asked = tokio::time::timeout(Duration::from_millis(100), get(address, &path(&slow))).await;
        if let Ok(answer) = asked {
            break answer;
        }
    };
    assert_eq!(busy.status(), 503);
    assert_eq!(get(address, &path(&other)).await.status(), 200);
    waiting.into_iter().for_each(|task| task.abort());
}

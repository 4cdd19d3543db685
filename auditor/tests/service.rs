//! What the auditor serves: its report, its evidence, and a place to report heads.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc};

use keyglass_auditor::{
    followed::Logs,
    http::{MAX_BODY, Metrics, Service},
    updates::Form,
};
use keyglass_keytrans::{
    audit::AuditedLog,
    client::Verifier,
    config::{CipherSuite, DeploymentMode},
    wire::{AuditorTreeHead, Context, Wire as _},
};
use keyglass_tlog::evidence::Evidence;
use kit::*;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

struct Served {
    url: String,
    client: Client,
    auditor: Auditor,
    logs: Arc<Logs>,
    metrics: Arc<Metrics>,
}

impl Served {
    async fn start(world: &World, rate: u32) -> Self {
        let auditor = world.follower();
        let logs = world.logs(&auditor.records);
        let metrics = Arc::new(Metrics::default());
        let service = Service::new(Arc::clone(&logs), Arc::clone(&metrics));
        let router = service.router(NonZeroU32::new(rate).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { url, client: Client::new(), auditor, logs, metrics }
    }

    async fn round(&self) {
        let report = Arc::new(self.auditor.round().await);
        let log = self.logs.only().unwrap();
        log.observe(Arc::clone(&report));
        self.metrics.observe(&report, &log.overview());
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> Response {
        let request = self.client.post(format!("{}/v1/heads", self.url));
        request.header("content-type", "text/plain; charset=utf-8").body(body).send().await.unwrap()
    }

    async fn standing(&self, note: &keyglass_tlog::note::SignedNote) -> String {
        let response = self.post(note.to_string()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let answer: Value = response.json().await.unwrap();
        answer["standing"].as_str().unwrap().to_owned()
    }
}

async fn problem(response: Response) -> (u16, String) {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    (status, body["type"].as_str().unwrap().strip_prefix("urn:keyglass:problem:").unwrap().to_owned())
}

#[tokio::test]
async fn reports_are_served_once_there_is_one() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    let served = Served::start(&world, 1000).await;
    assert_eq!(served.json("/healthz").await["status"], "ok");
    for path in ["/readyz", "/v1/report"] {
        assert_eq!(problem(served.get(path).await).await, (503, "unavailable".to_owned()));
    }
    served.round().await;
    assert_eq!(served.json("/readyz").await["verdict"], "ok");
    let report = served.json("/v1/report").await;
    assert_eq!((report["verdict"].as_str(), report["tree_size"].as_u64()), (Some("ok"), Some(9)));
    assert_eq!(report["witnesses"][2]["state"], "agrees");
    let metrics = served.get("/metrics").await.text().await.unwrap();
    let of = format!("log=\"{}\"", world.keys.origin());
    for line in [
        format!("keyglass_auditor_verified_entries{{{of}}} 9"),
        format!("keyglass_auditor_verdict{{{of},verdict=\"ok\"}} 1"),
        format!("keyglass_auditor_verdict{{{of},verdict=\"misbehaving\"}} 0"),
        format!("keyglass_auditor_witness_entries{{{of},witness=\"w1\"}} 9"),
        format!("keyglass_auditor_rounds_total{{{of}}} 1"),
        format!("keyglass_auditor_quorum_margin{{{of}}} 1"),
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn a_clients_report_finds_the_fork_that_witnesses_hide() {
    let world = World::new().await;
    // Two of three collude: they show the auditor the honest side only.
    world.publish(&honest(9), &ALL);
    let served = Served::start(&world, 1000).await;
    served.round().await;
    assert_eq!(served.standing(&world.keys.note(&honest(4), &[0, 1])).await, "agrees");
    assert_eq!(served.standing(&world.keys.note(&honest(11), &[0, 1])).await, "open");
    assert_eq!(served.json("/v1/evidence").await, serde_json::json!([]));
    let shown_to_alice = world.keys.note(&history(5, 1, 8), &[1, 2]);
    assert_eq!(served.standing(&shown_to_alice).await, "contradicts");

    let list = served.json("/v1/evidence").await;
    assert_eq!(list[0]["faulty_witnesses"], serde_json::json!(["w2", "w3"]));
    let file = list[0]["file"].as_str().unwrap();
    let text = served.get(&format!("/v1/evidence/{file}")).await.bytes().await.unwrap();
    let evidence = Evidence::parse(&text).unwrap();
    assert!(evidence.verify(&[world.keys.log.vkey()], None).is_ok());
    served.round().await;
    let report = served.json("/v1/report").await;
    assert_eq!(report["verdict"], "misbehaving");
    assert_eq!(report["evidence"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_reported_head_that_is_too_new_is_compared_later() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    let served = Served::start(&world, 1000).await;
    served.round().await;
    assert_eq!(served.standing(&world.keys.note(&history(5, 1, 12), &[1, 2])).await, "open");
    world.publish(&honest(20), &ALL);
    served.round().await;
    assert_eq!(served.json("/v1/report").await["verdict"], "misbehaving");
}

#[tokio::test]
async fn bad_requests_are_told_apart_and_change_nothing() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    let served = Served::start(&world, 1000).await;
    served.round().await;
    let good = world.keys.note(&honest(9), &ALL).to_string();
    let unsigned = {
        let checkpoint = world.keys.checkpoint(&history(5, 1, 9));
        let lines = ALL.iter().map(|i| cosign(&checkpoint, *i)).collect();
        keyglass_tlog::note::SignedNote::new(&checkpoint.text(), lines).unwrap().to_string()
    };
    for (body, expected) in [
        (Vec::new(), (400, "malformed-head")),
        (vec![0xff; 50], (400, "malformed-head")),
        (good.as_bytes()[..good.len() - 1].to_vec(), (400, "malformed-head")),
        (good.replacen("\n9\n", "\n09\n", 1).into_bytes(), (400, "malformed-head")),
        (good.replacen("\n9\n", "\n8\n", 1).into_bytes(), (403, "head-not-signed")),
        (unsigned.into_bytes(), (403, "head-not-signed")),
        (good.replace(world.keys.origin(), "log.example/x").into_bytes(), (404, "unknown-log")),
        (vec![b'x'; MAX_BODY + 1], (413, "body-too-large")),
    ] {
        let (status, kind) = problem(served.post(body).await).await;
        assert_eq!((status, &*kind), expected);
    }
    for kind in ["application/json", "application/octet-stream", "text/plainer", ""] {
        let request = served.client.post(format!("{}/v1/heads", served.url)).header("content-type", kind);
        let response = request.body(good.clone()).send().await.unwrap();
        assert_eq!(problem(response).await, (415, "unsupported-media-type".to_owned()));
    }
    assert_eq!(problem(served.get("/v1/heads").await).await, (405, "method-not-allowed".to_owned()));
    for path in ["/", "/v1/evidence/x", "/v1/evidence/..%2f..%2fauditor.key", "/v1/nothing"] {
        assert_eq!(problem(served.get(path).await).await, (404, "not-found".to_owned()), "{path}");
    }
    served.round().await;
    assert_eq!(served.json("/v1/report").await["verdict"], "ok");
}

#[tokio::test]
async fn who_asks_too_often_is_told_so() {
    let world = World::new().await;
    let served = Served::start(&world, 1).await;
    assert_eq!(served.get("/healthz").await.status(), StatusCode::OK);
    let mut refused = None;
    for _ in 0..50 {
        let response = served.get("/healthz").await;
        if response.status() != StatusCode::OK {
            refused = Some(problem(response).await);
            break;
        }
    }
    assert_eq!(refused, Some((429, "rate-limited".to_owned())));
}

#[tokio::test]
async fn the_head_that_was_signed_is_handed_out_for_its_log_only() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let world = World::audited(suite, WINDOW, 0).await;
        let served = Served::start(&world, 1000).await;
        let path = format!("/v1/auditor-head?log={}", hex::encode(world.trust.id()));
        let response = served.get(&path).await;
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(problem(response).await, (503, "nothing-signed".to_owned()));
        let history = updates::History::of_additions(9);
        if suite == CipherSuite::Tlog {
            world.publish(&history.entries, &ALL);
        }
        world.log.put_updates(history.encoded(Form::of(suite)));
        served.round().await;
        let response = served.get(&path).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/octet-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let body = response.bytes().await.unwrap();
        let head = AuditorTreeHead::decode(&body, Context::new(DeploymentMode::ThirdPartyAuditing)).unwrap();
        assert_eq!(head.tree_size, 9);
        let verifier = Verifier::new(&world.keys.configuration, Some(world.policy.as_bytes())).unwrap();
        let root = served.auditor.records.store().audit().unwrap().unwrap();
        let root = AuditedLog::resume(suite.log_hash(), 0, root.size, &root.full_subtrees, &root.frontier);
        verifier.verify_auditor_signature(&head, root.unwrap().root().unwrap()).unwrap();
        for (query, expected) in [
            ("?log=00", (404, "unknown-log")),
            ("", (400, "malformed-query")),
            ("?origin=x", (400, "malformed-query")),
        ] {
            let (status, kind) = problem(served.get(&format!("/v1/auditor-head{query}")).await).await;
            assert_eq!((status, kind.as_str()), expected);
        }
        let metrics = served.get("/metrics").await.text().await.unwrap();
        for name in ["audited_entries", "signed_entries"] {
            let line = format!("keyglass_auditor_{name}{{log=\"{}\"}} 9\n", world.trust.origin());
            assert!(metrics.contains(&line), "{metrics}");
        }
    }
    // Who is not the log's auditor signs nothing.
    let world = World::new().await;
    let served = Served::start(&world, 1000).await;
    let path = format!("/v1/auditor-head?log={}", hex::encode(world.trust.id()));
    assert_eq!(problem(served.get(&path).await).await, (404, "not-the-auditor".to_owned()));
}

//! What the auditor serves: its report, its evidence, and a place to report heads.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

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
use keyglass_tlog::{
    checkpoint::Checkpoint,
    evidence::Evidence,
    note::SignedNote,
    policy::Policy,
    witnessed::{Horizon, Judge, JudgeError},
};
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
        log.observe(Arc::clone(&report)).await.unwrap();
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
    assert_eq!(report["evidence"], serde_json::json!([format!("/v1/evidence/{file}")]));
    // Nobody is told where on this machine things are.
    world.publish(&honest(12), &ALL);
    world.log.lie("v1/audit/updates", Lie::Bytes(vec![0xff; 100]));
    served.round().await;
    assert!(served.json("/v1/report").await["audit"]["refused"][0].as_str().unwrap().starts_with("9-"));
    for path in ["/v1/report", "/v1/status", "/v1/evidence", "/alerts"] {
        let text = served.get(path).await.text().await.unwrap();
        assert!(!text.contains(world.data.path().to_str().unwrap()), "{path}: {text}");
    }
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
async fn what_a_client_saw_first_agrees_once_it_is_replayed() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    let served = Served::start(&world, 1000).await;
    served.round().await;
    assert_eq!(served.standing(&world.keys.note(&honest(11), &[0, 1])).await, "open");
    let clients = async || {
        let status = served.json("/v1/status").await;
        let points = status["logs"][0]["vantage_points"].as_array().unwrap().clone();
        points.into_iter().find(|point| point["kind"] == "client").unwrap()["state"].clone()
    };
    assert_eq!(clients().await, "ahead");
    world.publish(&honest(10), &ALL);
    served.round().await;
    assert_eq!(clients().await, "ahead");
    world.publish(&honest(11), &ALL);
    served.round().await;
    assert_eq!(clients().await, "agrees");
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
    for path in ["/v1/evidence/x", "/v1/evidence/..%2f..%2fauditor.key", "/v1/nothing"] {
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

#[tokio::test]
async fn what_was_replayed_is_cosigned_and_counts_in_a_policy_that_demands_it() {
    let world = World::new().await;
    let served = Served::start(&world, 1000).await;
    let path = format!("/{}", world.monitoring_path());
    assert_eq!(
        problem(served.get(&path).await).await,
        (404, "not-found".to_owned()),
        "nothing is cosigned yet"
    );
    let note = world.publish(&honest(9), &ALL);
    served.round().await;
    let response = served.get(&path).await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    let cosigned = SignedNote::parse(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(cosigned.text(), note.text());
    let cosigner = keyglass_auditor::data_dir::open(&world.dir(), None).unwrap();
    let key = cosigner.vkey();
    assert_eq!(cosigned.verify(&[key]).unwrap().len(), 1);
    // A policy that asks for the auditor on top of the quorum: what the log shows does not do, this does.
    let policy = world
        .policy
        .replace("quorum q\n", &format!("witness auditor {key}\ngroup both all q auditor\nquorum both\n"));
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let keys = [world.keys.log.vkey().clone()];
    let judge = Judge::of_log(&policy, &keys, Horizon::ignored());
    assert!(matches!(judge.judge(&note), Err(JudgeError::QuorumNotMet { missing: 1, .. })));
    assert!(judge.judge(&cosigned).unwrap().witnessed().is_some());
    let status = served.json("/v1/status").await;
    assert_eq!(
        (&status["logs"][0]["cosigned"]["size"], &status["logs"][0]["cosigned"]["path"]),
        (&9.into(), &path.into())
    );

    // A larger head is cosigned once all of it was replayed: here the log withholds what the last entries changed.
    world.publish(&honest(12), &ALL);
    world.log.put_updates(updates::of_entries(&honest(10)));
    served.round().await;
    assert_eq!(served.json("/v1/report").await["audit"]["cosigned"]["tree_size"], 9);
    world.log.put_updates(updates::of_entries(&honest(12)));
    served.round().await;
    assert_eq!(served.json("/v1/report").await["audit"]["cosigned"]["tree_size"], 12);
    // Neither is a head without its quorum, nor any of a log that was convicted.
    world.serve_tiles(&honest(14));
    world.show(&honest(14), &[0]);
    served.round().await;
    assert_eq!(served.json("/v1/report").await["audit"]["cosigned"]["tree_size"], 12);
    let forked = world.keys.note(&history(3, 1, 9), &[2]);
    assert_eq!(served.standing(&forked).await, "contradicts");
    world.publish(&honest(15), &ALL);
    served.round().await;
    let report = served.json("/v1/report").await;
    assert_eq!((&report["tree_size"], &report["audit"]["cosigned"]["tree_size"]), (&15.into(), &12.into()));
}

#[tokio::test]
async fn a_replay_that_stands_still_is_an_incident() {
    let mut world = World::new().await;
    world.publish(&honest(9), &ALL);
    world.patience = Duration::from_millis(20);
    let served = Served::start(&world, 1000).await;
    world.log.lie("tile/entries/000.p/9", Lie::Silence);
    let incidents = async || {
        served.round().await;
        let status = served.json("/v1/status").await["logs"][0].take();
        assert_eq!((&status["verdict"], &status["size"]), (&"catching_up".into(), &0.into()), "{status}");
        let all = status["incidents"].as_array().unwrap().clone();
        all.iter().map(|incident| incident["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(incidents().await.is_empty());
    world.clock.advance(599_000);
    assert!(incidents().await.is_empty(), "it may take its time");
    for ms in [1_000, 20_000] {
        world.clock.advance(ms);
        let _ = incidents().await;
    }
    assert_eq!(incidents().await, ["standstill"]);
}

#[tokio::test]
async fn evidence_is_taken_from_anybody_and_believed_from_nobody() {
    let (world, other) = (World::new().await, World::other().await);
    world.publish(&honest(9), &ALL);
    let served = Served::start(&world, 1000).await;
    served.round().await;
    let post = async |body: String| {
        let request = served.client.post(format!("{}/v1/evidence", served.url));
        request.header("content-type", "text/plain").body(body).send().await.unwrap()
    };
    let pair = |keys: &Keys, cosigned: &[usize]| {
        let (a, b) = (keys.note(&honest(5), cosigned), keys.note(&history(3, 1, 5), cosigned));
        Evidence::of_notes(&a, &b).unwrap().to_string()
    };
    let genuine = pair(&world.keys, &[]);
    // Another key under the log's name, the notes of one history, another log, what is no evidence, and too much of it.
    let swapped = genuine.replace("keyglass-evidence/v1", "keyglass-evidence/v2");
    let mut forged = genuine.clone().into_bytes();
    let at = genuine.rfind("\u{2014}").unwrap() + world.keys.origin().len() + 30;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    for (body, expected) in [
        (swapped, (400, "malformed-evidence")),
        (String::from_utf8(forged).unwrap(), (403, "not-proven")),
        (pair(&other.keys, &[]), (404, "unknown-log")),
        (String::new(), (400, "malformed-evidence")),
        ("x".repeat(MAX_BODY), (400, "malformed-evidence")),
        ("x".repeat(MAX_BODY + 1), (413, "body-too-large")),
        (world.keys.note(&honest(5), &ALL).to_string(), (400, "malformed-evidence")),
    ] {
        let (status, kind) = problem(post(body).await).await;
        assert_eq!((status, kind.as_str()), expected);
    }
    served.round().await;
    assert_eq!(served.json("/v1/report").await["verdict"], "ok");
    // The genuine one convicts, once; another one is kept only if it names somebody new.
    for (body, expected) in [
        (genuine.clone(), "kept"),
        (genuine, "known"),
        (pair(&world.keys, &[1]), "kept"),
        (pair(&world.keys, &[1]), "known"),
    ] {
        let answer: Value = post(body).await.json().await.unwrap();
        assert_eq!(answer["evidence"], expected);
    }
    served.round().await;
    let report = served.json("/v1/report").await;
    assert_eq!(
        (&report["verdict"], report["evidence"].as_array().unwrap().len()),
        (&"misbehaving".into(), 2)
    );
}

#[tokio::test]
async fn floods_of_heads_are_bounded_and_leave_the_auditor_answering() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    let served = Served::start(&world, 1_000_000).await;
    served.round().await;
    // Heads that the log signed and that cannot be compared yet: as many are kept as there is room for.
    let mut kept = 0;
    let mut refused = 0;
    for size in 0..400_u64 {
        let checkpoint = Checkpoint::new(world.keys.origin(), 1_000_000 + size, [7; 32]).unwrap();
        match served.post(world.keys.note_of(&checkpoint, &[]).to_string()).await.status().as_u16() {
            200 => kept += 1,
            429 | 503 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(kept <= 128 && refused >= 272, "{kept} {refused}");
    // Thousands of signature lines, of which none counts, cost no more than reading them.
    let note = world.keys.note(&honest(5), &ALL).to_string();
    let line = note.lines().last().unwrap().to_owned();
    let many = format!("{note}{}", format!("{line}\n").repeat(2000));
    // The flood has used up what one address may hand in within a second.
    let mut answer = problem(served.post(many.clone()).await).await;
    while answer.1 == "rate-limited" {
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = problem(served.post(many.clone()).await).await;
    }
    assert_eq!(answer.0, 400);
    let few = format!("{note}{}", format!("{line}\n").repeat(60));
    let answer = served.post(few).await;
    assert!(matches!(answer.status().as_u16(), 200 | 429), "{}", answer.status());
    assert_eq!(served.get("/healthz").await.status(), StatusCode::OK);
    served.round().await;
    assert_eq!(served.json("/v1/report").await["verdict"], "ok");
    let clients = &served.json("/v1/status").await["logs"][0]["vantage_points"][0];
    assert_eq!(
        (&clients["kind"], &clients["name"]),
        (&"client".into(), &"".into()),
        "nothing about who reported"
    );
}

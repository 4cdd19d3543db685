//! The pages as they are served: what browsers are told, what is shown of lies, and entries with their proofs.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::{collections::HashMap, net::SocketAddr, num::NonZeroU32, sync::Arc};

use keyglass_auditor::{
    clock::Clock as _,
    fetch::{Http, LogSource},
    http::{Metrics, Service},
};
use keyglass_tlog::{proof::TlogProof, rfc6962::leaf_hash, witnessed::Judged};
use kit::*;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

struct Served {
    url: String,
    id: String,
    client: Client,
    auditor: Auditor,
    logs: Arc<keyglass_auditor::followed::Logs>,
}

impl Served {
    async fn start(world: &World) -> Self {
        let auditor = world.follower();
        let logs = world.logs(&auditor.records);
        let id = hex::encode(world.trust.id());
        let source = LogSource::new(Http::new(world.deadline).unwrap(), &world.log.url).unwrap();
        let service = Service::new(Arc::clone(&logs), Arc::new(Metrics::default()));
        let service = service.asking(HashMap::from([(id.clone(), source)]));
        let router = service.router(NonZeroU32::new(1_000_000).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { url, id, client: Client::new(), auditor, logs }
    }

    async fn round(&self) {
        let report = Arc::new(self.auditor.round().await);
        self.logs.only().unwrap().observe(report).await.unwrap();
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    async fn text(&self, path: &str, status: u16) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        response.text().await.unwrap()
    }
}

/// The values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    page.split(&format!(" {attribute}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn every_page_says_what_it_may_load_and_all_of_it_is_here() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    let served = Served::start(&world).await;
    // Before the first round, too.
    assert!(served.text("/", 200).await.contains("not checked yet"));
    served.round().await;
    // What is shown may be a moment old.
    while served.text("/", 200).await.contains("not checked yet") {
        tokio::task::yield_now().await;
    }
    let log = format!("/logs/{}", served.id);
    let entry = format!("{log}/entry?index=3");
    let fragment = format!("/fragments{log}");
    let pages = [
        "/",
        &log,
        "/alerts",
        "/about",
        &entry,
        "/fragments/logs?page=1",
        "/fragments/banner",
        "/fragments/alerts",
        &fragment,
    ];
    let mut assets = Vec::new();
    for path in pages {
        let response = served.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(
            header("content-security-policy")
                .starts_with("default-src 'none'; script-src 'self'; style-src 'self';")
        );
        assert!(!header("content-security-policy").contains("unsafe"));
        assert_eq!(
            (header("content-type"), header("cache-control")),
            ("text/html; charset=utf-8".into(), "no-store".into())
        );
        assert_eq!(
            (header("x-content-type-options"), header("referrer-policy")),
            ("nosniff".into(), "no-referrer".into())
        );
        assert_eq!(header("x-frame-options"), "DENY");
        let page = response.text().await.unwrap();
        assert!(
            !page.contains(" style=") && !page.contains("<style") && !page.contains("<script>"),
            "{path}"
        );
        assert!(!page.contains(" onclick=") && !page.contains("javascript:"), "{path}");
        // Links lead to pages that are there.
        for link in values(&page, "href")
            .into_iter()
            .filter(|link| link.starts_with('/') && !link.starts_with("/assets"))
        {
            assert_eq!(served.get(link).await.status(), StatusCode::OK, "{link} on {path}");
        }
        assets.extend(values(&page, "src").into_iter().map(str::to_owned));
        assets.extend(
            values(&page, "href").into_iter().filter(|link| link.starts_with("/assets")).map(str::to_owned),
        );
    }
    assets.sort_unstable();
    assets.dedup();
    assert_eq!(assets.len(), 5, "{assets:?}");
    for asset in assets {
        let response = served.get(&asset).await;
        assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable", "{asset}");
        assert!(response.headers().contains_key("content-security-policy"));
        assert!(response.bytes().await.unwrap().len() > 500);
    }
    for (path, status) in [
        ("/assets/0000000000000000/htmx.min.js", 404),
        ("/?page=0", 404),
        ("/?page=2", 404),
        ("/logs/none", 404),
        ("/evidence/none.evidence", 404),
        ("/evidence/..%2f..%2fauditor.key", 404),
        ("/v1/growth", 400),
        ("/v1/growth?log=none", 404),
    ] {
        assert_eq!(served.get(path).await.status().as_u16(), status, "{path}");
    }
    let growth: Value = served.get(&format!("/v1/growth?log={}", served.id)).await.json().await.unwrap();
    assert_eq!(growth["points"][0]["size"], 9);
}

#[tokio::test]
async fn evidence_is_explained_and_can_be_taken_away() {
    let world = World::new().await;
    world.publish(&honest(9), &[0, 2]);
    world.cosigned(1, &world.keys.note(&history(5, 1, 9), &[1]));
    world.cosigned(2, &world.keys.note(&history(5, 1, 9), &[2]));
    let served = Served::start(&world).await;
    served.round().await;
    let alerts = served.text("/alerts", 200).await;
    assert!(alerts.contains("signed two histories") && alerts.contains("<strong>w3</strong>"), "{alerts}");
    let banner = served.text("/fragments/banner", 200).await;
    assert!(banner.contains("data-announce"), "{banner}");
    let links: Vec<&str> =
        values(&alerts, "href").into_iter().filter(|link| link.starts_with("/evidence/")).collect();
    let mut named = false;
    for link in links {
        let page = served.text(link, 200).await;
        assert!(page.contains("PROVEN: "), "{page}");
        named |= page.contains("The witness w3 cosigned both statements");
        let file = served.text(&link.replace("/evidence/", "/v1/evidence/"), 200).await;
        assert!(file.starts_with("keyglass-evidence/v1\n"));
    }
    assert!(named);
}

#[tokio::test]
async fn an_entry_is_shown_if_it_leads_to_the_head_and_not_otherwise() {
    let world = World::new().await;
    let entries = honest(300);
    world.publish(&entries, &ALL);
    let served = Served::start(&world).await;
    let path = |index: &str| format!("/logs/{}/entry?index={index}", served.id);
    assert!(served.text(&path("0"), 503).await.contains("no head of this log yet"));
    served.round().await;
    for index in [0, 1, 255, 256, 299] {
        let page = served.text(&path(&index.to_string()), 200).await;
        assert!(page.contains("This entry is in the log") && page.contains("w2"), "{page}");
        let proof = served.get(&format!("/logs/{}/entry/proof?index={index}", served.id)).await;
        assert!(proof.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
        let proof = TlogProof::parse(&proof.bytes().await.unwrap()).unwrap();
        let raw =
            served.get(&format!("/logs/{}/entry/raw?index={index}", served.id)).await.bytes().await.unwrap();
        assert_eq!(raw, entries[index as usize][..]);
        let judged = proof.verify(&leaf_hash(&raw), &world.trust.judge(world.clock.now())).unwrap();
        assert!(matches!(judged, Judged::Witnessed(_)));
    }
    for (index, status, words) in [
        ("300", 404, "300 entries so far"),
        ("18446744073709551615", 404, "300 entries so far"),
        ("-1", 400, "whole number"),
        ("x", 400, "whole number"),
        ("", 400, "whole number"),
    ] {
        assert!(served.text(&path(index), status).await.contains(words), "{index}");
    }
    assert_eq!(served.get(&format!("/logs/{}/entry", served.id)).await.status(), 400);
    assert_eq!(served.get(&format!("/logs/{}/entry/key?index=1", served.id)).await.status(), 404);
    assert_eq!(served.get("/logs/none/entry?index=1").await.status(), 404);

    // The log hands out another entry than it logged, garbage, and nothing.
    let bundled = |entries: &[Entry]| {
        keyglass_tlog::tile::encode_bundle(entries.iter().map(|entry| &entry[..])).unwrap()
    };
    let other: Vec<Entry> = (0..256).map(|i| entry(1, i)).collect();
    for (lie, words) in [
        (Lie::Bytes(bundled(&other)), "does not lead to the head"),
        (Lie::Bytes(vec![0xff; 256 * 42]), "not an entry of its tree"),
        (Lie::Bytes(b"<script>".to_vec()), "did not hand out the entry"),
        (Lie::Endless, "did not hand out the entry"),
        (Lie::Redirect("http://127.0.0.1:9/".to_owned()), "did not hand out the entry"),
        (Lie::Status(500), "did not hand out the entry"),
    ] {
        world.log.lie("tile/entries/000", lie);
        let page = served.text(&path("7"), 502).await;
        assert!(page.contains(words) && !page.contains("<script>"), "{words}: {page}");
        assert_eq!(served.get(&format!("/logs/{}/entry/proof?index=7", served.id)).await.status(), 502);
    }
}

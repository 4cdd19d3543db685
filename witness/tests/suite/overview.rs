//! The page for people, and the figures for whoever is woken.

use std::{num::NonZeroU32, sync::Arc};

use axum::{Router, body::Body};
use hyper::{Method, StatusCode};
use keyglass_tlog::policy::Policy;
use keyglass_witness::{
    clock::SystemClock,
    http::{Limits, router},
    logs::Logs,
    metrics::Metrics,
    service::Witness,
    store::{self, DurableStore},
};
use tower::ServiceExt as _;

use crate::{
    client::{read, request},
    log::Log,
    race::cosigner,
};

struct Setup {
    _data: tempfile::TempDir,
    witness: Arc<Witness<DurableStore, SystemClock>>,
    router: Router,
}

fn policy(logs: &[&Log]) -> Policy {
    let lines: String = logs.iter().map(|log| format!("log {}\n", log.vkey())).collect();
    Policy::parse(format!("{lines}quorum none\n").as_bytes()).unwrap()
}

fn setup(logs: &[&Log]) -> Setup {
    let data = tempfile::tempdir().unwrap();
    let key = cosigner();
    store::create(data.path(), &[key.vkey()]).unwrap();
    let store = DurableStore::open(data.path(), &[key.vkey()]).unwrap();
    let logs = Logs::of_policy(&policy(logs), NonZeroU32::new(1000).unwrap());
    let metrics = Arc::new(Metrics::default());
    let witness = Arc::new(Witness::new(vec![key], logs, store, SystemClock, Arc::clone(&metrics)));
    let router = router(Arc::clone(&witness), metrics, Limits::default());
    Setup { _data: data, witness, router }
}

impl Setup {
    async fn send(&self, method: Method, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
        let answer = read(self.router.clone().oneshot(request(method, path, body)).await.unwrap()).await;
        (answer.status, answer.body)
    }

    async fn get(&self, path: &str) -> String {
        let (status, body) = self.send(Method::GET, path, Body::empty()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }
}

#[tokio::test]
async fn the_page_follows_what_is_cosigned_and_what_the_policy_lists() {
    let [a, b] = ["a.example", "<b>.example"].map(Log::new);
    let setup = setup(&[&a, &b]);
    let page = setup.get("/").await;
    assert!(page.contains("2 in the policy.") && page.contains("never"), "{page}");
    assert!(page.contains("&lt;b&gt;.example") && !page.contains("<b>"), "{page}");
    assert!(page.contains(&cosigner().vkey().to_string().replace('"', "")), "{page}");

    for (old, new) in [(0, 1200), (7, 9)] {
        setup.send(Method::POST, "/add-checkpoint", b.request(old, new).to_string()).await;
    }
    let page = setup.get("/").await;
    assert!(page.contains("1,200") && page.contains(" s ago"), "{page}");
    assert!(page.contains("refused: old-size-conflict"), "{page}");

    // A log that leaves the policy stays on the page, named by what is kept of it.
    setup.witness.replace_logs(&policy(&[&a]));
    let page = setup.get("/?page=1").await;
    assert!(page.contains("1 in the policy, 1 from before."), "{page}");
    assert!(page.contains("<bdi>&lt;b&gt;.example</bdi> <small>not in the policy now"), "{page}");
}

#[tokio::test]
async fn pages_are_strictly_isolated_and_have_one_address_each() {
    let logs: Vec<Log> = (0..201).map(|n| Log::new(&format!("{n:03}.example"))).collect();
    let setup = setup(&logs.iter().collect::<Vec<_>>());
    let answer = setup.router.clone().oneshot(request(Method::GET, "/", Body::empty())).await.unwrap();
    let header = |name| answer.headers()[name].to_str().unwrap().to_owned();
    let policy = header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("x-content-type-options"), "nosniff");
    for (page, first, last, beyond) in
        [(1, "000", "099", "100"), (2, "100", "199", "200"), (3, "200", "200", "199")]
    {
        let page = setup.get(&format!("/?page={page}")).await;
        for shown in [first, last] {
            assert!(page.contains(&format!("<bdi>{shown}.example")), "{shown}");
        }
        assert!(!page.contains(&format!("<bdi>{beyond}.example")), "{beyond}");
    }
    for missing in
        ["/?page=4", "/?page=0", "/?page=01", "/?page=18446744073709551615", "/?x", "/?page=1&page=2"]
    {
        let (status, body) = setup.send(Method::GET, missing, Body::empty()).await;
        assert!(status == StatusCode::NOT_FOUND && body.contains("no-such-path"), "{missing}: {body}");
    }
}

#[tokio::test]
async fn metrics_tell_how_old_cosignatures_are_and_what_durability_costs() {
    let [a, b] = ["a.example", "b.example"].map(Log::new);
    let setup = setup(&[&a, &b]);
    let (status, _) = setup.send(Method::POST, "/add-checkpoint", a.request(0, 1).to_string()).await;
    assert_eq!(status, StatusCode::OK);
    let metrics = setup.get("/metrics").await;
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("keyglass_witness_{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().unwrap()
    };
    assert_eq!(
        (value("logs"), value("never_cosigned_logs"), value("commit_duration_seconds_count")),
        (2, 1, 1)
    );
    let newest = value("newest_cosignature_timestamp_seconds");
    assert!(newest > 1_700_000_000 && value("oldest_cosignature_timestamp_seconds") == newest);
    assert!(!metrics.contains("example"), "no log has a label: there are thousands");
}

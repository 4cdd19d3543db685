//! Alerts that reach webhooks and commands: signed, in order, once, through refusals and restarts.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, response::IntoResponse as _, routing::any};
use keyglass_auditor::{
    alert::{
        config::{AlertConfig, CommandConfig, WebhookConfig},
        desk::{AlertMetrics, Desk},
        notice::{Notice, Observation, Severity, Transition},
        webhook,
    },
    clock::Clock,
};
use keyglass_tlog::time::{UnixMillis, UnixSeconds};
use tokio::sync::mpsc;

const SECRET: &str = "correct horse battery";
const HOLD: Duration = Duration::from_secs(60);

/// A clock that only moves by hand.
struct Hand(AtomicU64);

impl Hand {
    fn forward(&self, duration: Duration) {
        self.0.fetch_add(duration.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// What a receiver was sent, and what it answers: 200 once there is nothing planned.
#[derive(Clone)]
struct Pager {
    answers: Arc<Mutex<VecDeque<u16>>>,
    sent: mpsc::UnboundedSender<(HeaderMap, Bytes)>,
}

async fn page(State(pager): State<Pager>, headers: HeaderMap, body: Bytes) -> axum::response::Response {
    let status = pager.answers.lock().unwrap().pop_front().unwrap_or(200);
    pager.sent.send((headers, body)).unwrap();
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    (status, [("location", "/elsewhere")]).into_response()
}

struct World {
    directory: tempfile::TempDir,
    clock: Arc<Hand>,
    url: String,
    pager: Pager,
    sent: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
}

impl World {
    async fn start(answers: &[u16]) -> Self {
        keyglass_service::tls::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        fs::write(&secret, format!("{SECRET}\n")).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let (sender, sent) = mpsc::unbounded_channel();
        let pager = Pager { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), sent: sender };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(any(page)).with_state(pager.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let clock = Arc::new(Hand(AtomicU64::new(1_700_000_000_000)));
        Self { directory, clock, url, pager, sent }
    }

    fn config(&self) -> AlertConfig {
        let webhook = WebhookConfig {
            name: "pager".to_owned(),
            url: self.url.clone(),
            secret_file: "secret".into(),
            severity: Severity::Warning,
            timeout_ms: 5000,
        };
        AlertConfig { hold_seconds: HOLD.as_secs() as u32, webhook: vec![webhook], command: Vec::new() }
    }

    fn desk(&self, config: &AlertConfig) -> Arc<Desk> {
        let directory = self.directory.path();
        let receivers = config.receivers(directory).unwrap();
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let client = webhook::client(&[]).unwrap();
        let metrics = AlertMetrics::default();
        let path = directory.join("alerts.json");
        Arc::new(Desk::open(path, config.hold(), receivers, client, clock, metrics).unwrap())
    }

    /// The next notice that the pager is sent, whose signature is what a receiver computes.
    async fn next(&mut self) -> Notice {
        let (headers, body) =
            tokio::time::timeout(Duration::from_secs(30), self.sent.recv()).await.unwrap().unwrap();
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let time = header(webhook::SIGNATURE);
        let time = time.strip_prefix("t=").unwrap().split(',').next().unwrap();
        let time = UnixSeconds(time.parse().unwrap());
        assert!(self.clock.now().to_seconds().0 - time.0 < 100);
        assert_eq!(header(webhook::SIGNATURE), webhook::signature(SECRET.as_bytes(), time, &body));
        assert_eq!(header("content-type"), "application/json");
        let notice: Notice = serde_json::from_slice(&body).unwrap();
        assert_eq!(header(webhook::ID), notice.id.to_string());
        notice
    }

    fn nothing_more(&mut self) {
        assert!(self.sent.try_recv().is_err());
    }
}

fn run(desk: &Arc<Desk>) -> tokio::task::JoinHandle<()> {
    let desk = Arc::clone(desk);
    tokio::spawn(async move { desk.run().await })
}

/// What waits is what was not taken; the file is what decides after a restart.
fn waiting(directory: &Path) -> usize {
    let kept: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.join("alerts.json")).unwrap()).unwrap();
    kept["outbox"]["waiting"].as_array().unwrap().len()
}

async fn until_nothing_waits(directory: &Path) {
    for _ in 0..3000 {
        if waiting(directory) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("notices still wait");
}

fn wrong(key: &str, severity: Severity) -> Observation {
    Observation { key: key.to_owned(), severity, detail: format!("{key} is wrong"), evidence: None }
}

#[tokio::test]
async fn a_transition_is_told_once_and_signed() {
    let mut world = World::start(&[]).await;
    let desk = world.desk(&world.config());
    let running = run(&desk);
    for _ in 0..3 {
        desk.observe("log", &[wrong("stale", Severity::Warning)]).await;
        world.clock.forward(Duration::from_secs(1));
    }
    let opened = world.next().await;
    assert_eq!(
        (opened.transition, opened.log.as_str(), opened.what.key.as_str()),
        (Transition::Opened, "log", "stale")
    );
    assert_eq!(desk.alerts().len(), 1);
    desk.observe("log", &[]).await;
    world.clock.forward(HOLD);
    desk.observe("log", &[]).await;
    let resolved = world.next().await;
    assert_eq!((resolved.transition, resolved.alert), (Transition::Resolved, opened.id));
    until_nothing_waits(world.directory.path()).await;
    world.nothing_more();
    running.abort();
}

#[tokio::test]
async fn refusals_and_redirections_are_tried_again_and_not_followed() {
    let mut world = World::start(&[500, 302, 404]).await;
    let desk = world.desk(&world.config());
    desk.observe("log", &[wrong("stale", Severity::Warning)]).await;
    let running = run(&desk);
    let mut ids = Vec::new();
    for pause in [1, 2, 4, 8] {
        ids.push(world.next().await.id);
        world.clock.forward(Duration::from_secs(pause));
        // The pause is over for the clock: any change has the desk look again.
        desk.observe(
            "log",
            &[wrong("stale", Severity::Warning), wrong(&format!("k{pause}"), Severity::Warning)],
        )
        .await;
    }
    until_nothing_waits(world.directory.path()).await;
    // Refused, redirected and refused again; the fourth answer takes it.
    let first = ids[0];
    assert!(ids.iter().filter(|id| **id == first).count() >= 2, "{ids:?}");
    running.abort();
}

#[tokio::test]
async fn what_was_delivered_is_not_delivered_again_after_a_restart_and_what_was_not_is() {
    let mut world = World::start(&[]).await;
    let config = world.config();
    let desk = world.desk(&config);
    let running = run(&desk);
    desk.observe("log", &[wrong("first", Severity::Warning)]).await;
    let first = world.next().await;
    assert_eq!(first.what.key, "first");
    assert!(first.id > world.clock.now().0, "no other auditor's, and none of one that lost its alerts");
    until_nothing_waits(world.directory.path()).await;
    running.abort();
    let _ = running.await;
    // Nobody delivers any more; the process ends.
    desk.observe("log", &[wrong("first", Severity::Warning), wrong("second", Severity::Critical)]).await;
    drop(desk);
    assert_eq!(waiting(world.directory.path()), 1);

    let desk = world.desk(&config);
    assert_eq!(desk.alerts().len(), 2, "graver ones first: {:?}", desk.alerts());
    let running = run(&desk);
    let second = world.next().await;
    assert_eq!((second.what.key.as_str(), second.id), ("second", first.id + 1));
    // The same observations are nothing new.
    desk.observe("log", &[wrong("first", Severity::Warning), wrong("second", Severity::Critical)]).await;
    until_nothing_waits(world.directory.path()).await;
    world.nothing_more();
    // A log that is not followed any more is told of as resolved.
    desk.follow(&[]).await;
    let resolved = [world.next().await, world.next().await];
    assert!(resolved.iter().all(|notice| notice.transition == Transition::Resolved));
    running.abort();
}

#[tokio::test]
async fn a_receiver_is_told_what_is_grave_enough_and_a_dead_one_holds_up_nobody() {
    let mut world = World::start(&[]).await;
    let out = world.directory.path().join("out");
    let script = format!("cat >> {}; echo >> {}", out.display(), out.display());
    let command = |name: &str, argv: &[&str], severity| CommandConfig {
        name: name.to_owned(),
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        severity,
        timeout_ms: 20_000,
    };
    let config = AlertConfig {
        command: vec![
            command("file", &["/bin/sh", "-c", &script], Severity::Critical),
            command("dead", &["/bin/sleep", "1000"], Severity::Warning),
        ],
        ..world.config()
    };
    let desk = world.desk(&config);
    let running = run(&desk);
    desk.observe("log", &[wrong("stale", Severity::Warning), wrong("misbehaving", Severity::Critical)]).await;
    let mut keys = [world.next().await.what.key, world.next().await.what.key];
    keys.sort_unstable();
    assert_eq!(keys, ["misbehaving", "stale"]);
    let told = loop {
        let told = fs::read_to_string(&out).unwrap_or_default();
        if told.ends_with('\n') {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let notice: Notice = serde_json::from_str(told.trim_end()).unwrap();
    assert_eq!((notice.what.key.as_str(), told.lines().count()), ("misbehaving", 1));
    running.abort();
    let _ = running.await;
    assert!(world.pager.answers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_written_for_what_stays_as_it_is() {
    let world = World::start(&[]).await;
    let desk = world.desk(&world.config());
    desk.observe("log", &[wrong("stale", Severity::Warning)]).await;
    let path = world.directory.path().join("alerts.json");
    fs::remove_file(&path).unwrap();
    for _ in 0..10 {
        desk.observe("log", &[wrong("stale", Severity::Warning)]).await;
    }
    assert!(!path.exists());
    // What is on disk and cannot be read is refused, not forgotten.
    fs::write(&path, "{").unwrap();
    let clock: Arc<dyn Clock> = Arc::clone(&world.clock) as _;
    let client = webhook::client(&[]).unwrap();
    assert!(Desk::open(path, HOLD, Vec::new(), client, clock, AlertMetrics::default()).is_err());
}

//! Third-party auditing: a log with an auditor in this process, which replays what the log serves and signs what it is told
//! to sign, lies included.

use std::sync::Mutex;

use axum::{extract::State, response::IntoResponse, routing::get};
use keyglass_crypto::hash::Digest;
use keyglass_keytrans::config::Configuration;
use keyglass_keytrans::{
    audit::AuditedLog,
    client::VerifyError,
    wire::{
        AuditorTreeHead, AuditorTreeHeadTbs, AuditorUpdate, BatchAuditorUpdate, FullTreeHead, Reader,
        SearchResponse,
    },
};
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{KeyName, Vkey},
};

use super::*;
use crate::{
    audit::heads::{Behind, HeadRefused},
    store::PublishedHead,
};

/// How far the auditor may lag behind.
const LAG: u64 = 3_000;

fn cosigner(seed: u8) -> Cosigner {
    Cosigner::new(KeyName::new("auditor.example").unwrap(), SigningKey::from_seed(&[seed; 32]))
}

/// Signs a head of `size` entries with this root.
fn sign(
    configuration: &Configuration,
    key: &Cosigner,
    size: u64,
    root: Digest,
    timestamp: UnixMillis,
) -> AuditorTreeHead {
    match CipherSuite::from_number(configuration.ciphersuite).unwrap() {
        CipherSuite::Tlog => {
            let vkey =
                Vkey::parse(core::str::from_utf8(&configuration.signature_public_key).unwrap()).unwrap();
            let checkpoint = Checkpoint::new(vkey.name().as_str(), size, root).unwrap();
            let line = key.cosign(&checkpoint, timestamp.to_seconds()).unwrap();
            let timestamp = timestamp.to_seconds().to_millis().unwrap().0;
            AuditorTreeHead { timestamp, tree_size: size, signature: format!("{line}\n").into_bytes() }
        }
        CipherSuite::Draft => {
            let (config, timestamp) = (configuration.clone(), timestamp.0);
            let tbs = AuditorTreeHeadTbs { config, timestamp, tree_size: size, root }.encode().unwrap();
            let signature = key.ed25519_key().unwrap().sign(&tbs).0.to_vec();
            AuditorTreeHead { timestamp, tree_size: size, signature }
        }
    }
}

/// What the auditor serves.
#[derive(Clone, Default)]
struct Served(Arc<Mutex<Option<Vec<u8>>>>);

impl Served {
    fn put(&self, head: &AuditorTreeHead) {
        *self.0.lock().unwrap() = Some(head.encode().unwrap());
    }
}

async fn auditor_head(State(served): State<Served>) -> axum::response::Response {
    match served.0.lock().unwrap().clone() {
        Some(head) => head.into_response(),
        None => axum::http::StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// An auditor of a rig's log.
struct Auditor {
    served: Served,
    url: String,
    audited: AuditedLog,
    last: u64,
    configuration: Configuration,
}

impl Auditor {
    async fn start(rig: &Rig) -> Self {
        let identity = crate::data_dir::read_identity(&rig.path()).unwrap();
        let configuration = identity.configuration.clone();
        let served = Served::default();
        let expected = format!("/v1/auditor-head?log={}", hex::encode(identity.id()));
        let handler = {
            let served = served.clone();
            move |uri: axum::http::Uri| async move {
                assert_eq!(uri.to_string(), expected);
                auditor_head(State(served)).await
            }
        };
        let router = Router::new().route("/v1/auditor-head", get(handler));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let audited = AuditedLog::new(identity.suite.log_hash(), configuration.reasonable_monitoring_window);
        Self { served, url, audited, last: 0, configuration }
    }

    /// Replays all that the log has published.
    async fn replay(&mut self, client: &Client) {
        loop {
            let path = format!("/v1/audit/updates?from={}", self.audited.size());
            let response = client.get(&path).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["content-type"], "application/octet-stream");
            let bytes = response.bytes().await.unwrap();
            if bytes.is_empty() {
                return;
            }
            let mut reader = Reader::new(&bytes, client.verifier.response_context());
            while reader.remaining() > 0 {
                let update: BatchAuditorUpdate = match client.verifier.suite() {
                    CipherSuite::Tlog => BatchAuditorUpdate::read(&mut reader).unwrap(),
                    CipherSuite::Draft => AuditorUpdate::read(&mut reader).unwrap().into(),
                };
                self.audited.apply(&update, |_| None).unwrap();
                self.last = update.timestamp;
            }
        }
    }

    /// The head of what was replayed.
    fn head(&self) -> AuditorTreeHead {
        let timestamp = match CipherSuite::from_number(self.configuration.ciphersuite).unwrap() {
            CipherSuite::Tlog => now(),
            CipherSuite::Draft => UnixMillis(self.last),
        };
        let (size, root) = (self.audited.size(), self.audited.root().unwrap());
        sign(&self.configuration, &cosigner(1), size, root, timestamp)
    }

    /// Replays, signs and serves; waits until the log has taken the head.
    async fn vouch(&mut self, server: &LogServer, client: &Client) {
        self.replay(client).await;
        self.served.put(&self.head());
        let size = self.audited.size();
        let mut heads = server.log().auditor().unwrap().watch();
        heads.wait_for(|head| head.as_ref().is_some_and(|head| head.tree_size >= size)).await.unwrap();
    }
}

fn rig(suite: CipherSuite, start: u64) -> Rig {
    Rig::of(Choices {
        auditor: Some(cosigner(1).vkey().clone()),
        max_auditor_lag: LAG,
        auditor_start: start,
        ..Rig::choices(suite)
    })
}

fn audited_by(url: &str, heartbeat: u64) -> impl FnOnce(&mut Settings) {
    let mut poll = poll::Settings::new(url).unwrap();
    poll.least_backoff = Duration::from_millis(2);
    poll.most_backoff = Duration::from_millis(20);
    move |settings: &mut Settings| {
        settings.auditor = Some(poll);
        settings.sequencer.heartbeat = Duration::from_millis(heartbeat);
    }
}

fn search() -> Vec<u8> {
    SearchRequest { last: None, label: LABEL.to_vec(), version: None }.encode().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_before_the_auditor_has_signed_and_then_everything_with_its_head() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let rig = rig(suite, 0);
        let mut auditor = Auditor::start(&rig).await;
        let hour = audited_by(&auditor.url, 3_600_000);
        let (server, mut owner) = rig.start_with("quorum none\n", "127.0.0.1:0", hour).await;
        published(&server, 1).await;
        assert_eq!(server.log().auditor_size(), None);
        let distinguished = owner.verifier.distinguished_request(&owner.state, None).encode().unwrap();
        for (path, body) in [("/v1/search", search()), ("/v1/distinguished", distinguished)] {
            let retry = refused(owner.post(path, body).await, Problem::AuditorBehind).await;
            assert_eq!(retry.as_deref(), Some("1"));
        }
        // Nor does an update become part of the log.
        let record = Owner::new(9).next(&rig.origin);
        let (label, values) = (LABEL.to_vec(), vec![LabelValue { value: record }]);
        let update = UpdateRequest { last: None, label, greatest_version: None, values };
        refused(owner.post("/v1/update", update.encode().unwrap()).await, Problem::AuditorBehind).await;
        assert_eq!(server.state.borrow().size, 1);
        let ready = owner.get("/readyz").await;
        assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(ready.text().await.unwrap().contains("the auditor has not signed a head"));

        auditor.vouch(&server, &owner).await;
        assert_eq!(server.log().auditor_size(), Some(1));
        assert_eq!(owner.get("/readyz").await.status(), StatusCode::OK);
        let metrics = owner.get("/metrics").await.text().await.unwrap();
        assert!(metrics.contains("keyglass_log_auditor_entries 1\n"), "{metrics}");
        assert!(metrics.contains("keyglass_log_auditor_behind 0\n"), "{metrics}");

        // What is published after the head is served with it, within the lag.
        owner.own(LABEL).await;
        let mut account = Owner::new(1);
        for _ in 0..3 {
            let record = account.next(&rig.origin);
            owner.update(LABEL, vec![record.clone()]).await;
            assert_eq!(owner.stranger().search(LABEL, None).await.1, record);
        }
        let answer = owner.ask("/v1/search", search()).await;
        let context = owner.verifier.response_context();
        let response = SearchResponse::decode(&answer, context).unwrap();
        let FullTreeHead::Updated { tree_head, auditor_tree_head: Some(head) } = response.full_tree_head
        else {
            panic!("a new user is shown both heads")
        };
        assert_eq!((tree_head.tree_size, head.tree_size), (4, 1));
        auditor.vouch(&server, &owner).await;
        assert_eq!(owner.stranger().search(LABEL, None).await.0, 2);
        server.stop().await;

        // After a restart with an auditor that is gone, its last head still counts.
        *auditor.served.0.lock().unwrap() = None;
        let hour = audited_by(&auditor.url, 3_600_000);
        let (server, client) = rig.start_with("quorum none\n", "127.0.0.1:0", hour).await;
        assert_eq!(server.log().auditor_size(), Some(4));
        assert_eq!(client.stranger().search(LABEL, None).await.0, 2);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_that_stops_ends_the_answers_and_one_that_comes_back_revives_them() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let rig = rig(suite, 0);
        let mut auditor = Auditor::start(&rig).await;
        let often = audited_by(&auditor.url, 50);
        let (server, client) = rig.start_with("quorum none\n", "127.0.0.1:0", often).await;
        published(&server, 1).await;
        auditor.vouch(&server, &client).await;
        let distinguished = client.verifier.distinguished_request(&client.state, None).encode().unwrap();
        assert_eq!(client.post("/v1/distinguished", distinguished.clone()).await.status(), StatusCode::OK);
        // The log goes on; its auditor does not.
        let signed = auditor.head().timestamp;
        let mut heads = server.log().published().watch();
        loop {
            let head = heads.borrow_and_update().clone().unwrap();
            let last = server.log().store().snapshot().unwrap().entry(head.size - 1).unwrap().unwrap();
            if last.timestamp > signed + LAG {
                break;
            }
            heads.changed().await.unwrap();
        }
        let response = client.post("/v1/distinguished", distinguished.clone()).await;
        refused(response, Problem::AuditorBehind).await;
        let report = client.get("/readyz").await.text().await.unwrap();
        assert!(report.contains("\"behind\":true"), "{report}");
        let metrics = client.get("/metrics").await.text().await.unwrap();
        assert!(metrics.contains("keyglass_log_auditor_behind 1\n"), "{metrics}");
        auditor.vouch(&server, &client).await;
        assert_eq!(client.post("/v1/distinguished", distinguished).await.status(), StatusCode::OK);
        server.stop().await;
    }
}

/// Opens a log again that was just stopped: on a busy machine RocksDB takes its time to let go of it.
fn reopen(rig: &Rig) -> DataDir {
    for _ in 0..500 {
        match DataDir::open(&rig.path(), &service_families()) {
            Ok(data) => return data,
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    DataDir::open(&rig.path(), &service_families()).unwrap()
}

/// A log of three entries, and the heads of its auditor, without a server.
struct Heads {
    rig: Rig,
    published: PublishedHead,
    roots: Vec<Digest>,
    timestamps: Vec<u64>,
    configuration: Configuration,
}

impl Heads {
    async fn new(suite: CipherSuite, start: u64) -> Self {
        let rig = rig(suite, start);
        let auditor = Auditor::start(&rig).await;
        let often = audited_by(&auditor.url, 5);
        let (server, _) = rig.start_with("quorum none\n", "127.0.0.1:0", often).await;
        published(&server, 3).await;
        let published = server.log().published().current().unwrap().as_ref().clone();
        let (mut roots, mut timestamps) = (Vec::new(), Vec::new());
        {
            let snapshot = server.log().store().snapshot().unwrap();
            for size in 1..=published.size {
                roots.push(crate::log_tree::root(&*snapshot, suite.log_hash(), size).unwrap().unwrap());
                timestamps.push(snapshot.entry(size - 1).unwrap().unwrap().timestamp);
            }
        }
        server.stop().await;
        Self { rig, published, roots, timestamps, configuration: auditor.configuration }
    }

    fn head(&self, key: u8, size: u64, timestamp: u64) -> AuditorTreeHead {
        let root = self.roots[usize::try_from(size.min(self.published.size)).unwrap() - 1];
        sign(&self.configuration, &cosigner(key), size, root, UnixMillis(timestamp))
    }

    /// What is made of each of these heads, one after the other, and the size that is held in the end, also after a restart.
    fn offer(&self, offered: &[(AuditorTreeHead, u64)]) -> (Vec<Result<bool, HeadRefused>>, Option<u64>) {
        let data = reopen(&self.rig);
        let store = RocksStore::new(Arc::clone(&data.db));
        let snapshot = store.snapshot().unwrap();
        let open = || {
            AuditorHeads::open(&data.path, &self.rig.encoded, &*snapshot, Some(&self.published))
                .unwrap()
                .unwrap()
        };
        let heads = open();
        let accept = |(head, now): &(AuditorTreeHead, u64)| {
            heads.accept(&*snapshot, &self.published, head.clone(), UnixMillis(*now))
        };
        let results = offered.iter().map(accept).collect();
        assert_eq!(open().size(), heads.size(), "what is held is kept");
        (results, heads.size())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_used_only_if_users_would_take_it() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let log = Heads::new(suite, 0).await;
        let at = |size: u64| match suite {
            CipherSuite::Tlog => log.timestamps[usize::try_from(size).unwrap() - 1] / 1000 * 1000 + 5_000,
            CipherSuite::Draft => log.timestamps[usize::try_from(size).unwrap() - 1],
        };
        let now = at(3);
        let bad_signature = |result: &Result<bool, HeadRefused>| {
            matches!(result, Err(HeadRefused::Signature(VerifyError::Head(_))))
        };
        let good = log.head(1, 2, at(2));
        assert_eq!(log.offer(&[]).1, None);

        // Another key, another root, another size, another time, another signature.
        let key = log.head(2, 2, at(2));
        let root = sign(&log.configuration, &cosigner(1), 2, [9; 32], UnixMillis(at(2)));
        let size = AuditorTreeHead { tree_size: 3, ..good.clone() };
        let time = AuditorTreeHead { timestamp: at(2) - 1000, ..good.clone() };
        let flipped = {
            let mut head = good.clone();
            let middle = head.signature.len() / 2;
            head.signature[middle] ^= 1;
            head
        };
        let empty = AuditorTreeHead { signature: Vec::new(), ..good.clone() };
        // A second line, even of the same key; under 0x0002 simply more bytes.
        let twice = AuditorTreeHead { signature: good.signature.repeat(2), ..good.clone() };
        for head in [key, root, size, time, flipped, empty, twice] {
            let (results, held) = log.offer(&[(head.clone(), now)]);
            assert!(bad_signature(&results[0]), "{head:?}: {results:?}");
            assert_eq!(held, None);
        }
        let beyond = log.head(1, log.published.size + 1, now);
        let refused = HeadRefused::BeyondLog { size: log.published.size + 1, published: log.published.size };
        assert_eq!(log.offer(&[(beyond, now)]), (vec![Err(refused)], None));
        let nothing = AuditorTreeHead { tree_size: 0, ..good.clone() };
        let refused = HeadRefused::BeforeStart { size: 0, start: 0 };
        assert_eq!(log.offer(&[(nothing, now)]), (vec![Err(refused)], None));

        // From the future: under 0xF001 by the clock, under 0x0002 by the entry that was verified last.
        match suite {
            CipherSuite::Tlog => {
                let early = at(2) - 60_000;
                assert_eq!(log.offer(&[(good.clone(), early)]).0, [Ok(true)]);
                std::fs::remove_file(log.rig.path().join("auditor-head")).unwrap();
                let refused = HeadRefused::FromTheFuture { ahead_ms: 1 };
                assert_eq!(log.offer(&[(good.clone(), early - 1)]), (vec![Err(refused)], None));
            }
            CipherSuite::Draft => {
                let refused = HeadRefused::FromTheFuture { ahead_ms: 1 };
                assert_eq!(log.offer(&[(log.head(1, 2, at(2) + 1), now)]), (vec![Err(refused)], None));
            }
        }

        // In order, the same one again, and older ones.
        let (older, newer) = (log.head(1, 1, at(1)), log.head(1, 3, at(3)));
        let offered = [good.clone(), good, newer, older].map(|head| (head, now));
        let expected = vec![Ok(true), Ok(false), Ok(true), Err(HeadRefused::Older { held: 3 })];
        assert_eq!(log.offer(&offered), (expected, Some(3)));
        // What is on disk is verified as well.
        std::fs::write(log.rig.path().join("auditor-head"), b"x").unwrap();
        assert_eq!(log.offer(&[]).1, None);
        let foreign = log.head(2, 2, at(2)).encode().unwrap();
        std::fs::write(log.rig.path().join("auditor-head"), foreign).unwrap();
        assert_eq!(log.offer(&[]).1, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_served_up_to_the_lag_and_no_longer() {
    let log = Heads::new(CipherSuite::Draft, 0).await;
    let data = reopen(&log.rig);
    let store = RocksStore::new(Arc::clone(&data.db));
    let snapshot = store.snapshot().unwrap();
    let heads = AuditorHeads::open(&data.path, &log.rig.encoded, &*snapshot, Some(&log.published));
    let heads = heads.unwrap().unwrap();
    assert_eq!((heads.served(0), heads.lag(0)), (Err(Behind::Nothing), None));
    let timestamp = log.timestamps[2];
    let head = log.head(1, 3, timestamp);
    assert_eq!(heads.accept(&*snapshot, &log.published, head, UnixMillis(timestamp)), Ok(true));
    assert_eq!(heads.served(timestamp + LAG).unwrap().tree_size, 3);
    let behind = Behind::Lag { lag_ms: LAG + 1, max_lag_ms: LAG };
    assert_eq!(heads.served(timestamp + LAG + 1), Err(behind));
    assert_eq!(heads.lag(timestamp + 7), Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_vouches_for_nothing_before_its_start() {
    let log = Heads::new(CipherSuite::Tlog, 2).await;
    let now = log.timestamps[2] + 1000;
    let refused = HeadRefused::BeforeStart { size: 2, start: 2 };
    let offered = [log.head(1, 2, now), log.head(1, 3, now)].map(|head| (head, now));
    assert_eq!(log.offer(&offered), (vec![Err(refused), Ok(true)], Some(3)));
    // Without tiles there is nothing to begin from but the log's beginning.
    let auditor = Some(cosigner(1).vkey().clone());
    let choices = Choices { auditor, auditor_start: 1, ..Rig::choices(CipherSuite::Draft) };
    let refused = new_log(&choices, &mut StdRng::seed_from_u64(11)).err();
    assert_eq!(refused, Some(crate::init::InitError::AuditorStart));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_auditors_answer_is_bounded_and_what_is_none_is_counted() {
    let rig = rig(CipherSuite::Tlog, 0);
    let bodies: Vec<Vec<u8>> = vec![vec![1; 100_000], b"no head".to_vec(), Vec::new()];
    for body in bodies {
        let router = Router::new().fallback(move || async move { body });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let hour = audited_by(&url, 3_600_000);
        let (server, client) = rig.start_with("quorum none\n", "127.0.0.1:0", hour).await;
        published(&server, 1).await;
        loop {
            let report = client.get("/readyz").await.text().await.unwrap();
            if report.contains("its answer is") {
                break;
            }
            tokio::task::yield_now().await;
        }
        server.stop().await;
        serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_auditors_address_is_needed_where_there_is_an_auditor_and_only_there() {
    for (rig, url, wanted) in [
        (rig(CipherSuite::Tlog, 0), None, true),
        (Rig::new(CipherSuite::Tlog), Some("http://127.0.0.1:1"), false),
    ] {
        let settings = Settings {
            policy: Policy::parse(b"quorum none\n").unwrap(),
            sequencer: sequencer::Settings::default(),
            publisher: publisher::Settings::default(),
            prekeys: prekeys::Settings::default(),
            admission: Arc::default(),
            limits: Limits::default(),
            pruning: crate::pruning::Settings::default(),
            rate: None,
            auditor: url.map(|url| poll::Settings::new(url).unwrap()),
            tls: None,
        };
        let data = DataDir::open(&rig.path(), &service_families()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = LogServer::start(data, listener, settings, Arc::new(SystemClock)).err();
        assert!(matches!(refused, Some(StartError::AuditorAddress { wanted: w }) if w == wanted));
    }
    for bad in ["", "auditor.example", "ftp://auditor.example", "http://a.example/?x", "http://a.example/#x"]
    {
        assert!(poll::Settings::new(bad).is_err(), "{bad}");
    }
    assert_eq!(poll::Settings::new("http://a.example/x").unwrap().url.as_str(), "http://a.example/x/");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_served_as_far_as_the_log_is_published() {
    let rig = Rig::new(CipherSuite::Tlog);
    let (server, client) = rig.start("quorum none\n", "127.0.0.1:0").await;
    published(&server, 1).await;
    let response = client.get("/v1/audit/updates?from=0").await;
    assert_eq!(response.headers()["cache-control"], "no-cache");
    // An empty entry of an empty tree: no leaves, and the tree's root.
    assert_eq!(response.bytes().await.unwrap().len(), 8 + 4 + 4 + 4 + 4 + 32);
    assert!(client.get("/v1/audit/updates?from=1").await.bytes().await.unwrap().is_empty());
    refused(client.get("/v1/audit/updates?from=2").await, Problem::LastBeyondTree).await;
    for query in ["", "?from=", "?from=-1", "?from=x", "?from=18446744073709551616", "?from=0&to=1", "?n=0"] {
        refused(client.get(&format!("/v1/audit/updates{query}")).await, Problem::Malformed).await;
    }
    refused(client.post("/v1/audit/updates", Vec::new()).await, Problem::MethodNotAllowed).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_waits_for_the_auditor() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let rig = Rig::of(Choices {
            auditor: Some(cosigner(1).vkey().clone()),
            max_auditor_lag: 3_600_000,
            reasonable_monitoring_window: 20,
            maximum_lifetime: Some(50),
            ..Rig::choices(suite)
        });
        let mut auditor = Auditor::start(&rig).await;
        let often = audited_by(&auditor.url, 2);
        let quick = |settings: &mut Settings| {
            often(settings);
            settings.pruning.grace = Duration::from_millis(1);
        };
        let (server, client) = rig.start_with("quorum none\n", "127.0.0.1:0", quick).await;
        published(&server, 20).await;
        let pruned = || server.log().store().snapshot().unwrap().pruned().unwrap();
        assert_eq!(pruned(), 0, "the auditor may still begin");
        auditor.vouch(&server, &client).await;
        let size = server.log().auditor_size().unwrap();
        // All these entries expire, and the tree of the last is kept: what the next one changes is still to be told.
        while pruned() < size - 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        published(&server, size + 50).await;
        assert_eq!(pruned(), size - 1);
        refused(client.get(&format!("/v1/audit/updates?from={}", size - 1)).await, Problem::Pruned).await;
        auditor.vouch(&server, &client).await;
        assert!(auditor.audited.size() >= size + 50);
        server.stop().await;
    }
}

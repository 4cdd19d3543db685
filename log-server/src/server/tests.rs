//! The whole server in this process: RocksDB on disk, HTTP over a socket, and a client that believes nothing.

use core::net::SocketAddr;
use std::path::PathBuf;

use keyglass_account::{
    author::Draft,
    device::{Device, Suite},
    problem::{Problem, ProblemDetails},
    record::AccountRecord,
    verify::{ValidRecord, Verified, verify},
};
use keyglass_crypto::{dh::DhSecretKey, sign::SigningKey};
use keyglass_keytrans::{
    client::{UserState, Verifier, decode_update_responses},
    config::CipherSuite,
    wire::{LabelValue, SearchRequest, UpdateRequest, Wire as _},
};
use keyglass_tlog::{checkpoint::Checkpoint, note::SignedNote, time::UnixMillis};
use rand::rngs::StdRng;
use reqwest::{StatusCode, header};

use super::*;
use crate::{
    clock::SystemClock,
    init::{Choices, new_log},
    operator,
    testkit::{Manner, policy_of, witness_at},
};

mod auditing;
mod erasure;
mod pruning;
mod tiles;

const LABEL: &[u8] = b"bob@example.org";

/// A log on disk, and what a client knows of it.
struct Rig {
    directory: tempfile::TempDir,
    encoded: Vec<u8>,
    origin: String,
}

impl Rig {
    fn choices(suite: CipherSuite) -> Choices {
        Choices {
            prefix: "log.example".to_owned(),
            suite,
            auditor: None,
            max_auditor_lag: 0,
            auditor_start: 0,
            max_ahead: 60_000,
            max_behind: 600_000,
            reasonable_monitoring_window: 86_400_000,
            maximum_lifetime: None,
        }
    }

    fn new(suite: CipherSuite) -> Self {
        Self::of(Self::choices(suite))
    }

    fn with(suite: CipherSuite, reasonable_monitoring_window: u64, maximum_lifetime: Option<u64>) -> Self {
        Self::of(Choices { reasonable_monitoring_window, maximum_lifetime, ..Self::choices(suite) })
    }

    fn of(choices: Choices) -> Self {
        let log = new_log(&choices, &mut StdRng::seed_from_u64(11)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        DataDir::create(&directory.path().join("log"), &log.identity, &service_families()).unwrap();
        Self { directory, encoded: log.identity.encoded, origin: log.identity.origin }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    async fn start(&self, policy: &str, address: &str) -> (LogServer, Client) {
        self.start_with(policy, address, |_| {}).await
    }

    async fn start_with(
        &self,
        policy: &str,
        address: &str,
        change: impl FnOnce(&mut Settings),
    ) -> (LogServer, Client) {
        let short = Duration::from_millis(1);
        let mut settings = Settings {
            policy: Policy::parse(policy.as_bytes()).unwrap(),
            sequencer: sequencer::Settings { window: short, ..sequencer::Settings::default() },
            publisher: publisher::Settings {
                most_backoff: Duration::from_millis(5),
                ..publisher::Settings::default()
            },
            prekeys: prekeys::Settings::default(),
            admission: Arc::default(),
            limits: Limits::default(),
            pruning: crate::pruning::Settings::default(),
            rate: None,
            auditor: None,
            tls: None,
        };
        change(&mut settings);
        let listener = keyglass_service::server::bind(address.parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let data = DataDir::open(&self.path(), &service_families()).unwrap();
        let server = LogServer::start(data, listener, settings, Arc::new(SystemClock)).unwrap();
        let verifier = Verifier::new(&self.encoded, Some(policy.as_bytes())).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let client = Client { http, address, verifier, state: UserState::default() };
        (server, client)
    }
}

/// Waits until something has been published.
async fn published(server: &LogServer, size: u64) {
    let mut heads = server.log().published().watch();
    heads.wait_for(|head| head.as_ref().is_some_and(|head| head.size >= size)).await.unwrap();
}

struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    verifier: Verifier,
    state: UserState,
}

impl Client {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> reqwest::Response {
        let request = self.http.post(self.url(path)).header(header::CONTENT_TYPE, "application/octet-stream");
        request.body(body).send().await.unwrap()
    }

    /// Posts and expects an answer.
    async fn ask(&self, path: &str, body: Vec<u8>) -> Vec<u8> {
        let response = self.post(path, body).await;
        let (status, body) = (response.status(), response.bytes().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        body.to_vec()
    }

    /// Begins owning a label at the first entry.
    async fn own(&mut self, label: &[u8]) {
        let request = self.verifier.owner_init_request(&self.state, label, 0);
        let answer = self.ask("/v1/owner-init", request.encode().unwrap()).await;
        let verified = self.verifier.verify_owner_init(&self.state, &request, &answer, now()).unwrap();
        self.state.apply(verified.update);
    }

    /// Adds versions and returns the position that was proven.
    async fn update(&mut self, label: &[u8], values: Vec<Vec<u8>>) -> u64 {
        let request = self.verifier.update_request(&self.state, label, values).unwrap();
        let answer = self.ask("/v1/update", request.encode().unwrap()).await;
        self.learn(&request, &answer)
    }

    fn learn(&mut self, request: &UpdateRequest, answer: &[u8]) -> u64 {
        let mut responses = decode_update_responses(answer, self.verifier.response_context()).unwrap();
        assert_eq!(responses.len(), 1);
        let verified =
            self.verifier.verify_update(&self.state, request, &responses.remove(0), now()).unwrap();
        self.state.apply(verified.update);
        verified.result.position
    }

    /// Looks a label up and returns version and value.
    async fn search(&mut self, label: &[u8], version: Option<u32>) -> (u32, Vec<u8>) {
        let request = self.verifier.search_request(&self.state, label, version);
        let answer = self.ask("/v1/search", request.encode().unwrap()).await;
        let verified = self.verifier.verify_search(&self.state, &request, &answer, now()).unwrap();
        self.state.apply(verified.update);
        (verified.result.version, verified.result.value)
    }

    /// A stranger with the same trust.
    fn stranger(&self) -> Self {
        let verifier = self.verifier.clone();
        Self { http: self.http.clone(), address: self.address, verifier, state: UserState::default() }
    }
}

fn now() -> UnixMillis {
    SystemClock.now()
}

/// An account whose owner makes records.
struct Owner {
    identity: SigningKey,
    last: Option<ValidRecord>,
}

impl Owner {
    fn new(seed: u8) -> Self {
        Self { identity: SigningKey::from_seed(&[seed; 32]), last: None }
    }

    fn device(&self, origin: &str, id: u8) -> Device {
        let key = SigningKey::from_seed(&[id + 100; 32]);
        let dh = DhSecretKey::from_bytes(&[id + 200; 32]).public_key();
        Device::sign(origin, LABEL, u32::from(id), &key, dh, vec![Suite::X3DH], UnixMillis(1))
    }

    /// The next record, with one more device.
    fn next(&mut self, origin: &str) -> Vec<u8> {
        let version = self.last.as_ref().map_or(0, |last| last.version() + 1);
        let device = self.device(origin, u8::try_from(version).unwrap() + 1);
        let record = match &self.last {
            None => Draft::new(origin, LABEL, 0).add_device(device).sign_genesis(&self.identity),
            Some(last) => Draft::after(origin, LABEL, last, version).add_device(device).sign(&self.identity),
        };
        self.take(origin, &record.unwrap())
    }

    fn take(&mut self, origin: &str, record: &AccountRecord) -> Vec<u8> {
        let bytes = record.encode();
        let Verified::Valid { record, .. } =
            verify(origin, LABEL, record.version, &bytes, self.last.as_ref()).unwrap()
        else {
            panic!("the record before is known")
        };
        self.last = Some(*record);
        bytes
    }
}

/// Expects a refusal for this cause.
async fn refused(response: reqwest::Response, problem: Problem) -> Option<String> {
    let status = response.status().as_u16();
    let media_type = response.headers().get(header::CONTENT_TYPE).cloned();
    let retry = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
    let body = response.bytes().await.unwrap();
    let details: ProblemDetails =
        serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{status}: {body:?}"));
    assert_eq!(details.problem(), Some(problem), "{details:?}");
    assert_eq!((status, details.status), (problem.status(), Some(problem.status())));
    assert_eq!(media_type.unwrap(), "application/problem+json");
    retry
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_registered_changed_looked_up_and_monitored() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let rig = Rig::new(suite);
        let (server, mut owner) = rig.start("quorum none\n", "127.0.0.1:0").await;
        published(&server, 1).await;
        assert_eq!(owner.get("/v1/configuration").await.bytes().await.unwrap(), rig.encoded);
        let mut stranger = owner.stranger();
        let mut account = Owner::new(1);

        owner.own(LABEL).await;
        let records: Vec<Vec<u8>> = (0..6).map(|_| account.next(&rig.origin)).collect();
        let first = owner.update(LABEL, vec![records[0].clone()]).await;
        assert_eq!(stranger.search(LABEL, None).await, (0, records[0].clone()));
        // Several versions at once.
        let second = owner.update(LABEL, records[1..3].to_vec()).await;
        assert!(first < second);
        for record in &records[3..] {
            owner.update(LABEL, vec![record.clone()]).await;
        }
        // To the right of the last distinguished entry, so that it has to be watched.
        assert_eq!(stranger.search(LABEL, None).await, (5, records[5].clone()));
        for (version, record) in (0..).zip(&records) {
            assert_eq!(stranger.search(LABEL, Some(version)).await, (version, record.clone()));
            assert_eq!(owner.stranger().search(LABEL, Some(version)).await, (version, record.clone()));
        }

        let request = stranger.verifier.contact_monitor_request(&stranger.state, LABEL).unwrap();
        let answer = stranger.ask("/v1/contact-monitor", request.encode().unwrap()).await;
        let verified =
            stranger.verifier.verify_contact_monitor(&stranger.state, &request, &answer, now()).unwrap();
        stranger.state.apply(verified.update);
        let request = owner.verifier.owner_monitor_request(&owner.state, LABEL).unwrap();
        let answer = owner.ask("/v1/owner-monitor", request.encode().unwrap()).await;
        let verified = owner.verifier.verify_owner_monitor(&owner.state, &request, &answer, now()).unwrap();
        owner.state.apply(verified.update);
        let request = stranger.verifier.distinguished_request(&stranger.state, None);
        let answer = stranger.ask("/v1/distinguished", request.encode().unwrap()).await;
        let recent = keyglass_keytrans::prover::RECENT;
        let verified =
            stranger.verifier.verify_distinguished(&stranger.state, &request, recent, &answer, now());
        stranger.state.apply(verified.unwrap().update);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_was_not_seen_published_is_found_by_asking_again() {
    let rig = Rig::new(CipherSuite::Tlog);
    let witnesses = [witness_at(1, Manner::Honest, Arc::new(SystemClock)).await];
    let policy = policy_text(&witnesses, 1);
    let impatient = |settings: &mut Settings| settings.limits.publication = Duration::from_millis(1);
    let (server, mut owner) = rig.start_with(&policy, "127.0.0.1:0", impatient).await;
    published(&server, 1).await;
    owner.own(LABEL).await;
    let record = Owner::new(1).next(&rig.origin);
    *witnesses[0].0.manner.lock().unwrap() = Manner::Says(503, "text/plain", Vec::new());

    let request = owner.verifier.update_request(&owner.state, LABEL, vec![record.clone()]).unwrap();
    let encoded = request.encode().unwrap();
    for _ in 0..2 {
        let retry = refused(owner.post("/v1/update", encoded.clone()).await, Problem::UpdatePending).await;
        assert_eq!(retry.as_deref(), Some("1"));
    }
    server.state.clone().wait_for(|state| state.size == 2).await.unwrap();
    // Nobody sees what is not witnessed.
    let search = SearchRequest { last: None, label: LABEL.to_vec(), version: None }.encode().unwrap();
    refused(owner.post("/v1/search", search).await, Problem::UnknownLabel).await;
    let health = owner.get("/healthz").await;
    assert_eq!(health.status(), StatusCode::OK);
    assert!(health.text().await.unwrap().contains("\"sequenced\":2,\"published\":1"));

    *witnesses[0].0.manner.lock().unwrap() = Manner::Honest;
    published(&server, 2).await;
    let answer = owner.ask("/v1/update", encoded).await;
    owner.learn(&request, &answer);
    assert_eq!(owner.stranger().search(LABEL, None).await, (0, record));
    server.stop().await;
}

fn policy_text(witnesses: &[(Arc<crate::testkit::FakeWitness>, String)], k: usize) -> String {
    // The rig wants text; the policy as parsed is the test kit's.
    assert!(policy_of(witnesses, k).smallest_quorum() == k);
    let mut text = String::new();
    for (i, (witness, url)) in witnesses.iter().enumerate() {
        text.push_str(&format!("witness w{i} {} {url}\n", witness.cosigner.vkey()));
    }
    let names: Vec<String> = (0..witnesses.len()).map(|i| format!("w{i}")).collect();
    text + &format!("group g {k} {}\nquorum g\n", names.join(" "))
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_each_for_its_cause_and_change_nothing() {
    let rig = Rig::new(CipherSuite::Tlog);
    let (server, mut owner) = rig.start("quorum none\n", "127.0.0.1:0").await;
    published(&server, 1).await;
    let mut account = Owner::new(1);
    owner.own(LABEL).await;
    let genesis = account.next(&rig.origin);
    owner.update(LABEL, vec![genesis.clone()]).await;
    let size = server.log().head().unwrap().size;

    let search = |last, label: &[u8], version| {
        SearchRequest { last, label: label.to_vec(), version }.encode().unwrap()
    };
    let good = search(None, LABEL, None);
    let trailing = [&good[..], &[0]].concat();
    let presence = [&[2], &good[1..]].concat();
    for (body, problem) in [
        (good[..good.len() - 2].to_vec(), Problem::Truncated),
        (Vec::new(), Problem::Truncated),
        (trailing, Problem::TrailingBytes),
        (presence, Problem::Malformed),
        (search(None, b"", None), Problem::LabelLength),
        (search(None, b"nobody", None), Problem::UnknownLabel),
        (search(None, LABEL, Some(1)), Problem::UnknownVersion),
        (search(Some(size + 1), LABEL, None), Problem::LastBeyondTree),
        (search(Some(0), LABEL, None), Problem::LastBeyondTree),
        (vec![0; 5000], Problem::BodyTooLarge),
    ] {
        refused(owner.post("/v1/search", body).await, problem).await;
    }
    let plain = owner.http.post(owner.url("/v1/search")).body(good.clone()).send().await.unwrap();
    refused(plain, Problem::UnsupportedMediaType).await;
    refused(owner.get("/v1/search").await, Problem::MethodNotAllowed).await;
    refused(owner.post("/checkpoint", Vec::new()).await, Problem::MethodNotAllowed).await;
    refused(owner.get("/nothing").await, Problem::NotFound).await;
    refused(owner.post("/v1/search", vec![0; 3 << 20]).await, Problem::BodyTooLarge).await;
    refused(owner.post("/v1/messages", vec![0; 1 << 20]).await, Problem::BodyTooLarge).await;
    refused(owner.post("/v1/update", vec![0; (1 << 20) + 1]).await, Problem::BodyTooLarge).await;

    let update = |last, label: &[u8], greatest_version, values: Vec<Vec<u8>>| {
        let values = values.into_iter().map(|value| LabelValue { value }).collect();
        UpdateRequest { last, label: label.to_vec(), greatest_version, values }.encode().unwrap()
    };
    let origin = rig.origin.as_str();
    let next = account.next(origin);
    let mut flipped = next.clone();
    // The last byte says that no new identity signs; the signature is before it.
    *flipped.iter_mut().nth_back(1).unwrap() ^= 1;
    let valid = account.last.take().unwrap();
    let before = match verify(origin, LABEL, 0, &genesis, None).unwrap() {
        Verified::Valid { record, .. } => *record,
        Verified::NeedsHistory(_) => panic!("a genesis needs no history"),
    };
    let reset = Draft::after(origin, LABEL, &before, 1).sign_reset(&SigningKey::from_seed(&[9; 32])).unwrap();
    let other_label = {
        let device = Owner::new(2).device(origin, 1);
        Draft::new(origin, b"carol", 0).add_device(device).sign_genesis(&SigningKey::from_seed(&[2; 32]))
    };
    assert!(other_label.is_err(), "a device's signature is for one label");
    for (body, problem) in [
        (update(None, b"", None, vec![vec![1]]), Problem::LabelLength),
        (update(None, b"carol", None, vec![]), Problem::UnknownLabel),
        (update(None, b"carol", Some(0), vec![vec![1]]), Problem::GreatestVersionBeyond),
        (update(None, b"carol", None, vec![b"no record".to_vec()]), Problem::RecordMalformed),
        (update(None, b"carol", None, vec![genesis.clone()]), Problem::BadSignature),
        (update(None, LABEL, Some(1), vec![next.clone()]), Problem::GreatestVersionBeyond),
        (update(None, LABEL, Some(0), vec![]), Problem::NoValues),
        (update(None, LABEL, Some(0), vec![genesis.clone()]), Problem::WrongPredecessor),
        (update(None, LABEL, Some(0), vec![flipped]), Problem::BadSignature),
        (update(None, LABEL, Some(0), vec![reset.encode()]), Problem::ResetNotAllowed),
        (update(None, LABEL, Some(0), vec![next.clone(), next.clone()]), Problem::WrongPredecessor),
        (update(Some(size + 1), LABEL, Some(0), vec![next.clone()]), Problem::LastBeyondTree),
    ] {
        refused(owner.post("/v1/update", body).await, problem).await;
    }
    // A smaller greatest version is answered with what there is, and the values are not looked at.
    let known = owner.ask("/v1/update", update(None, LABEL, None, vec![vec![1]])).await;
    let mut known = decode_update_responses(&known, owner.verifier.response_context()).unwrap();
    assert_eq!(known.remove(0).values, [LabelValue { value: genesis.clone() }]);

    assert_eq!(owner.stranger().search(LABEL, None).await, (0, genesis));
    refused(owner.post("/v1/search", search(None, b"carol", None)).await, Problem::UnknownLabel).await;
    assert_eq!(valid.version(), 1);
    owner.update(LABEL, vec![next]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_on_the_same_port_goes_on() {
    let rig = Rig::new(CipherSuite::Tlog);
    let (server, mut owner) = rig.start("quorum none\n", "127.0.0.1:0").await;
    published(&server, 1).await;
    let mut account = Owner::new(1);
    owner.own(LABEL).await;
    for _ in 0..2 {
        owner.update(LABEL, vec![account.next(&rig.origin)]).await;
    }
    let before = server.log().head().unwrap();
    let address = owner.address.to_string();
    server.stop().await;

    let (server, _) = rig.start("quorum none\n", &address).await;
    assert_eq!(server.log().head().unwrap(), before);
    let record = account.next(&rig.origin);
    owner.update(LABEL, vec![record.clone()]).await;
    assert_eq!(owner.search(LABEL, None).await, (2, record));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_resets_an_account_through_the_socket() {
    let rig = Rig::new(CipherSuite::Tlog);
    let (server, mut owner) = rig.start("quorum none\n", "127.0.0.1:0").await;
    published(&server, 1).await;
    let mut account = Owner::new(1);
    owner.own(LABEL).await;
    owner.update(LABEL, vec![account.next(&rig.origin)]).await;
    let label = |label: &[u8]| keyglass_account::api::Label::new(label.to_vec()).unwrap();
    let base64 = |bytes: Vec<u8>| keyglass_account::api::Base64::new(bytes).unwrap();
    let send = async |command| operator::send(&rig.path(), &command).await.unwrap();

    let mode = std::fs::metadata(rig.path().join("operator.sock")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    let last = account.last.clone().unwrap();
    let reset =
        Draft::after(&rig.origin, LABEL, &last, 1).sign_reset(&SigningKey::from_seed(&[9; 32])).unwrap();
    let honest =
        Draft::after(&rig.origin, LABEL, &last, 1).set_lockdown(true).sign(&account.identity).unwrap();
    for (to, record, problem) in [
        (LABEL, honest.encode(), Problem::WrongAuthorisation),
        (b"carol", reset.encode(), Problem::WrongPredecessor),
        (LABEL, vec![0], Problem::RecordMalformed),
    ] {
        let command = operator::Command::Reset { label: label(to), record: base64(record) };
        let operator::Outcome::Refused(details) = send(command).await else { panic!("not refused") };
        assert_eq!(details.problem(), Some(problem), "{details:?}");
    }
    let command = operator::Command::Reset { label: label(LABEL), record: base64(reset.encode()) };
    assert_eq!(send(command).await, operator::Outcome::Done { version: 1 });
    assert_eq!(owner.stranger().search(LABEL, None).await, (1, reset.encode()));
    server.stop().await;
    assert!(!rig.path().join("operator.sock").exists());
    assert!(
        operator::send(
            &rig.path(),
            &operator::Command::Reset { label: label(b"x"), record: base64(vec![1]) }
        )
        .await
        .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_say_what_is_wrong() {
    let rig = Rig::new(CipherSuite::Tlog);
    let silent = Manner::Says(500, "text/plain", Vec::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let witnesses = [
        witness_at(1, Manner::Honest, Arc::clone(&clock)).await,
        witness_at(2, silent, Arc::clone(&clock)).await,
    ];
    let (server, client) = rig.start(&policy_text(&witnesses, 2), "127.0.0.1:0").await;
    refused(client.get("/checkpoint").await, Problem::NotPublished).await;
    let search = SearchRequest { last: None, label: LABEL.to_vec(), version: None }.encode().unwrap();
    let retry = refused(client.post("/v1/search", search).await, Problem::NotPublished).await;
    assert_eq!(retry.as_deref(), Some("1"));
    // The first entry is sequenced and its head refused by a witness soon.
    let mut attempts = 0;
    let report = loop {
        let not_ready = client.get("/readyz").await;
        assert_eq!(not_ready.status(), StatusCode::SERVICE_UNAVAILABLE);
        let report: serde_json::Value = serde_json::from_slice(&not_ready.bytes().await.unwrap()).unwrap();
        if report["witnesses"][1]["failures"] != 0 {
            break report;
        }
        attempts += 1;
        assert!(attempts < 10_000, "{report}");
    };
    assert!(report["problems"][0].as_str().unwrap().contains("no head is published yet"));
    let witness = &report["witnesses"][1];
    assert_eq!((&witness["cosigned"], &witness["lag"]), (&0.into(), &1.into()));
    assert!(witness["lagging_since_ms"].is_u64() && witness["last_cosigned_ms"].is_null(), "{witness}");
    assert!(witness["error"].as_str().unwrap().contains("500"));
    assert_eq!(client.get("/healthz").await.status(), StatusCode::OK);

    *witnesses[1].0.manner.lock().unwrap() = Manner::Honest;
    published(&server, 1).await;
    let ready = client.get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    let report: serde_json::Value = serde_json::from_slice(&ready.bytes().await.unwrap()).unwrap();
    assert_eq!((&report["status"], &report["published"]), (&"ok".into(), &1.into()));
    let witness = &report["witnesses"][1];
    assert_eq!(
        (&witness["name"], &witness["cosigned"], &witness["lag"]),
        (&"w1".into(), &1.into(), &0.into())
    );
    assert!(witness["lagging_since_ms"].is_null() && witness["last_cosigned_ms"].is_u64(), "{witness}");
    let metrics = client.get("/metrics").await.text().await.unwrap();
    for line in [
        "keyglass_log_published_entries 1",
        "keyglass_log_unwitnessed 0",
        "keyglass_log_witness_cosigned_entries{witness=\"w1\"} 1",
        "keyglass_log_witness_lag_entries{witness=\"w1\"} 0",
        "keyglass_log_witness_lagging_seconds{witness=\"w1\"} 0",
        "keyglass_log_witness_last_cosignature_seconds{witness=\"w1\"} ",
        "keyglass_log_witness_failures{witness=\"w1\"} 0",
        "keyglass_log_witness_requests_total{witness=\"w1\",outcome=\"cosigned\"} 1",
        "keyglass_log_witness_requests_total{witness=\"w1\",outcome=\"refused\"} ",
        "keyglass_log_witness_request_seconds_bucket{le=\"8.192\",witness=\"w1\"} ",
        "keyglass_log_http_requests_total{route=\"/readyz\",status=\"503\"} ",
        "keyglass_log_http_requests_total{route=\"/readyz\",status=\"200\"} 1",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    server.stop().await;
}

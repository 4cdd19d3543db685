//! A log, its witnesses and an auditor in one process, over real sockets. The log and the witnesses do as they are told,
//! lies included.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

pub mod serve;
pub mod updates;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use futures::stream;
use keyglass_auditor::{
    clock::Clock,
    data_dir,
    fetch::{Http, LogSource, WitnessSource},
    follow::{Auditing, Follower, SharedRecords},
    followed::{Followed, Logs},
    head::SignedHead,
    incident::Hysteresis,
    overview::{AuditorOverview, status::LogStatus},
    records::{Records, RecordsError},
    report::{ConvictionReport, Report, WitnessReport},
    signing::Signer,
    trust::Trust,
    updates::Limits,
};
use keyglass_crypto::{sign::SigningKey, vrf::VrfSecretKey};
use keyglass_keytrans::{
    config::{AuditingFields, CipherSuite, Configuration, ModeFields},
    wire::{LogEntry, Wire as _},
};
use keyglass_tlog::{
    Digest,
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    evidence::{Conviction, Evidence},
    note::{KeyName, NoteSigner, SignatureLine, SignedNote},
    rfc6962::{CompactTree, leaf_hash},
    tile::{Content, Tile, encode_bundle, encode_tile},
    time::{UnixMillis, UnixSeconds},
    witness::checkpoint_path,
};
use tokio::sync::watch;

/// The first entry's timestamp.
pub const START: u64 = 1_700_000_000_000;
pub const MAX_AHEAD: u64 = 60_000;
pub const MAX_BEHIND: u64 = 600_000;
/// The Reasonable Monitoring Window.
pub const WINDOW: u64 = 86_400_000;
/// How far the auditor may lag behind.
pub const MAX_LAG: u64 = 60_000;
pub const ALL: [usize; 3] = [0, 1, 2];

pub type Entry = [u8; 40];

/// Entry `i` of branch `branch`, one millisecond after the other.
pub fn entry(branch: u8, i: u64) -> Entry {
    LogEntry { timestamp: START + i, prefix_tree: updates::tree_of(branch) }.to_bytes()
}

/// The first `size` entries of a log that is branch 0 until `fork`, and `branch` from there.
pub fn history(fork: u64, branch: u8, size: u64) -> Vec<Entry> {
    (0..size).map(|i| entry(if i < fork { 0 } else { branch }, i)).collect()
}

pub fn honest(size: u64) -> Vec<Entry> {
    history(size, 0, size)
}

pub fn root(entries: &[Entry]) -> Digest {
    let mut tree = CompactTree::new();
    for entry in entries {
        tree.append(leaf_hash(entry)).unwrap();
    }
    tree.root()
}

/// What is answered at a path instead of the truth.
#[derive(Clone)]
pub enum Lie {
    Status(u16),
    Redirect(String),
    Bytes(Vec<u8>),
    /// A body with a header.
    Encoded(&'static str, Vec<u8>),
    /// A body without end.
    Endless,
    /// The beginning of a body, and then nothing.
    Stall,
    /// No answer at all.
    Silence,
    /// A body that ends before the length that was announced.
    Short(Vec<u8>),
}

impl Lie {
    async fn answer(self) -> Response {
        let chunk = || Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 64 * 1024]));
        match self {
            Self::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
            Self::Redirect(to) => {
                (StatusCode::TEMPORARY_REDIRECT, [("location", to)], "elsewhere").into_response()
            }
            Self::Bytes(bytes) => bytes.into_response(),
            Self::Encoded(coding, bytes) => ([("content-encoding", coding)], bytes).into_response(),
            Self::Endless => Body::from_stream(stream::repeat_with(chunk)).into_response(),
            Self::Stall => {
                let first = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"x")) });
                let rest = stream::pending();
                Body::from_stream(futures::StreamExt::chain(first, rest)).into_response()
            }
            Self::Silence => futures::future::pending().await,
            Self::Short(bytes) => {
                let length = (bytes.len() + 7).to_string();
                let body = stream::once(async { Ok::<_, std::io::Error>(Bytes::from(bytes)) });
                ([("content-length", length)], Body::from_stream(body)).into_response()
            }
        }
    }
}

#[derive(Default)]
struct Served {
    files: HashMap<String, Vec<u8>>,
    lies: HashMap<String, Lie>,
    /// The updates of entries, each as it is encoded.
    updates: Vec<Vec<u8>>,
    /// How many of them are given at once.
    at_once: usize,
    asked: Vec<String>,
    /// The first entries whose updates were asked for, in the order in which that was.
    asked_from: Vec<u64>,
    /// The entries whose updates were told.
    told: u64,
}

impl Served {
    /// The updates that are asked for.
    fn updates(&mut self, query: &str) -> Option<Vec<u8>> {
        let from: usize = query.strip_prefix("from=")?.parse().ok()?;
        let updates = self.updates.get(from..)?.iter().take(self.at_once);
        self.asked_from.push(from as u64);
        self.told = self.told.max((from + updates.len()) as u64);
        Some(updates.flatten().copied().collect())
    }
}

/// A server of files.
#[derive(Clone)]
pub struct Server {
    pub url: String,
    served: Arc<Mutex<Served>>,
    /// How many requests have come.
    pub requests: Arc<watch::Sender<u64>>,
}

impl Server {
    pub async fn start() -> Self {
        // As many updates as the log-server gives at most.
        let served = Arc::new(Mutex::new(Served { at_once: 1024, ..Served::default() }));
        let requests = Arc::new(watch::channel(0).0);
        let (shared, count) = (Arc::clone(&served), Arc::clone(&requests));
        let serve = move |uri: Uri| {
            let shared = Arc::clone(&shared);
            count.send_modify(|count| *count += 1);
            async move {
                let path = uri.path().trim_start_matches('/').to_owned();
                let (lie, file) = {
                    let mut served = shared.lock().unwrap();
                    served.asked.push(path.clone());
                    let file = match path.as_str() {
                        "v1/audit/updates" => served.updates(uri.query().unwrap_or_default()),
                        _ => served.files.get(&path).cloned(),
                    };
                    (served.lies.get(&path).cloned(), file)
                };
                match (lie, file) {
                    (Some(lie), _) => lie.answer().await,
                    (None, Some(file)) => file.into_response(),
                    (None, None) => StatusCode::NOT_FOUND.into_response(),
                }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(serve)).await });
        Self { url, served, requests }
    }

    pub fn put(&self, path: &str, contents: Vec<u8>) {
        self.served.lock().unwrap().files.insert(path.to_owned(), contents);
    }

    /// Serves these as the updates of all entries.
    pub fn put_updates(&self, updates: Vec<Vec<u8>>) {
        self.served.lock().unwrap().updates = updates;
    }

    /// Gives so many updates at once.
    pub fn give_at_once(&self, updates: usize) {
        self.served.lock().unwrap().at_once = updates;
    }

    /// The first entries whose updates were asked for, in the order in which that was.
    pub fn asked_from(&self) -> Vec<u64> {
        self.served.lock().unwrap().asked_from.clone()
    }

    /// The entries whose updates were told.
    pub fn told(&self) -> u64 {
        self.served.lock().unwrap().told
    }

    pub fn remove(&self, path: &str) {
        self.served.lock().unwrap().files.remove(path);
    }

    pub fn lie(&self, path: &str, lie: Lie) {
        self.served.lock().unwrap().lies.insert(path.to_owned(), lie);
    }

    pub fn be_honest(&self) {
        self.served.lock().unwrap().lies.clear();
    }

    /// The paths asked for since the last time.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.served.lock().unwrap().asked)
    }
}

/// A clock that is set by hand.
pub struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

impl TestClock {
    pub fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }

    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

/// The keys of a log and three witnesses, all from seeds.
pub struct Keys {
    /// Of a log of suite 0x0002 nothing but its key counts.
    pub log: NoteSigner,
    pub configuration: Vec<u8>,
}

impl Keys {
    pub fn new() -> Self {
        Self::of(ModeFields::ContactMonitoring)
    }

    pub fn of(mode: ModeFields) -> Self {
        Self::with(CipherSuite::Tlog, mode, WINDOW)
    }

    pub fn with(suite: CipherSuite, mode: ModeFields, window: u64) -> Self {
        let mut configuration = Configuration {
            ciphersuite: suite.number(),
            signature_public_key: Vec::new(),
            vrf_public_key: VrfSecretKey::from_seed(&[7; 32]).public_key().to_bytes().to_vec(),
            mode,
            max_ahead: MAX_AHEAD,
            max_behind: MAX_BEHIND,
            reasonable_monitoring_window: window,
            maximum_lifetime: None,
        };
        let origin = configuration.origin("log.example").unwrap();
        let log = NoteSigner::new(KeyName::new(&origin).unwrap(), SigningKey::from_seed(&[0xa0; 32]));
        configuration.signature_public_key = match suite {
            CipherSuite::Tlog => log.vkey().to_string().into_bytes(),
            CipherSuite::Draft => log.vkey().key().material(),
        };
        Self { log, configuration: configuration.encode().unwrap() }
    }

    pub fn origin(&self) -> &str {
        self.log.vkey().name().as_str()
    }

    pub fn checkpoint(&self, entries: &[Entry]) -> Checkpoint {
        Checkpoint::new(self.origin(), entries.len() as u64, root(entries)).unwrap()
    }

    /// The head of these entries, signed by the log and cosigned by these witnesses.
    pub fn note(&self, entries: &[Entry], witnesses: &[usize]) -> SignedNote {
        self.note_of(&self.checkpoint(entries), witnesses)
    }

    pub fn note_of(&self, checkpoint: &Checkpoint, witnesses: &[usize]) -> SignedNote {
        let text = checkpoint.text();
        let mut lines = vec![self.log.sign(&text)];
        lines.extend(witnesses.iter().map(|i| cosign(checkpoint, *i)));
        SignedNote::new(&text, lines).unwrap()
    }
}

pub fn cosigner(i: usize) -> Cosigner {
    let name = KeyName::new(&format!("w{}.example", i + 1)).unwrap();
    Cosigner::new(name, SigningKey::from_seed(&[i as u8 + 1; 32]))
}

pub fn cosign(checkpoint: &Checkpoint, i: usize) -> SignatureLine {
    cosigner(i).cosign(checkpoint, UnixSeconds(START / 1000)).unwrap()
}

pub struct World {
    pub keys: Keys,
    pub log: Server,
    pub witnesses: Vec<Server>,
    pub data: tempfile::TempDir,
    pub clock: Arc<TestClock>,
    pub policy: String,
    pub trust: Arc<Trust>,
    pub patience: Duration,
    pub deadline: Duration,
    pub limits: Limits,
}

impl World {
    pub async fn new() -> Self {
        Self::with_mode(CipherSuite::Tlog, WINDOW, |_| ModeFields::ContactMonitoring).await
    }

    /// A log of another configuration, and so of another origin.
    pub async fn other() -> Self {
        Self::with_mode(CipherSuite::Tlog, WINDOW + 1, |_| ModeFields::ContactMonitoring).await
    }

    /// A log that names the auditor in its configuration.
    pub async fn audited(suite: CipherSuite, window: u64, auditor_start_pos: u64) -> Self {
        let max_auditor_lag = MAX_LAG;
        Self::with_mode(suite, window, |auditor| {
            let auditor_public_key = match suite {
                CipherSuite::Tlog => auditor.vkey().to_string().into_bytes(),
                CipherSuite::Draft => auditor.vkey().key().material(),
            };
            ModeFields::ThirdPartyAuditing(AuditingFields {
                max_auditor_lag,
                auditor_start_pos,
                auditor_public_key,
            })
        })
        .await
    }

    async fn with_mode(suite: CipherSuite, window: u64, mode: impl FnOnce(&Cosigner) -> ModeFields) -> Self {
        let data = tempfile::tempdir().unwrap();
        let auditor = KeyName::new("auditor.example").unwrap();
        let auditor = data_dir::create(&data.path().join("auditor"), auditor, None).unwrap();
        let keys = Keys::with(suite, mode(&auditor), window);
        let mut witnesses = Vec::new();
        for _ in ALL {
            witnesses.push(Server::start().await);
        }
        let mut policy = format!("log {}\n", keys.log.vkey());
        for (i, witness) in witnesses.iter().enumerate() {
            policy += &format!("witness w{} {} {}\n", i + 1, cosigner(i).vkey(), witness.url);
        }
        policy += "group q 2 w1 w2 w3\nquorum q\n";
        let trust = Arc::new(Trust::new(&keys.configuration, Some(policy.as_bytes())).unwrap());
        Self {
            keys,
            log: Server::start().await,
            witnesses,
            data,
            clock: Arc::new(TestClock(AtomicU64::new(START + 1000))),
            policy,
            trust,
            patience: Duration::from_secs(60),
            deadline: Duration::from_secs(10),
            limits: Limits { leaves: 1000 },
        }
    }

    pub fn dir(&self) -> std::path::PathBuf {
        self.data.path().join("auditor")
    }

    /// Serves the tiles and bundles of these entries, for their size only, and their updates.
    pub fn serve_tiles(&self, entries: &[Entry]) {
        self.log.put_updates(updates::of_entries(entries));
        self.put_tiles(entries);
    }

    /// Serves the tiles and bundles of these entries, for their size only.
    pub fn put_tiles(&self, entries: &[Entry]) {
        let size = entries.len() as u64;
        let mut row: Vec<Digest> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let mut level = 0u8;
        while !row.is_empty() {
            for (index, hashes) in row.chunks(256).enumerate() {
                let width = hashes.len() as u16;
                let tile = Tile::new(Content::Hashes { level }, index as u64, width).unwrap();
                assert!(tile.is_tile_of(size));
                self.log.put(&tile.to_string(), encode_tile(hashes));
                if level == 0 {
                    let bundle = Tile::new(Content::Entries, index as u64, width).unwrap();
                    let bundled = &entries[index * 256..index * 256 + hashes.len()];
                    let bundled = bundled.iter().map(|entry| &entry[..]);
                    self.log.put(&bundle.to_string(), encode_bundle(bundled).unwrap());
                }
            }
            let full = row.chunks_exact(256);
            row = full
                .map(|hashes| {
                    let mut tree = CompactTree::new();
                    hashes.iter().for_each(|hash| tree.append(*hash).unwrap());
                    tree.root()
                })
                .collect();
            level += 1;
        }
    }

    /// The log shows this head, with these cosignatures.
    pub fn show(&self, entries: &[Entry], witnesses: &[usize]) -> SignedNote {
        let note = self.keys.note(entries, witnesses);
        self.log.put("checkpoint", note.to_string().into_bytes());
        note
    }

    /// The log serves and shows these entries, and these witnesses cosign and show their head.
    pub fn publish(&self, entries: &[Entry], witnesses: &[usize]) -> SignedNote {
        self.log.put_updates(updates::of_entries(entries));
        self.publish_without_updates(entries, witnesses)
    }

    /// The same, with the updates as they are.
    pub fn publish_without_updates(&self, entries: &[Entry], witnesses: &[usize]) -> SignedNote {
        self.put_tiles(entries);
        for witness in witnesses {
            self.cosigned(*witness, &self.keys.note(entries, &[*witness]));
        }
        self.show(entries, witnesses)
    }

    /// The witness shows this note.
    pub fn cosigned(&self, witness: usize, note: &SignedNote) {
        self.witnesses[witness].put(&self.monitoring_path(), note.to_string().into_bytes());
    }

    pub fn monitoring_path(&self) -> String {
        checkpoint_path(self.keys.origin())
    }

    pub fn records(&self) -> Result<Records, RecordsError> {
        let key = data_dir::open(&self.dir(), None).unwrap();
        Records::open(&self.dir(), &key.vkey().to_string(), Arc::clone(&self.trust))
    }

    pub fn follower(&self) -> Auditor {
        self.follower_by(Arc::clone(&self.clock) as _)
    }

    /// One that goes by another clock.
    pub fn follower_by(&self, clock: Arc<dyn Clock>) -> Auditor {
        let records = SharedRecords::new(self.records().unwrap());
        let http = Http::new(self.deadline).unwrap();
        let log = LogSource::new(http.clone(), &self.log.url).unwrap();
        let witnesses = self.trust.policy().witnesses().iter();
        let witnesses =
            witnesses.map(|w| WitnessSource::new(http.clone(), w, self.trust.origin()).unwrap()).collect();
        let follower =
            Follower::new(Arc::clone(&self.trust), records.clone(), log, witnesses, clock, self.auditing());
        Auditor { follower, records }
    }

    /// How the follower audits: with the directory's key, if it is that of the log's auditor.
    pub fn auditing(&self) -> Auditing {
        let key = Arc::new(data_dir::open(&self.dir(), None).unwrap());
        let signer = Signer::new(Arc::clone(&key), &self.trust).map(Arc::new);
        Auditing { patience: self.patience, limits: self.limits, signer, cosigner: Some(key) }
    }

    /// The logs of an auditor that follows these records.
    pub fn logs(&self, records: &SharedRecords) -> Arc<Logs> {
        let changed = Arc::new(watch::channel(0).0);
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let urls = vec![self.log.url.clone()];
        let status = LogStatus::new("log".to_owned(), urls, Arc::clone(&self.trust), Hysteresis::default());
        let signs = self.auditing().signer.is_some();
        let (trust, tell) = (Arc::clone(&self.trust), Arc::clone(&changed));
        let followed = Followed::new(status, trust, Arc::clone(&clock), signs, tell);
        followed.opened(records.clone());
        let (name, vkey) = ("auditor.example".to_owned(), "vkey".to_owned());
        let auditor = AuditorOverview { name, vkey, version: "test" };
        Arc::new(Logs::new(auditor, clock, vec![Arc::new(followed)], changed))
    }

    /// One round in a process of its own, as it were.
    pub async fn round(&self) -> Report {
        self.follower().round().await
    }

    pub fn head(&self, note: &SignedNote) -> SignedHead {
        SignedHead::verify(note, &self.trust).unwrap()
    }

    /// What the report's evidence proves, as a stranger sees it: from the file, the log's key and the policy.
    pub fn convictions(&self, report: &Report) -> Vec<(Evidence, Conviction)> {
        let conviction = |conviction: &ConvictionReport| {
            let file = self.dir().join(data_dir::EVIDENCE).join(&conviction.file);
            let evidence = Evidence::parse(&std::fs::read(file).unwrap()).unwrap();
            let conviction = evidence.verify(&[self.keys.log.vkey()], Some(self.trust.policy())).unwrap();
            (evidence, conviction)
        };
        report.convictions.iter().map(conviction).collect()
    }
}

pub struct Auditor {
    pub follower: Follower,
    pub records: SharedRecords,
}

impl Auditor {
    pub async fn round(&self) -> Report {
        self.follower.round().await.unwrap()
    }
}

pub fn kinds(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

pub fn states(report: &Report) -> Vec<keyglass_auditor::report::WitnessState> {
    report.witnesses.iter().map(|witness: &WitnessReport| witness.state).collect()
}

/// The address of a server that nobody runs.
pub async fn nobody() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

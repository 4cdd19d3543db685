//! Who and what the tests of the services need: devices, a clock that stands still, databases, requests.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use keyglass_account::{
    auth::{self, Credential},
    device::{Device, Suite},
    problem::{Problem, ProblemDetails},
};
use keyglass_crypto::{dh::DhSecretKey, hash::sha256, secret::Secret, sign::SigningKey};
use keyglass_tlog::time::UnixMillis;
use rocksdb::{DB, Options};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{
    clock::Clock,
    mailbox, prekeys,
    store::StoreError,
    tokens::{Accounts, DeviceName, NonceStore, Service, Settings, memory::MemoryNonces},
};

pub(crate) const ORIGIN: &str = "log.example/7nM2";
pub(crate) const START: UnixMillis = UnixMillis(1_700_000_000_000);
pub(crate) const HOUR: u64 = 3_600_000;
pub(crate) const DAY: u64 = 24 * HOUR;

/// A clock that moves when told to.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicU64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicU64::new(START.0))
    }
}

impl TestClock {
    pub(crate) fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    pub(crate) fn rewind(&self, millis: u64) {
        self.0.fetch_sub(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// A device with its keys.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) name: DeviceName,
    seed: [u8; 32],
}

impl Actor {
    pub(crate) fn new(label: &str, device: u32) -> Self {
        let name = DeviceName { label: label.as_bytes().to_owned(), device };
        let seed = sha256(&[b"actor", &name.to_key()]);
        Self { name, seed }
    }

    pub(crate) fn key(&self) -> SigningKey {
        SigningKey::from_seed(&self.seed)
    }

    pub(crate) fn device(&self) -> Device {
        let dh = DhSecretKey::from_bytes(&sha256(&[b"dh", &self.seed])).public_key();
        Device::sign(ORIGIN, &self.name.label, self.name.device, &self.key(), dh, vec![Suite::X3DH], START)
    }
}

/// Published accounts.
#[derive(Default)]
pub(crate) struct TestAccounts {
    devices: Mutex<HashMap<DeviceName, Device>>,
    /// When accounts were first published; those that are not here, long ago.
    since: Mutex<HashMap<Vec<u8>, UnixMillis>>,
    /// Of every record.
    pub(crate) version: AtomicU32,
    broken: Mutex<bool>,
}

impl TestAccounts {
    pub(crate) fn publish(&self, actor: &Actor) {
        self.devices.lock().unwrap().insert(actor.name.clone(), actor.device());
    }

    pub(crate) fn remove(&self, actor: &Actor) {
        self.devices.lock().unwrap().remove(&actor.name);
    }

    /// The account's first version was published at this time.
    pub(crate) fn first_seen(&self, label: &[u8], since: UnixMillis) {
        self.since.lock().unwrap().insert(label.to_vec(), since);
    }

    pub(crate) fn fail(&self, fail: bool) {
        *self.broken.lock().unwrap() = fail;
    }
}

impl Accounts for TestAccounts {
    fn device(&self, label: &[u8], device: u32) -> Result<Option<Device>, StoreError> {
        if *self.broken.lock().unwrap() {
            return Err(StoreError::Backend("planned fault".to_owned()));
        }
        let name = DeviceName { label: label.to_owned(), device };
        Ok(self.devices.lock().unwrap().get(&name).cloned())
    }

    fn devices(&self, label: &[u8]) -> Result<Vec<u32>, StoreError> {
        let devices = self.devices.lock().unwrap();
        let mut ids: Vec<u32> =
            devices.keys().filter(|name| name.label == label).map(|name| name.device).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    fn since(&self, label: &[u8]) -> Result<Option<UnixMillis>, StoreError> {
        Ok(Some(self.since.lock().unwrap().get(label).copied().unwrap_or(UnixMillis(0))))
    }

    fn version(&self, label: &[u8]) -> Result<Option<u32>, StoreError> {
        if *self.broken.lock().unwrap() {
            return Err(StoreError::Backend("planned fault".to_owned()));
        }
        let known = self.devices.lock().unwrap().keys().any(|name| name.label == label);
        Ok(known.then(|| self.version.load(Ordering::Relaxed)))
    }
}

/// A database with the families of all services.
pub(crate) fn open_db(path: &Path) -> Arc<DB> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let families =
        [super::super::rocksdb::FAMILIES, prekeys::rocksdb::FAMILIES, mailbox::rocksdb::FAMILIES].concat();
    Arc::new(DB::open_cf(&options, path, families).unwrap())
}

/// What the services have in common.
pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) accounts: Arc<TestAccounts>,
    pub(crate) nonces: Arc<MemoryNonces>,
    pub(crate) tokens: Arc<Service>,
    pub(crate) alice: Actor,
    pub(crate) bob: Actor,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let clock = Arc::new(TestClock::default());
        let accounts = Arc::new(TestAccounts::default());
        let nonces = Arc::new(MemoryNonces::default());
        let (alice, bob) = (Actor::new("alice", 1), Actor::new("bob", 1));
        accounts.publish(&alice);
        accounts.publish(&bob);
        let tokens = Arc::new(tokens(&accounts, nonces.clone(), &clock, settings));
        Self { clock, accounts, nonces, tokens, alice, bob }
    }

    /// A token for `actor`, as the `Authorization` header.
    pub(crate) fn token(&self, actor: &Actor) -> String {
        let caller = super::Caller { name: actor.name.clone(), device: actor.device() };
        self.tokens.issue(&caller).authorization
    }

    /// The `Authorization` header of a request that `actor` signs, each with a nonce of its own.
    pub(crate) fn signed(&self, actor: &Actor, method: &str, path: &str, body: &[u8]) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let request = auth::Request { origin: ORIGIN, method, path, body };
        let nonce = u128::from(COUNT.fetch_add(1, Ordering::SeqCst)).to_be_bytes();
        let now = self.clock.now();
        Credential::sign(&request, &actor.name.label, actor.name.device, &actor.key(), now, nonce).to_header()
    }
}

pub(crate) fn tokens(
    accounts: &Arc<TestAccounts>,
    nonces: Arc<dyn NonceStore>,
    clock: &Arc<TestClock>,
    settings: Settings,
) -> Service {
    let key = Secret::new([7; 32]);
    Service::new(ORIGIN.to_owned(), key, accounts.clone(), nonces, clock.clone(), settings).unwrap()
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The cause, if this is a well-formed problem.
    #[track_caller]
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let details: ProblemDetails = serde_json::from_slice(&self.body).unwrap();
        let problem = details.problem().unwrap();
        assert_eq!((details.status, self.status.as_u16()), (Some(problem.status()), problem.status()));
        problem
    }
}

/// Sends one request to a router in this process.
pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A request with a JSON body.
pub(crate) fn json(method: &str, path: &str, authorization: &str, body: &Value) -> Request<Body> {
    raw(method, path, authorization, serde_json::to_vec(body).unwrap())
}

/// A request with a body that claims to be JSON.
pub(crate) fn raw(method: &str, path: &str, authorization: &str, body: Vec<u8>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", authorization)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap()
}

/// A request without a body.
pub(crate) fn bare(method: &str, path: &str, authorization: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", authorization)
        .body(Body::empty())
        .unwrap()
}

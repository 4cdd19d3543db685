//! A log-server for tests, on loopback: the log, the prekeys and the mailboxes in memory, and a place to lie.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use keyglass_account::{
    api::{
        AckMessages, Base64, BundleResult, Bundles, FetchBundles, Id128, Message, Messages, PreKeyStatus,
        Receipt, Receipts, SendMessage, SendReceipt, SignedPreKeyStatus, Target, TargetBundle, TokenIssued,
        UploadPreKeys,
    },
    auth::Credential,
    prekey::{KemPreKey, KemPreKeyBatch, LastResortPreKey, PreKeyBatch, PreKeyBundle, SignedPreKey},
    problem::Problem,
    search_many::{SearchAnswer, SearchManyRequest, encode_answers},
};
use keyglass_keytrans::{
    config::DeploymentMode,
    prover::{self, ProverError, ServedHead},
    wire::{Context, SearchRequest, UpdateRequest, Wire},
};

use crate::log::{TestLog, now};

pub struct Request {
    pub method: String,
    pub path: String,
    pub authorization: String,
    pub body: Vec<u8>,
}

pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
    }

    pub fn problem(problem: Problem) -> Self {
        let body = serde_json::to_vec(&problem.details(None)).unwrap();
        Self { status: problem.status(), headers: Vec::new(), body }
    }

    fn json(value: &impl serde::Serialize) -> Self {
        Self::ok(serde_json::to_vec(value).unwrap())
    }
}

#[derive(Default)]
struct Pool {
    signed: Option<SignedPreKey>,
    batches: Vec<PreKeyBatch>,
    last_resort: Option<LastResortPreKey>,
    kem_batches: Vec<KemPreKeyBatch>,
    handed_out: usize,
}

/// Messages in one answer.
pub const PAGE: usize = 20;

/// Answers in place of the honest server, or leaves the request to it.
pub type Lie = Box<dyn FnMut(&mut World, &Request) -> Option<Response> + Send>;

pub struct World {
    pub log: TestLog,
    pools: BTreeMap<(Vec<u8>, u32), Pool>,
    pub mailboxes: BTreeMap<(Vec<u8>, u32), Vec<Message>>,
    pub receipts: BTreeMap<(Vec<u8>, u32), Vec<Receipt>>,
    pub seen: Vec<String>,
    pub lie: Option<Lie>,
}

impl World {
    fn answer(&mut self, request: &Request) -> Response {
        self.seen.push(format!("{} {}", request.method, request.path));
        if let Some(mut lie) = self.lie.take() {
            let response = lie(self, request);
            self.lie.get_or_insert(lie);
            if let Some(response) = response {
                return response;
            }
        }
        self.honest(request)
    }

    /// Forgets all KEM prekeys, as if no device had ever left any.
    pub fn forget_kem_prekeys(&mut self) {
        for pool in self.pools.values_mut() {
            pool.kem_batches.clear();
            pool.last_resort = None;
        }
    }

    /// Serves another log, which knows nothing of this one's devices and messages. Gives the log before.
    pub fn replace_log(&mut self, log: TestLog) -> TestLog {
        self.pools.clear();
        self.mailboxes.clear();
        std::mem::replace(&mut self.log, log)
    }

    pub fn honest(&mut self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/v1/search") => self.ask(&request.body, prover::search),
            ("POST", "/v1/search-many") => self.search_many(&request.body),
            ("GET", "/checkpoint") => Response::ok(self.log.note()),
            ("POST", "/v1/owner-init") => self.ask(&request.body, prover::owner_init),
            ("POST", "/v1/owner-monitor") => self.ask(&request.body, prover::owner_monitor),
            ("POST", "/v1/contact-monitor") => self.ask(&request.body, prover::contact_monitor),
            ("POST", "/v1/distinguished") => self.ask(&request.body, prover::distinguished),
            ("POST", "/v1/update") => self.update(&request.body),
            ("GET", path) if path.starts_with("/tile/") => {
                self.log.tile(&path[1..]).map_or_else(|| Response::problem(Problem::NotFound), Response::ok)
            }
            ("POST", "/v1/tokens") => {
                let who = Credential::from_header(&request.authorization).unwrap();
                let authorization = format!("Bearer {} {}", hex::encode(who.label), who.device);
                Response::json(&TokenIssued { authorization, expires: u64::MAX })
            }
            ("PUT", "/v1/prekeys") => self.upload(request),
            ("GET", "/v1/prekeys") => Response::json(&self.status(bearer(request))),
            ("POST", "/v1/bundles") => self.bundles(&request.body),
            ("POST", "/v1/messages") => {
                let message: SendMessage = serde_json::from_slice(&request.body).unwrap();
                let Target { label, device } = message.target;
                let published = self.log.greatest(label.as_bytes());
                if message.version.is_some_and(|version| published.is_some_and(|newer| newer > version)) {
                    return Response::problem(Problem::StaleRecord);
                }
                let queue = self.mailboxes.entry((label.into_bytes(), device)).or_default();
                let body = Base64::new(message.body.into_bytes()).unwrap();
                queue.push(Message { id: message.id, received: now(), body });
                Response { status: 204, headers: Vec::new(), body: Vec::new() }
            }
            ("POST", "/v1/receipts") => {
                let receipt: SendReceipt = serde_json::from_slice(&request.body).unwrap();
                let (label, device) = bearer(request);
                let from = Target { label: Base64::new(label).unwrap(), device };
                let Target { label, device } = receipt.target;
                let queue = self.receipts.entry((label.into_bytes(), device)).or_default();
                let (id, reason) = (Id128([queue.len() as u8; 16]), receipt.reason.name().to_owned());
                queue.push(Receipt { id, received: now(), from, handshake: receipt.handshake, reason });
                Response { status: 204, headers: Vec::new(), body: Vec::new() }
            }
            ("GET", "/v1/receipts") => {
                let receipts = self.receipts.entry(bearer(request)).or_default().clone();
                Response::json(&Receipts { receipts, more: false })
            }
            ("POST", "/v1/receipts/ack") => {
                let ack: AckMessages = serde_json::from_slice(&request.body).unwrap();
                let queue = self.receipts.entry(bearer(request)).or_default();
                queue.retain(|receipt| !ack.ids.contains(&receipt.id));
                Response { status: 204, headers: Vec::new(), body: Vec::new() }
            }
            ("GET", path) if path == "/v1/messages" || path.starts_with("/v1/messages?after=") => {
                let all = self.mailboxes.entry(bearer(request)).or_default();
                let after = path.split_once('=').map(|(_, id)| Id128::parse(id).unwrap());
                let place = after.and_then(|id| all.iter().position(|message| message.id == id));
                let rest = &all[place.map_or(0, |place| place + 1)..];
                let messages = rest.iter().take(PAGE).cloned().collect();
                Response::json(&Messages { messages, more: rest.len() > PAGE })
            }
            ("POST", "/v1/messages/ack") => {
                let ack: AckMessages = serde_json::from_slice(&request.body).unwrap();
                let queue = self.mailboxes.entry(bearer(request)).or_default();
                queue.retain(|message| !ack.ids.contains(&message.id));
                Response { status: 204, headers: Vec::new(), body: Vec::new() }
            }
            _ => Response::problem(Problem::NotFound),
        }
    }

    fn ask<Q: Wire, A: Wire>(
        &self,
        body: &[u8],
        answer: impl FnOnce(&TestLog, &ServedHead, &Q) -> Result<A, ProverError<Infallible>>,
    ) -> Response {
        match answer(&self.log, &self.log.head(), &Q::decode(body, context()).unwrap()) {
            Ok(response) => Response::ok(response.encode().unwrap()),
            Err(error) => refusal(&error),
        }
    }

    fn search_many(&self, body: &[u8]) -> Response {
        let SearchManyRequest { mut last, labels } = SearchManyRequest::decode(body).unwrap();
        let mut answers = Vec::new();
        for label in labels {
            let request = SearchRequest { last, label, version: None };
            answers.push(match prover::search(&self.log, &self.log.head(), &request) {
                Ok(response) => {
                    last = Some(self.log.size());
                    SearchAnswer::Response(response.encode().unwrap())
                }
                Err(ProverError::UnknownLabel) => {
                    SearchAnswer::Problem(Problem::UnknownLabel.uri().to_owned())
                }
                Err(error) => return refusal(&error),
            });
        }
        Response::ok(encode_answers(&answers))
    }

    fn update(&mut self, body: &[u8]) -> Response {
        let request = UpdateRequest::decode(body, context()).unwrap();
        let greatest = self.log.greatest(&request.label);
        if request.greatest_version == greatest && request.values.is_empty() {
            return Response::problem(Problem::NoValues);
        }
        let created = (request.greatest_version == greatest).then(|| {
            for value in &request.values {
                self.log.append(&[(&request.label, value.value.clone())]);
            }
            self.log.greatest(&request.label).unwrap()
        });
        match prover::update_responses(&self.log, &self.log.head(), &request, created) {
            Ok(responses) => {
                Response::ok(responses.iter().flat_map(|r| r.encode().unwrap()).collect::<Vec<u8>>())
            }
            Err(error) => refusal(&error),
        }
    }

    fn upload(&mut self, request: &Request) -> Response {
        let who = Credential::from_header(&request.authorization).unwrap();
        let upload: UploadPreKeys = serde_json::from_slice(&request.body).unwrap();
        let key = (who.label, who.device);
        let pool = self.pools.entry(key.clone()).or_default();
        if let Some(signed) = upload.signed_prekey {
            let signed = SignedPreKey::decode(signed.as_bytes()).unwrap();
            if pool.signed.is_some_and(|held| held.id >= signed.id) {
                return Response::problem(Problem::PreKeyIdReused);
            }
            pool.signed = Some(signed);
        }
        for batch in upload.batches {
            pool.batches.push(PreKeyBatch::decode(batch.as_bytes()).unwrap());
        }
        if let Some(last_resort) = upload.last_resort {
            pool.last_resort = Some(LastResortPreKey::decode(last_resort.as_bytes()).unwrap());
        }
        for batch in upload.kem_batches {
            pool.kem_batches.push(KemPreKeyBatch::decode(batch.as_bytes()).unwrap());
        }
        Response::json(&self.status(key))
    }

    fn status(&mut self, key: (Vec<u8>, u32)) -> PreKeyStatus {
        let pool = self.pools.entry(key).or_default();
        let x25519 = pool.batches.iter().map(|batch| (batch.header(), batch.prekeys().last().unwrap().id));
        let kem = pool.kem_batches.iter().map(|batch| (batch.header(), batch.prekeys().last().unwrap().id));
        let last = x25519.chain(kem).max_by_key(|(header, _)| header.batch);
        let left = |count: usize| u32::try_from(count.saturating_sub(pool.handed_out)).unwrap();
        PreKeyStatus {
            one_time: left(pool.batches.iter().map(|batch| batch.prekeys().len()).sum()),
            one_time_kem: left(pool.kem_batches.iter().map(|batch| batch.prekeys().len()).sum()),
            last_resort: pool.last_resort.as_ref().map(|key| SignedPreKeyStatus {
                id: key.id,
                expires: key.expires.0,
                floor: key.floor,
            }),
            signed_prekey: pool.signed.map(|signed| SignedPreKeyStatus {
                id: signed.id,
                expires: signed.expires.0,
                floor: signed.floor,
            }),
            next_batch: last.map_or(0, |(header, _)| header.batch + 1),
            next_id: last.map_or(0, |(_, id)| id + 1),
            ..PreKeyStatus::default()
        }
    }

    fn bundles(&mut self, body: &[u8]) -> Response {
        let fetch: FetchBundles = serde_json::from_slice(body).unwrap();
        let bundles = fetch.targets.into_iter().map(|target| {
            let bundle = self.bundle(target.label.as_bytes(), target.device);
            let result = match bundle {
                Some(bundle) => BundleResult::Bundle(Base64::new(bundle.encode()).unwrap()),
                None => BundleResult::Problem(Problem::NoSignedPreKey.details(None)),
            };
            TargetBundle { target, result }
        });
        Response::json(&Bundles { bundles: bundles.collect(), unknown: Vec::new() })
    }

    /// Hands a bundle out.
    pub fn bundle(&mut self, label: &[u8], device: u32) -> Option<PreKeyBundle> {
        let pool = self.pools.get_mut(&(label.to_vec(), device))?;
        let index = u16::try_from(pool.handed_out).unwrap();
        pool.handed_out += 1;
        let one_time = pool.batches.first().and_then(|batch| batch.entry(index));
        let kem = pool.kem_batches.first().and_then(|batch| batch.entry(index)).map(KemPreKey::OneTime);
        let kem = kem.or_else(|| pool.last_resort.clone().map(KemPreKey::LastResort));
        Some(PreKeyBundle { signed_prekey: pool.signed?, one_time, kem })
    }
}

fn refusal(error: &ProverError<Infallible>) -> Response {
    Response::problem(match error {
        ProverError::UnknownLabel => Problem::UnknownLabel,
        ProverError::UnknownVersion => Problem::UnknownVersion,
        ProverError::Erased(_) => Problem::ErasedVersion,
        ProverError::BadLast { .. } => Problem::LastBeyondTree,
        ProverError::BadGreatestVersion => Problem::GreatestVersionBeyond,
        ProverError::BadMap | ProverError::Violation(_) => Problem::Malformed,
        _ => Problem::Internal,
    })
}

fn context() -> Context {
    Context::new(DeploymentMode::ContactMonitoring)
}

fn bearer(request: &Request) -> (Vec<u8>, u32) {
    let mut parts = request.authorization.split(' ').skip(1);
    (hex::decode(parts.next().unwrap()).unwrap(), parts.next().unwrap().parse().unwrap())
}

/// A running server. It ends with the test's process.
pub struct Server {
    pub world: Arc<Mutex<World>>,
    pub address: SocketAddr,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::new(Mutex::new(World {
            log: TestLog::new(),
            pools: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            receipts: BTreeMap::new(),
            seen: Vec::new(),
            lie: None,
        }));
        let served = Arc::clone(&world);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that goes away is its own problem.
                let _ = serve(&served, stream);
            }
        });
        Self { world, address }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub fn lie(&self, lie: impl FnMut(&mut World, &Request) -> Option<Response> + Send + 'static) {
        self.world().lie = Some(Box::new(lie));
    }

    pub fn honest(&self) {
        self.world().lie = None;
    }
}

fn serve(world: &Mutex<World>, stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut parts = line.split_whitespace();
    let (Some(method), Some(path)) = (parts.next(), parts.next()) else { return Ok(()) };
    let mut request =
        Request { method: method.into(), path: path.into(), authorization: String::new(), body: Vec::new() };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => request.authorization = value.into(),
            _ => {}
        }
    }
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    let response = world.lock().unwrap().answer(&request);
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {} x\r\nconnection: close\r\ncontent-length: {}\r\n",
        response.status,
        response.body.len()
    )?;
    for (name, value) in &response.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&response.body)
}

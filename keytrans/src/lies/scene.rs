//! What a user did before, what it asks, and what it is told.

use keyglass_tlog::time::UnixMillis;
use serde_json::{Value, json};

use super::{
    response::Response,
    shameless::{self, Claim},
};
use crate::{
    algorithms::NewVersions,
    client::{
        HeadError, UserState, Verifier, VerifyError,
        session::{Op, Outcome, Request, state_json},
    },
    config::{CipherSuite, DeploymentMode},
    prover::model::NaiveLog,
    wire::Wire,
};
use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{note::KeyName, witnessed::JudgeError};

/// The policy of every user here: the log's word is enough under 0xF001.
pub(crate) const POLICY: &str = "quorum none\n";

/// A user with a log that it has asked before.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) log: NaiveLog,
    pub(crate) verifier: Verifier,
    pub(crate) state: UserState,
    /// The steps so far as the vectors write them; none if the state does not come from steps.
    pub(crate) steps: Option<Vec<Value>>,
}

impl Session {
    pub(crate) fn new(log: NaiveLog) -> Self {
        let verifier = Verifier::new(&log.config.encode().unwrap(), Some(POLICY.as_bytes())).unwrap();
        Self { log, verifier, state: UserState::default(), steps: Some(Vec::new()) }
    }

    pub(crate) fn clock(&self) -> u64 {
        self.log.now() + 5
    }

    pub(crate) fn request(&self, op: &Op) -> Request {
        op.request(&self.verifier, &self.state).unwrap()
    }

    /// What the log answers honestly.
    pub(crate) fn answer(&self, op: &Op) -> Response {
        Response::honest(&self.log, &self.request(op), None).unwrap()
    }

    /// Performs an operation whose answer is honest.
    pub(crate) fn perform(&mut self, op: &Op) -> Value {
        let response = self.answer(op).encode();
        self.take(op, &response)
    }

    /// Performs an operation whose answer is `response`, which must be acceptable.
    pub(crate) fn take(&mut self, op: &Op, response: &[u8]) -> Value {
        let (step, result, state) = self.step(op, response, self.clock(), &[]);
        if let Some(steps) = &mut self.steps {
            steps.push(step);
        }
        self.state = state;
        result
    }

    /// The step in which `response` is accepted and each of `refused` is not, as the vectors write it; its result and
    /// the state after it.
    pub(crate) fn step(
        &self,
        op: &Op,
        response: &[u8],
        now: u64,
        refused: &[Value],
    ) -> (Value, Value, UserState) {
        let request = self.request(op);
        let attempt = request.attempt(&self.verifier, &self.state, response, UnixMillis(now));
        let (result, state) = attempt.unwrap_or_else(|error| panic!("{op:?}: {error:?}"));
        let (name, params) = op.to_json();
        let mut responses = refused.to_vec();
        responses.push(json!({
            "name": "honest", "expect": "accept", "now": now, "response": hex::encode(response),
            "result": result,
        }));
        let step = json!({
            "op": name, "params": params, "request": hex::encode(request.encode()), "responses": responses,
            "state": state_json(&self.verifier, &state),
        });
        (step, result, state)
    }

    /// The log tells an owner of the next versions of its label, from one log entry, as a manager does.
    pub(crate) fn tell(&mut self, label: &[u8]) -> Value {
        let owner = self.state.labels[label].owner.clone().unwrap();
        let first = owner.greatest_version().map_or(0, |greatest| greatest + 1);
        let versions = &self.log.labels[label];
        let position = versions[&first].position;
        let (last, _) = versions.iter().rev().find(|(_, version)| version.position == position).unwrap();
        let new = Some((owner, NewVersions { position, first, last: *last }));
        let claim = Claim { new, values: true, ..Claim::default() };
        let op = Op::Update { label: label.to_vec(), values: Vec::new() };
        let response = shameless::answer(&self.log, &self.request(&op), &claim).encode();
        self.take(&op, &response)
    }

    /// The log stores values for the owner of a label in an entry of its own, and says so.
    pub(crate) fn update(&mut self, label: &[u8], values: &[&[u8]]) -> Value {
        let op =
            Op::Update { label: label.to_vec(), values: values.iter().map(|value| value.to_vec()).collect() };
        let request = self.request(&op);
        let updates: Vec<(&[u8], &[u8])> = values.iter().map(|value| (label, *value)).collect();
        self.log.append(self.log.now() + 100, &updates);
        let created = self.log.greatest(label);
        let mut response = Response::honest(&self.log, &request, created).unwrap();
        if self.log.config.deployment_mode() == DeploymentMode::ThirdPartyManagement {
            response.update().skipped_versions = Some(0);
        }
        self.take(&op, &response.encode())
    }
}

/// A session at the point where an answer arrives.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) session: Session,
    pub(crate) op: Op,
    pub(crate) response: Vec<u8>,
    /// The user's clock, in milliseconds.
    pub(crate) now: u64,
}

impl Scene {
    /// The scene of an honest answer.
    pub(crate) fn honest(session: Session, op: Op) -> Self {
        let response = session.answer(&op).encode();
        let now = session.clock();
        Self { session, op, response, now }
    }

    /// The scene of the answer of a log that says `claim` and shows the trees of `log`.
    pub(crate) fn shown(session: Session, op: Op, log: &NaiveLog, claim: &Claim) -> Self {
        let response = shameless::answer(log, &session.request(&op), claim).encode();
        let now = log.now() + 5;
        Self { session, op, response, now }
    }

    pub(crate) fn edited(&self, edit: impl FnOnce(&NaiveLog, &mut Response)) -> Self {
        let mut response = Response::decode(&self.op, &self.session.verifier, &self.response);
        edit(&self.session.log, &mut response);
        Self { response: response.encode(), ..self.clone() }
    }

    pub(crate) fn run(&self) -> Outcome {
        let Session { verifier, state, .. } = &self.session;
        self.session.request(&self.op).attempt(verifier, state, &self.response, UnixMillis(self.now))
    }
}

/// A lie with the truth beside it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// The same without the lie.
    pub(crate) honest: Scene,
    pub(crate) lie: Scene,
    pub(crate) verdict: VerifyError,
}

impl Told {
    /// An honest answer that was changed on the way.
    pub(crate) fn edited(
        session: Session,
        op: Op,
        edit: impl FnOnce(&NaiveLog, &mut Response),
        verdict: impl Into<VerifyError>,
    ) -> Self {
        let honest = Scene::honest(session, op);
        let lie = honest.edited(edit);
        Self { honest, lie, verdict: verdict.into() }
    }

    /// An answer from a log whose data were changed.
    pub(crate) fn shown(
        session: Session,
        op: Op,
        claim: &Claim,
        change: impl FnOnce(&mut NaiveLog),
        verdict: impl Into<VerifyError>,
    ) -> Self {
        let mut log = session.log.clone();
        change(&mut log);
        let lie = Scene::shown(session.clone(), op.clone(), &log, claim);
        Self { honest: Scene::honest(session, op), lie, verdict: verdict.into() }
    }
}

/// A sentence of the draft, what enforces it, and a lie that nothing else catches before.
pub(crate) struct Lie {
    /// The title of the section.
    pub(crate) section: &'static str,
    pub(crate) sentence: &'static str,
    /// Where the check is.
    pub(crate) check: &'static str,
    pub(crate) lie: &'static str,
    pub(crate) suites: &'static [CipherSuite],
    pub(crate) told: fn(CipherSuite) -> Told,
}

pub(crate) const BOTH: &[CipherSuite] = &[CipherSuite::Draft, CipherSuite::Tlog];

pub(crate) fn lie(
    section: &'static str,
    sentence: &'static str,
    check: &'static str,
    lie: &'static str,
    told: fn(CipherSuite) -> Told,
) -> Lie {
    Lie { section, sentence, check, lie, suites: BOTH, told }
}

impl Lie {
    pub(crate) fn only(self, suites: &'static [CipherSuite]) -> Self {
        Self { suites, ..self }
    }
}

/// When the logs here begin, in milliseconds. Their entries follow every 100 ms.
pub(crate) const START: u64 = 1_700_000_000_000;

/// The Reasonable Monitoring Window of the logs here: ten entries.
pub(crate) const WINDOW: u64 = 1000;

/// Adds empty entries until there are `size`.
pub(crate) fn grow(log: &mut NaiveLog, size: u64) {
    while log.size() < size {
        log.append(START + 100 * log.size(), &[]);
    }
}

/// Adds an entry at `position` with new versions of one label.
pub(crate) fn add(log: &mut NaiveLog, position: u64, label: &[u8], values: &[&[u8]]) {
    grow(log, position);
    let updates: Vec<(&[u8], &[u8])> = values.iter().map(|value| (label, *value)).collect();
    log.append(START + 100 * position, &updates);
}

/// A log of `size` entries (14 at least) in which
/// - `carol` has versions 0 and 1, from entries 0 and 5,
/// - `alice` has versions 0, 1 and 2, from entries 1, 9 and 12,
/// - `bob` has version 0, from entry 2,
/// - `dave` has versions 0 and 1, both from entry 4.
///
/// With 14 entries the root is entry 7, also the rightmost distinguished one; the frontier is 7, 11, 13.
pub(crate) fn town_in(suite: CipherSuite, mode: DeploymentMode, size: u64) -> NaiveLog {
    let mut log = NaiveLog::in_mode(suite, mode, WINDOW, None);
    add(&mut log, 0, b"carol", &[b"carol 0"]);
    add(&mut log, 1, b"alice", &[b"alice 0"]);
    add(&mut log, 2, b"bob", &[b"bob 0"]);
    add(&mut log, 4, b"dave", &[b"dave 0", b"dave 1"]);
    add(&mut log, 5, b"carol", &[b"carol 1"]);
    add(&mut log, 9, b"alice", &[b"alice 1"]);
    add(&mut log, 12, b"alice", &[b"alice 2"]);
    grow(&mut log, size);
    log
}

pub(crate) fn town(suite: CipherSuite) -> NaiveLog {
    town_in(suite, DeploymentMode::ContactMonitoring, 14)
}

pub(crate) fn greatest(label: &[u8]) -> Op {
    Op::Search { label: label.to_vec(), version: None }
}

pub(crate) fn version(label: &[u8], version: u32) -> Op {
    Op::Search { label: label.to_vec(), version: Some(version) }
}

/// The verdict on a head whose own signature is not over the root that the proof leads to.
pub(crate) fn unsigned(log: &NaiveLog) -> VerifyError {
    match log.suite() {
        CipherSuite::Draft => HeadError::Signature.into(),
        CipherSuite::Tlog => {
            HeadError::Judge(JudgeError::BadSignature(KeyName::new(&log.origin()).unwrap())).into()
        }
    }
}

/// The verdict on a head that another key signed.
pub(crate) fn signed_by_another(log: &NaiveLog) -> VerifyError {
    match log.suite() {
        CipherSuite::Draft => HeadError::Signature.into(),
        CipherSuite::Tlog => HeadError::Judge(JudgeError::LogSignatureMissing).into(),
    }
}

pub(crate) fn another_key() -> SigningKey {
    SigningKey::from_seed(&[0x66; 32])
}

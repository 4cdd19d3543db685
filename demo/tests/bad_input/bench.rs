//! A running system with an account, and what is compared before and after a case.

use std::{sync::Mutex, time::Duration};

use keyglass_account::{
    api::{MESSAGES, PREKEYS, TOKENS, TokenIssued},
    problem::Problem,
};
use keyglass_demo::system::System;
use reqwest::Method;
use serde_json::Value;

use crate::support::{
    account::{Account, upload},
    api::{Answer, Api, Call, to_json},
    programs::{QUIET, api, new_user},
};

/// One-time prekeys in the first batch of each device.
pub const BATCH: u32 = 20;

/// How often, and with which pause, a new log is asked whether it has published a head.
const ATTEMPTS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// A system, an account with two devices and two versions, and the defects found so far.
pub struct Bench {
    pub system: System,
    pub api: Api,
    pub account: Account,
    pub tokens: Vec<String>,
    defects: Mutex<Vec<String>>,
    cases: Mutex<u32>,
}

/// Everything that a bad request must leave alone.
#[derive(Debug, PartialEq)]
pub struct State {
    sizes: (Value, Value),
    checkpoint: Vec<String>,
    greatest: (u32, Vec<u8>),
    prekeys: Vec<Value>,
    mailboxes: Vec<Value>,
}

impl Bench {
    /// Starts everything. Both devices have signed prekey 5 with floor 3, and batch 3 with ids from 100 on.
    pub async fn start() -> Self {
        let system = System::start(QUIET).await.unwrap();
        let api = api(&system);
        let mut account = Account::new(&api.origin, "bad.input@example.org", 2);
        publish(&api, &account).await;
        account.advance();
        publish(&api, &account).await;
        let mut tokens = Vec::new();
        for device in &account.devices {
            let upload = upload(Some(&device.signed_prekey(5, 3)), &[&device.batch(3, 100, BATCH)]);
            let answer = api.call(Call::signed(Method::PUT, PREKEYS, device, to_json(&upload))).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let answer = api.call(Call::signed(Method::POST, TOKENS, device, Vec::new())).await;
            tokens.push(answer.json::<TokenIssued>().authorization);
        }
        Self { system, api, account, tokens, defects: Mutex::default(), cases: Mutex::default() }
    }

    /// What can be seen of the log.
    pub async fn state(&self) -> State {
        let report: Value = self.api.call(Call::get("/readyz")).await.json();
        let sizes = (report["sequenced"].clone(), report["published"].clone());
        // Cosignatures may be added while a head is the newest; the three lines above them may not change.
        let checkpoint = self.api.call(Call::get("/checkpoint")).await.text();
        let checkpoint = checkpoint.lines().take(3).map(str::to_owned).collect();
        let mut user = new_user(&self.system);
        let request = user.search_request(&self.account.label, None);
        let encoded = keyglass_keytrans::wire::Wire::encode(&request).unwrap();
        let answer = self.api.call(Call::operation("/v1/search", encoded)).await;
        let (found, _) = user.searched(&request, &answer.body).unwrap();
        let (mut prekeys, mut mailboxes) = (Vec::new(), Vec::new());
        for token in &self.tokens {
            prekeys
                .push(self.api.call(Call::with_token(Method::GET, PREKEYS, token, Vec::new())).await.json());
            mailboxes
                .push(self.api.call(Call::with_token(Method::GET, MESSAGES, token, Vec::new())).await.json());
        }
        State { sizes, checkpoint, greatest: (found.version, found.value), prekeys, mailboxes }
    }

    /// A request that must be refused for this cause and change nothing.
    pub async fn refuses(&self, what: &str, call: Call<'_>, problem: Problem) -> Answer {
        let before = self.state().await;
        let answer = self.answers(what, call, problem).await;
        self.unchanged(what, &before).await;
        answer
    }

    /// A request that must be refused for this cause; whether it changes nothing the caller checks for many at once.
    pub async fn answers(&self, what: &str, call: Call<'_>, problem: Problem) -> Answer {
        *self.cases.lock().unwrap() += 1;
        let asked = format!("{} {}", call.method, call.path);
        let answer = self.api.call(call).await;
        if answer.problem() != Some(problem) {
            let got = format!("{} {} {}", answer.status, answer.media_type, answer.text());
            self.defect(format!(
                "{what}: {asked}: expected {} {}, got {got}",
                problem.status(),
                problem.uri()
            ));
        }
        answer
    }

    /// Compares with the state before.
    pub async fn unchanged(&self, what: &str, before: &State) {
        let after = self.state().await;
        if *before != after {
            self.defect(format!("{what} changed something: before {before:?}, after {after:?}"));
        }
    }

    pub fn defect(&self, defect: String) {
        self.defects.lock().unwrap().push(defect);
    }

    /// Checks something that is no refusal.
    pub fn check(&self, what: &str, holds: bool) {
        *self.cases.lock().unwrap() += 1;
        if !holds {
            self.defect(what.to_owned());
        }
    }

    /// Fails if anything was wrong; says how many cases there were, which must be at least `least`.
    pub fn finish(self, name: &str, least: u32) {
        let (defects, cases) = (self.defects.into_inner().unwrap(), self.cases.into_inner().unwrap());
        println!("{name}: {cases} cases");
        assert!(defects.is_empty(), "{} defects:\n{}", defects.len(), defects.join("\n"));
        assert!(cases >= least);
    }
}

/// Has the log store an account's newest record, once its first head is published.
pub async fn publish(api: &Api, account: &Account) {
    for _ in 0..ATTEMPTS {
        let answer = api.call(Call::operation("/v1/update", account.update())).await;
        if answer.problem() != Some(Problem::NotPublished) {
            assert_eq!(answer.status, 200, "{}", answer.text());
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("no head was published");
}

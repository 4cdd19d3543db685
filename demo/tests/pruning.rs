//! A log whose entries expire: what is deleted while it serves and is killed, and what is erased by its operator.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

#[allow(dead_code, reason = "each test program uses another part")]
mod support;

use std::{path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_account::problem::Problem;
use keyglass_demo::{
    daemon::{Daemon, ask, run},
    system::path,
};
use keyglass_keytrans::{client::Verifier, wire::Wire as _};
use keyglass_tlog::tile::{Content, Tile};
use rand::RngExt as _;
use serde_json::Value;

use crate::support::{
    account::Account,
    api::{Answer, Api, Call},
    user::User,
};

const SERVER: &str = "keyglass-log-server";
/// How long log entries live, in milliseconds.
const LIFETIME: &str = "1500";
/// How often the server is killed.
const KILLS: u32 = 4;

/// How often, and with which pause, something is asked for that comes by itself.
const ATTEMPTS: u32 = 6000;
const PAUSE: Duration = Duration::from_millis(10);

/// A log and its server.
struct Log {
    directory: tempfile::TempDir,
    verifier: Arc<Verifier>,
    api: Api,
    server: Option<Daemon>,
}

impl Log {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("log");
        let arguments = ["init", "--data", path(&data), "--prefix", "log.example"];
        let times = ["--rmw", "400", "--max-lifetime", LIFETIME, "--max-behind", "20000"];
        let printed = run(SERVER, &[&arguments[..], &times].concat()).await.unwrap();
        let printed: Value = serde_json::from_str(&printed).unwrap();
        let policy = format!("log {}\nquorum none\n", printed["vkey"].as_str().unwrap());
        std::fs::write(directory.path().join("policy"), &policy).unwrap();
        let configuration = STANDARD.decode(printed["configuration"].as_str().unwrap()).unwrap();
        let verifier = Arc::new(Verifier::new(&configuration, Some(policy.as_bytes())).unwrap());
        let server = serve(directory.path(), "127.0.0.1:0").await;
        let api = Api::new(server.url(), printed["origin"].as_str().unwrap());
        Self { directory, verifier, api, server: Some(server) }
    }

    fn data(&self) -> String {
        path(&self.directory.path().join("log")).to_owned()
    }

    /// Kills the server at whatever it is doing, and starts it where it was.
    async fn kill(&mut self) {
        let address = self.server.as_ref().unwrap().address().to_owned();
        let server = self.server.take().unwrap();
        server.kill().await.unwrap();
        self.server = Some(serve(self.directory.path(), &address).await);
    }

    /// Repeats a request until it is answered, and not with 503.
    async fn until_answered(&self, call: Call<'_>) -> Answer {
        for _ in 0..ATTEMPTS {
            match self.api.attempt(&call).await {
                Ok(answer) if answer.status != 503 => return answer,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        panic!("{} {} is not answered", call.method, call.path)
    }

    async fn publish(&self, account: &Account) {
        let answer = self.until_answered(Call::operation("/v1/update", account.update())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    async fn search(&self, user: &User, label: &[u8], version: Option<u32>) -> Answer {
        let request = user.search_request(label, version);
        self.until_answered(Call::operation("/v1/search", request.encode().unwrap())).await
    }

    /// Looks a label up and verifies that the newest record is found.
    async fn finds(&self, user: &mut User, account: &Account) {
        let request = user.search_request(&account.label, None);
        let answer = self.search(user, &account.label, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let (found, _) = user.searched(&request, &answer.body).unwrap();
        assert_eq!((found.version, Some(&found.value)), (account.version(), account.records.last()));
    }

    /// The log entry before which everything is pruned.
    async fn pruned(&self) -> u64 {
        let metrics = self.until_answered(Call::get("/metrics")).await.text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("keyglass_log_pruned_position "));
        line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
    }

    /// Erases a version as the operator does.
    async fn erase(&self, label: &str, version: u32) -> (i32, String) {
        let data = self.data();
        let arguments = ["erase", "--data", &data, "--label", label, "--version", &version.to_string()];
        ask(SERVER, &arguments).await.unwrap()
    }
}

async fn serve(directory: &Path, address: &str) -> Daemon {
    let (data, policy) = (directory.join("log"), directory.join("policy"));
    let place = ["serve", "--data", path(&data), "--policy", path(&policy), "--listen", address];
    let pace = ["--heartbeat", "15", "--batch-window", "1", "--pruning-grace", "20", "--rate-limit", "0"];
    Daemon::start(SERVER, &[&place[..], &pace].concat(), &directory.join("server.log")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_is_deleted_through_kills_and_look_ups_go_on() {
    let mut log = Log::start().await;
    let mut quiet = Account::new(&log.api.origin, "quiet", 1);
    log.publish(&quiet).await;
    quiet.advance();
    log.publish(&quiet).await;
    let mut old_friend = User::new(&log.verifier);
    log.finds(&mut old_friend, &quiet).await;

    let mut busy = Account::new(&log.api.origin, "busy", 1);
    log.publish(&busy).await;
    let mut kills = 0;
    let mut before = 0;
    // Past a whole bundle of log entries.
    while before < 300 || kills < KILLS {
        for _ in 0..3 {
            busy.advance();
            log.publish(&busy).await;
        }
        log.finds(&mut User::new(&log.verifier), &busy).await;
        let now = log.pruned().await;
        // 0 until a server that was started has begun.
        assert!(now == 0 || now >= before, "pruning was at {before} and is at {now}");
        if now > before && kills < KILLS && now > 60 * u64::from(kills) {
            tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..40))).await;
            log.kill().await;
            kills += 1;
        }
        before = before.max(now);
    }

    // The greatest versions, however old; no others that are past.
    log.finds(&mut User::new(&log.verifier), &quiet).await;
    log.finds(&mut User::new(&log.verifier), &busy).await;
    log.finds(&mut old_friend, &quiet).await;
    log.finds(&mut old_friend, &busy).await;
    for (label, version) in [(&quiet.label, 0), (&busy.label, 0), (&busy.label, 3)] {
        let answer = log.search(&User::new(&log.verifier), label, Some(version)).await;
        assert_eq!(answer.problem(), Some(Problem::ExpiredVersion), "{}", answer.text());
    }
    for (content, expected) in
        [(Content::Entries, Some(Problem::Pruned)), (Content::Hashes { level: 0 }, None)]
    {
        let path = format!("/{}", Tile::new(content, 0, 256).unwrap());
        assert_eq!(log.until_answered(Call::get(&path)).await.problem(), expected);
    }

    // The operator erases the newest version of one account.
    let greatest = quiet.version();
    let (code, said) = log.erase("quiet", greatest).await;
    assert_eq!((code, said.as_str()), (0, "version 1 of quiet was erased\n"));
    let answer = log.search(&old_friend, &quiet.label, None).await;
    assert_eq!(answer.problem(), Some(Problem::ErasedVersion), "{}", answer.text());
    for (label, version) in [("quiet", greatest + 1), ("nobody", 0)] {
        assert_eq!(log.erase(label, version).await.0, 7, "{label} {version}");
    }
    // Its version before has expired: nothing shows whose the label is, and anybody could have made a next record.
    quiet.advance();
    let answer = log.until_answered(Call::operation("/v1/update", quiet.update())).await;
    assert_eq!(answer.problem(), Some(Problem::ErasedVersion), "{}", answer.text());
    busy.advance();
    log.publish(&busy).await;
    log.finds(&mut old_friend, &busy).await;

    let data = log.data();
    let Log { server, directory, .. } = log;
    server.unwrap().stop().await.unwrap();
    let arguments = ["erase", "--data", &data, "--label", "quiet", "--version", "0"];
    assert_eq!(ask(SERVER, &arguments).await.unwrap().0, 7, "no server runs");
    assert_eq!(ask(SERVER, &arguments[..5]).await.unwrap().0, 2, "no version");
    drop(directory);
}

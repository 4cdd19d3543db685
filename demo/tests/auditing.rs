//! Third-party auditing with real programs: a log, three witnesses, and the auditor that the log's configuration names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::{fs, path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_demo::{
    client::{Answer, Client},
    daemon::{Daemon, run},
    system::{WITNESSES, path, policy_text, start_witness, witness_line},
};
use keyglass_keytrans::{
    client::{UserState, Verifier},
    config::CipherSuite,
    wire::{FullTreeHead, SearchRequest, SearchResponse, Wire as _},
};
use serde_json::Value;

/// How far the auditor may lag behind, in milliseconds: long enough for a busy machine to keep within it.
const LAG: u64 = 6_000;

/// How often, and with which pause, something is asked for that comes by itself.
const ATTEMPTS: u32 = 1200;
const PAUSE: Duration = Duration::from_millis(50);

/// A log and everybody around it.
struct World {
    directory: tempfile::TempDir,
    suite: CipherSuite,
    log: Option<Daemon>,
    witnesses: Vec<Daemon>,
    auditor: Option<Daemon>,
    /// Where the auditor listens, whenever it runs.
    auditor_address: String,
    configuration: PathBuf,
    policy: PathBuf,
}

/// An address at which nobody listens: programs that name each other have to be told one of the two before it is bound.
fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl World {
    /// The log runs, and its witnesses where there can be any; its auditor has a key and does not run.
    async fn start(suite: CipherSuite) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let auditor = at("auditor");
        let arguments = ["init", "--data", path(&auditor), "--name", "auditor.example"];
        let vkey = run("keyglass-auditor", &arguments).await.unwrap();
        let log = at("log");
        let (lag, suite_number) = (LAG.to_string(), format!("{:#06x}", suite.number()));
        let arguments = ["init", "--data", path(&log), "--prefix", "log.example", "--suite", &suite_number];
        let audited = ["--auditor-vkey", vkey.trim(), "--max-auditor-lag", &lag, "--max-behind", "60000"];
        let printed = run("keyglass-log-server", &[&arguments[..], &audited[..]].concat()).await.unwrap();
        let printed: Value = serde_json::from_str(&printed).unwrap();
        let configuration = at("configuration");
        fs::write(&configuration, STANDARD.decode(printed["configuration"].as_str().unwrap()).unwrap())
            .unwrap();
        let (policy, mut witnesses) = (at("policy"), Vec::new());
        let text = if suite == CipherSuite::Draft {
            "quorum none\n".to_owned()
        } else {
            let log_vkey = printed["vkey"].as_str().unwrap();
            let witness_policy = at("witness.policy");
            fs::write(&witness_policy, format!("log {log_vkey}\nquorum none\n")).unwrap();
            let mut lines = Vec::new();
            for name in WITNESSES {
                let (witness, vkey) = start_witness(directory.path(), name, &witness_policy).await.unwrap();
                lines.push(witness_line(name, &vkey, witness.url()));
                witnesses.push(witness);
            }
            policy_text(log_vkey, &lines)
        };
        fs::write(&policy, text).unwrap();
        let auditor_address = free_address();
        let auditor_url = format!("http://{auditor_address}");
        let arguments = [
            "serve",
            "--data",
            path(&log),
            "--listen",
            "127.0.0.1:0",
            "--policy",
            path(&policy),
            "--heartbeat",
            "500",
            "--batch-window",
            "20",
            "--auditor",
            &auditor_url,
        ];
        let log = Daemon::start("keyglass-log-server", &arguments, &at("log.stderr")).await.unwrap();
        Self {
            directory,
            suite,
            log: Some(log),
            witnesses,
            auditor: None,
            auditor_address,
            configuration,
            policy,
        }
    }

    fn url(&self) -> &str {
        self.log.as_ref().unwrap().url()
    }

    async fn start_auditor(&mut self) {
        let (data, url) = (self.directory.path().join("auditor"), self.url().to_owned());
        let mut arguments =
            vec!["follow", "--data", path(&data), "--url", &url, "--listen", &self.auditor_address];
        arguments.extend(["--configuration", path(&self.configuration), "--interval", "200"]);
        if self.suite == CipherSuite::Tlog {
            arguments.extend(["--policy", path(&self.policy)]);
        }
        let log = self.directory.path().join("auditor.stderr");
        self.auditor = Some(Daemon::start("keyglass-auditor", &arguments, &log).await.unwrap());
    }

    fn client(&self, name: &str) -> Client {
        Client {
            home: self.directory.path().join(name),
            server: self.url().to_owned(),
            configuration: self.configuration.clone(),
            policy: self.policy.clone(),
        }
    }

    /// Reads the log's readiness until it says whether the auditor is behind.
    async fn until_behind(&self, behind: bool) -> Value {
        let url = format!("{}/readyz", self.url());
        let mut last = Value::Null;
        for _ in 0..ATTEMPTS {
            last = reqwest::get(&url).await.unwrap().json().await.unwrap();
            if last["auditor"]["behind"] == behind && last["published"].as_u64() > Some(0) {
                return last;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("the auditor does not become {behind}: {last}")
    }

    /// What a user who has seen nothing is shown, verified: the sizes of the log's head and of the auditor's.
    async fn heads(&self, label: &str) -> (u64, u64) {
        let configuration = fs::read(&self.configuration).unwrap();
        let policy = fs::read(&self.policy).unwrap();
        let verifier = Verifier::new(&configuration, Some(&policy)).unwrap();
        let request = SearchRequest { last: None, label: label.as_bytes().to_vec(), version: None };
        let http = reqwest::Client::new();
        let answer =
            http.post(format!("{}/v1/search", self.url())).header("content-type", "application/octet-stream");
        let answer = answer.body(request.encode().unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let answer = answer.bytes().await.unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = keyglass_tlog::time::UnixMillis(now.as_millis() as u64);
        let verified = verifier.verify_search(&UserState::default(), &request, &answer, now).unwrap();
        let response = SearchResponse::decode(&answer, verifier.response_context()).unwrap();
        let FullTreeHead::Updated { tree_head, auditor_tree_head: Some(auditor) } = response.full_tree_head
        else {
            panic!("a new user is shown both heads")
        };
        assert_eq!(verified.result.version, 0);
        (tree_head.tree_size, auditor.tree_size)
    }

    async fn stop(mut self) {
        for daemon in self.auditor.take().into_iter().chain(self.log.take()).chain(self.witnesses.drain(..)) {
            daemon.stop().await.unwrap();
        }
    }
}

fn expect(answer: &Answer, verdict: &str) {
    assert_eq!(answer.verdict(), verdict, "{}", answer.transcript);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_served_what_the_auditor_vouches_for_and_nothing_while_it_is_gone() {
    let mut world = World::start(CipherSuite::Tlog).await;
    // The log publishes, and answers nobody.
    let report = world.until_behind(true).await;
    assert_eq!(
        (report["status"].as_str(), report["auditor"]["tree_size"].as_u64()),
        (Some("degraded"), Some(0))
    );
    let early = world.client("early").run(&["lookup", "bob", "--timeout", "2"]).await.unwrap();
    expect(&early, "stale");
    assert_eq!(early.text("reason"), "auditor_behind");

    world.start_auditor().await;
    let report = world.until_behind(false).await;
    assert!(report["auditor"]["tree_size"].as_u64() > Some(0), "{report}");
    let bob = world.client("bob").run(&["register", "bob"]).await.unwrap();
    expect(&bob, "verified");
    let alice = world.client("alice");
    expect(&alice.run(&["lookup", "bob"]).await.unwrap(), "verified");
    let (log, audited) = world.heads("bob").await;
    assert!(audited > 0 && audited <= log, "{audited} of {log}");
    let auditor_url = format!("http://{}", world.auditor_address);
    let report: Value = reqwest::get(format!("{auditor_url}/v1/report")).await.unwrap().json().await.unwrap();
    assert_eq!((&report["verdict"], &report["audit"]["signs"]), (&"ok".into(), &true.into()), "{report}");
    let other = reqwest::get(format!("{auditor_url}/v1/auditor-head?log=00")).await.unwrap();
    assert_eq!(other.status(), 404);

    // Killed, it is missed once its last head is too old, and not before that.
    world.auditor.take().unwrap().kill().await.unwrap();
    world.until_behind(true).await;
    for user in ["alice", "stranger"] {
        let refused = world.client(user).run(&["lookup", "bob", "--timeout", "2"]).await.unwrap();
        expect(&refused, "stale");
        assert_eq!(refused.text("reason"), "auditor_behind");
    }
    // It goes on where it was.
    world.start_auditor().await;
    world.until_behind(false).await;
    expect(&alice.run(&["lookup", "bob"]).await.unwrap(), "verified");
    expect(&world.client("stranger").run(&["lookup", "bob"]).await.unwrap(), "verified");
    let (_, later) = world.heads("bob").await;
    assert!(later > audited, "{later} after {audited}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_the_draft_is_audited_too() {
    let mut world = World::start(CipherSuite::Draft).await;
    world.until_behind(true).await;
    world.start_auditor().await;
    world.until_behind(false).await;
    let unwitnessed = ["--trust-without-witnesses"];
    let bob = world.client("bob").run(&[&["register", "bob"], &unwitnessed[..]].concat()).await.unwrap();
    expect(&bob, "verified");
    let (log, audited) = world.heads("bob").await;
    assert!(audited > 0 && audited <= log, "{audited} of {log}");
    world.stop().await;
}

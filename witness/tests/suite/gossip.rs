//! Witnesses among witnesses, each a process of its own: a log that shows them different histories.

use std::{fs, sync::Arc};

use axum::{Router, http::Uri};
use hyper::{Method, StatusCode};
use keyglass_gossip::listing;
use keyglass_tlog::{evidence::Evidence, policy::Policy, tile::Tile};
use keyglass_witness::http::{Server, serve};

use crate::{
    client::Connection,
    log::{Log, ORIGIN},
    process::{Home, Running, add, text},
};

/// Rounds come so often here, in milliseconds.
const PERIOD: &str = "100";

/// A witness that gossips, with the file of its peers.
struct Gossiper {
    home: Home,
    running: Running,
}

impl Gossiper {
    fn start() -> Self {
        let home = Home::new();
        fs::write(home.path().join("peers"), "# nobody yet\n").unwrap();
        let running = Running::start(Self::command(&home));
        Self { home, running }
    }

    fn command(home: &Home) -> std::process::Command {
        let mut command = home.serve("127.0.0.1:0");
        command.arg("--peers").arg(home.path().join("peers")).args(["--gossip-period", PERIOD]);
        command
    }

    fn url(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// Asks these from now on.
    fn meet(&mut self, urls: &[String]) {
        let line = |(i, url): (usize, &String)| format!("peer p{i} {url}\n");
        let file: String = urls.iter().enumerate().map(line).collect();
        fs::write(self.home.path().join("peers"), file).unwrap();
        self.running.signal("-HUP");
        self.running.wait_for("the peers were read again");
    }

    async fn add(&self, log: &Log, old: u64, new: u64) -> crate::client::Answer {
        add(&mut self.running.connect().await, log, old, new).await
    }

    async fn get(&self, path: &str) -> String {
        let mut connection = Connection::open(self.running.address).await.unwrap();
        let answer = connection.send(Method::GET, path, String::new()).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body
    }

    /// The evidence that it holds, each verified with nothing but the log's key.
    async fn evidence(&self) -> Vec<String> {
        let list = listing::parse(self.get("/gossip/v1/evidence").await.as_bytes()).unwrap();
        let mut texts = Vec::new();
        for (id, _) in list {
            let text = self.get(&format!("/gossip/v1/evidence/{id}")).await;
            let evidence = Evidence::parse(text.as_bytes()).unwrap();
            assert_eq!(evidence.verify(&[self.home.log.vkey()], None).unwrap().origin(), ORIGIN);
            texts.push(text);
        }
        texts
    }
}

fn all_meet(witnesses: &mut [Gossiper]) {
    let urls: Vec<String> = witnesses.iter().map(Gossiper::url).collect();
    for (i, witness) in witnesses.iter_mut().enumerate() {
        let others: Vec<String> =
            urls.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, url)| url.clone()).collect();
        witness.meet(&others);
    }
}

/// A log's tiles and checkpoint of one side.
fn log_server(log: Log, size: u64) -> Server {
    let log = Arc::new(log);
    let answer = move |uri: Uri| {
        let log = Arc::clone(&log);
        async move {
            let path = uri.path().trim_start_matches('/');
            if path == "checkpoint" {
                return Ok(log.note(size).to_string().into_bytes());
            }
            path.parse::<Tile>().map(|tile| log.tile(&tile)).map_err(|_| StatusCode::NOT_FOUND)
        }
    };
    serve("127.0.0.1:0".parse().unwrap(), Router::new().fallback(answer)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_between_two_witnesses_stops_all_three_until_it_is_resolved() {
    let mut witnesses = [Gossiper::start(), Gossiper::start(), Gossiper::start()];
    let (log, fork) = (Log::new(ORIGIN), Log::forked(ORIGIN, 4, 1));
    assert_eq!(witnesses[0].add(&log, 0, 8).await.status, StatusCode::OK);
    assert_eq!(witnesses[1].add(&fork, 0, 8).await.status, StatusCode::OK);
    assert_eq!(witnesses[2].add(&log, 0, 3).await.status, StatusCode::OK);
    all_meet(&mut witnesses);
    for witness in &mut witnesses {
        let said = witness.running.wait_for("the log signed two histories");
        assert!(said.contains(ORIGIN), "{said}");
    }
    for (witness, log, size) in
        [(&witnesses[0], &log, 8), (&witnesses[1], &fork, 8), (&witnesses[2], &log, 3)]
    {
        let answer = witness.add(log, size, 9).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::LOCKED, "evidence-held"));
        let texts = witness.evidence().await;
        assert!(!texts.is_empty() && answer.body.contains("/gossip/v1/evidence/"), "{}", answer.body);
        // Its head stays to be seen.
        witness.get(&format!("/{}", keyglass_tlog::witness::checkpoint_path(ORIGIN))).await;
        let page = witness.get("/").await;
        assert!(
            page.contains("It signed two histories") && page.contains("keyglass-witness resolve"),
            "{page}"
        );
        let metrics = witness.get("/metrics").await;
        assert!(metrics.contains("keyglass_witness_stopped_logs 1"), "{metrics}");
    }

    // It stays so, whatever becomes of the process.
    let [first, ..] = &mut witnesses;
    first.running.kill();
    let policy = first.home.policy();
    let resolve = ["resolve", "--policy", policy.to_str().unwrap(), "--origin", ORIGIN, "--reason"];
    first.running = Running::start(Gossiper::command(&first.home));
    assert_eq!(first.add(&log, 8, 9).await.problem(), "evidence-held");
    // An operator resolves it, but not while the witness runs.
    let reason = ["the log's operator restored a backup"];
    assert_eq!(first.home.run(&[&resolve[..], &reason].concat()).status.code(), Some(3));
    first.running.kill();
    let resolved = first.home.run(&[&resolve[..], &reason].concat());
    assert!(resolved.status.success(), "{}", text(&resolved.stderr));
    assert_eq!(text(&resolved.stdout).lines().next().unwrap().len(), 64);
    assert_eq!(first.home.run(&[&resolve[..], &reason].concat()).status.code(), Some(8));
    assert_eq!(first.home.run(&[&resolve[..], &[" "]].concat()).status.code(), Some(2));
    first.running = Running::start(Gossiper::command(&first.home));
    assert_eq!(first.add(&log, 8, 9).await.status, StatusCode::OK);
    assert!(!first.evidence().await.is_empty(), "it is passed on all the same");
    // Another fork stops it again.
    let again = Log::forked(ORIGIN, 5, 2);
    assert_eq!(first.add(&again, 9, 9).await.problem(), "roots-differ");
    assert_eq!(first.add(&log, 9, 10).await.problem(), "evidence-held");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_other_sizes_are_compared_by_the_logs_tiles() {
    let mut witnesses = [Gossiper::start(), Gossiper::start()];
    let (log, fork) = (Log::new(ORIGIN), Log::forked(ORIGIN, 300, 1));
    // One is shown the fork at 500 entries, the other the log at 700, and the log serves the tiles of 900.
    assert_eq!(witnesses[0].add(&fork, 0, 500).await.status, StatusCode::OK);
    assert_eq!(witnesses[1].add(&log, 0, 700).await.status, StatusCode::OK);
    let server = log_server(Log::new(ORIGIN), 900);
    for witness in &witnesses {
        let policy = format!("log {} http://{}\nquorum none\n", log.vkey(), server.address());
        Policy::parse(policy.as_bytes()).unwrap();
        fs::write(witness.home.policy(), policy).unwrap();
    }
    all_meet(&mut witnesses);
    for witness in &mut witnesses {
        witness.running.wait_for("the log signed two histories");
        let texts = witness.evidence().await;
        assert!(texts.iter().any(|text| text.contains("\ninconsistent\n")), "{texts:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_of_peers_is_refused() {
    let home = Home::new();
    fs::write(home.path().join("peers"), "peer a ftp://a\n").unwrap();
    let (code, error) = Home::refuses(Gossiper::command(&home));
    assert_eq!(code, 9);
    assert!(error.contains("line 1") && error.contains("peers"), "{error}");
    // Of a witness that runs, the peers before stay.
    let mut gossiper = Gossiper::start();
    fs::write(gossiper.home.path().join("peers"), "peer a\n").unwrap();
    gossiper.running.signal("-HUP");
    gossiper.running.wait_for("the file of peers was refused");
}

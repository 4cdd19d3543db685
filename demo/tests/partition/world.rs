//! A log and its three witnesses, each on a host of its own; the test is on the log's host.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use keyglass_demo::{
    daemon::{Daemon, run},
    system::{Log, WITNESSES, path, policy_text, witness_line},
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::SignedNote,
    rfc6962::{CompactTree, leaf_hash},
    tile::{Content, Tile, parse_bundle},
    witness::checkpoint_path,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    network::Network,
    support::{
        account::Account,
        api::{Answer, Api, Call},
        programs::{QUIET, serve},
    },
};

/// The log's host.
pub const LOG: &str = "log";

/// How often, and with which pause, something is asked for that comes by itself.
const ATTEMPTS: u32 = 1200;
const PAUSE: Duration = Duration::from_millis(50);

/// A witness: what it is started with, and the process.
struct Place {
    arguments: Vec<String>,
    output: PathBuf,
    address: String,
    daemon: Option<Daemon>,
}

/// The system on its network.
pub struct World<'n> {
    network: &'n Network,
    _directory: TempDir,
    log: Log,
    policy: PathBuf,
    server: Option<Daemon>,
    witnesses: BTreeMap<&'static str, Place>,
    /// The log's HTTP.
    pub api: Api,
    /// Every cosigned or published head that was seen, and where.
    seen: Vec<(String, Checkpoint)>,
}

impl<'n> World<'n> {
    pub async fn start(network: &'n Network) -> Self {
        let directory = tempfile::Builder::new().prefix("keyglass-partition-").tempdir().unwrap();
        let log = Log::init(directory.path(), LOG, QUIET).await.unwrap();
        let logs = directory.path().join("witness.policy");
        std::fs::write(&logs, format!("log {}\nquorum none\n", log.vkey)).unwrap();
        let (mut witnesses, mut lines) = (BTreeMap::new(), Vec::new());
        for name in WITNESSES {
            let (place, vkey) = start_witness(network, directory.path(), name, &logs).await;
            lines.push(witness_line(name, &vkey, &format!("http://{}", place.address)));
            witnesses.insert(name, place);
        }
        let policy = directory.path().join("policy");
        std::fs::write(&policy, policy_text(&log.vkey, &lines)).unwrap();
        let server = log.serve(&format!("{}:0", network.address(LOG)), &policy, QUIET).await.unwrap();
        let api = Api::new(server.url(), &log.origin);
        Self {
            network,
            _directory: directory,
            log,
            policy,
            server: Some(server),
            witnesses,
            api,
            seen: Vec::new(),
        }
    }

    /// Asks once for an account's newest version to be stored.
    pub async fn update(&self, account: &Account) -> Answer {
        self.api.call(Call::operation("/v1/update", account.update())).await
    }

    /// Asks until it is.
    pub async fn publish_account(&self, account: &Account) {
        for _ in 0..ATTEMPTS {
            let answer = self.update(account).await;
            if answer.status != 503 {
                assert_eq!(answer.status, 200, "{}", answer.text());
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{} was never published", String::from_utf8_lossy(&account.label));
    }

    /// Publishes a new account.
    pub async fn publish(&mut self, label: &str) {
        self.publish_account(&Account::new(&self.api.origin, label, 1)).await;
        self.note_heads().await;
    }

    /// The published head. A log that has one never stops serving it.
    pub async fn log_head(&self) -> Checkpoint {
        for _ in 0..ATTEMPTS {
            let answer = self.api.call(Call::get("/checkpoint")).await;
            if answer.status == 200 {
                return checkpoint(&answer.body);
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("no head was ever published");
    }

    /// What a witness cosigned last, asked for on its own host, so that no cut cable matters.
    pub async fn witness_head(&self, name: &str) -> Option<Checkpoint> {
        let url = format!("http://{}", self.witnesses[name].address);
        let path = format!("/{}", checkpoint_path(&self.log.origin).trim_start_matches('/'));
        let api = Api::new(&url, &self.log.origin);
        let answer = self.network.on(name, async || api.call(Call::get(&path)).await).await;
        (answer.status == 200).then(|| checkpoint(&answer.body))
    }

    pub async fn until_witness_has(&self, name: &str, size: u64) {
        for _ in 0..ATTEMPTS {
            if self.witness_head(name).await.is_some_and(|head| head.tree_size() >= size) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{name} never came to {size}");
    }

    /// Whether the log-server comes to report this witness as failing.
    pub async fn readyz_names_a_failure_of(&self, name: &str) -> bool {
        for _ in 0..ATTEMPTS {
            let report: Value = self.api.call(Call::get("/readyz")).await.json();
            let witnesses = report["witnesses"].as_array().unwrap();
            if witnesses.iter().any(|w| w["name"] == name && w["failures"].as_u64() > Some(0)) {
                return true;
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    }

    /// Kills the log-server and starts it again where it was.
    pub async fn restart_log(&mut self) {
        let server = self.server.take().unwrap();
        let address = server.address().to_owned();
        server.kill().await.unwrap();
        self.server = Some(self.log.serve(&address, &self.policy, QUIET).await.unwrap());
    }

    /// Kills a witness and starts it again where it was.
    pub async fn restart_witness(&mut self, name: &str) {
        let place = self.witnesses.get_mut(name).unwrap();
        place.daemon.take().unwrap().kill().await.unwrap();
        place.daemon = Some(start(self.network, name, &place.arguments, &place.output).await);
    }

    /// Remembers what everybody shows now.
    pub async fn note_heads(&mut self) {
        let head = self.log_head().await;
        self.seen.push((LOG.to_owned(), head));
        for name in WITNESSES {
            if let Some(head) = self.witness_head(name).await {
                self.seen.push((name.to_owned(), head));
            }
        }
    }

    /// Every head that was ever seen is one of the log as it is now, and no party ever went back.
    pub async fn expect_one_history(&mut self) {
        self.note_heads().await;
        let size = self.log_head().await.tree_size();
        let roots = self.roots(size).await;
        let mut largest: BTreeMap<&str, u64> = BTreeMap::new();
        for (who, head) in &self.seen {
            let root = roots.get(usize::try_from(head.tree_size()).unwrap());
            assert_eq!(root, Some(head.root()), "{who} showed a head of another log: {head}");
            let before = largest.entry(who).or_default();
            assert!(*before <= head.tree_size(), "{who} went back from {before} to {head}");
            *before = head.tree_size();
        }
    }

    /// The root at every size up to `size`, from the log's entries.
    async fn roots(&self, size: u64) -> Vec<[u8; 32]> {
        let bundle = Tile::new(Content::Entries, 0, u16::try_from(size).unwrap()).unwrap();
        let answer = self.api.call(Call::get(&format!("/{bundle}"))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut tree = CompactTree::new();
        let mut roots = vec![tree.root()];
        for entry in parse_bundle(&bundle, &answer.body).unwrap() {
            tree.append(leaf_hash(entry)).unwrap();
            roots.push(tree.root());
        }
        roots
    }
}

fn checkpoint(note: &[u8]) -> Checkpoint {
    Checkpoint::from_note(&SignedNote::parse(note).unwrap()).unwrap()
}

async fn start(network: &Network, host: &str, arguments: &[String], output: &Path) -> Daemon {
    network.on(host, async || Daemon::start("keyglass-witness", arguments, output).await.unwrap()).await
}

/// Makes a witness on its host; its place and its verifier key.
async fn start_witness(
    network: &Network,
    directory: &Path,
    name: &'static str,
    policy: &Path,
) -> (Place, String) {
    let data = directory.join(name);
    let printed =
        run("keyglass-witness", &["init", "--data", path(&data), "--name", &format!("{name}.example")]).await;
    let vkey = printed.unwrap().lines().next().unwrap().to_owned();
    let output = data.with_extension("log");
    let daemon =
        start(network, name, &serve(&data, policy, &format!("{}:0", network.address(name))), &output).await;
    let address = daemon.address().to_owned();
    let arguments = serve(&data, policy, &address);
    (Place { arguments, output, address, daemon: Some(daemon) }, vkey)
}

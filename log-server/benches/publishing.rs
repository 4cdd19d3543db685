//! From an update sequenced to its head published, with real `keyglass-witness` processes on this machine, each of which
//! makes durable what it cosigns. Build them first: `cargo build --release -p keyglass-witness`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    missing_docs
)]

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use keyglass_crypto::{sign::SigningKey, vrf::VrfSecretKey};
use keyglass_keytrans::log_hash::LogHash;
use keyglass_log_server::{
    clock::SystemClock,
    published::Published,
    publisher::{self, CheckpointSigner, HeadSigner, Publisher},
    sequencer::{self, Sequencer},
    store::{Store, rocksdb::RocksStore},
};
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{KeyName, NoteSigner},
    policy::Policy,
};
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;

const UPDATES: usize = 200;
/// About the size of an account record with two devices.
const VALUE: usize = 600;
const ORIGIN: &str = "log.example/publishing";

/// A witness process, or a place that takes questions and never answers.
enum Witness {
    Process(Child),
    Stalled { _listener: TcpListener },
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Self::Process(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Programs lie in the directory above this one's.
fn witness_program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let found =
        own.ancestors().map(|directory| directory.join("keyglass-witness")).find(|path| path.is_file());
    found.expect("build keyglass-witness first")
}

impl Witness {
    /// Starts a witness; gives its verifier keys, of which each counts for the operator, and its address.
    fn start(directory: &Path, number: usize, policy: &Path) -> (Self, Vec<String>, String) {
        let data = directory.join(format!("w{number}"));
        let name = format!("w{number}.example");
        let init =
            Command::new(witness_program()).args(["init", "--name", &name, "--data"]).arg(&data).output();
        let vkeys = String::from_utf8(init.unwrap().stdout).unwrap().lines().map(str::to_owned).collect();
        let mut child = Command::new(witness_program())
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .arg("--policy")
            .arg(policy)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let first: serde_json::Value = serde_json::from_str(&first).unwrap();
        (Self::Process(child), vkeys, first["listening"].as_str().unwrap().to_owned())
    }

    fn stalled(number: usize) -> (Self, Vec<String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let name = KeyName::new(&format!("w{number}.example")).unwrap();
        let vkey = Cosigner::new(name, SigningKey::from_seed(&[200; 32])).vkey().to_string();
        (Self::Stalled { _listener: listener }, vec![vkey], url)
    }
}

/// What is measured at once.
struct Setting {
    witnesses: usize,
    quorum: usize,
    stalled: usize,
    /// The pause between updates; each waits for the one before to be published without one.
    pause: Option<Duration>,
}

fn main() {
    // Also run, with other arguments, where all targets are tested.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("milliseconds; {UPDATES} updates a row");
    println!(
        "| witnesses | quorum | stalling | updates | sequenced → published p50 | p99 | sent → published p50 | p99 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (witnesses, quorum, stalled) in [(3, 2, 0), (3, 2, 1), (8, 6, 0), (15, 11, 0)] {
        for pause in [None, Some(Duration::from_millis(25))] {
            measure(&Setting { witnesses, quorum, stalled, pause });
        }
    }
}

fn measure(setting: &Setting) {
    let directory = tempfile::tempdir().unwrap();
    let signer = NoteSigner::new(KeyName::new(ORIGIN).unwrap(), SigningKey::from_seed(&[7; 32]));
    let logs = directory.path().join("logs.policy");
    std::fs::write(&logs, format!("log {}\nquorum none\n", signer.vkey())).unwrap();
    let (mut witnesses, mut text, mut names) = (Vec::new(), String::new(), Vec::new());
    for number in 0..setting.witnesses {
        let (witness, vkeys, url) = if number < setting.witnesses - setting.stalled {
            Witness::start(directory.path(), number, &logs)
        } else {
            Witness::stalled(number)
        };
        witnesses.push(witness);
        let keys: Vec<String> = (0..vkeys.len()).map(|key| format!("w{number}-{key}")).collect();
        for (name, vkey) in keys.iter().zip(&vkeys) {
            text.push_str(&format!("witness {name} {vkey} {url}\n"));
        }
        text.push_str(&format!("group w{number} any {}\n", keys.join(" ")));
        names.push(format!("w{number}"));
    }
    text.push_str(&format!("group q {} {}\nquorum q\n", setting.quorum, names.join(" ")));
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (mut published, mut all) = runtime.block_on(run(directory.path(), signer, policy, setting.pause));
    published.sort_unstable();
    all.sort_unstable();
    let at = |times: &[Duration], per_mille: usize| {
        times[(times.len() * per_mille / 1000).min(times.len() - 1)].as_secs_f64() * 1000.0
    };
    let updates =
        setting.pause.map_or("one by one".to_owned(), |pause| format!("every {} ms", pause.as_millis()));
    println!(
        "| {} | {} | {} | {updates} | {:.1} | {:.1} | {:.1} | {:.1} |",
        setting.witnesses,
        setting.quorum,
        setting.stalled,
        at(&published, 500),
        at(&published, 990),
        at(&all, 500),
        at(&all, 990),
    );
}

/// The times from sequenced to published, and from sent to published.
async fn run(
    directory: &Path,
    signer: NoteSigner,
    policy: Policy,
    pause: Option<Duration>,
) -> (Vec<Duration>, Vec<Duration>) {
    let store: Arc<dyn Store> = Arc::new(RocksStore::create(&directory.join("db"), &[0; 32]).unwrap());
    let published = Arc::new(Published::open(&*store).unwrap());
    let (sender, sequenced) = watch::channel(sequencer::State::default());
    let parts = publisher::Parts {
        store: Arc::clone(&store),
        published: Arc::clone(&published),
        sequenced,
        signer: HeadSigner::Checkpoint(CheckpointSigner::new(signer)),
        policy,
        clock: Arc::new(SystemClock),
    };
    let publisher = Publisher::new(parts, publisher::Settings::default()).unwrap();
    let publishing = tokio::spawn(publisher.run());
    let parts = sequencer::Parts {
        store,
        vrf: Arc::new(VrfSecretKey::from_seed(&[3; 32])),
        log_hash: LogHash::Rfc6962,
        clock: Arc::new(SystemClock),
        rng: Box::new(StdRng::seed_from_u64(1)),
    };
    let settings = sequencer::Settings { heartbeat: Duration::from_secs(3600), ..Default::default() };
    let sequencer = Arc::new(Sequencer::start(parts, &settings, sender).unwrap());
    // The first head finds all connections closed, and whoever stalls not known to.
    published.watch().wait_for(Option::is_some).await.unwrap();
    let update = |number: usize| {
        let (sequencer, mut heads) = (Arc::clone(&sequencer), published.watch());
        async move {
            let label = format!("user-{number}@example.org").into_bytes();
            let sent = Instant::now();
            let receiver = sequencer.admit(&label).unwrap().submit(vec![vec![7; VALUE]]).unwrap();
            let position = receiver.await.unwrap().position;
            let sequenced = Instant::now();
            heads.wait_for(|head| head.as_ref().is_some_and(|head| head.size > position)).await.unwrap();
            (sequenced.elapsed(), sent.elapsed())
        }
    };
    let _ = update(UPDATES).await;
    let mut times = Vec::new();
    match pause {
        None => {
            for number in 0..UPDATES {
                times.push(update(number).await);
            }
        }
        Some(pause) => {
            let mut running = Vec::new();
            for number in 0..UPDATES {
                running.push(tokio::spawn(update(number)));
                tokio::time::sleep(pause).await;
            }
            for update in running {
                times.push(update.await.unwrap());
            }
        }
    }
    publishing.abort();
    times.into_iter().unzip()
}

//! `serve` is killed again and again (SIGKILL): while it starts, while it catches up with a long log, and while that log
//! grows. Checked all through and at the end:
//! - it cosigns nothing that the log had not told it all of, and no two trees of one size;
//! - what it asks for never goes back: it goes on where it was;
//! - it ends where one ends that nobody killed;
//! - evidence that it once said it has stays, and it cosigns nothing any more.
//!
//! SIGKILL leaves the page cache: this shows that state is written before it counts, not that disks keep it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use keyglass_auditor::{
    audited::{AuditState, KeyStart, Published},
    data_dir,
    records::{Records, store::Position},
    updates::Form,
    verdict::Verdict,
};
use keyglass_tlog::{Digest, checkpoint::Checkpoint, note::SignedNote};
use kit::{
    serve::{Home, Served},
    updates::{History, leaf},
    *,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::task::JoinHandle;

/// The entries that are there from the beginning, with a version each.
const ENTRIES: u64 = 20_000;
const KILLS_BEHIND: usize = 10;
const KILLS_LIVE: usize = 7;
const KILLS_WITH_EVIDENCE: usize = 3;
/// So many updates are told at once: often enough does the auditor make durable what it replayed.
const TOLD_AT_ONCE: usize = 40;
/// So many requests after the start comes a kill, at most: a chunk of entries takes 64 and more.
const REQUESTS_BEHIND: u64 = 140;
const REQUESTS: u64 = 30;
/// Up to so many milliseconds later it does, in fact: longer than a commit takes.
const MOMENT: u64 = 10;
/// The variable that repeats the choices of an earlier run.
const SEED: &str = "KEYGLASS_CRASH_SEED";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// A log, an auditor that is killed, and what it was seen to cosign.
struct Run {
    world: World,
    home: Home,
    history: History,
    rng: StdRng,
    seen: Arc<Mutex<Vec<SignedNote>>>,
}

/// An auditor whose cosignatures are watched.
struct Life {
    served: Served,
    watching: JoinHandle<()>,
}

impl Run {
    async fn start(rng: StdRng) -> Self {
        let world = World::new().await;
        let mut history = History::default();
        let first = now() - 60_000;
        for i in 0..ENTRIES {
            history.add(first + i, &[leaf(i, 1)], &[]);
        }
        world.log.give_at_once(TOLD_AT_ONCE);
        let home = home(&world).await;
        let run = Self { world, home, history, rng, seen: Arc::default() };
        run.tell();
        run.show();
        run
    }

    /// The log shows all its entries.
    fn show(&self) {
        self.world.publish_without_updates(&self.history.entries, &ALL);
    }

    /// The log tells what all its entries changed.
    fn tell(&self) {
        self.world.log.put_updates(self.history.encoded(Form::Batch));
    }

    fn grow(&mut self) {
        for _ in 0..self.rng.random_range(1..6) {
            let number = self.history.entries.len() as u64;
            self.history.add(now(), &[leaf(number, 1)], &[]);
        }
    }

    async fn live(&self) -> Life {
        let served = self.home.start().await;
        let url = format!("{}/{}", served.url, self.world.monitoring_path());
        let (client, log, seen) = (served.client.clone(), self.world.log.clone(), Arc::clone(&self.seen));
        let watching = tokio::spawn(async move {
            loop {
                let Ok(answer) = client.get(&url).send().await else { break };
                let status = answer.status();
                let Ok(note) = answer.bytes().await else { break };
                if status == 200 {
                    let note = SignedNote::parse(&note).unwrap();
                    let size = Checkpoint::from_note(&note).unwrap().tree_size();
                    assert!(size <= log.told(), "{size} entries are cosigned; {} were told of", log.told());
                    let mut seen = seen.lock().unwrap();
                    if seen.last() != Some(&note) {
                        seen.push(note);
                    }
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Life { served, watching }
    }

    /// Waits until the log has been asked for so much at most, and a moment.
    async fn moment(&mut self, requests: u64) {
        let target = *self.world.log.requests.borrow() + self.rng.random_range(1..requests);
        self.world.log.requests.subscribe().wait_for(|requests| *requests >= target).await.unwrap();
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..MOMENT))).await;
    }

    /// Starts the auditor and kills it before long, wherever it is.
    async fn kill_while_starting(&mut self) {
        let mut child = self.home.serve().stdout(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..60))).await;
        child.kill().await.unwrap();
    }

    fn end(&self, home: &Home) -> End {
        let data = home.path("data");
        let vkey = data_dir::open(&data, None).unwrap().vkey().to_string();
        let home = data.join("logs").join(hex(self.world.trust.id()));
        let records = Records::open(&home, &vkey, Arc::clone(&self.world.trust)).unwrap();
        let store = records.store();
        let keys: BTreeSet<KeyStart> = (0..self.history.entries.len() as u64)
            .map(|number| *leaf(number, 1).vrf_output.first_chunk().unwrap())
            .collect();
        End {
            position: records.position().unwrap(),
            audit: store.audit().unwrap(),
            published: store.published(&keys).unwrap(),
            cosigned: store.cosigned().unwrap().map(|(head, _)| head.checkpoint().clone()),
        }
    }
}

/// What an auditor knows of a log.
#[derive(Debug, PartialEq)]
struct End {
    position: Position,
    audit: Option<AuditState>,
    published: Published,
    cosigned: Option<Checkpoint>,
}

impl Life {
    async fn kill(self) {
        self.served.kill().await;
        self.watching.await.unwrap();
    }

    async fn stop(self) {
        self.served.stop().await;
        self.watching.await.unwrap();
    }
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An auditor that lets requests take long, since the machine may be busy, and answers however often it is asked.
async fn home(world: &World) -> Home {
    let mut home = Home::new(&[("log", world)], "").await;
    home.arguments = vec!["--rate-limit".into(), "1000000".into()];
    let file = home.path("auditor.toml");
    let text = fs::read_to_string(&file).unwrap().replace("timeout_ms = 300", "timeout_ms = 20000");
    fs::write(file, text).unwrap();
    home
}

fn cosigned(status: &Value) -> Option<u64> {
    status["cosigned"]["size"].as_u64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_that_is_killed_loses_nothing_and_promises_nothing_false() {
    let seed = std::env::var(SEED).map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("the kills of this run: {SEED}={seed}");
    let mut run = Run::start(StdRng::seed_from_u64(seed)).await;

    let mut behind = 0;
    for _ in 0..KILLS_BEHIND {
        if run.rng.random_bool(0.3) {
            run.kill_while_starting().await;
        }
        let life = run.live().await;
        run.moment(REQUESTS_BEHIND).await;
        life.kill().await;
        behind += usize::from(run.world.log.told() < ENTRIES);
    }
    println!("{behind} of {KILLS_BEHIND} kills while catching up, {} entries told of", run.world.log.told());
    assert!(behind > 2);
    for _ in 0..KILLS_LIVE {
        let life = run.live().await;
        run.grow();
        // Shown, and not told of: nobody can have replayed it.
        run.show();
        run.moment(REQUESTS).await;
        run.tell();
        if run.rng.random_bool(0.5) {
            let size = run.history.entries.len() as u64;
            life.served.until(0, |status| cosigned(status) == Some(size)).await;
        } else {
            run.moment(REQUESTS).await;
        }
        life.kill().await;
    }
    let life = run.live().await;
    let size = run.history.entries.len() as u64;
    let status = life.served.until(0, |status| cosigned(status) == Some(size)).await;
    assert_eq!((status["verdict"].as_str(), status["size"].as_u64()), (Some("ok"), Some(size)), "{status}");
    life.stop().await;

    goes_on_where_it_was(&run.world);
    cosigned_one_growing_tree(&run);
    let other = home(&run.world).await;
    let served = other.start().await;
    served.until(0, |status| cosigned(status) == Some(size)).await;
    served.stop().await;
    assert_eq!(run.end(&run.home), run.end(&other), "as if nobody had killed it");

    evidence_stays(&mut run).await;
}

/// Asking for what comes after an entry says that everything up to it is there for good.
fn goes_on_where_it_was(world: &World) {
    let asked = world.log.asked_from();
    assert!(asked.is_sorted(), "{asked:?}");
    let entries = world.log.asked();
    let last_of_first = entries.iter().rposition(|path| path == "tile/entries/000").unwrap();
    let first_of_second = entries.iter().position(|path| path == "tile/entries/064").unwrap();
    assert!(last_of_first < first_of_second, "a chunk that was proven is fetched again");
}

fn cosigned_one_growing_tree(run: &Run) {
    let key = data_dir::open(&run.home.path("data"), None).unwrap().vkey().clone();
    let mut roots: BTreeMap<u64, Digest> = BTreeMap::new();
    let mut before = 0;
    for note in run.seen.lock().unwrap().iter() {
        assert_eq!(note.verify(&[&key]).unwrap().len(), 1);
        let checkpoint = Checkpoint::from_note(note).unwrap();
        let size = checkpoint.tree_size();
        assert!(size >= before, "{size} after {before}");
        before = size;
        let truth = *roots.entry(size).or_insert_with(|| root(&run.history.entries[..size as usize]));
        assert_eq!(*checkpoint.root(), truth, "at {size}");
    }
    println!("{} sizes were seen cosigned", roots.len());
    assert!(roots.len() > 1);
}

async fn evidence_stays(run: &mut Run) {
    let life = run.live().await;
    let size = run.history.entries.len() as u64;
    life.served.until(0, |status| status["verdict"] == Verdict::Ok.name()).await;
    let mut forked = run.history.entries.clone();
    forked[7][39] ^= 1;
    let note = run.world.keys.note(&forked, &[2]).to_string();
    let request = life.served.client.post(format!("{}/v1/heads", life.served.url));
    let answer = request.header("content-type", "text/plain").body(note).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    life.kill().await;
    assert_eq!(answer["standing"], "contradicts");
    run.grow();
    run.tell();
    run.show();
    let mut held = None;
    for _ in 0..KILLS_WITH_EVIDENCE {
        let life = run.live().await;
        life.served.until(0, |status| status["verdict"] == Verdict::Misbehaving.name()).await;
        let list = life.served.json("/v1/evidence").await;
        let path = list[0]["path"].as_str().unwrap();
        let text = life.served.client.get(format!("{}{path}", life.served.url)).send().await.unwrap();
        let all = (list.to_string(), text.text().await.unwrap());
        assert_eq!(held.get_or_insert_with(|| all.clone()), &all);
        run.moment(REQUESTS).await;
        life.kill().await;
    }
    let end = run.end(&run.home);
    assert_eq!(end.cosigned.map(|checkpoint| checkpoint.tree_size()), Some(size), "not of a convicted log");
}

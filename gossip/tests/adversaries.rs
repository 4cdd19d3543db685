//! Peers that lie, flood, stall and never end, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use keyglass_crypto::{hash::sha256, sign::SigningKey};
use keyglass_gossip::{
    book::Book,
    evidence::{EvidenceId, Held},
    hex,
    net::{Fetch, Gossip, Host, Outcome, Settings},
    peers,
    trust::Trust,
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    evidence::Evidence,
    note::{KeyName, NoteSigner, SignatureLine, SignedNote},
    policy::Policy,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
};

const ORIGIN: &str = "log.example/one";

fn log() -> NoteSigner {
    NoteSigner::new(KeyName::new(ORIGIN).unwrap(), SigningKey::from_seed(&[1; 32]))
}

fn note(origin: &str, size: u64, root: u8) -> SignedNote {
    let text = Checkpoint::new(origin, size, [root; 32]).unwrap().text();
    SignedNote::new(&text, vec![log().sign(&text)]).unwrap()
}

fn fork() -> Evidence {
    Evidence::of_notes(&note(ORIGIN, 5, 1), &note(ORIGIN, 5, 2)).unwrap()
}

fn trust() -> Trust {
    trust_with_tiles_at("")
}

fn trust_with_tiles_at(url: &str) -> Trust {
    let policy = format!("log {} {url}\nquorum none\n", log().vkey());
    Trust::of_policy(&Policy::parse(policy.as_bytes()).unwrap())
}

/// What a peer answers: to any path, the bytes to write, and whether to keep writing or waiting.
#[derive(Clone)]
enum Act {
    /// An honest answer with this status and body.
    Say(u16, Vec<u8>),
    /// Half of a body, and then nothing.
    Stall,
    /// A body without an end.
    Endless,
    /// A length that is not the body's.
    LieAboutLength,
    /// Elsewhere.
    Redirect(String),
    /// Not HTTP.
    Garbage,
}

type Script = dyn Fn(&str) -> Act + Send + Sync;

/// A peer that acts by a script, and counts what it was asked.
struct Liar {
    url: String,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Liar {
    async fn start(script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let (script, counted): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let (script, counted) = (Arc::clone(&script), Arc::clone(&counted));
                connections.spawn(async move {
                    let mut head = Vec::new();
                    let mut buffer = [0; 4096];
                    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                        match stream.read(&mut buffer).await {
                            Ok(0) | Err(_) => return,
                            Ok(read) => head.extend_from_slice(&buffer[..read]),
                        }
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
                    *counted.lock().unwrap().entry(path.clone()).or_default() += 1;
                    act(&mut stream, script(&path)).await;
                });
            }
        });
        Self { url, asked, task }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn act(stream: &mut tokio::net::TcpStream, act: Act) {
    let head = |status: u16, length: usize, more: &str| {
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n")
    };
    match act {
        Act::Say(status, body) => {
            let _ = stream.write_all(head(status, body.len(), "").as_bytes()).await;
            let _ = stream.write_all(&body).await;
            let _ = stream.shutdown().await;
        }
        Act::Stall => {
            let _ = stream.write_all(head(200, 100, "").as_bytes()).await;
            let _ = stream.write_all(b"half").await;
            // Until the other side gives up.
            let _ = stream.read(&mut [0; 1]).await;
        }
        Act::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n").await;
            let chunk = format!("{:x}\r\n{}\r\n", 65536, "x".repeat(65536));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
        }
        Act::LieAboutLength => {
            let _ = stream.write_all(head(200, usize::MAX >> 1, "").as_bytes()).await;
            let _ = stream.write_all(b"short").await;
            let _ = stream.shutdown().await;
        }
        Act::Redirect(to) => {
            let _ = stream.write_all(head(302, 0, &format!("location: {to}\r\n")).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Act::Garbage => {
            let _ = stream.write_all(&[0xff; 1000]).await;
            let _ = stream.shutdown().await;
        }
    }
}

struct Party {
    book: Book,
    own: SignedNote,
    counts: watch::Sender<BTreeMap<Outcome, usize>>,
    convicted: watch::Sender<usize>,
    /// Evidence that is being told to the party, and whether it goes on listening.
    told: watch::Sender<usize>,
    listens: watch::Sender<bool>,
    _data: tempfile::TempDir,
}

impl Party {
    fn new() -> Arc<Self> {
        Self::trusting(trust())
    }

    fn trusting(trust: Trust) -> Arc<Self> {
        let data = tempfile::tempdir().unwrap();
        let book = Book::open(data.path(), trust).unwrap();
        let (counts, convicted) = (watch::channel(BTreeMap::new()).0, watch::channel(0).0);
        let (told, listens) = (watch::channel(0).0, watch::channel(true).0);
        Arc::new(Self { book, own: note(ORIGIN, 5, 1), counts, convicted, told, listens, _data: data })
    }

    /// Waits until an outcome has come up so often.
    async fn wait(&self, outcome: Outcome, times: usize) {
        let mut counts = self.counts.subscribe();
        counts.wait_for(|counts| counts.get(&outcome).copied().unwrap_or(0) >= times).await.unwrap();
    }

    async fn wait_for_conviction(&self) {
        self.convicted.subscribe().wait_for(|convicted| *convicted > 0).await.unwrap();
    }
}

impl Host for Party {
    fn book(&self) -> &Book {
        &self.book
    }

    async fn head(&self, _: &str) -> Option<SignedNote> {
        Some(self.own.clone())
    }

    async fn convicted(&self, _: &Held) {
        self.told.send_modify(|told| *told += 1);
        self.listens.subscribe().wait_for(|listens| *listens).await.unwrap();
        self.convicted.send_modify(|convicted| *convicted += 1);
    }

    fn observe(&self, outcome: Outcome) {
        self.counts.send_modify(|counts| *counts.entry(outcome).or_default() += 1);
    }
}

fn gossip(party: &Arc<Party>, liars: &[&Liar]) -> Gossip {
    gossip_waiting(party, liars, Duration::from_millis(300), Duration::from_secs(1))
}

/// Gossip that waits so long for an answer, and so long for all of a round's.
fn gossip_waiting(party: &Arc<Party>, liars: &[&Liar], answer: Duration, round: Duration) -> Gossip {
    let file: String =
        liars.iter().enumerate().map(|(i, liar)| format!("peer p{i} {}\n", liar.url)).collect();
    let fetch = Fetch::new(answer, &[]).unwrap();
    let settings = Settings { period: Duration::from_millis(20), round };
    Gossip::start(Arc::clone(party), fetch, peers::parse(file.as_bytes()).unwrap(), settings)
}

/// A list of these names, all said to be about the log.
fn listing(ids: impl IntoIterator<Item = EvidenceId>) -> Vec<u8> {
    let origin = hex::encode(&sha256(&[ORIGIN.as_bytes()]));
    let mut lines: Vec<String> = ids.into_iter().map(|id| format!("{id} {origin}\n")).collect();
    lines.sort();
    format!("keyglass-gossip/v1\n{}", lines.concat()).into_bytes()
}

fn is_list(path: &str) -> bool {
    path.starts_with("/gossip/v1/evidence") && !path.starts_with("/gossip/v1/evidence/")
}

/// A peer that holds genuine evidence.
async fn honest() -> Liar {
    let held = Held::verify(fork(), &trust()).unwrap();
    Liar::start(move |path| {
        if is_list(path) {
            Act::Say(200, listing([held.id()]))
        } else if path.ends_with(&held.id().to_string()) {
            Act::Say(200, held.text().as_bytes().to_vec())
        } else {
            Act::Say(404, Vec::new())
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_evidence_convicts_nobody_and_is_asked_for_less_and_less() {
    let party = Party::new();
    let forged = {
        let other = note(ORIGIN, 5, 2);
        let unsigned = SignedNote::new(other.text(), note(ORIGIN, 5, 1).signatures().to_vec()).unwrap();
        Evidence::SameSize { a: note(ORIGIN, 5, 1), b: unsigned }.to_string().into_bytes()
    };
    let liar = Liar::start(move |path| {
        if is_list(path) {
            Act::Say(200, listing((0..=255u8).map(|i| EvidenceId(sha256(&[&[i]])))))
        } else if path.starts_with("/gossip/") {
            Act::Say(200, forged.clone())
        } else {
            Act::Say(404, Vec::new())
        }
    })
    .await;
    let gossip = gossip(&party, &[&liar]);
    party.wait(Outcome::ForgedEvidence, 20).await;
    gossip.stop().await;
    assert!(party.book.holdings().is_empty() && party.book.stops(ORIGIN).is_none());
    // Eight in the first round, and one in each from there on.
    let (rounds, fetched) =
        (party.counts.borrow()[&Outcome::Round], party.counts.borrow()[&Outcome::ForgedEvidence]);
    assert!(fetched <= rounds + 12, "{fetched} in {rounds} rounds");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_others_do_evidence_gets_through() {
    let party = Party::new();
    let target = Liar::start(|_| Act::Say(200, Vec::new())).await;
    let elsewhere = target.url.clone();
    let liars = [
        Liar::start(|_| Act::Stall).await,
        Liar::start(|_| Act::Endless).await,
        Liar::start(|_| Act::LieAboutLength).await,
        Liar::start(move |path| Act::Redirect(format!("{elsewhere}{path}"))).await,
        Liar::start(|_| Act::Garbage).await,
        Liar::start(|_| Act::Say(200, vec![b'x'; 10_000])).await,
        // A list that is longer than any.
        Liar::start(|_| {
            Act::Say(200, listing((0..5000u32).map(|i| EvidenceId(sha256(&[&i.to_be_bytes()])))))
        })
        .await,
        honest().await,
    ];
    let gossip = gossip(&party, &liars.iter().collect::<Vec<_>>());
    party.wait_for_conviction().await;
    party.wait(Outcome::FailedRound, 12).await;
    party.wait(Outcome::Round, 100).await;
    gossip.stop().await;
    assert!(party.book.stops(ORIGIN).is_some());
    assert_eq!(target.asked(), 0, "redirections are not followed");
    // Who fails is asked ever more rarely: the pauses double, so that a hundred rounds with others hold few of theirs.
    let failed = party.counts.borrow()[&Outcome::FailedRound];
    let answered = party.counts.borrow()[&Outcome::Round];
    assert!(answered > failed, "{answered} {failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_none_are_not_believed() {
    let party = Party::new();
    let flooded = {
        // As many lines as fit a note of which nobody known signed one but the last; and far more than fit.
        let text = note(ORIGIN, 5, 1).text().to_owned();
        let stranger = |i: u32| {
            let key = SigningKey::from_seed(&sha256(&[&i.to_be_bytes()]));
            NoteSigner::new(KeyName::new("stranger").unwrap(), key).sign(&text)
        };
        let lines: Vec<SignatureLine> = (0..63).map(stranger).chain([log().sign(&text)]).collect();
        SignedNote::new(&text, lines).unwrap().to_string().into_bytes()
    };
    let line = [flooded.split(|b| *b == b'\n').nth(4).unwrap(), b"\n"].concat();
    let thousands = [flooded.clone(), line.repeat(2000)].concat();
    let other_log = note("log.example/two", 5, 9).to_string().into_bytes();
    let unsigned = {
        let text = note(ORIGIN, 5, 9).text().to_owned();
        SignedNote::new(&text, note(ORIGIN, 5, 1).signatures().to_vec()).unwrap().to_string().into_bytes()
    };
    let showing = |body: Vec<u8>| {
        Liar::start(move |path| {
            if path.starts_with("/gossip/") { Act::Say(404, Vec::new()) } else { Act::Say(200, body.clone()) }
        })
    };
    let liars = [showing(thousands).await, showing(other_log).await, showing(unsigned).await];
    let run = gossip(&party, &liars.iter().collect::<Vec<_>>());
    party.wait(Outcome::BadHead, 6).await;
    run.stop().await;
    assert!(party.book.holdings().is_empty());
    assert_eq!(party.counts.borrow().get(&Outcome::Head), None);
    // Strangers' lines are no reason to refuse what the log signed.
    let good = showing(flooded).await;
    let run = gossip(&party, &[&good]);
    party.wait(Outcome::Head, 2).await;
    run.stop().await;
    assert!(party.book.holdings().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_the_other_side_becomes_evidence() {
    let party = Party::new();
    let other = note(ORIGIN, 5, 2).to_string().into_bytes();
    let peer = Liar::start(move |path| {
        if path.starts_with("/gossip/") { Act::Say(404, Vec::new()) } else { Act::Say(200, other.clone()) }
    })
    .await;
    let gossip = gossip(&party, &[&peer]);
    party.wait_for_conviction().await;
    gossip.stop().await;
    let held = party.book.stops(ORIGIN).unwrap();
    assert_eq!(held.kind, "same-size");
    assert_eq!(party.book.keep(fork()).unwrap().held.id(), held.id, "the same file, whoever finds it");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peers_are_asked_from_one_moment_to_the_next() {
    let party = Party::new();
    let silent = Liar::start(|_| Act::Stall).await;
    let gossip = gossip(&party, &[&silent]);
    party.wait(Outcome::FailedRound, 1).await;
    let holder = honest().await;
    gossip.replace_peers(peers::parse(format!("peer h {}\n", holder.url).as_bytes()).unwrap());
    party.wait_for_conviction().await;
    let asked = silent.asked();
    party.wait(Outcome::Round, 10).await;
    assert_eq!(silent.asked(), asked);
    gossip.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_stalls_costs_no_peer_its_turn() {
    let stalling = Liar::start(|_| Act::Stall).await;
    let party = Party::trusting(trust_with_tiles_at(&stalling.url));
    // Each time another head of the log, none of which can be compared without its tiles.
    let sizes = std::sync::atomic::AtomicU64::new(100);
    let peer = Liar::start(move |path| {
        if path.starts_with("/gossip/") {
            return Act::Say(404, Vec::new());
        }
        let size = sizes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Act::Say(200, note(ORIGIN, size, 3).to_string().into_bytes())
    })
    .await;
    // One comparison that is waited for would use up the round.
    let wait = Duration::from_millis(400);
    let gossip = gossip_waiting(&party, &[&peer], wait, wait / 2);
    party.wait(Outcome::Round, 60).await;
    gossip.stop().await;
    assert_eq!(party.counts.borrow().get(&Outcome::FailedRound), None);
    let asked = stalling.asked();
    assert!((1..30).contains(&asked), "the log was asked {asked} times in 60 rounds");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_stall_hold_up_nobody_else() {
    let party = Party::new();
    let mut liars = Vec::new();
    for _ in 0..40 {
        liars.push(Liar::start(|_| Act::Stall).await);
    }
    liars.push(honest().await);
    // Longer than the test runs.
    let wait = Duration::from_secs(600);
    let gossip = gossip_waiting(&party, &liars.iter().collect::<Vec<_>>(), wait, wait);
    party.wait_for_conviction().await;
    gossip.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_told_whoever_is_stopped_meanwhile() {
    let party = Party::new();
    party.listens.send_replace(false);
    let holder = honest().await;
    let gossip = gossip(&party, &[&holder]);
    party.told.subscribe().wait_for(|told| *told == 1).await.unwrap();
    // The peer goes, and with it the round in which it told.
    let silent = Liar::start(|_| Act::Stall).await;
    gossip.replace_peers(peers::parse(format!("peer s {}\n", silent.url).as_bytes()).unwrap());
    party.wait(Outcome::FailedRound, 1).await;
    assert_eq!(*party.convicted.borrow(), 0);
    let stopping = tokio::spawn(gossip.stop());
    party.listens.send_replace(true);
    stopping.await.unwrap();
    assert_eq!(*party.convicted.borrow(), 1, "stopping waits for what was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_one_log_is_not_wrong_with_a_peer() {
    let party = Party::new();
    let peer = Liar::start(|path| {
        if path.starts_with("/gossip/") { Act::Say(404, Vec::new()) } else { Act::Say(503, Vec::new()) }
    })
    .await;
    let gossip = gossip(&party, &[&peer]);
    party.wait(Outcome::BadHead, 3).await;
    gossip.stop().await;
    assert_eq!(party.counts.borrow().get(&Outcome::FailedRound), None);
}

//! `kill -9` under load: whatever was answered is still known, and no size is ever signed with two roots.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use hyper::{Method, StatusCode};
use keyglass_tlog::{
    Digest,
    checkpoint::Checkpoint,
    note::{SignedNote, Vkey, parse_signature_lines},
    witness::{checkpoint_path, parse_size},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::Semaphore;

use crate::{
    client::{Answer, Connection},
    log::{Log, ORIGIN},
    process::{Home, Running},
};

const KILLS: u32 = 30;
const CLIENTS: u64 = 8;

/// Every size that was answered with a cosignature, and the root it was for.
type Signed = Arc<Mutex<BTreeMap<u64, Digest>>>;

/// Remembers a cosignature; two roots for one size are the end.
fn remember(signed: &Signed, keys: &[Vkey], checkpoint: &Checkpoint, answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let lines = parse_signature_lines(answer.body.as_bytes()).unwrap();
    let keys: Vec<&Vkey> = keys.iter().collect();
    let verified = SignedNote::new(&checkpoint.text(), lines).unwrap().verify(&keys).unwrap().len();
    assert_eq!(verified, 2, "one of each key");
    let before = signed.lock().unwrap().insert(checkpoint.tree_size(), *checkpoint.root());
    assert!(
        before.is_none_or(|root| root == *checkpoint.root()),
        "two roots for size {}",
        checkpoint.tree_size()
    );
}

/// A client of one of the branches, which pushes on until the witness dies. Each answer takes a permit to be counted.
async fn push(
    mut connection: Connection,
    log: Arc<Log>,
    parity: u64,
    keys: Vec<Vkey>,
    signed: Signed,
    answers: Arc<Semaphore>,
) {
    let (mut old, mut step) = (0, 1);
    loop {
        // No two branches have heads of one size, which would be evidence, and the end of all cosigning.
        let next = old + step;
        let new = (next + (next + parity) % 2).min(2000 - parity);
        let body = log.request(old, new).to_string();
        let Ok(answer) = connection.send(Method::POST, "/add-checkpoint", body).await else { return };
        match answer.status {
            StatusCode::OK => {
                remember(&signed, &keys, &log.checkpoint(new), &answer);
                (old, step) = (new, step % 3 + 1);
            }
            StatusCode::CONFLICT => old = parse_size(answer.body.as_bytes()).unwrap(),
            // The other branch came first: ask again, as a log that lies would.
            StatusCode::UNPROCESSABLE_ENTITY => old = 0,
            StatusCode::TOO_MANY_REQUESTS => {}
            other => panic!("{other}: {}", answer.body),
        }
        answers.add_permits(1);
    }
}

/// What the witness serves is at least as large as all that it answered, and of one history with it.
async fn check(running: &Running, branches: &[Arc<Log>], home: &Home, signed: &Signed) {
    let signed = signed.lock().unwrap().clone();
    let Some((&largest, _)) = signed.last_key_value() else { return };
    let mut connection = running.connect().await;
    let path = format!("/{}", checkpoint_path(ORIGIN));
    let served = connection.send(Method::GET, &path, String::new()).await.unwrap();
    let note = SignedNote::parse(served.body.as_bytes()).unwrap();
    note.verify(&[home.keys(), vec![branches[0].vkey()]].concat()).unwrap();
    let latest = Checkpoint::from_note(&note).unwrap();
    assert!(latest.tree_size() >= largest, "{} was answered, {} is known", largest, latest.tree_size());
    let one_history = |log: &&Arc<Log>| {
        log.root(latest.tree_size()) == *latest.root()
            && signed.iter().all(|(size, root)| log.root(*size) == *root)
    };
    assert!(branches.iter().any(|log| one_history(&log)), "two histories were signed");
    let size = connection.send(
        Method::POST,
        "/add-checkpoint",
        branches[0].request(latest.tree_size() - 1, 2000).to_string(),
    );
    assert_eq!(size.await.unwrap().body, format!("{}\n", latest.tree_size()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_was_answered_is_lost_by_kill_9() {
    let home = Home::new();
    let branches = [Arc::new(Log::new(ORIGIN)), Arc::new(Log::forked(ORIGIN, 0, 1))];
    let signed = Signed::default();
    let mut random = StdRng::seed_from_u64(0x5eed);
    let mut running = home.start("127.0.0.1:0");
    let address = running.address.to_string();
    for kill in 0..KILLS {
        let answers = Arc::new(Semaphore::new(0));
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..CLIENTS {
            let log = Arc::clone(&branches[(client % 2) as usize]);
            let (keys, signed, answers) = (home.vkeys.clone(), Arc::clone(&signed), Arc::clone(&answers));
            clients.spawn(push(running.connect().await, log, client % 2, keys, signed, answers));
        }
        // Dies after a number of answers, with other requests under way.
        answers.acquire_many(random.random_range(1..60)).await.unwrap().forget();
        running.kill();
        // The clients see their connections die; a panic in one is a panic here.
        clients.join_all().await;
        running = home.start(&address);
        check(&running, &branches, &home, &signed).await;
        let largest = signed.lock().unwrap().last_key_value().map_or(0, |(size, _)| *size);
        println!("kill {kill}: {} sizes signed, up to {largest}", signed.lock().unwrap().len());
        assert!(largest < 2000, "the log of this test is too short");
    }
    assert!(signed.lock().unwrap().len() > 30);
}

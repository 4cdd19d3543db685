//! Witnesses that others wrote cosign our log, and logs that others wrote are cosigned by our witnesses.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    net::SocketAddr,
};

use keyglass_crypto::sign::SigningKey;
use keyglass_demo::{
    client::Client,
    system::{Log, Timing, start_witness, witness_line},
};
use keyglass_interop::{
    judge::{Bytes, Judge, bytes, list},
    stranger::{Stranger, run},
    witnesses::{Keyglass, Litewitness, Omniwitness, Running, WitnessedLog},
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::{KeyName, NoteSigner, SignedNote},
    policy::Policy,
    proof::TlogProof,
    rfc6962::{leaf_hash, root_at, verify_inclusion},
    tile::{Content, Tile, node_in_tile, parse_bundle, tile_of_node},
    time::UnixMillis,
    witness::AddCheckpoint,
    witnessed::{Horizon, Judge as PolicyJudge},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    kit::{Tree, programs},
    tiles::TilesRead,
};

/// Without heartbeats: the log grows by updates only.
const QUIET: Timing = Timing { max_behind: 3_600_000, heartbeat: 3_000_000 };

async fn register(client: &Client, label: &str) {
    let answer = client.run(&["register", label]).await.unwrap();
    assert_eq!(answer.verdict(), "verified", "{}", answer.transcript);
}

async fn look_up(client: &Client, label: &str) {
    let answer = client.run(&["lookup", label]).await.unwrap();
    assert_eq!(answer.verdict(), "verified", "{}", answer.transcript);
}

#[derive(Deserialize)]
struct LogRead {
    size: u64,
    root: Bytes,
    note: Bytes,
    fsck: String,
    trees: BTreeMap<String, TilesRead>,
}

/// A log whose quorum is litewitness, omniwitness and one of ours: nothing is published without each of them.
#[tokio::test]
async fn witnesses_that_others_wrote_cosign_our_log() {
    let Some(programs) = programs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let log = Log::init(directory.path(), "log", QUIET).await.unwrap();
    let witnessed = [WitnessedLog { origin: log.origin.clone(), vkey: log.vkey.clone() }];
    let lite = Litewitness::new(&directory.path().join("lite"), "lite.example/w").unwrap();
    let lite_runs = lite.start(programs).unwrap();
    lite.add_logs(programs, &witnessed).unwrap();
    let omni = Omniwitness::new(&directory.path().join("omni"), "omni.example/w", &witnessed).unwrap();
    let omni_runs = omni.start(programs).unwrap();
    let witness_policy = directory.path().join("witness.policy");
    fs::write(&witness_policy, format!("log {}\nquorum none\n", log.vkey)).unwrap();
    let (_ours, vkey) = start_witness(directory.path(), "ours", &witness_policy).await.unwrap();
    let policy = directory.path().join("policy");
    let text = [
        format!("log {}\n", log.vkey),
        witness_line("lite", &lite.0.vkey, &lite.0.url()),
        witness_line("omni", &omni.0.vkey, &omni.0.url()),
        witness_line("ours", &vkey, _ours.url()),
        "group everyone all lite omni ours\nquorum everyone\n".to_owned(),
    ];
    fs::write(&policy, text.concat()).unwrap();
    let server = log.serve("127.0.0.1:0", &policy, QUIET).await.unwrap();
    let client = |name: &str| Client {
        home: directory.path().join(name),
        server: server.url().to_owned(),
        configuration: log.configuration.clone(),
        policy: policy.clone(),
    };
    let alice = client("alice");
    for label in ["a1", "a2", "a3"] {
        register(&client(label), label).await;
        look_up(&alice, label).await;
    }

    // One of them is gone: what is registered meanwhile is published once it is back, with the state that it had.
    let (mut lite_runs, mut omni_runs) = (Some(lite_runs), Some(omni_runs));
    for label in ["lite-down", "omni-down"] {
        let stopped = if label == "lite-down" { &mut lite_runs } else { &mut omni_runs };
        stopped.take().unwrap().kill().unwrap();
        let bob = client(label);
        let registering = async { bob.run(&["register", label]).await.unwrap() };
        let returning = async {
            pending(server.url()).await;
            if label == "lite-down" {
                lite_runs = Some(lite.start(programs).unwrap());
            } else {
                omni_runs = Some(omni.start(programs).unwrap());
            }
        };
        let (answer, ()) = tokio::join!(registering, returning);
        assert_eq!(answer.verdict(), "verified", "{}", answer.transcript);
        look_up(&alice, label).await;
    }

    // The whole log, as libraries that others wrote read it.
    let mut judge = Judge::start(programs).unwrap();
    let read: LogRead = judge
        .ask(&json!({ "op": "read_log", "url": format!("{}/", server.url()), "vkey": log.vkey }))
        .unwrap();
    assert!(read.size >= 6 && read.root.0.len() == 32);
    assert_eq!(read.fsck, "");
    for (library, tree) in &read.trees {
        assert_eq!(tree.error, "", "{library}");
        assert_eq!(tree.entries, read.size, "{library}");
    }
    let text = fs::read(&policy).unwrap();
    judge_note(&text, &read.note.0);

    // An offline proof of one entry, exported by our command and verified by torchwood; and one written by theirs.
    let (proof, entry) = (directory.path().join("e.tlog-proof"), directory.path().join("entry"));
    let (proof_path, entry_path) = (proof.to_str().unwrap(), entry.to_str().unwrap());
    let export = ["proof", "export", "--index", "3", "--out", proof_path, "--entry-out", entry_path];
    let answer = alice.run(&export).await.unwrap();
    assert_eq!(answer.code, 0, "{}", answer.transcript);
    let exported = fs::read(&proof).unwrap();
    let leaf = leaf_hash(&fs::read(&entry).unwrap());
    let question = json!({ "op": "verify_proof", "proof": bytes(&exported), "policy": bytes(&text), "leaf": bytes(&leaf) });
    let verdicts: BTreeMap<String, String> = judge.ask(&question).unwrap();
    assert!(verdicts.values().all(String::is_empty), "{verdicts:?}");
    let parsed = TlogProof::parse(&exported).unwrap();
    let size = Checkpoint::from_note(parsed.note()).unwrap().tree_size();
    let tessera = read.trees.get("tessera").unwrap();
    let at = (0..size).step_by(1 + size as usize / 50).position(|index| index == 3).unwrap();
    let hashes = tessera.inclusion.as_ref().unwrap()[at].clone().unwrap_or_default();
    assert_eq!(size, read.size);
    let question = json!({
        "op": "write_proof", "index": 3, "hashes": list(hashes.iter().map(|hash| &hash.0)),
        "note": bytes(parsed.note().to_string().as_bytes()),
    });
    let written: BTreeMap<String, Bytes> = judge.ask(&question).unwrap();
    for theirs in written.values() {
        fs::write(&proof, &theirs.0).unwrap();
        let policy = policy.to_str().unwrap();
        let verify = ["proof", "verify", proof_path, "--entry", entry_path, "--policy", policy, "--json"];
        let (code, said) = keyglass_demo::daemon::ask("keyglass", &verify).await.unwrap();
        assert_eq!(code, 0, "{said}");
    }
    server.stop().await.unwrap();
}

/// Waits until the log has sequenced what it has not published.
async fn pending(url: &str) {
    let metrics = format!("{url}/metrics");
    for _ in 0..3_000 {
        let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
        let gauge = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
        };
        if gauge("keyglass_log_sequenced_entries ") > gauge("keyglass_log_published_entries ") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nothing became pending");
}

fn judge_note(policy: &[u8], note: &[u8]) -> Checkpoint {
    let policy = Policy::parse(policy).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let horizon = Horizon::at(UnixMillis(now.as_millis() as u64), std::time::Duration::from_secs(5));
    let judged = PolicyJudge::new(&policy, horizon).judge(&SignedNote::parse(note).unwrap()).unwrap();
    judged.into_unverified()
}

/// What a log that others wrote serves.
async fn get(url: &str, path: &str) -> Vec<u8> {
    let response = reqwest::get(format!("{url}/{path}")).await.unwrap();
    assert!(response.status().is_success(), "{path}: {}", response.status());
    response.bytes().await.unwrap().to_vec()
}

async fn append(url: &str, entry: &[u8]) -> Result<u64, String> {
    let request = reqwest::Client::new().post(format!("{url}/add")).body(entry.to_vec());
    let response = request.send().await.map_err(|error| error.to_string())?;
    let (status, text) = (response.status(), response.text().await.map_err(|error| error.to_string())?);
    if status.is_success() { Ok(text.trim().parse().unwrap()) } else { Err(text) }
}

/// Reads the whole log at its checkpoint with our formats: tiles lead to the root, bundles to the tiles.
async fn read_tessera(url: &str, policy: &[u8]) -> Checkpoint {
    let checkpoint = judge_note(policy, &get(url, "checkpoint").await);
    let size = checkpoint.tree_size();
    let mut tiles: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let wanted: Vec<Tile> = (0..size)
        .filter_map(|index| tile_of_node(keyglass_tlog::rfc6962::NodeId { level: 0, index }, size))
        .chain(
            keyglass_tlog::rfc6962::range_nodes(0, size)
                .into_iter()
                .filter_map(|node| tile_of_node(node, size)),
        )
        .collect();
    for tile in wanted {
        let path = tile.to_string();
        if let Entry::Vacant(missing) = tiles.entry(path.clone()) {
            missing.insert(get(url, &path).await);
        }
    }
    let node = |node| {
        let tile = tile_of_node(node, size).unwrap();
        node_in_tile(node, &tile, &tiles[&tile.to_string()])
    };
    assert_eq!(root_at(size, node).unwrap(), *checkpoint.root());
    for bundle in 0..size.div_ceil(256) {
        let width = (size - bundle * 256).min(256) as u16;
        let tile = Tile::new(Content::Entries, bundle, width).unwrap();
        let contents = get(url, &tile.to_string()).await;
        for (offset, entry) in parse_bundle(&tile, &contents).unwrap().into_iter().enumerate() {
            let index = bundle * 256 + offset as u64;
            let proof = keyglass_tlog::rfc6962::inclusion_proof(index, size, node).unwrap();
            verify_inclusion(&leaf_hash(entry), index, size, &proof, checkpoint.root()).unwrap();
        }
    }
    checkpoint
}

/// tessera keeps a log whose checkpoints need two of our three witnesses.
#[tokio::test]
async fn our_witnesses_cosign_a_log_that_others_wrote() {
    let Some(programs) = programs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let signer = NoteSigner::new(
        KeyName::new("tessera.example/log").unwrap(),
        SigningKey::from_seed(&rand::random::<[u8; 32]>()),
    );
    let key_file = directory.path().join("key");
    fs::write(&key_file, signer.to_key_file().as_bytes()).unwrap();
    let witnessed = |name: &str, vkey: String| [WitnessedLog { origin: name.to_owned(), vkey }];
    // The third knows another log at first: this one is added while it runs.
    let another =
        NoteSigner::new(KeyName::new("another.example/log").unwrap(), SigningKey::from_seed(&[1; 32]));
    let [other, this] =
        [&another, &signer].map(|log| witnessed(log.vkey().name().as_str(), log.vkey().to_string()));
    let mut witnesses: Vec<(Keyglass, Option<Running>)> = Vec::new();
    for name in ["w0.example", "w1.example", "w2.example"] {
        let known = if name == "w2.example" { &other } else { &this };
        let witness = Keyglass::new(&directory.path().join(name), name, &[], known).unwrap();
        let running = witness.start(&[]).unwrap();
        witnesses.push((witness, Some(running)));
    }
    // The third counts by its ML-DSA-44 key.
    let lines: String = witnesses
        .iter()
        .enumerate()
        .map(|(index, (witness, _))| {
            witness_line(&format!("w{index}"), &witness.vkeys[usize::from(index == 2)], &witness.url())
        })
        .collect();
    let policy = format!("log {}\n{lines}group g 2 w0 w1 w2\nquorum g\n", signer.vkey());
    let policy_file = directory.path().join("policy");
    fs::write(&policy_file, &policy).unwrap();
    let folder = directory.path().join("tessera");
    let arguments = [&folder, &key_file, &policy_file];
    let log = directory.path().join("tessera.log");
    let start = || Stranger::announced(&programs.path("tesseralog"), &arguments, &log).unwrap();
    let tessera = start();
    let url = tessera.first_line().to_owned();
    let vkey = signer.vkey().to_string();
    let feed = |url: &str, witness: &Keyglass, old: &str| {
        run(&programs.path("feed"), &[url, &vkey, &witness.url(), old], "").map_err(|error| error.to_string())
    };

    assert_eq!(append(&url, b"the first entry").await, Ok(0));
    assert!(feed(&url, &witnesses[2].0, "0").is_err());
    witnesses[2].0.set_logs(&[other, this].concat()).unwrap();
    witnesses[2].1.as_ref().unwrap().signal("HUP").unwrap();

    let mut sizes = Vec::new();
    for round in 0..6u64 {
        let entries: Vec<Vec<u8>> =
            (0..50).map(|i| format!("round {round}, entry {i}").into_bytes()).collect();
        let appended = entries.iter().map(|entry| append(&url, entry));
        for index in futures::future::join_all(appended).await {
            index.unwrap();
        }
        sizes.push(read_tessera(&url, policy.as_bytes()).await.tree_size());
        // One of three may be away at any time, and is told what it missed when it is back.
        match round {
            1 => drop(witnesses[0].1.take()),
            3 => {
                witnesses[0].1 = Some(witnesses[0].0.start(&[]).unwrap());
                drop(witnesses[1].1.take());
            }
            _ => {}
        }
    }
    assert!(sizes.is_sorted() && *sizes.last().unwrap() == 301, "{sizes:?}");

    // Without a quorum nothing is published; with it, what was appended meanwhile is.
    drop(witnesses[2].1.take());
    let late = tokio::spawn({
        let url = url.clone();
        async move { append(&url, b"while the quorum is away").await }
    });
    witnesses[1].1 = Some(witnesses[1].0.start(&[]).unwrap());
    assert!(late.await.unwrap().is_ok());
    assert_eq!(read_tessera(&url, policy.as_bytes()).await.tree_size(), 302);

    // The log starts again, knowing nothing of its witnesses' sizes: 409 tells it.
    tessera.kill().unwrap();
    let tessera = start();
    assert_eq!(append(tessera.first_line(), b"after a restart").await, Ok(302));
    assert_eq!(read_tessera(tessera.first_line(), policy.as_bytes()).await.tree_size(), 303);

    // The clients of transparency-dev feed the witness that missed this, from a size that is wrong at first.
    witnesses[2].1 = Some(witnesses[2].0.start(&[]).unwrap());
    for old in ["0", "303"] {
        let lines = feed(tessera.first_line(), &witnesses[2].0, old).unwrap();
        assert!(lines.starts_with("\u{2014} w2.example "), "{lines}");
    }
}

fn signed_head(log: &NoteSigner, size: u64, root: [u8; 32]) -> SignedNote {
    let checkpoint = Checkpoint::new(log.vkey().name().as_str(), size, root).unwrap();
    SignedNote::new(&checkpoint.text(), vec![log.sign(&checkpoint.text())]).unwrap()
}

/// Each request and what the witnesses answer: ours, litewitness, omniwitness.
type Row = (&'static str, String, [u16; 3]);

/// Where others answer otherwise than tlog-witness demands, docs/interoperability.md has the sentence.
#[tokio::test]
async fn status_codes_side_by_side() {
    let Some(programs) = programs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let signer = |name: &str| {
        NoteSigner::new(KeyName::new(name).unwrap(), SigningKey::from_seed(&rand::random::<[u8; 32]>()))
    };
    let logs: Vec<NoteSigner> = ["log.example/a", "log.example/b", "log.example/c"].map(signer).into();
    let witnessed: Vec<WitnessedLog> = logs
        .iter()
        .map(|log| WitnessedLog { origin: log.vkey().name().to_string(), vkey: log.vkey().to_string() })
        .collect();
    let policy = directory.path().join("policy");
    let lines: String = logs.iter().map(|log| format!("log {}\n", log.vkey())).collect();
    fs::write(&policy, format!("{lines}quorum none\n")).unwrap();
    let (ours, _) = start_witness(directory.path(), "ours", &policy).await.unwrap();
    let lite = Litewitness::new(&directory.path().join("lite"), "lite.example/w").unwrap();
    let _lite = lite.start(programs).unwrap();
    lite.add_logs(programs, &witnessed).unwrap();
    let omni = Omniwitness::new(&directory.path().join("omni"), "omni.example/w", &witnessed).unwrap();
    let _omni = omni.start(programs).unwrap();
    let addresses: [SocketAddr; 3] = [ours.address().parse().unwrap(), lite.0.address, omni.0.address];

    let tree = Tree::of(40);
    let request = |old: u64, new: u64| {
        let proof = tree.consistency(old, new);
        AddCheckpoint::new(old, proof, signed_head(&logs[0], new, tree.root(new))).unwrap().to_string()
    };
    let raw = |old: u64, proof: Vec<[u8; 32]>, note: SignedNote| {
        AddCheckpoint::new(old, proof, note).unwrap().to_string()
    };
    let good = request(7, 20);
    let (a, b, c) = (&logs[0], &logs[1], &logs[2]);
    let stranger = signer("log.example/unknown");
    let impostor = signer("log.example/a");
    let other_key = |size: u64| {
        let checkpoint = Checkpoint::new("log.example/a", size, tree.root(size)).unwrap();
        SignedNote::new(&checkpoint.text(), vec![impostor.sign(&checkpoint.text())]).unwrap()
    };
    let signed = signed_head(a, 20, tree.root(20)).to_string();
    let tampered = good.replace(signed.lines().nth(2).unwrap(), request(7, 21).lines().rev().nth(2).unwrap());
    let rows: Vec<Row> = vec![
        ("first contact at a wrong size", request(3, 7), [409, 409, 200]),
        ("first contact", request(0, 7), [200, 200, 409]),
        ("the same again", request(7, 7), [200, 200, 200]),
        ("growth", request(7, 9), [200, 200, 200]),
        ("an old size that is not the last", request(7, 20), [409, 409, 409]),
        ("old size above the size", raw(9, vec![], signed_head(a, 8, tree.root(8))), [400, 400, 400]),
        ("an unknown origin", raw(0, vec![], signed_head(&stranger, 8, tree.root(8))), [404, 404, 500]),
        ("an unknown key alone", raw(9, vec![], other_key(9)), [403, 403, 500]),
        ("a signature that does not verify", tampered, [403, 403, 500]),
        (
            "a wrong proof",
            raw(9, tree.consistency(9, 21), signed_head(a, 20, tree.root(20))),
            [422, 422, 422],
        ),
        (
            "a proof where there is none",
            raw(9, vec![[1; 32]], signed_head(a, 9, tree.root(9))),
            [422, 422, 422],
        ),
        ("another root at the same size", raw(9, vec![], signed_head(a, 9, [9; 32])), [422, 422, 422]),
        ("a proof from size 0", raw(0, vec![[1; 32]], signed_head(b, 9, tree.root(9))), [422, 200, 200]),
        ("size 0 with another root", raw(0, vec![], signed_head(c, 0, [3; 32])), [422, 200, 422]),
        ("no old size", "new 9\n\n".to_owned() + &signed, [400, 400, 400]),
        ("old size with a zero before it", request(9, 20).replace("old 9", "old 09"), [400, 200, 200]),
        ("a hash of 31 bytes", format!("old 20\n{}\n\n{signed}", "A".repeat(43)), [400, 400, 400]),
        (
            "64 proof lines",
            format!("old 20\n{}\n{signed}", format!("{}=\n", "A".repeat(43)).repeat(64)),
            [400, 400, 422],
        ),
        ("no note", "old 20\n\nnothing".to_owned(), [400, 404, 500]),
        (
            "not a checkpoint",
            {
                let text = "log.example/a\nnot a size\n";
                format!("old 20\n\n{}", SignedNote::new(text, vec![a.sign(text)]).unwrap())
            },
            [400, 500, 500],
        ),
        ("nothing", String::new(), [400, 400, 400]),
        // Ours holds evidence against the log now.
        ("whatever comes after that", request(20, 21), [423, 200, 200]),
    ];
    let client = reqwest::Client::new();
    let mut wrong = Vec::new();
    for (name, body, expected) in rows {
        let mut found = [0; 3];
        for (at, address) in addresses.iter().enumerate() {
            let response = client
                .post(format!("http://{address}/add-checkpoint"))
                .body(body.clone())
                .send()
                .await
                .unwrap();
            found[at] = response.status().as_u16();
        }
        if found != expected {
            wrong.push(format!("{name}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "not as docs/interoperability.md says:\n{}", wrong.join("\n"));
}

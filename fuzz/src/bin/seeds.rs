//! Writes the seed corpus: a directory for each target, files named by their hash. Seeds come from the test vectors, and
//! from the crates themselves where no vectors are. The same seeds are written every time.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use keyglass_account::{
    api::{
        AckMessages, Base64, BundleResult, Bundles, FetchBundles, Id128, Message, Messages, PreKeyStatus,
        Receipt, Receipts, SendMessage, SendReceipt, Target, TargetBundle, TokenIssued, UploadPreKeys,
    },
    auth::{Credential, Request, Token},
    author::Draft,
    device::{Device, Suite},
    link::LinkOffer,
    prekey::{
        KemPreKey, KemPreKeyBatch, LastResortPreKey, OneTimeKemPreKey, OneTimePreKey, PreKeyBatch,
        PreKeyBundle, SignedPreKey,
    },
    problem::Problem,
    receipt::FailureReason,
    search_many::{SearchAnswer, SearchManyRequest, encode_answers},
    text_code,
    time::UnixMillis,
};
use keyglass_client_verify::x3dh::FirstMessage;
use keyglass_crypto::{
    dh::DhSecretKey,
    hash::sha256,
    kem::KemSecretKey,
    ml_dsa::MlDsaSigningKey,
    sealed::{self, Cost, Passphrase},
    secret::Secret,
    sign::SigningKey,
    vrf::VrfSecretKey,
};
use keyglass_fuzz::{
    CODECS, REGISTRATION_TIME, TARGETS, honest_answers, service_key, service_keys, stored_states, vector_file,
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    evidence::Evidence,
    handover::Handover,
    note::{KeyName, NoteSigner, SignedNote, format_signature_lines},
    proof::TlogProof,
    rfc6962::{CompactTree, consistency_proof, inclusion_proof, leaf_hash},
    tile,
    time::UnixSeconds,
    witness::AddCheckpoint,
};
use serde_json::Value;

/// Longer inputs only slow the search down.
const LONGEST: usize = 4096;

/// The most seeds of a target.
const MOST: usize = 80;

/// The seeds of each target, without repetition.
#[derive(Default)]
struct Corpus(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Corpus {
    fn add(&mut self, target: &'static str, seed: impl AsRef<[u8]>) {
        let seeds = self.0.entry(target).or_default();
        let seed = seed.as_ref();
        if seed.len() <= LONGEST && seeds.len() < MOST && !seeds.iter().any(|known| known == seed) {
            seeds.push(seed.to_vec());
        }
    }
}

fn main() {
    let directory =
        std::env::args().nth(1).unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/corpus").into());
    let mut corpus = Corpus::default();
    c2sp(&mut corpus);
    signed(&mut corpus);
    wire(&mut corpus);
    account(&mut corpus);
    gossip(&mut corpus);
    people(&mut corpus);
    registration(&mut corpus);
    let mut bytes = 0;
    for (name, _) in TARGETS {
        let seeds = corpus.0.remove(name).unwrap_or_default();
        assert!(!seeds.is_empty(), "{name} has no seed");
        let directory = Path::new(&directory).join(name);
        fs::create_dir_all(&directory).expect("the corpus' directory");
        for seed in seeds {
            let hash = hex::encode(sha256(&[&seed]));
            bytes += seed.len();
            fs::write(directory.join(&hash[..16]), seed).expect("a seed");
        }
    }
    assert!(corpus.0.is_empty(), "seeds of no target");
    println!("{bytes} bytes of seeds");
}

fn octets(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn cases(file: &str) -> Vec<Value> {
    vector_file(&format!("c2sp/{file}"))["cases"].as_array().unwrap().clone()
}

/// The vectors of the C2SP formats: good ones and bad ones.
fn c2sp(corpus: &mut Corpus) {
    for case in cases("note_cases.json") {
        if case["kind"] == "vkey" {
            corpus.add("vkey", case["vkey"].as_str().unwrap());
            continue;
        }
        let note = octets(&case["note_b64"]);
        corpus.add("note", &note);
        if let Ok(parsed) = SignedNote::parse(&note) {
            corpus.add("checkpoint", parsed.text());
            corpus.add("signature-lines", format_signature_lines(parsed.signatures()));
        }
    }
    for case in cases("policy_cases.json") {
        corpus.add("policy", octets(&case["policy_b64"]));
    }
    for case in cases("proof_cases.json") {
        corpus.add("proof", octets(&case["proof_b64"]));
    }
    for path in [
        "tile/0/000",
        "tile/0/000.p/1",
        "tile/0/x001/x234/067",
        "tile/0/x001/x234/067.p/255",
        "tile/1/000.p/8",
        "tile/7/000.p/255",
        "tile/entries/000",
        "tile/entries/x123/456.p/16",
        "tile/08/000",
        "tile/0/x000/000",
        "tile/0/000.p/256",
    ] {
        corpus.add("tile-path", path);
    }
    for width in [1usize, 2, 256] {
        let entries = vec![&b"entry"[..]; width];
        let first = u8::try_from(width - 1).unwrap();
        corpus.add("bundle", [vec![first], tile::encode_bundle(entries).unwrap()].concat());
    }
    corpus.add("bundle", [vec![3], vec![7; 128]].concat());
}

fn name(name: &str) -> KeyName {
    KeyName::new(name).unwrap()
}

fn log() -> NoteSigner {
    NoteSigner::new(name("log.example/one"), SigningKey::from_seed(&[1; 32]))
}

fn witness(seed: u8) -> Cosigner {
    Cosigner::new(name(&format!("w{seed}.example")), SigningKey::from_seed(&[seed; 32]))
}

fn note(checkpoint: &Checkpoint, witnesses: &[u8]) -> SignedNote {
    let mut lines = vec![log().sign(&checkpoint.text())];
    lines.extend(
        witnesses.iter().map(|&seed| witness(seed).cosign(checkpoint, UnixSeconds(1_600_000_000)).unwrap()),
    );
    SignedNote::new(&checkpoint.text(), lines).unwrap()
}

/// What is signed with the keys that the targets know.
fn signed(corpus: &mut Corpus) {
    corpus.add("key-file", log().to_key_file().as_bytes());
    corpus.add("key-file", witness(2).to_key_file().as_bytes());
    let ml_dsa = Cosigner::ml_dsa_44(name("w2.example"), MlDsaSigningKey::from_seed(&[2; 32])).unwrap();
    corpus.add("key-file", ml_dsa.to_key_file().as_bytes());
    let leaf = |index: u64| leaf_hash(format!("entry {index}").as_bytes());
    let tree = |size: u64| {
        let mut tree = CompactTree::new();
        (0..size).for_each(|index| tree.append(leaf(index)).unwrap());
        tree.root()
    };
    let node = |node: keyglass_tlog::rfc6962::NodeId| -> Result<[u8; 32], ()> {
        let mut tree = CompactTree::new();
        (0..1u64 << node.level).for_each(|i| tree.append(leaf((node.index << node.level) + i)).unwrap());
        Ok(tree.root())
    };
    let checkpoint = |size| Checkpoint::new("log.example/one", size, tree(size)).unwrap();
    for (size, witnesses) in [(0, &[][..]), (1, &[2]), (7, &[2, 3]), (8, &[3])] {
        corpus.add("judge", note(&checkpoint(size), witnesses).to_string());
        corpus.add("note", note(&checkpoint(size), witnesses).to_string());
    }
    for (old, new) in [(0, 1), (1, 7), (3, 7), (4, 8), (7, 7)] {
        let proof = consistency_proof(old, new, node).unwrap();
        let request = AddCheckpoint::new(old, proof.clone(), note(&checkpoint(new), &[])).unwrap();
        corpus.add("add-checkpoint", request.to_string());
        let hashes = [[tree(old), tree(new)].concat(), proof.concat()].concat();
        corpus.add("merkle", [&old.to_be_bytes()[..], &new.to_be_bytes(), &hashes].concat());
    }
    for (index, size) in [(0, 1), (1, 3), (6, 7)] {
        let proof = inclusion_proof(index, size, node).unwrap();
        let hashes = [[leaf(index), tree(size)].concat(), proof.concat()].concat();
        corpus.add("merkle", [&index.to_be_bytes()[..], &size.to_be_bytes(), &hashes].concat());
        let proof = TlogProof::new(vec![1, 2, 3], index, proof, note(&checkpoint(size), &[2]));
        corpus.0.entry("proof").or_default().insert(0, proof.to_string().into_bytes());
    }
    corpus.add("add-checkpoint", "9\n");
    let seven = Checkpoint::new("log.example/one", 7, [5; 32]).unwrap();
    let lines = [2, 3].map(|seed| witness(seed).cosign(&seven, UnixSeconds(1_600_000_000)).unwrap());
    corpus.add("cosignatures", format_signature_lines(&lines));
    corpus.add("cosignatures", format_signature_lines(&lines[..1]));
    let (a, b) = (note(&seven, &[2]), note(&checkpoint(7), &[2]));
    corpus.add("evidence", Evidence::of_notes(&a, &b).unwrap().to_string());
    let impossible = Checkpoint::new("log.example/one", 0, [5; 32]).unwrap();
    corpus.add("evidence", Evidence::EmptyTree { a: note(&impossible, &[]) }.to_string());
    let proof = consistency_proof(3, 7, node).unwrap();
    let other = note(&Checkpoint::new("log.example/one", 3, [5; 32]).unwrap(), &[]);
    corpus.add("evidence", Evidence::Inconsistent { a: other, b, root: tree(3), proof }.to_string());
    let next = NoteSigner::new(name("log.example/two"), SigningKey::from_seed(&[9; 32]));
    let handover = Handover::declare(&log(), note(&checkpoint(7), &[2, 3]), next.vkey().clone()).unwrap();
    corpus.add("handover", handover.to_string());
    corpus.add("handover", handover.declaration().to_string());
    let after = Evidence::AfterHandover { a: handover.declared().clone(), b: note(&checkpoint(8), &[]) };
    corpus.add("evidence", after.to_string());
    let time = 1_600_000_000u64.to_be_bytes();
    let with_length = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let text = note(&seven, &[]).to_string();
    let head =
        [&[2][..], &time, &with_length(format_signature_lines(&lines).as_bytes()), text.as_bytes()].concat();
    corpus.add("kept", [&[1][..], &time, text.as_bytes()].concat());
    corpus.add("kept", [&[3][..], &with_length(&head), &head].concat());
    corpus.add("kept", [&[3][..], &with_length(&[])].concat());
    corpus.add("kept", [4]);
    corpus.add("kept", head);
}

fn from_hex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// The draft's structures, sessions and audits.
fn wire(corpus: &mut Corpus) {
    let mode = |case: &Value| match case["mode"].as_str().unwrap() {
        "contactMonitoring" => 0u8,
        "thirdPartyManagement" => 1,
        _ => 2,
    };
    // Seeds of all structures come first, since their number is bounded.
    let file = vector_file("wire.json");
    let cases = file["cases"].as_array().unwrap();
    let mut seen = Vec::new();
    for (index, (name, _)) in CODECS.iter().enumerate() {
        for case in cases.iter().filter(|case| case["struct"] == *name) {
            let requested = u8::from(case["version_requested"] == true) * 3;
            let prefix = [u8::try_from(index).unwrap(), mode(case) + requested];
            let seed = [&prefix[..], &from_hex(&case["bytes"])].concat();
            if seed.len() <= LONGEST && seen.iter().filter(|known| **known == index).count() < 3 {
                corpus.0.entry("wire").or_default().push(seed);
                seen.push(index);
            }
            if *name == "AuditorUpdate" {
                corpus.add("update-stream", [vec![0xff, 7], from_hex(&case["bytes"])].concat());
            }
            if *name == "UpdateResponse" {
                corpus.add("updates", [vec![mode(case)], from_hex(&case["bytes"])].concat());
                corpus.add(
                    "updates",
                    [vec![mode(case)], from_hex(&case["bytes"]), from_hex(&case["bytes"])].concat(),
                );
            }
        }
    }
    for answer in honest_answers() {
        corpus.add("answers", answer);
    }
    for (index, state) in stored_states().into_iter().enumerate() {
        if index % 8 == 0 {
            corpus.add("stored", [vec![0], state].concat());
        }
    }
    corpus.add("stored", [vec![1], vec![0; 10]].concat());
    corpus.add("stored", [vec![2], vec![0; 32]].concat());
    corpus.add("stored", [vec![3, 10], vec![0; 60]].concat());
    let audits = vector_file("keytrans/keyglass/auditing.json");
    for audit in audits["audits"].as_array().unwrap() {
        let window =
            u32::try_from(audit["reasonable_monitoring_window"].as_u64().unwrap()).unwrap_or(u32::MAX);
        let mut seed = window.to_be_bytes().to_vec();
        for step in audit["steps"].as_array().unwrap() {
            let update = from_hex(&step["update"]);
            let Ok(length) = u16::try_from(update.len()) else { break };
            if seed.len() + update.len() > LONGEST {
                break;
            }
            seed.extend(length.to_be_bytes());
            seed.extend(update);
        }
        corpus.add("audit", seed);
        let updates = audit["steps"].as_array().unwrap().iter().map(|step| from_hex(&step["update"]));
        corpus.add("update-stream", [vec![0xfe, 50], updates.take(4).collect::<Vec<_>>().concat()].concat());
    }
}

const ORIGIN: &str = "log.example/fuzz";
const LABEL: &[u8] = b"bob";

/// Accounts, prekeys, requests and messages, from the crates themselves.
fn account(corpus: &mut Corpus) {
    let key = |seed: u8| SigningKey::from_seed(&[seed; 32]);
    let dh = |seed: u8| DhSecretKey::from_bytes(&[seed; 32]).public_key();
    let (created, expires) = (UnixMillis(1_700_000_000_000), UnixMillis(1_800_000_000_000));
    let device =
        |id: u32, seed: u8| Device::sign(ORIGIN, LABEL, id, &key(seed), dh(seed), vec![Suite::X3DH], created);
    let draft = || Draft::new(ORIGIN, LABEL, 0).add_device(device(1, 11));
    corpus.add("record", draft().sign_genesis(&key(1)).unwrap().encode());
    let rich = draft().add_device(device(2, 12)).set_recovery(Some(key(2).verifying_key()));
    corpus.add("record", rich.sign_genesis(&key(1)).unwrap().encode());

    let signed_prekey =
        SignedPreKey::sign(ORIGIN, LABEL, &key(11), 1, 7, dh(21), created, expires, 3).unwrap();
    let prekeys = (2..8).map(|id| OneTimePreKey { id: u32::from(id), key: dh(id) }).collect();
    let batch = PreKeyBatch::sign(ORIGIN, LABEL, &key(11), 1, 3, expires, prekeys).unwrap();
    let bundle = PreKeyBundle { signed_prekey, one_time: batch.entry(4), kem: None };
    let bare = PreKeyBundle { signed_prekey, one_time: None, kem: None };
    corpus.add("prekeys", [vec![0], batch.encode()].concat());
    corpus.add("prekeys", [vec![1], signed_prekey.encode()].concat());
    corpus.add("prekeys", [vec![2], bundle.encode()].concat());
    corpus.add("prekeys", [vec![2], bare.encode()].concat());
    corpus.add("prekeys", [vec![3, 0, 4], batch.encode()].concat());
    let kem_key = |seed: u8| KemSecretKey::from_seed(&[seed; 64]).public_key().clone();
    let kem_prekeys = (2..5).map(|id| OneTimeKemPreKey { id: u32::from(id), key: kem_key(id) }).collect();
    let kem_batch = KemPreKeyBatch::sign(ORIGIN, LABEL, &key(11), 1, 4, expires, kem_prekeys).unwrap();
    let last_resort =
        LastResortPreKey::sign(ORIGIN, LABEL, &key(11), 1, 8, kem_key(9), created, expires, 3).unwrap();
    let with = |kem| PreKeyBundle { kem: Some(kem), ..bundle.clone() };
    let with_one_time = with(KemPreKey::OneTime(kem_batch.entry(1).unwrap()));
    corpus.add("prekeys", [vec![2], with_one_time.encode()].concat());
    corpus.add("prekeys", [vec![2], with(KemPreKey::LastResort(last_resort.clone())).encode()].concat());
    corpus.add("prekeys", [vec![4], kem_batch.encode()].concat());
    corpus.add("prekeys", [vec![5], last_resort.encode()].concat());
    corpus.add("prekeys", [vec![6], batch.entry(4).unwrap().encode()].concat());
    corpus.add("prekeys", [vec![7, 0, 1], kem_batch.encode()].concat());

    let request = Request { origin: ORIGIN, method: "PUT", path: "/v1/prekeys", body: b"{}" };
    let credential = Credential::sign(&request, LABEL, 1, &key(11), created, [9; 16]);
    corpus.add("headers", credential.to_header());
    let token = Token { label: LABEL.to_vec(), device: 1, expires }.to_header(&Secret::new([5; 32]), ORIGIN);
    corpus.add("headers", &token);

    let target = || Target { label: Base64::new(LABEL.to_vec()).unwrap(), device: 1 };
    let mut json = |which: u8, body: String| corpus.add("json", [vec![which], body.into_bytes()].concat());
    let upload = UploadPreKeys {
        signed_prekey: Some(Base64::new(signed_prekey.encode()).unwrap()),
        batches: vec![Base64::new(batch.encode()).unwrap()],
        last_resort: Some(Base64::new(last_resort.encode()).unwrap()),
        kem_batches: Vec::new(),
    };
    json(0, serde_json::to_string(&upload).unwrap());
    let fetch = FetchBundles {
        request_id: Id128([7; 16]),
        targets: vec![target(), target()],
        accounts: vec![Base64::new(LABEL.to_vec()).unwrap()],
    };
    json(1, serde_json::to_string(&fetch).unwrap());
    let send = SendMessage {
        target: target(),
        id: Id128([8; 16]),
        body: Base64::new(vec![1, 2, 3]).unwrap(),
        version: Some(4),
    };
    json(2, serde_json::to_string(&send).unwrap());
    json(3, serde_json::to_string(&AckMessages { ids: vec![Id128([8; 16])] }).unwrap());
    json(4, serde_json::to_string(&TokenIssued { authorization: token, expires: expires.0 }).unwrap());
    let status = PreKeyStatus {
        one_time: 3,
        low_water: true,
        low_water_mark: 10,
        next_batch: 4,
        next_id: 8,
        digest: Some(Base64::new(vec![6; 32]).unwrap()),
        ..PreKeyStatus::default()
    };
    json(5, serde_json::to_string(&status).unwrap());
    let result = |bundle: &PreKeyBundle| BundleResult::Bundle(Base64::new(bundle.encode()).unwrap());
    let problem = BundleResult::Problem(Problem::NoSignedPreKey.details(None));
    let bundles = [result(&bundle), result(&bare), problem];
    let bundles = bundles.into_iter().map(|result| TargetBundle { target: target(), result }).collect();
    json(6, serde_json::to_string(&Bundles { bundles, unknown: Vec::new() }).unwrap());
    let message = Message { id: Id128([8; 16]), received: 9, body: Base64::new(vec![1, 2, 3]).unwrap() };
    json(7, serde_json::to_string(&Messages { messages: vec![message], more: false }).unwrap());
    json(8, serde_json::to_string(&Problem::Malformed.details(Some("why".into()))).unwrap());
    let (handshake, reason) = (Base64::new(vec![9; 32]).unwrap(), FailureReason::ALL[0]);
    let receipt = SendReceipt { target: target(), handshake: handshake.clone(), reason };
    json(9, serde_json::to_string(&receipt).unwrap());
    let reason = reason.name().to_owned();
    let receipt = Receipt { id: Id128([8; 16]), received: 9, from: target(), handshake, reason };
    json(10, serde_json::to_string(&Receipts { receipts: vec![receipt], more: true }).unwrap());

    let first = FirstMessage {
        id: [3; 16],
        checkpoint: note(&Checkpoint::new("log.example/one", 7, [5; 32]).unwrap(), &[2]).to_string(),
        heads: vec![[4; 32]; 2],
        recipient_version: Some(6),
        text: "hello".into(),
    };
    let first = first.encode().unwrap();
    let handshakes = vector_file("handshake/handshake.json");
    let octets = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    for case in handshakes["handshakes"].as_array().unwrap() {
        corpus.add("message", [vec![0], octets(&case["message"])].concat());
    }
    for case in handshakes["bundles"].as_array().unwrap() {
        corpus.add("prekeys", [vec![2], octets(&case["bundle"])].concat());
    }
    corpus.add("message", [vec![1], first.clone()].concat());
    let mut before = [vec![1, 1], first[1..19].to_vec()].concat();
    before.truncate(20);
    corpus.add("message", before);
    // A header as the format says: format, suite, label, version, keys, prekeys; then a ciphertext.
    let mut message = vec![0, 1, 0, 1, 3];
    message.extend(LABEL);
    message.extend(0u32.to_be_bytes());
    message.extend(key(1).verifying_key().to_bytes());
    message.extend(1u32.to_be_bytes());
    message.extend(key(11).verifying_key().to_bytes());
    message.extend(dh(11).to_bytes());
    message.extend(dh(12).to_bytes());
    message.extend([0, 0, 0, 7, 1, 0, 0, 0, 3, 0, 0, 0, 5, 0, 20]);
    message.extend([6; 20]);
    corpus.add("message", message);
}

/// What peers serve, from the seeds of the formats in it, and the file of peers.
fn gossip(corpus: &mut Corpus) {
    let checkpoint = |size, root: u8| Checkpoint::new("log.example/one", size, [root; 32]).unwrap();
    let head = note(&checkpoint(7, 5), &[2, 3]);
    corpus.add("gossip-head", head.to_string());
    corpus.add("gossip-head", note(&checkpoint(0, 5), &[]).to_string());
    let both = [head.signatures().to_vec(), note(&checkpoint(8, 5), &[2]).signatures().to_vec()].concat();
    corpus.add("gossip-head", SignedNote::new(head.text(), both).unwrap().to_string());
    let evidence = Evidence::of_notes(&head, &note(&checkpoint(7, 6), &[2])).unwrap().to_string();
    let hashes =
        |id: u8| format!("{} {}\n", hex::encode([id; 32]), hex::encode(sha256(&[b"log.example/one"])));
    corpus.add("gossip-list", "keyglass-gossip/v1\n");
    corpus.add("gossip-list", format!("keyglass-gossip/v1\n{}{}", hashes(1), hashes(2)));
    corpus.add("gossip-evidence", evidence);
    corpus.add("gossip-evidence", Evidence::EmptyTree { a: note(&checkpoint(0, 5), &[3]) }.to_string());
    corpus.add(
        "peers",
        "# of this network\n\npeer w2 https://witness.example/w2\n\tpeer  a/1\thttp://127.0.0.1:7390/\n",
    );
    corpus.add("peers", "peer a http://a?b\n");
    let root = STANDARD.encode([7; 32]);
    let heads =
        format!("keyglass-heads/v1\nlog.example/one\n5 1700000000000 {root}\n9 1700000000001 {root}\n");
    corpus.add("heads-text", heads);
    let passphrase = Passphrase::new(b"passphrase".to_vec().into()).unwrap();
    let cost = Cost::new(8, 1, 1).unwrap();
    let sealed = sealed::seal("key", b"content", &passphrase, cost, &[1; 16], &[2; 12]).unwrap();
    corpus.add("sealed", sealed);
    let key = VrfSecretKey::from_seed(&[7; 32]);
    let (proof, _) = key.prove(b"input");
    corpus.add("vrf", [&key.public_key().to_bytes()[..], &proof.0, b"input"].concat());
}

/// What people type and scan, and searches for many of them.
fn people(corpus: &mut Corpus) {
    let key = |seed: u8| SigningKey::from_seed(&[seed; 32]);
    let dh = |seed: u8| DhSecretKey::from_bytes(&[seed; 32]).public_key();
    for suites in [vec![Suite::X3DH], vec![Suite::X3DH, Suite::PQXDH]] {
        let device = Device::sign(ORIGIN, LABEL, 2, &key(12), dh(12), suites, UnixMillis(1_700_000_000_000));
        let offer = LinkOffer::sign(ORIGIN, LABEL, key(1).verifying_key(), device, &key(12), [6; 16]);
        corpus.add("link-offer", offer.encode());
        corpus.add("link-offer", offer.to_text());
    }
    corpus.add("text-code", text_code::encode("KEYGLASS-FUZZ", b""));
    corpus.add("text-code", text_code::encode("KEYGLASS-FUZZ", &[0xa5; 33]).to_lowercase().replace('-', " "));
    for label in [
        "alice",
        "Alice.B-c_9",
        "+49 (151) 23-456 789",
        "+1 202 555 0123",
        "Alice@EXAMPLE.com",
        "a+b@b\u{fc}cher.example",
        "\u{212b}ngstr\u{f6}m",
        "fa\u{df}",
        "\u{3c3}\u{3c2}",
        "\u{5d0}\u{5d1}1",
        "a\u{200d}b",
        "\u{ff41}",
        "xn--a",
        " a",
        "",
    ] {
        corpus.add("label", label);
    }
    let request = SearchManyRequest { last: Some(7), labels: vec![b"bob".to_vec(), b"alice".to_vec()] };
    corpus.add("search-many", [vec![0], request.encode()].concat());
    let first = SearchManyRequest { last: None, labels: vec![b"bob".to_vec()] };
    corpus.add("search-many", [vec![0], first.encode()].concat());
    let answers =
        [SearchAnswer::Response(vec![1; 30]), SearchAnswer::Problem("urn:keyglass:problem:x".into())];
    corpus.add("search-many", [vec![1], encode_answers(&answers)].concat());
}

/// Tokens of an account service, and its keys.
fn registration(corpus: &mut Corpus) {
    corpus.add("registration-keys", service_keys());
    corpus.add(
        "registration-keys",
        service_keys().replace("\"x\"", "\"alg\":\"EdDSA\",\"use\":\"sig\",\"d\":1,\"x\""),
    );
    let (iat, exp) = (REGISTRATION_TIME, REGISTRATION_TIME + 3600);
    let several = format!(r#"["log.example/other","{ORIGIN}"]"#);
    for (header, audience) in [
        (r#"{"alg":"EdDSA","kid":"k1"}"#, format!("\"{ORIGIN}\"")),
        (r#"{"alg":"EdDSA","kid":"k1","typ":"JWT"}"#, several),
        (r#"{"alg":"none","kid":"k1"}"#, format!("\"{ORIGIN}\"")),
    ] {
        let claims =
            format!(r#"{{"sub":"bob","aud":{audience},"iat":{iat},"exp":{exp},"nbf":{iat},"jti":"1"}}"#);
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(service_key().sign(signed.as_bytes()).0);
        corpus.add("registration-token", format!("{signed}.{signature}"));
    }
}

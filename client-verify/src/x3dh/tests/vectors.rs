//! The vectors in `testvectors/handshake`: both suites, every kind of bundle, and messages that must not be opened.
//!
//! `KEYGLASS_WRITE_VECTORS=1` writes them again, octet for octet. `verify.py` beside them, which shares nothing with this
//! crate, must agree with every case.

use std::{fs, path::Path, path::PathBuf, process::Command};

use keyglass_account::{
    author::Draft,
    device::Device,
    prekey::{
        KemPreKey, KemPreKeyBatch, LastResortPreKey, OneTimeKemPreKey, OneTimePreKey, PreKeyBatch,
        PreKeyBundle, PreKeyError, SignedPreKey,
    },
    time::UnixMillis,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    proven::{BundleError, ProvenAccount, ProvenValue, Proving, Unverified, prove},
    x3dh::transcript::Transcript,
};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const EXPIRES: UnixMillis = UnixMillis(1_800_000_000_000);
/// The seed of Bob's device key, whose X25519 key is that of [`Side::new`].
const BOB_SIGNING: [u8; 32] = [102; 32];

fn directory() -> PathBuf {
    std::env::var_os("KEYGLASS_TESTVECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../testvectors"), PathBuf::from)
        .join("handshake")
}

fn hex_of(bytes: impl AsRef<[u8]>) -> Value {
    hex::encode(bytes).into()
}

fn secret_of(seed: u8) -> Value {
    hex_of([seed; 32])
}

fn party(side: &Side) -> Value {
    let Party { label, identity_key, device_id, signing_key, dh_key } = &side.party;
    json!({
        "label": hex_of(label),
        "identity_key": hex_of(identity_key.to_bytes()),
        "device": device_id,
        "signing_key": hex_of(signing_key.to_bytes()),
        "dh_key": hex_of(dh_key.to_bytes()),
        "dh_secret": hex_of(side.dh.to_bytes().expose()),
    })
}

fn one_time_id(id: OneTimeId) -> Value {
    json!({ "batch": id.batch, "id": id.id })
}

fn kem_id(id: KemId) -> Value {
    match id {
        KemId::OneTime(id) => json!({ "one_time": one_time_id(id) }),
        KemId::LastResort(id) => json!({ "last_resort": id }),
    }
}

/// A world whose device knows some keys under two numbers, so that swapped ids are told from unknown ones.
fn world() -> World {
    let mut world = World::new();
    world.keys.signed.insert(8, DhSecretKey::from_bytes(&[30; 32]));
    world.keys.one_time.insert(OneTimeId { batch: 3, id: 9 }, Some(DhSecretKey::from_bytes(&[31; 32])));
    world.keys.one_time.insert(OneTimeId { batch: 2, id: 1 }, None);
    world.keys.kem.insert(KemId::OneTime(OneTimeId { batch: 4, id: 12 }), Some([32; 64]));
    world.keys.kem.insert(KemId::OneTime(OneTimeId { batch: 4, id: 1 }), None);
    world.keys.kem.insert(KemId::LastResort(11), Some([32; 64]));
    world
}

fn memory(keys: &Keys) -> Value {
    let signed: Vec<Value> = keys
        .signed
        .iter()
        .map(|(id, secret)| json!({ "id": id, "secret": hex_of(secret.to_bytes().expose()) }))
        .collect();
    let one_time: Vec<Value> = keys
        .one_time
        .iter()
        .map(|(id, secret)| {
            let secret = secret.as_ref().map(|secret| hex::encode(secret.to_bytes().expose()));
            json!({ "id": one_time_id(*id), "secret": secret })
        })
        .collect();
    let kem: Vec<Value> = keys
        .kem
        .iter()
        .map(|(id, seed)| json!({ "id": kem_id(*id), "seed": seed.map(hex::encode) }))
        .collect();
    json!({ "signed_prekeys": signed, "one_time_prekeys": one_time, "kem_prekeys": kem })
}

fn name(kind: Kind) -> &'static str {
    match (kind.one_time, kind.kem) {
        (false, None) => "X3DH without a one-time prekey",
        (true, None) => "X3DH with a one-time prekey",
        (false, Some(KemId::LastResort(_))) => "PQXDH with the last resort alone",
        (true, Some(KemId::LastResort(_))) => "PQXDH with a one-time prekey and the last resort",
        (false, Some(_)) => "PQXDH with a one-time KEM prekey",
        (true, Some(_)) => "PQXDH with one-time prekeys of both types",
    }
}

fn handshake(world: &World, kind: Kind, seed: u8) -> Value {
    let text = name(kind).as_bytes();
    let bundle = world.bundle(kind);
    let kem_key = bundle.kem_key().cloned();
    let sent = world.send(kind, seed, text);
    let header = &sent.message.header;
    let transcript = Transcript {
        origin: ORIGIN,
        suite: header.suite,
        initiator: &world.alice.party,
        responder: &world.bob.party,
        ephemeral: header.ephemeral,
        prekeys: header.prekeys,
        signed_key: *bundle.signed_key(),
        one_time_key: bundle.one_time_key().copied(),
        kem: kem_key.as_ref().zip(header.kem_ciphertext.as_ref()),
    };
    let Accepted::New(received) = world.accept(&sent.message).unwrap() else { panic!("seen") };
    assert_eq!(received.session.keys, sent.session.keys);
    let keys = &sent.session.keys;
    json!({
        "name": name(kind),
        "suite": header.suite.0,
        "sender_version": 3,
        "signed_prekey": header.prekeys.signed,
        "one_time": header.prekeys.one_time.map(one_time_id),
        "kem": header.prekeys.kem.map(kem_id),
        "ephemeral_secret": secret_of(seed),
        "encapsulation": secret_of(!seed),
        "plaintext": hex_of(text),
        "message": hex_of(sent.message.encode()),
        "handshake": hex_of(sent.session.handshake.0),
        "info": hex_of(transcript.info()),
        "associated_data": hex_of(&sent.session.associated_data),
        "root_key": hex_of(keys.root_key.expose()),
        "initiator_chain": hex_of(keys.initiator_chain.expose()),
        "responder_chain": hex_of(keys.responder_chain.to_stored().expose()),
    })
}

fn error_name(error: AcceptError) -> &'static str {
    match error {
        AcceptError::Suite(_) => "suite",
        AcceptError::SenderNotProven | AcceptError::WrongSecret | AcceptError::Dh(_) => panic!("{error}"),
        AcceptError::SignedPreKeyUnknown(_) => "signed_prekey_unknown",
        AcceptError::OneTimePreKeyUnknown(_) => "one_time_prekey_unknown",
        AcceptError::OneTimePreKeyReused(_) => "one_time_prekey_reused",
        AcceptError::KemPreKeyUnknown(_) => "kem_prekey_unknown",
        AcceptError::KemPreKeyReused(_) => "kem_prekey_reused",
        AcceptError::NotAuthentic => "not_authentic",
    }
}

/// What becomes of a message, whose sender the log proves whatever it claims.
fn verdict(world: &World, origin: &str, bytes: &[u8]) -> &'static str {
    let Ok(message) = InitialMessage::decode(bytes) else { return "malformed" };
    let sender = ProvenDevice::for_tests(origin, message.claimed_sender().clone(), SUITES.to_vec());
    match accept(world.bob.own(), &sender, &world.keys, &message) {
        Ok(_) => "accepted",
        Err(error) => error_name(error),
    }
}

fn refused_messages(world: &World) -> Vec<Value> {
    let mut cases = Vec::new();
    let mut add = |name: String, origin: &str, bytes: &[u8]| {
        let verdict = verdict(world, origin, bytes);
        assert_ne!(verdict, "accepted", "{name}");
        cases.push(json!({ "name": name, "origin": origin, "message": hex_of(bytes), "refused": verdict }));
    };
    for kind in [KINDS[1], KINDS[3], KINDS[5]] {
        let base = name(kind);
        let message = world.send(kind, 60, b"hello").message;
        let bytes = message.encode();
        add(format!("{base}: another log"), "log.example/other", &bytes);
        for cut in [1, 16, bytes.len() / 2, bytes.len() - 1] {
            add(format!("{base}: {cut} octets cut off"), ORIGIN, &bytes[..bytes.len() - cut]);
        }
        add(format!("{base}: an octet appended"), ORIGIN, &[bytes.as_slice(), &[0]].concat());
        let ephemeral = message.header.ephemeral.to_bytes();
        let at = bytes.windows(32).position(|window| window == ephemeral).unwrap();
        let (mut one, mut p) = ([0; 32], [0xFF; 32]);
        (one[0], p[0], p[31]) = (1, 0xED, 0x7F);
        for (what, key) in [("0", [0; 32]), ("1", one), ("p", p), ("2^256 - 1", [0xFF; 32])] {
            let mut bytes = bytes.clone();
            bytes[at..at + 32].copy_from_slice(&key);
            add(format!("{base}: the ephemeral key is {what}"), ORIGIN, &bytes);
        }
        for format in [0, 1, 2, 3] {
            if format != bytes[0] {
                let mut bytes = bytes.clone();
                bytes[0] = format;
                add(format!("{base}: format {format}"), ORIGIN, &bytes);
            }
        }
        let mut changed = |what: &str, change: &dyn Fn(&mut InitialMessage)| {
            let mut message = message.clone();
            change(&mut message);
            add(format!("{base}: {what}"), ORIGIN, &message.encode());
        };
        for suite in [0, 1, 2, 3].map(Suite) {
            if suite != kind.suite() {
                changed(&format!("suite {}", suite.0), &|message| message.header.suite = suite);
            }
        }
        changed("the ciphertext's first bit", &|message| message.ciphertext[0] ^= 1);
        changed("the tag's last bit", &|message| *message.ciphertext.last_mut().unwrap() ^= 1);
        changed("another sender's label", &|message| message.header.sender.label = b"eve".to_vec());
        changed("another sender's device", &|message| message.header.sender.device_id += 1);
        changed("another sender's version", &|message| message.header.sender_version += 1);
        changed("another signed prekey's id", &|message| message.header.prekeys.signed = 8);
        changed("an unknown signed prekey", &|message| message.header.prekeys.signed = 9);
        let one_time = |batch, id| Some(OneTimeId { batch, id });
        changed("the one-time key under another id", &|m| m.header.prekeys.one_time = one_time(3, 9));
        changed("the one-time prekey left out", &|m| m.header.prekeys.one_time = None);
        changed("a used one-time prekey", &|m| m.header.prekeys.one_time = one_time(2, 1));
        changed("an unknown one-time prekey", &|m| m.header.prekeys.one_time = one_time(2, 77));
        if kind.kem.is_none() {
            continue;
        }
        let kem = |batch, id| Some(KemId::OneTime(OneTimeId { batch, id }));
        changed("the KEM prekey under another id", &|m| m.header.prekeys.kem = kem(4, 12));
        changed("the KEM prekey as a last resort", &|m| m.header.prekeys.kem = Some(KemId::LastResort(11)));
        changed("a used KEM prekey", &|m| m.header.prekeys.kem = kem(4, 1));
        changed("an unknown KEM prekey", &|m| m.header.prekeys.kem = kem(4, 77));
        changed("an unknown last resort", &|m| m.header.prekeys.kem = Some(KemId::LastResort(77)));
        changed("a bit of the KEM ciphertext", &|m| {
            let mut ciphertext = *m.header.kem_ciphertext.as_ref().unwrap().as_bytes();
            ciphertext[500] ^= 4;
            m.header.kem_ciphertext = Some(keyglass_crypto::kem::KemCiphertext::from_bytes(&ciphertext));
        });
    }
    cases
}

struct Bundles {
    account: ProvenAccount,
    device: Device,
}

/// Bob's account with his one device, which announces both suites.
fn bundles() -> Bundles {
    let (bob, key) = (Side::new("bob", 2), SigningKey::from_seed(&BOB_SIGNING));
    let party = &bob.party;
    let device =
        Device::sign(ORIGIN, &party.label, 2, &key, party.dh_key, SUITES.to_vec(), UnixMillis(NOW.0 - 1));
    let draft = Draft::new(ORIGIN, &party.label, 0).add_device(device.clone());
    let record = draft.sign_genesis(&SigningKey::from_seed(&[2; 32])).unwrap();
    let value = ProvenValue::for_tests(ORIGIN, &party.label, 0, record.encode());
    let Proving::Done(account) = prove(value, None).unwrap() else { panic!("no genesis") };
    Bundles { account: *account, device }
}

fn bundle_error(error: BundleError) -> &'static str {
    match error {
        BundleError::NoKemPreKey(_) => "no_kem_prekey",
        BundleError::PreKey(error) => match error {
            PreKeyError::BadSignature => "bad_signature",
            PreKeyError::BadBatchSignature => "bad_batch_signature",
            PreKeyError::Expired => "expired",
            PreKeyError::BatchExpired => "batch_expired",
            PreKeyError::BelowFloor { .. } => "below_floor",
            PreKeyError::Path(_) => "path",
            _ => panic!("{error}"),
        },
        _ => panic!("{error}"),
    }
}

fn bundle_cases() -> (Value, Vec<Value>) {
    let Bundles { account, device } = bundles();
    let key = SigningKey::from_seed(&BOB_SIGNING);
    let label = account.label().to_vec();
    let signed = |floor| {
        let public = DhSecretKey::from_bytes(&[30; 32]).public_key();
        SignedPreKey::sign(ORIGIN, &label, &key, 2, 7, public, NOW, EXPIRES, floor).unwrap()
    };
    let kem_key = |seed: u8| KemSecretKey::from_seed(&[seed; 64]).public_key().clone();
    let one_time = |expires| {
        let keys = (0..3).map(|n| OneTimePreKey {
            id: 8 + u32::from(n),
            key: DhSecretKey::from_bytes(&[30 + n; 32]).public_key(),
        });
        PreKeyBatch::sign(ORIGIN, &label, &key, 2, 2, expires, keys.collect()).unwrap().entry(1)
    };
    let kem_batch = |signer: &SigningKey| {
        let keys = (0..5).map(|n| OneTimeKemPreKey { id: 10 + u32::from(n), key: kem_key(31 + n) });
        let batch = KemPreKeyBatch::sign(ORIGIN, &label, signer, 2, 4, EXPIRES, keys.collect());
        batch.unwrap().entry(1).unwrap()
    };
    let last_resort = |expires, floor| {
        let key = LastResortPreKey::sign(ORIGIN, &label, &key, 2, 5, kem_key(33), NOW, expires, floor);
        Some(KemPreKey::LastResort(key.unwrap()))
    };
    let kem = || Some(KemPreKey::OneTime(kem_batch(&key)));
    let whole = || PreKeyBundle { signed_prekey: signed(1), one_time: one_time(EXPIRES), kem: kem() };
    let stranger = SigningKey::from_seed(&[99; 32]);
    let mut forged = signed(1);
    forged.expires.0 += 1;
    let mut moved = kem_batch(&key);
    moved.index = 2;
    let soon = UnixMillis(NOW.0 + 1);
    let cases = [
        ("one-time prekeys of both types", whole()),
        ("the last resort", PreKeyBundle { kem: last_resort(EXPIRES, 1), ..whole() }),
        ("no one-time X25519 prekey", PreKeyBundle { one_time: None, ..whole() }),
        ("no KEM prekey", PreKeyBundle { kem: None, ..whole() }),
        (
            "a signed prekey that lives longer than was signed",
            PreKeyBundle { signed_prekey: forged, ..whole() },
        ),
        (
            "a KEM batch that a stranger signed",
            PreKeyBundle { kem: Some(KemPreKey::OneTime(kem_batch(&stranger))), ..whole() },
        ),
        ("a KEM prekey at another index", PreKeyBundle { kem: Some(KemPreKey::OneTime(moved)), ..whole() }),
        ("a KEM batch below the floor", PreKeyBundle { signed_prekey: signed(5), one_time: None, ..whole() }),
        (
            "an X25519 batch below the last resort's floor",
            PreKeyBundle { kem: last_resort(EXPIRES, 3), ..whole() },
        ),
        ("an expired last resort", PreKeyBundle { kem: last_resort(soon, 1), ..whole() }),
        ("an expired batch", PreKeyBundle { one_time: one_time(soon), ..whole() }),
    ];
    let cases = cases.map(|(name, bundle)| {
        let bytes = hex_of(bundle.encode());
        let proven = account.prove_bundle(2, Unverified::from_wire(bundle), soon);
        let refused =
            proven.map(|proven| assert_eq!(proven.suite(), Suite::PQXDH)).map_err(bundle_error).err();
        json!({ "name": name, "bundle": bytes, "refused": refused })
    });
    let device = json!({
        "label": hex_of(&label),
        "device": device.id,
        "signing_key": hex_of(device.signing_key.to_bytes()),
        "suites": device.suites.iter().map(|suite| suite.0).collect::<Vec<_>>(),
        "now": soon.0,
    });
    (device, cases.to_vec())
}

fn vectors() -> Value {
    let world = world();
    let handshakes: Vec<Value> =
        KINDS.into_iter().zip(70..).map(|(kind, seed)| handshake(&world, kind, seed)).collect();
    let (device, bundles) = bundle_cases();
    json!({
        "origin": ORIGIN,
        "initiator": party(&world.alice),
        "responder": party(&world.bob),
        "memory": memory(&world.keys),
        "handshakes": handshakes,
        "refused_messages": refused_messages(&world),
        "bundle_device": device,
        "bundles": bundles,
    })
}

#[test]
fn vectors_are_as_written() {
    let vectors = vectors();
    let path = directory().join("handshake.json");
    if std::env::var_os("KEYGLASS_WRITE_VECTORS").is_some() {
        fs::create_dir_all(directory()).unwrap();
        fs::write(&path, serde_json::to_string_pretty(&vectors).unwrap() + "\n").unwrap();
    }
    let written: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let count = |list: &str| {
        let (ours, theirs) = (vectors[list].as_array().unwrap(), written[list].as_array().unwrap());
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_eq!(ours, theirs, "{}", ours["name"]);
        }
        ours.len()
    };
    let counts = ["handshakes", "refused_messages", "bundles"].map(count);
    assert_eq!(vectors, written);
    assert!(counts[0] == 6 && counts[1] > 60 && counts[2] > 8, "{counts:?}");
    println!("{} handshakes, {} messages that are refused, {} bundles", counts[0], counts[1], counts[2]);
}

/// The script reads the same file, knows nothing of this crate, and comes to the same keys and verdicts.
#[test]
fn vectors_agree_with_the_script() {
    let mut python = Command::new("python3");
    python.arg(directory().join("verify.py")).arg(directory().join("handshake.json"));
    let output = match python.output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: python3 cannot be run ({error})");
            return;
        }
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{stderr}");
    assert!(printed.contains(" cases agree"), "{printed}");
    print!("{printed}");
}

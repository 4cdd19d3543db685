//! Notes, checkpoints, cosignatures and verifier keys: x/mod's sumdb/note, transparency-dev's formats and torchwood.

use std::collections::BTreeMap;

use base64::{
    Engine as _,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use keyglass_crypto::{ml_dsa::MlDsaSigningKey, sign::SigningKey};
use keyglass_interop::judge::{Bytes, Judge, bytes};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, NoteSigner, PublicKey, SignedNote, Vkey},
    time::UnixSeconds,
};
use rand::{RngExt as _, rngs::StdRng};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kit::{damage, judge, random, seed, text};

const NAMES: [&str; 4] =
    ["log.example/one", "w", "свидетель.example/сосна", "a/very/long~name?with=signs&more#x"];

fn name(name: &str) -> KeyName {
    KeyName::new(name).unwrap()
}

/// A checkpoint, now and then with extension lines.
fn checkpoint(random: &mut StdRng, origin: &str) -> Checkpoint {
    let size = random.random::<u64>() >> random.random_range(1..64);
    let plain = Checkpoint::new(origin, size, seed(random)).unwrap();
    match random.random_range(0..4) {
        0 => Checkpoint::parse(&format!("{plain}an extension\nand another: {size}\n")).unwrap(),
        _ => plain,
    }
}

#[derive(Deserialize)]
struct Opened {
    error: String,
    text: String,
    sigs: Option<Vec<String>>,
}

fn open(judge: &mut Judge, note: &[u8], vkeys: &[String]) -> BTreeMap<String, Opened> {
    judge.ask(&json!({ "op": "open", "note": bytes(note), "vkeys": vkeys })).unwrap()
}

/// The keys whose lines verify, each once, as the judge writes them; an error if one does not or there is none.
fn ours(note: &[u8], vkeys: &[String]) -> Result<(String, Vec<String>), String> {
    let keys: Vec<Vkey> = vkeys.iter().map(|vkey| Vkey::parse(vkey).unwrap()).collect();
    let keys: Vec<&Vkey> = keys.iter().collect();
    let note = SignedNote::parse(note).map_err(|error| error.to_string())?;
    let lines = note.verify(&keys).map_err(|error| error.to_string())?;
    Checkpoint::from_note(&note).map_err(|error| error.to_string())?;
    let mut sigs: Vec<String> = Vec::new();
    for line in lines {
        let sig = format!("{}+{}", line.key.name(), line.key.id());
        // x/mod names a key once, however many lines it has.
        if !sigs.contains(&sig) {
            sigs.push(sig);
        }
    }
    Ok((note.text().to_owned(), sigs))
}

/// Go's base64 decoder, which skips line ends and does not mind bits set beyond the last byte.
fn lax_base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let lax = GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    lax.decode(text.replace(['\r', '\n'], "")).ok()
}

/// Whether some line ends in base64 that encodes what it decodes to in another way.
fn has_second_spelling(note: &[u8]) -> bool {
    let note = String::from_utf8_lossy(note);
    note.split('\n')
        .filter_map(|line| line.rsplit(' ').next())
        .any(|last| lax_base64(last).is_some_and(|decoded| STANDARD.encode(decoded) != last))
}

/// Damages a note in many ways and compares the verdicts.
fn compare_damaged(
    judge: &mut Judge,
    random: &mut StdRng,
    note: &[u8],
    vkeys: &[String],
    times: usize,
) -> usize {
    let mut refused = 0;
    for _ in 0..times {
        let damaged = damage(random, note);
        let here = ours(&damaged, vkeys);
        for (library, there) in open(judge, &damaged, vkeys) {
            let show = || String::from_utf8_lossy(&damaged).chars().take(900).collect::<String>();
            match &here {
                Ok((text, sigs)) => {
                    assert_eq!(there.error, "", "only {library} refuses {:?}", show());
                    assert_eq!(&there.text, text);
                    assert_eq!(there.sigs.as_ref().unwrap(), sigs, "{library} {:?}", show());
                }
                Err(_) if !there.error.is_empty() => refused += 1,
                Err(error) => {
                    let second = has_second_spelling(&damaged);
                    assert!(second, "only we refuse, {library} does not: {error}: {:?}", show());
                }
            }
        }
    }
    refused
}

#[test]
fn our_notes_and_cosignatures_are_theirs() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(1);
    let mut refused = 0;
    for case in 0..240 {
        let origin = NAMES[case % NAMES.len()];
        let log = NoteSigner::new(name(origin), SigningKey::from_seed(&seed(random)));
        let checkpoint = checkpoint(random, origin);
        let mut vkeys = vec![log.vkey().to_string()];
        let mut lines = vec![log.sign(&checkpoint.text())];
        let mut cosigners = vec![
            Cosigner::new(name("w1.example"), SigningKey::from_seed(&seed(random))),
            Cosigner::new(name(NAMES[(case + 1) % NAMES.len()]), SigningKey::from_seed(&seed(random))),
        ];
        if case % 3 == 0 {
            let key = MlDsaSigningKey::from_seed(&seed(random));
            cosigners.push(Cosigner::ml_dsa_44(name("w1.example"), key).unwrap());
        }
        for (index, cosigner) in cosigners.iter().enumerate() {
            let time = UnixSeconds(random.random_range(1..1 << 40));
            lines.push(cosigner.cosign(&checkpoint, time).unwrap());
            // One of them is unknown to the judge now and then: its line is to be ignored.
            if index != 1 || case % 5 != 0 {
                vkeys.push(cosigner.vkey().to_string());
            }
        }
        let note = SignedNote::new(&checkpoint.text(), lines).unwrap().to_string();
        let (text, sigs) = ours(note.as_bytes(), &vkeys).unwrap();
        for (library, there) in open(&mut judge, note.as_bytes(), &vkeys) {
            assert_eq!(there.error, "", "{library} refuses {note}");
            assert_eq!(there.text, text);
            assert_eq!(there.sigs.unwrap(), sigs);
        }
        refused += compare_damaged(&mut judge, random, note.as_bytes(), &vkeys, 25);
    }
    assert!(refused > 5_000, "only {refused} notes were refused");
    println!("{} questions, {refused} refusals alike", judge.asked());
}

#[derive(Deserialize)]
struct Keys {
    skey: String,
    vkey: String,
}

#[derive(Deserialize)]
struct Signed {
    note: Bytes,
}

#[test]
fn their_notes_and_cosignatures_are_ours() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(2);
    let mut refused = 0;
    for case in 0..120 {
        let origin = NAMES[case % NAMES.len()];
        let mut key = |kind: &str, name: &str| -> Keys {
            judge.ask(&json!({ "op": "keygen", "kind": kind, "name": name })).unwrap()
        };
        let log = key("log", origin);
        let mut cosigners = vec![key("cosigner", "w1.example"), key("cosigner", NAMES[(case + 2) % 4])];
        if case % 3 == 0 {
            cosigners.push(key("mldsa", "w1.example"));
        }
        let vkeys: Vec<String> = [&log].into_iter().chain(&cosigners).map(|keys| keys.vkey.clone()).collect();
        for vkey in &vkeys {
            assert_eq!(Vkey::parse(vkey).unwrap().to_string(), *vkey);
        }
        let skeys: Vec<&str> = cosigners.iter().map(|keys| keys.skey.as_str()).collect();
        let checkpoint = checkpoint(random, origin).text();
        let question = json!({ "op": "sign", "text": checkpoint, "logs": [log.skey], "cosigners": skeys });
        let signed: Signed = judge.ask(&question).unwrap();
        let (text, sigs) = ours(&signed.note.0, &vkeys).unwrap();
        assert_eq!(text, checkpoint);
        assert_eq!(sigs.len(), vkeys.len());
        let parsed = SignedNote::parse(&signed.note.0).unwrap();
        assert_eq!(parsed.to_string().as_bytes(), signed.note.0);
        refused += compare_damaged(&mut judge, random, &signed.note.0, &vkeys, 15);
    }
    assert!(refused > 1_500, "only {refused} notes were refused");
    println!("{} questions, {refused} refusals alike", judge.asked());
}

#[test]
fn our_log_key_files_sign_in_their_library() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(3);
    for origin in NAMES {
        let key = seed(random);
        let log = NoteSigner::new(name(origin), SigningKey::from_seed(&key));
        let cosigner = Cosigner::new(name(origin), SigningKey::from_seed(&seed(random)));
        let text = checkpoint(random, origin).text();
        let (log_file, cosigner_file) = (log.to_key_file(), cosigner.to_key_file());
        let question = json!({
            "op": "sign", "text": text, "logs": [log_file.trim_end()], "cosigners": [cosigner_file.trim_end()],
        });
        let signed: Signed = judge.ask(&question).unwrap();
        let vkeys = [log.vkey().to_string(), cosigner.vkey().to_string()];
        assert_eq!(ours(&signed.note.0, &vkeys).unwrap().1.len(), 2);
    }
}

/// What a library made of a key, written again: a text that it accepts under another spelling is none of ours.
fn spelled_again(vkey: &str, name: &str, hash: &str) -> Option<String> {
    let (_, key) = vkey.strip_prefix(name)?.strip_prefix('+')?.split_once('+')?;
    let key = lax_base64(key)?;
    let id = format!("{name}+{hash}+");
    Some(format!("{id}{}", STANDARD.encode(key)))
}

#[test]
fn verifier_keys_are_read_alike() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(4);
    let (mut alike, mut laxer) = (0, BTreeMap::<(String, &str), usize>::new());
    for case in 0..4_000 {
        let (key_name, seed) = (name(NAMES[case % NAMES.len()]), seed(random));
        let key = match case % 8 {
            0 => PublicKey::MlDsa44Cosigner(MlDsaSigningKey::from_seed(&seed).verifying_key()),
            1..4 => PublicKey::Ed25519(SigningKey::from_seed(&seed).verifying_key()),
            _ => PublicKey::Ed25519Cosigner(SigningKey::from_seed(&seed).verifying_key()),
        };
        let good = Vkey::new(key_name, key).to_string();
        let vkey = if case % 10 == 0 {
            good.clone()
        } else {
            String::from_utf8_lossy(&damage(random, good.as_bytes())).into_owned()
        };
        let here = Vkey::parse(&vkey);
        let there: BTreeMap<String, BTreeMap<String, String>> =
            judge.ask(&json!({ "op": "vkey", "vkey": vkey })).unwrap();
        let knows = |library: &str, key: &Vkey| match key.key().signature_type() {
            0x01 => library == "mod",
            0x04 => library != "mod",
            _ => library == "formats",
        };
        for (library, read) in there {
            match &here {
                Ok(key) if knows(&library, key) => {
                    assert_eq!(read["error"], "", "{library} refuses {vkey}");
                    assert_eq!(
                        (read["name"].as_str(), &read["hash"]),
                        (key.name().as_str(), &key.id().to_string())
                    );
                    alike += 1;
                }
                // formats reads a log's key as the key of a cosigner that would share it.
                Ok(_) => assert!(library == "formats" || !read["error"].is_empty(), "{library} reads {vkey}"),
                Err(_) if !read["error"].is_empty() => alike += 1,
                Err(error) => {
                    let why = if spelled_again(&vkey, &read["name"], &read["hash"]).as_ref() != Some(&vkey) {
                        "another spelling, or an id that is not the key's"
                    } else if read["name"].chars().any(|c| c.is_control()) {
                        "a control character in the name"
                    } else {
                        panic!("only we refuse {vkey:?}: {error}; {library} reads {read:?}")
                    };
                    *laxer.entry((library, why)).or_default() += 1;
                }
            }
        }
    }
    assert!(alike > 4_000);
    println!("{alike} verdicts alike; laxer: {laxer:?}");
}

#[test]
fn checkpoints_are_read_alike() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(5);
    let (mut read, mut alike, mut laxer) = (0, 0, BTreeMap::<String, usize>::new());
    for case in 0..4_000 {
        let good = checkpoint(random, NAMES[case % NAMES.len()]).text();
        let text_here = if case % 10 == 0 {
            good
        } else {
            String::from_utf8_lossy(&damage(random, good.as_bytes())).into_owned()
        };
        let here = Checkpoint::parse(&text_here);
        let there: Value = judge.ask(&json!({ "op": "checkpoint", "text": text_here })).unwrap();
        for library in ["torchwood", "formats"] {
            let error = text(&there, &format!("/{library}/error"));
            match &here {
                Ok(checkpoint) => {
                    assert_eq!(error, "", "{library} refuses {text_here:?}");
                    assert_eq!(text(&there, &format!("/{library}/origin")), checkpoint.origin());
                    assert_eq!(there[library]["size"].as_u64(), Some(checkpoint.tree_size()));
                    assert_eq!(there[library]["root"], bytes(checkpoint.root()));
                    read += 1;
                }
                Err(_) if !error.is_empty() => alike += 1,
                Err(error) => *laxer.entry(format!("{library}: {error:?}")).or_default() += 1,
            }
        }
    }
    assert!(read > 800 && alike > 1_000, "{read} read, {alike} refused alike");
    // docs/interoperability.md: base64 with second spellings, control characters (x/mod's notes have none); formats leaves
    // what follows the root to its caller, and skips zeros before a size.
    let known = |who: &String| {
        who.starts_with("formats: ") || ["torchwood: NotLines", "torchwood: BadRoot"].contains(&who.as_str())
    };
    assert!(laxer.keys().all(known), "{laxer:?}");
    println!("{read} read alike, {alike} refused alike; laxer: {laxer:?}");
}

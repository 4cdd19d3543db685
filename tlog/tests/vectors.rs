//! The vectors of `testvectors/c2sp` and `testvectors/note.json`, through the public interface.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::{SignedNote, Vkey, parse_signature_lines},
    policy::{Name, Policy},
    proof::TlogProof,
    rfc6962::leaf_hash,
    witnessed::{Horizon, Judge},
};
use serde_json::Value;

fn load(file: &str) -> Value {
    let directory = std::env::var_os("KEYGLASS_TESTVECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testvectors")), PathBuf::from);
    let path = directory.join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

fn b64(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Runs every case of a file of `c2sp-cases-v1`; `run` gives what was found, which is compared where `expect` is accept.
fn run_cases(file: &str, run: impl Fn(&Value) -> Result<(), String>) {
    let cases = load(file);
    assert_eq!(cases["format"], "c2sp-cases-v1");
    let cases = list(&cases["cases"]);
    let mut failures = Vec::new();
    for case in cases {
        let (name, outcome) = (text(&case["name"]), run(case));
        match (text(&case["expect"]), outcome) {
            ("accept", Err(error)) => failures.push(format!("{name}: refused: {error}")),
            ("reject", Ok(())) => failures.push(format!("{name}: accepted, but {}", case["spec"])),
            ("accept" | "reject" | "either", _) => {}
            (other, _) => failures.push(format!("{name}: unknown expectation {other}")),
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    assert!(!cases.is_empty(), "{file} has no cases");
    println!("{file}: {} cases", cases.len());
}

/// Compares where the case says what it expects; a mismatch is a panic, not a refusal.
fn compare<T: PartialEq + std::fmt::Debug>(case: &Value, found: T, expected: T) {
    assert_eq!(found, expected, "{}", case["name"]);
}

fn string<E: std::fmt::Display>(error: E) -> String {
    error.to_string()
}

fn run_vkey(case: &Value) -> Result<(), String> {
    let vkey = Vkey::parse(text(&case["vkey"])).map_err(string)?;
    if case["expect"] == "accept" {
        compare(case, vkey.name().as_str(), text(&case["key_name"]));
        compare(case, vkey.id().to_string().as_str(), text(&case["key_id"]));
        compare(case, u64::from(vkey.key().signature_type()), case["type"].as_u64().unwrap());
        compare(case, vkey.to_string().as_str(), text(&case["vkey"]));
    }
    Ok(())
}

fn run_note(case: &Value) -> Result<(), String> {
    let keys: Vec<Vkey> = list(&case["vkeys"]).iter().map(|vkey| Vkey::parse(text(vkey)).unwrap()).collect();
    let bytes = b64(&case["note_b64"]);
    let note = SignedNote::parse(&bytes).map_err(string)?;
    assert_eq!(note.to_string().as_bytes(), bytes, "{}", case["name"]);
    let verified = note.verify(&keys.iter().collect::<Vec<_>>()).map_err(string)?;
    let checkpoint = match text(&case["kind"]) {
        "note" => None,
        _ => Some(Checkpoint::from_note(&note).map_err(string)?),
    };
    if case["expect"] != "accept" {
        return Ok(());
    }
    compare(case, note.text().as_bytes(), &b64(&case["text_b64"]));
    let names: BTreeSet<String> = verified.iter().map(|line| line.key.to_string()).collect();
    compare(case, names, list(&case["verified"]).iter().map(|vkey| text(vkey).to_owned()).collect());
    if let Some(checkpoint) = checkpoint {
        let expected = &case["checkpoint"];
        compare(case, checkpoint.origin(), text(&expected["origin"]));
        compare(case, checkpoint.tree_size().to_string().as_str(), text(&expected["size"]));
        compare(case, checkpoint.root().as_slice(), &b64(&expected["root_b64"]));
        let extensions = list(&expected["extensions"]).iter().map(|line| text(line).to_owned());
        compare(case, checkpoint.extensions().to_vec(), extensions.collect());
    }
    if let Some(expected) = case["timestamps"].as_object() {
        let times: BTreeMap<String, String> =
            verified.iter().filter_map(|line| Some((line.key.to_string(), line.time?.to_string()))).collect();
        compare(
            case,
            times,
            expected.iter().map(|(vkey, time)| (vkey.clone(), text(time).to_owned())).collect(),
        );
    }
    Ok(())
}

#[test]
fn c2sp_note_vectors() {
    run_cases("c2sp/note_cases.json", |case| match text(&case["kind"]) {
        "vkey" => run_vkey(case),
        "note" | "checkpoint" | "cosigned" => run_note(case),
        other => panic!("unknown kind {other}"),
    });
}

fn is_quorum(policy: &Policy, cosigned: &[Vec<u8>]) -> bool {
    // Names come from the policy itself: a case only names witnesses that it defines.
    let named =
        |name: &Vec<u8>| policy.witnesses().iter().find(|w| w.name().as_bytes() == name).unwrap().name();
    policy.is_quorum(&cosigned.iter().map(named).collect())
}

#[test]
fn c2sp_policy_vectors() {
    run_cases("c2sp/policy_cases.json", |case| {
        let policy = Policy::parse(&b64(&case["policy_b64"])).map_err(string)?;
        if case["expect"] != "accept" {
            return Ok(());
        }
        let url = |url: Option<&[u8]>| url.map(|url| String::from_utf8(url.to_vec()).unwrap());
        let expected_url = |line: &Value| line["url"].as_str().map(str::to_owned);
        let logs: Vec<_> = policy
            .logs()
            .iter()
            .map(|log| (log.origin().to_owned(), log.vkey().to_string(), url(log.url())))
            .collect();
        let expected = list(&case["logs"]).iter();
        let line =
            |log: &Value| (text(&log["origin"]).to_owned(), text(&log["vkey"]).to_owned(), expected_url(log));
        compare(case, logs, expected.map(line).collect());
        let witnesses: Vec<_> = policy
            .witnesses()
            .iter()
            .map(|witness| {
                (witness.name().as_bytes().to_vec(), witness.vkey().to_string(), url(witness.url()))
            })
            .collect();
        let expected = list(&case["witnesses"]).iter();
        let line = |w: &Value| (b64(&w["name_b64"]), text(&w["vkey"]).to_owned(), expected_url(w));
        compare(case, witnesses, expected.map(line).collect());
        for quorum in list(&case["quorum"]) {
            let cosigned: Vec<Vec<u8>> = list(&quorum["cosigned_b64"]).iter().map(b64).collect();
            compare(case, is_quorum(&policy, &cosigned), quorum["satisfied"].as_bool().unwrap());
        }
        Ok(())
    });
}

#[test]
fn c2sp_proof_vectors() {
    run_cases("c2sp/proof_cases.json", |case| {
        let policy = Policy::parse(text(&case["policy"]).as_bytes()).unwrap();
        let leaf = leaf_hash(&b64(&case["entry_b64"]));
        compare(case, leaf.to_vec(), b64(&case["leaf_hash_b64"]));
        let bytes = b64(&case["proof_b64"]);
        let proof = TlogProof::parse(&bytes).map_err(string)?;
        assert_eq!(proof.to_string().as_bytes(), bytes, "{}", case["name"]);
        let judged = proof.verify(&leaf, &Judge::new(&policy, Horizon::ignored())).map_err(string)?;
        if case["expect"] == "accept" {
            compare(case, proof.index().to_string().as_str(), text(&case["index"]));
            compare(case, judged.tree().0.to_string().as_str(), text(&case["size"]));
            let extra =
                case["extra_b64"].as_str().map(|extra| STANDARD.decode(extra).unwrap()).unwrap_or_default();
            compare(case, proof.unauthenticated_extra(), &extra);
        }
        Ok(())
    });
}

#[test]
fn note_vectors() {
    let vectors = load("note.json");
    let mut ran = 0;
    for case in list(&vectors["vkeys"]) {
        let vkey = Vkey::parse(text(&case["vkey"])).unwrap();
        assert_eq!(vkey.name().as_str(), text(&case["name"]));
        assert_eq!(vkey.id().to_string(), text(&case["key_id"]));
        assert_eq!(u64::from(vkey.key().signature_type()), case["type"].as_u64().unwrap());
        assert_eq!(hex::encode(vkey.key().material()), text(&case["key"]));
        ran += 1;
    }
    for case in list(&vectors["bad_vkeys"]) {
        assert!(Vkey::parse(text(&case[1])).is_err(), "{}: {}", case[0], case[1]);
        ran += 1;
    }
    for case in list(&vectors["policies"]) {
        let policy = Policy::parse(text(&case["policy"]).as_bytes()).unwrap();
        // The two parts come apart, as in a TreeHead of the suite 0xF001.
        let checkpoint = Checkpoint::parse_without_extensions(text(&case["text"])).unwrap();
        let lines = parse_signature_lines(text(&case["lines"]).as_bytes());
        let judge = Judge::new(&policy, Horizon::ignored());
        let judged =
            lines.map_err(string).and_then(|lines| judge.judge_lines(checkpoint, &lines).map_err(string));
        assert_eq!(judged.is_ok(), case["accept"].as_bool().unwrap(), "{judged:?}: {case}");
        if let (Ok(judged), true) = (judged, case["fault"].is_null()) {
            let signers: BTreeSet<&str> = list(&case["signers"]).iter().map(text).collect();
            let known = |name: &Name| signers.contains(name.to_string().as_str());
            assert!(judged.cosigners().iter().all(|cosigned| known(&cosigned.witness)), "{case}");
        }
        ran += 1;
    }
    for case in list(&vectors["bad_policies"]) {
        assert!(Policy::parse(text(&case[1]).as_bytes()).is_err(), "{}: {}", case[0], case[1]);
        ran += 1;
    }
    assert!(ran > 0, "note.json has no cases");
    println!("note.json: {ran} cases");
}

//! The commands that check files, offline: policies, notes and proofs, with 0 for yes and 1 for no.

use std::path::PathBuf;

use keyglass_client_verify::verdict::Verdict;
use keyglass_crypto::{ml_dsa::MlDsaSigningKey, sign::SigningKey};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, NoteSigner, SignedNote},
    time::UnixSeconds,
};
use serde_json::{Value, json};

use crate::{Run, run};

/// A directory to put files into, and to run the command in.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn check(policy: &str) -> Run {
    run(&["keyglass", "policy", "check", policy])
}

/// Runs the same with `--json`, which must come to the same verdict.
fn json(line: &[&str]) -> Value {
    let plain = run(line);
    let mut with_json = line.to_vec();
    with_json.push("--json");
    let run = run(&with_json);
    assert_eq!(run.verdict, plain.verdict);
    run.json()
}

fn witness(n: u8) -> Cosigner {
    Cosigner::new(KeyName::new(&format!("w{n}.example")).unwrap(), SigningKey::from_seed(&[n; 32]))
}

fn log() -> NoteSigner {
    NoteSigner::new(KeyName::new("log.example/one").unwrap(), SigningKey::from_seed(&[0xa0; 32]))
}

fn policy(witnesses: u8, rest: &str) -> String {
    let lines: String = (1..=witnesses)
        .map(|n| format!("witness w{n} {} https://w{n}.example/\n", witness(n).vkey()))
        .collect();
    format!("log {}\n{lines}{rest}", log().vkey())
}

fn codes(value: &Value) -> Vec<&str> {
    value["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect()
}

#[test]
fn a_policy_is_explained() {
    let desk = Desk::new();
    let file = desk.put("p", policy(3, "group q 2 w1 w2 w3\nquorum q\n"));
    let run = check(&file);
    assert_eq!(run.verdict, Verdict::Verified);
    for part in [
        "a valid policy",
        "log.example/one: 1 key",
        "w2: w2.example+",
        "at https://w2.example/",
        "q: at least 2 of these 3",
        "of 3 operators",
        "the smallest has 2 operators",
        "1 operator must collude with a log that shows people different views",
        "2 operators must fail or refuse",
        "k >= 1 + floor(2n/3) does not hold in q: 2 of 3, the least is 3",
        "a single operator that colludes",
    ] {
        assert!(run.stdout.contains(part), "{part} in {}", run.stdout);
    }
    let value = json(&["keyglass", "policy", "check", &file]);
    let strength = json!({ "parties": 3, "smallest_quorum": 2, "split": 1, "stall": 2, "two_thirds": false });
    assert_eq!((&value["by_operator"], &value["by_key"]), (&strength, &strength));
    assert_eq!(codes(&value), ["split_needs_one", "below_two_thirds", "only_ed25519"]);
    assert_eq!(value["groups"][0]["two_thirds"], false);
}

#[test]
fn nested_groups_and_operators_are_told_apart() {
    let desk = Desk::new();
    let rest = "group a any w1 w2\ngroup b any w3 w4\ngroup c any w5 w6\ngroup d any w7 w8\ngroup q 3 a b c d\nquorum q\n";
    let value = json(&["keyglass", "policy", "check", &desk.put("p", policy(8, rest))]);
    let by_operator =
        json!({ "parties": 4, "smallest_quorum": 3, "split": 2, "stall": 2, "two_thirds": true });
    assert_eq!(value["by_operator"], by_operator);
    assert_eq!(value["by_key"]["split"], 0);
    assert_eq!(value["groups"][0]["operator"], true);
    assert_eq!(codes(&value), ["operators_by_group", "only_ed25519"]);
    let words = check(&desk.put("p", policy(8, rest))).stdout;
    assert!(
        words.contains("    a, read as one operator: any of these 2 keys\n      w1\n      w2\n"),
        "{words}"
    );
    assert!(words.contains("q: at least 3 of these 4"), "{words}");

    let nested = "group x 2 w1 w2 w3\ngroup y all w4 w5\ngroup q all x y\nquorum q\n";
    let value = json(&["keyglass", "policy", "check", &desk.put("n", policy(5, nested))]);
    let strength = json!({ "parties": 5, "smallest_quorum": 4, "split": 3, "stall": 1, "two_thirds": true });
    assert_eq!(value["by_operator"], strength);
    assert!(codes(&value).contains(&"stall_by_one"));
}

#[test]
fn what_weakens_a_policy_is_said() {
    let desk = Desk::new();
    let warned = |text: &str| -> Vec<String> {
        let value = json(&["keyglass", "policy", "check", &desk.put("p", text)]);
        codes(&value).into_iter().map(str::to_owned).collect()
    };
    assert_eq!(warned("quorum none\n"), ["quorum_none", "no_logs"]);
    assert!(warned(&policy(2, "quorum none\n")).contains(&"quorum_none".to_owned()));
    let halves = warned(&policy(4, "group q 2 w1 w2 w3 w4\nquorum q\n"));
    assert!(halves.contains(&"split_needs_nobody".to_owned()), "{halves:?}");
    let unused = warned(&policy(3, "group q all w1 w2\nquorum q\n"));
    assert!(unused.contains(&"not_in_quorum".to_owned()) && unused.contains(&"stall_by_one".to_owned()));
    let (plain, bare) = (witness(1).vkey().clone(), witness(2).vkey().clone());
    let urls = warned(&format!(
        "witness a {plain} http://a.example/\nwitness b {bare}\ngroup q all a b\nquorum q\n"
    ));
    assert!(urls.contains(&"url_plain_http".to_owned()) && urls.contains(&"url_missing".to_owned()));
    // One operator that is not written as a group counts twice.
    let again = Cosigner::new(KeyName::new("w1.example").unwrap(), SigningKey::from_seed(&[99; 32]));
    let twice = warned(&format!(
        "{}witness again {}\ngroup q 2 w1 again w2\nquorum q\n",
        policy(2, ""),
        again.vkey()
    ));
    assert!(twice.contains(&"one_name_counted_twice".to_owned()), "{twice:?}");
}

/// What `keyglass-witness init` prints goes into an `any` group: one name or two, one operator.
#[test]
fn operators_with_keys_of_both_types_count_once() {
    let desk = Desk::new();
    let mut text = format!("log {}\n", log().vkey());
    for n in 1..=3u8 {
        let name = KeyName::new(&format!("w{n}.example")).unwrap();
        let ml_dsa = Cosigner::ml_dsa_44(name, MlDsaSigningKey::from_seed(&[n; 32])).unwrap();
        for (kind, vkey) in [("ed", witness(n).vkey()), ("pq", ml_dsa.vkey())] {
            text += &format!("witness w{n}-{kind} {vkey} https://w{n}.example/\n");
        }
        text += &format!("group w{n} any w{n}-ed w{n}-pq\n");
    }
    text += "group q 3 w1 w2 w3\nquorum q\n";
    let value = json(&["keyglass", "policy", "check", &desk.put("p", text)]);
    let by_operator =
        json!({ "parties": 3, "smallest_quorum": 3, "split": 3, "stall": 1, "two_thirds": true });
    assert_eq!(value["by_operator"], by_operator);
    assert_eq!(codes(&value), ["stall_by_one", "operators_by_group"]);
}

#[test]
fn two_policies_are_compared() {
    let desk = Desk::new();
    let ours = desk.put("ours", policy(3, "group q 2 w1 w2 w3\nquorum q\n"));
    let theirs = desk.put("theirs", policy(5, "group q 2 w3 w4 w5\nquorum q\n"));
    let value = json(&["keyglass", "policy", "check", &ours, "--against", &theirs]);
    let expected = json!({
        "common_logs": ["log.example/one"], "common_operators": 1, "split": 0, "split_is_exact": true,
    });
    assert_eq!(value["against"], expected);
    let same = json(&["keyglass", "policy", "check", &ours, "--against", &ours]);
    assert_eq!((&same["against"]["split"], &same["against"]["common_operators"]), (&json!(1), &json!(3)));
    let run = run(&["keyglass", "policy", "check", &ours, "--against", &theirs]);
    assert!(
        run.stdout.contains("no operator need collude with a log that shows the users"),
        "{}",
        run.stdout
    );
    let bad = desk.put("bad", "quorum x\n");
    let refused = json(&["keyglass", "policy", "check", &ours, "--against", &bad]);
    assert_eq!((&refused["reason"], &refused["line"]), (&json!("undefined_name"), &json!(1)));
}

#[test]
fn errors_of_a_policy_name_line_and_cause() {
    let desk = Desk::new();
    let file = desk.put("p", policy(3, "group q 4 w1 w2 w3\nquorum q\n"));
    let run = check(&file);
    assert_eq!((run.verdict, run.verdict.exit_code()), (Verdict::Rejected, 1));
    assert!(run.stderr.contains("line 5: the threshold"), "{}", run.stderr);
    let value = json(&["keyglass", "policy", "check", &file]);
    assert_eq!((&value["reason"], &value["line"]), (&json!("bad_threshold"), &json!(5)));
    assert_eq!(check("/nowhere/at/all").verdict.exit_code(), 2);
}

/// As many groups within each other as a policy may have: neither the call stack nor the output suffers.
#[test]
fn a_very_deep_policy_is_explained() {
    let desk = Desk::new();
    let mut text = policy(1, "group g0 any w1\n");
    for depth in 1..20_000 {
        text.push_str(&format!("group g{depth} any g{}\n", depth - 1));
    }
    text.push_str("quorum g19999\n");
    let run = check(&desk.put("p", text));
    assert_eq!(run.verdict, Verdict::Verified);
    assert!(run.stdout.contains("of 1 operator\n") && run.stdout.len() < 4 << 20);
}

fn cosigned(lines: Vec<keyglass_tlog::note::SignatureLine>) -> SignedNote {
    SignedNote::new(&checkpoint().text(), lines).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new("log.example/one", 7, [5; 32]).unwrap()
}

#[test]
fn a_note_names_its_signers() {
    let desk = Desk::new();
    let time = UnixSeconds(1_700_000_000);
    let lines = vec![
        log().sign(&checkpoint().text()),
        witness(1).cosign(&checkpoint(), time).unwrap(),
        witness(2).cosign(&checkpoint(), time).unwrap(),
    ];
    let note = desk.put("note", cosigned(lines).to_string());
    let keys = desk.put("keys", format!("# the log\n{}\n\n{}\n", log().vkey(), witness(1).vkey()));
    let run = run(&["keyglass", "note", "verify", &note, "--vkeys", &keys]);
    assert_eq!(run.verdict, Verdict::Verified, "{}", run.stderr);
    for part in [
        "2 signatures of a known key",
        &format!("signed      log.example/one+{}  Ed25519\n", log().vkey().id()),
        &format!(
            "cosigned    w1.example+{}  Ed25519 cosignatures, 14 November 2023 22:13:20 UTC",
            witness(1).vkey().id()
        ),
        &format!("unknown key w2.example+{}", witness(2).vkey().id()),
        "a checkpoint: log.example/one, 7 entries",
    ] {
        assert!(run.stdout.contains(part), "{part} in {}", run.stdout);
    }
    let value = json(&["keyglass", "note", "verify", &note, "--vkeys", &keys]);
    let statuses: Vec<_> =
        value["signatures"].as_array().unwrap().iter().map(|s| s["status"].clone()).collect();
    assert_eq!(statuses, ["verified", "verified", "unknown"]);
    assert_eq!(value["signatures"][1]["time"], 1_700_000_000);
}

#[test]
fn a_bad_line_of_a_known_key_spoils_the_note() {
    let desk = Desk::new();
    let other = Checkpoint::new("log.example/one", 8, [5; 32]).unwrap();
    let lines = vec![log().sign(&checkpoint().text()), witness(1).cosign(&other, UnixSeconds(9)).unwrap()];
    let note = desk.put("note", cosigned(lines).to_string());
    let verify = |keys: &[String]| {
        let keys = desk.put("keys", keys.join("\n"));
        json(&["keyglass", "note", "verify", &note, "--vkeys", &keys])
    };
    let (log, bad, unknown) =
        (log().vkey().to_string(), witness(1).vkey().to_string(), witness(2).vkey().to_string());
    assert_eq!(verify(std::slice::from_ref(&log))["verdict"], "verified");
    let spoilt = verify(&[log.clone(), bad.clone()]);
    assert_eq!((&spoilt["verdict"], &spoilt["reason"]), (&json!("rejected"), &json!("signatures")));
    assert_eq!(spoilt["signatures"][1]["status"], "bad");
    assert_eq!(verify(&[bad])["verdict"], "rejected");
    assert_eq!(verify(&[unknown])["verdict"], "rejected");
    let nonsense = verify(&[log, "nonsense".to_owned()]);
    assert_eq!((&nonsense["reason"], &nonsense["line"]), (&json!("vkeys"), &json!(2)));
}

mod vectors {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;

    fn cases(file: &str) -> Vec<Value> {
        let directory = std::env::var_os("KEYGLASS_TESTVECTORS").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testvectors")),
            PathBuf::from,
        );
        let bytes = std::fs::read(directory.join("c2sp").join(file)).unwrap();
        let mut cases: Value = serde_json::from_slice(&bytes).unwrap();
        let Value::Array(cases) = cases["cases"].take() else { panic!("{file} has no cases") };
        assert!(!cases.is_empty());
        cases
    }

    fn octets(value: &Value) -> Vec<u8> {
        STANDARD.decode(value.as_str().unwrap()).unwrap()
    }

    /// Runs the command for every case; `line` puts the files on the desk and gives the command line, if it applies.
    fn run_all(file: &str, line: impl Fn(&Desk, &Value) -> Option<Vec<String>>) {
        let (desk, mut ran) = (Desk::new(), 0);
        for case in cases(file) {
            let Some(line) = line(&desk, &case) else { continue };
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            let code = run(&line).verdict.exit_code();
            match case["expect"].as_str().unwrap() {
                "accept" => assert_eq!(code, 0, "{}", case["name"]),
                "reject" => assert_eq!(code, 1, "{}", case["name"]),
                _ => assert!(code <= 1, "{}", case["name"]),
            }
            ran += 1;
        }
        assert!(ran > 0, "{file}: no case applies");
        println!("{file}: {ran} cases");
    }

    fn line(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn policies() {
        run_all("policy_cases.json", |desk, case| {
            line(&["keyglass", "policy", "check", &desk.put("p", octets(&case["policy_b64"]))])
        });
    }

    #[test]
    fn notes() {
        run_all("note_cases.json", |desk, case| {
            if !matches!(case["kind"].as_str().unwrap(), "note" | "cosigned") {
                return None;
            }
            let keys: Vec<&str> =
                case["vkeys"].as_array().unwrap().iter().map(|k| k.as_str().unwrap()).collect();
            let note = desk.put("n", octets(&case["note_b64"]));
            line(&["keyglass", "note", "verify", &note, "--vkeys", &desk.put("k", keys.join("\n"))])
        });
    }

    #[test]
    fn proofs() {
        run_all("proof_cases.json", |desk, case| {
            let proof = desk.put("p", octets(&case["proof_b64"]));
            let entry = desk.put("e", octets(&case["entry_b64"]));
            let policy = desk.put("q", case["policy"].as_str().unwrap());
            line(&["keyglass", "proof", "verify", &proof, "--entry", &entry, "--policy", &policy])
        });
    }
}

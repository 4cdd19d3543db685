//! Policies: torchwood's, tessera's and transparency-dev's formats.

use std::collections::BTreeMap;

use keyglass_crypto::{ml_dsa::MlDsaSigningKey, sign::SigningKey};
use keyglass_interop::judge::{Judge, bytes, list};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, NoteSigner, SignedNote},
    policy::Policy,
    time::UnixSeconds,
    witnessed::{Horizon, Judge as PolicyJudge},
};
use rand::{RngExt as _, rngs::StdRng, seq::SliceRandom as _};
use serde::Deserialize;
use serde_json::json;

use crate::kit::{judge, random, seed};

const ORIGIN: &str = "log.example/policies";

fn name(name: &str) -> KeyName {
    KeyName::new(name).unwrap()
}

fn log(random: &mut StdRng) -> NoteSigner {
    NoteSigner::new(name(ORIGIN), SigningKey::from_seed(&seed(random)))
}

fn witness(random: &mut StdRng, index: usize) -> Cosigner {
    Cosigner::new(name(&format!("w{index}.example")), SigningKey::from_seed(&seed(random)))
}

fn note(log: &NoteSigner, witnesses: &[&Cosigner]) -> String {
    let checkpoint = Checkpoint::new(ORIGIN, 7, [7; 32]).unwrap();
    let mut lines = vec![log.sign(&checkpoint.text())];
    lines.extend(witnesses.iter().map(|w| w.cosign(&checkpoint, UnixSeconds(1_800_000_000)).unwrap()));
    SignedNote::new(&checkpoint.text(), lines).unwrap().to_string()
}

#[derive(Debug, Deserialize)]
struct PolicyRead {
    error: String,
    notes: Option<Vec<String>>,
}

fn theirs(judge: &mut Judge, policy: &str, notes: &[String]) -> BTreeMap<String, PolicyRead> {
    judge.ask(&json!({ "op": "policy", "policy": bytes(policy.as_bytes()), "notes": list(notes) })).unwrap()
}

fn ours(policy: &str, note: &str) -> bool {
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let note = SignedNote::parse(note.as_bytes()).unwrap();
    PolicyJudge::new(&policy, Horizon::ignored()).judge(&note).is_ok()
}

/// A policy of groups of groups over all witnesses, each a member once.
fn policy(random: &mut StdRng, log: &NoteSigner, witnesses: &[Cosigner]) -> String {
    let mut text = format!("# made at random\nlog {}\n\n", log.vkey());
    let mut free: Vec<String> = Vec::new();
    for (index, witness) in witnesses.iter().enumerate() {
        text += &format!("witness W{index}\t{}  http://127.0.0.1:{}/\n", witness.vkey(), 1000 + index);
        free.push(format!("W{index}"));
    }
    for group in 0.. {
        free.shuffle(random);
        let count = if group >= 4 { free.len() } else { random.random_range(1..=free.len()) };
        let members: Vec<String> = free.drain(..count).collect();
        let threshold = match random.random_range(0..3) {
            0 => "any".to_owned(),
            1 => "all".to_owned(),
            _ => random.random_range(1..=members.len()).to_string(),
        };
        text += &format!("  group G{group} {threshold} {}\n", members.join(" "));
        free.push(format!("G{group}"));
        if free.len() == 1 {
            break;
        }
    }
    text + &format!("quorum {}\n", free[0])
}

#[test]
fn quorums_are_judged_alike() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(40);
    let (mut met, mut missed) = (0, 0);
    for _ in 0..250 {
        let log = log(random);
        let witnesses: Vec<Cosigner> =
            (0..random.random_range(1..=9)).map(|index| witness(random, index)).collect();
        let policy = policy(random, &log, &witnesses);
        let notes: Vec<String> = (0..12)
            .map(|_| {
                let share = random.random_range(0.0..1.0);
                let signing: Vec<&Cosigner> =
                    witnesses.iter().filter(|_| random.random_bool(share)).collect();
                note(&log, &signing)
            })
            .collect();
        for (library, read) in theirs(&mut judge, &policy, &notes) {
            assert_eq!(read.error, "", "{library} refuses\n{policy}");
            for (note, verdict) in notes.iter().zip(read.notes.unwrap()) {
                let here = ours(&policy, note);
                assert_eq!(here, verdict.is_empty(), "{library}: {verdict}\n{policy}\n{note}");
                if here { met += 1 } else { missed += 1 }
            }
        }
    }
    assert!(met > 1_000 && missed > 1_000, "{met} {missed}");
    println!("{met} quorums met alike, {missed} missed alike");
}

/// What is accepted where. Rows in which the last three columns differ from ours are in docs/interoperability.md.
#[test]
fn malformed_policies_and_who_takes_them() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(41);
    let (log, w) = (log(random), witness(random, 0));
    let (l, k) = (log.vkey().to_string(), w.vkey().to_string());
    let k2 = witness(random, 1).vkey().to_string();
    let other_name = Cosigner::new(name("other.example"), SigningKey::from_seed(&[9; 32]));
    let same_key = Cosigner::new(name("same.example"), SigningKey::from_seed(&[9; 32]));
    let ml_dsa = Cosigner::ml_dsa_44(name("pq.example"), MlDsaSigningKey::from_seed(&[8; 32])).unwrap();
    let (o, s, m) = (other_name.vkey(), same_key.vkey(), ml_dsa.vkey());
    let u = "http://127.0.0.1/";
    let base = format!("log {l}\nwitness w {k} {u}\n");
    // Name, policy, ours, torchwood, tessera, formats.
    let rows = [
        ("well-formed", format!("{base}quorum w\n"), true, true, true, true),
        ("no newline at the end", format!("{base}quorum w"), true, true, true, true),
        ("witness without a URL", format!("log {l}\nwitness w {k}\nquorum w\n"), true, true, false, false),
        (
            "ML-DSA-44 witness",
            format!("{base}witness p {m} {u}\ngroup g all w p\nquorum g\n"),
            true,
            false,
            true,
            true,
        ),
        ("a # inside an item", format!("{base}witness v#2 {k2} {u}\nquorum w\n"), true, false, false, false),
        ("two quorum lines", format!("{base}quorum w\nquorum w\n"), false, false, true, true),
        ("no quorum line", base.clone(), false, false, false, false),
        ("threshold 0", format!("{base}group g 0 w\nquorum g\n"), false, false, true, true),
        ("threshold above n", format!("{base}group g 2 w\nquorum g\n"), false, false, false, false),
        (
            "threshold with a zero before it",
            format!("{base}group g 01 w\nquorum g\n"),
            false,
            true,
            true,
            true,
        ),
        ("threshold with a sign", format!("{base}group g +1 w\nquorum g\n"), false, true, false, false),
        ("empty group", format!("{base}group g all\nquorum w\n"), false, false, true, true),
        ("a member twice", format!("{base}group g 2 w w\nquorum g\n"), false, true, true, true),
        (
            "a member of two groups",
            format!("{base}group g all w\ngroup h all w\nquorum g\n"),
            false,
            true,
            true,
            true,
        ),
        (
            "a duplicate witness key",
            format!("{base}witness a {o} {u}\nwitness b {s} {u}\nquorum w\n"),
            false,
            true,
            true,
            true,
        ),
        ("a duplicate log key", format!("{base}log {l}\nquorum w\n"), false, true, true, true),
        ("a duplicate name", format!("{base}witness w {k2} {u}\nquorum w\n"), false, false, false, false),
        ("the name none", format!("log {l}\nwitness none {k} {u}\nquorum none\n"), false, true, false, false),
        (
            "a name used before its line",
            format!("log {l}\nquorum w\nwitness w {k} {u}\n"),
            false,
            true,
            true,
            true,
        ),
        ("items after the quorum", format!("{base}quorum w w\n"), false, true, false, false),
        (
            "items after the log",
            format!("log {l} {u} more\nwitness w {k} {u}\nquorum w\n"),
            false,
            true,
            true,
            true,
        ),
        (
            "items after the witness",
            format!("log {l}\nwitness w {k} {u} more\nquorum w\n"),
            false,
            true,
            false,
            false,
        ),
        ("a comment after items", format!("{base}quorum w # here\n"), false, true, true, true),
        ("a carriage return", format!("{base}quorum w\r\n"), false, true, true, true),
        (
            "a log's key as a witness",
            format!("log {l}\nwitness w {l} {u}\nquorum w\n"),
            false,
            false,
            true,
            true,
        ),
        (
            "a witness's key as a log",
            format!("log {k2}\nwitness w {k} {u}\nquorum w\n"),
            false,
            false,
            true,
            true,
        ),
        ("an unknown keyword", format!("{base}quorum w\nweather fine\n"), false, false, false, false),
        ("no-break space between items", format!("{base}quorum\u{a0}w\n"), false, true, true, true),
        (
            "keyword as a name",
            format!("log {l}\nwitness any {k} {u}\nquorum any\n"),
            true,
            true,
            false,
            false,
        ),
    ];
    let mut differs = 0;
    let mut wrong = Vec::new();
    for (row, policy, here, torchwood, tessera, formats) in rows {
        let there = theirs(&mut judge, &policy, &[]);
        let taken = |library: &str| there[library].error.is_empty();
        let found = (
            Policy::parse(policy.as_bytes()).is_ok(),
            taken("torchwood"),
            taken("tessera"),
            taken("formats"),
        );
        if found != (here, torchwood, tessera, formats) {
            wrong.push(format!("{row}: {found:?} {there:?}"));
        }
        differs += usize::from(found != (found.0, found.0, found.0, found.0));
    }
    assert!(wrong.is_empty(), "not as docs/interoperability.md says:\n{}", wrong.join("\n"));
    assert!(differs > 10);
}

/// "When the policy is used for verifying a proof, all of the listed logs are accepted": torchwood wants all to have
/// signed.
#[test]
fn one_of_several_logs_suffices() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(42);
    let (one, w) = (log(random), witness(random, 0));
    let two = NoteSigner::new(name("log.example/another"), SigningKey::from_seed(&seed(random)));
    let policy = format!("log {}\nlog {}\nwitness w {}\nquorum w\n", one.vkey(), two.vkey(), w.vkey());
    let note = note(&one, &[&w]);
    assert!(ours(&policy, &note));
    let there = theirs(&mut judge, &policy, &[note]);
    assert_ne!(
        there["torchwood"].notes.as_ref().unwrap()[0],
        "",
        "torchwood agrees now: docs/interoperability.md"
    );
}

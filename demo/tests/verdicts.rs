//! The demo as a script sees it: every step says what was expected of it, and only that makes it succeed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
};

use serde_json::Value;

/// The steps that the demo must not leave out, each with the verdict that it must get.
const STEPS: [(&str, &str); 27] = [
    ("1. register", "verified"),
    ("2. lookup", "verified"),
    ("2. register", "verified"),
    ("2. send", "verified"),
    ("3. receive", "verified"),
    ("3. redelivery", "verified"),
    ("2. another lookup", "verified"),
    ("4a. swapped bundle", "refused"),
    ("4b. added device", "refused"),
    ("4b. reset", "changed"),
    ("4b. send after reset", "changed"),
    ("4c. fork with quorum", "verified"),
    ("4c. audit", "misbehaving"),
    ("4c. evidence", "verified"),
    ("4c. both sides", "misbehaving"),
    ("4c. hidden fork, asked for", "ok"),
    ("4c. hidden fork, honest witnesses", "cosigned"),
    ("4c. hidden fork, shown", "verified"),
    ("4c. hidden fork, reported", "evidence"),
    ("4c. evidence, gossiped", "evidence"),
    ("4c. evidence, cosigning", "evidence-held"),
    ("4c. evidence, resolved", "cosigned"),
    ("4c. hidden fork, evidence", "verified"),
    ("4d. old head", "stale"),
    ("4d. no server", "unreachable"),
    ("4d. honest server", "verified"),
    ("4e. fork without quorum", "unwitnessed"),
];

#[test]
fn every_verdict_is_the_expected_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_keyglass-demo"))
        .arg("--json")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<(&str, &str)> = lines
        .iter()
        .filter(|line| line["step"] != "end")
        .map(|line| (line["step"].as_str().unwrap(), line["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(steps, STEPS, "{text}");
    assert!(lines.iter().all(|line| line["ok"] == true), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
    let details = |step: &str| &lines.iter().find(|line| line["step"] == step).unwrap()["details"];
    let members: BTreeSet<&str> =
        details("2. lookup").as_object().unwrap().keys().map(String::as_str).collect();
    for member in
        ["verdict", "version", "tree_size", "head_age_ms", "witnesses", "devices", "proof_bytes", "verify_us"]
    {
        assert!(members.contains(member), "{member} is missing: {members:?}");
    }
    assert_eq!(details("4c. evidence")["faulty_witnesses"], serde_json::json!(["w3"]));
    assert_eq!(details("4c. hidden fork, evidence")["faulty_witnesses"], serde_json::json!(["w2", "w3"]));
    assert!(details("4c. hidden fork, reported")["ms_from_fork_to_evidence"].is_u64());
    let gossiped = details("4c. evidence, gossiped");
    assert!(gossiped["ms_from_auditor_to_last_witness"].is_u64());
    let witnesses: Vec<&Value> =
        gossiped["held"].as_array().unwrap().iter().map(|held| &held["witness"]).collect();
    assert_eq!(witnesses, ["w1", "w4"]);
    assert!(details("4c. evidence, cosigning")["detail"].as_str().unwrap().contains("two histories"));
}

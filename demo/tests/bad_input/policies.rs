//! Policies that cannot be used, and the one that can and says that nothing is witnessed.

use std::path::PathBuf;

use keyglass_demo::{
    daemon::Daemon,
    system::{Log, System, witness_line},
};

use crate::{
    bench::publish,
    support::{
        account::Account,
        api::{Api, Call},
        programs::{QUIET, run_to_end, serve},
    },
};

/// The exit code for a policy that was refused.
const REFUSED: i32 = 4;

/// Policies that no log-server can publish under, each with a part of the reason.
fn bad_policies(log: &str, witness: &str, other: &str) -> Vec<(String, &'static str)> {
    let lines = format!("log {log}\n{witness}{other}");
    let without_url = |line: &str| format!("{}\n", line.rsplit_once(' ').unwrap().0);
    vec![
        (String::new(), "quorum"),
        (lines.clone(), "quorum"),
        (format!("{lines}quorum\n"), "items"),
        (format!("{lines}group g 0 w1 w2\nquorum g\n"), "threshold"),
        (format!("{lines}group g 00 w1 w2\nquorum g\n"), "threshold"),
        (format!("{lines}group g -1 w1 w2\nquorum g\n"), "threshold"),
        (format!("{lines}group g 3 w1 w2\nquorum g\n"), "threshold"),
        (format!("{lines}group g 99999999999999999999 w1 w2\nquorum g\n"), "threshold"),
        (format!("{lines}group g 1\nquorum g\n"), "items"),
        (format!("{lines}quorum w9\n"), "w9"),
        (format!("{lines}quorum g\ngroup g any w1\n"), "g is not defined"),
        (format!("{lines}group g 2 w1 w1\nquorum g\n"), "w1"),
        (format!("{lines}{witness}quorum w1\n"), "twice"),
        (format!("{lines}quorum w1\nquorum w2\n"), "second"),
        (format!("{lines}quorum none\nquorum w2\n"), "second"),
        (format!("{lines}threshold 2\nquorum w1\n"), "starts with"),
        (format!("log {log}\n{}{other}group g 2 w1 w2\nquorum g\n", without_url(witness)), "1 more"),
        (format!("log {log}\n{}{other}quorum w1\n", without_url(witness)), "1 more"),
        (format!("log {log}\n{}{other}quorum w2\n", witness.replace("http://", "ftp://")), "URL"),
        (format!("{lines}quorum w1\0\n"), "octet"),
    ]
}

fn write(system: &System, name: &str, policy: &str) -> PathBuf {
    let path = system.directory().join(name);
    std::fs::write(&path, policy).unwrap();
    path
}

#[tokio::test]
async fn policies_that_nothing_can_satisfy_are_refused() {
    let mut system = System::start(QUIET).await.unwrap();
    system.stop_log().await.unwrap();
    let known = std::fs::read_to_string(&system.policy).unwrap();
    let mut lines = known.lines().filter(|line| line.starts_with("witness ")).map(|line| format!("{line}\n"));
    let (witness, other) = (lines.next().unwrap(), lines.next().unwrap());
    let mut policies = bad_policies(&system.log.vkey, &witness, &other);
    let foreign = Log::init(system.directory(), "foreign", QUIET).await.unwrap();
    policies.push((format!("log {}\n{witness}quorum w1\n", foreign.vkey), "other logs"));
    let mut defects = Vec::new();
    for (index, (policy, reason)) in policies.iter().enumerate() {
        let path = write(&system, &format!("bad-{index}.policy"), policy);
        let output = run_to_end("keyglass-log-server", &serve(&system.log.data, &path, "127.0.0.1:0")).await;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = words.contains(path.to_str().unwrap()) && words.contains(reason);
        if output.status.code() != Some(REFUSED) || !said || !output.stdout.is_empty() {
            defects.push(format!("{policy:?}: {:?}, {words}", output.status.code()));
        }
    }
    println!("policies: {} cases", policies.len());
    assert!(defects.is_empty(), "{} defects:\n{}", defects.len(), defects.join("\n"));
    let missing = system.directory().join("no.policy");
    let output = run_to_end("keyglass-log-server", &serve(&system.log.data, &missing, "127.0.0.1:0")).await;
    assert_eq!(output.status.code(), Some(REFUSED));
    assert!(String::from_utf8_lossy(&output.stderr).contains(missing.to_str().unwrap()));
}

#[tokio::test]
async fn quorum_none_starts_and_says_that_nothing_is_witnessed() {
    let mut system = System::start(QUIET).await.unwrap();
    system.stop_log().await.unwrap();
    system.policy = write(&system, "none.policy", &format!("log {}\nquorum none\n", system.log.vkey));
    system.start_log("127.0.0.1:0").await.unwrap();
    let server: &Daemon = system.server.as_ref().unwrap();
    let api = Api::new(server.url(), &system.log.origin);
    let words = std::fs::read_to_string(system.log.data.with_extension("log")).unwrap();
    assert!(
        words.lines().any(|line| line.contains("WARN") && line.contains("NOTHING IS WITNESSED")),
        "{words}"
    );
    publish(&api, &Account::new(&api.origin, "alone", 1)).await;
    let report: serde_json::Value = api.call(Call::get("/readyz")).await.json();
    assert_eq!(report["unwitnessed"], true, "{report}");

    // The client refuses to rely on it, and says why; told to, it goes on and says so again.
    let carol = system.client("carol").unwrap();
    let answer = carol.run(&["lookup", "alone"]).await.unwrap();
    assert_eq!(answer.verdict(), "unwitnessed", "{}", answer.transcript);
    assert!(answer.code != 0 && answer.transcript.contains("no witness"), "{}", answer.transcript);
    let answer = carol.run(&["lookup", "alone", "--trust-without-witnesses"]).await.unwrap();
    assert_eq!((answer.verdict(), answer.code), ("verified", 0), "{}", answer.transcript);
    assert_eq!(answer.json["witnesses_needed"], 0, "{}", answer.transcript);
    let path = |path: &PathBuf| path.display().to_string();
    let (home, configuration, policy) = (path(&carol.home), path(&carol.configuration), path(&carol.policy));
    let options =
        ["--home", &home, "--server", &carol.server, "--configuration", &configuration, "--policy", &policy];
    let command = ["lookup", "alone", "--trust-without-witnesses"];
    let arguments: Vec<String> = options.into_iter().chain(command).map(str::to_owned).collect();
    let output = run_to_end("keyglass", &arguments).await;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(words.contains("NONE REQUIRED: nobody but the log vouches for this"), "{words}");
}

#[tokio::test]
async fn a_witness_refuses_policies_without_a_quorum_line_or_a_log() {
    let mut system = System::start(QUIET).await.unwrap();
    let data = system.directory().join("w1");
    let line = witness_line("w1", &vkey_of(&system, "w1"), system.witnesses[0].url());
    system.witnesses.remove(0).stop().await.unwrap();
    let policies = [
        (format!("log {}\n", system.log.vkey), "quorum"),
        (format!("log {}\n{line}group g 0 w1\nquorum g\n", system.log.vkey), "threshold"),
        ("quorum none\n".to_owned(), "no log"),
    ];
    for (index, (policy, reason)) in policies.iter().enumerate() {
        let path = write(&system, &format!("bad-{index}.policy"), policy);
        let output = run_to_end("keyglass-witness", &serve(&data, &path, "127.0.0.1:0")).await;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(REFUSED), "{policy:?}: {words}");
        assert!(words.contains(path.to_str().unwrap()) && words.contains(reason), "{policy:?}: {words}");
    }
}

/// The verifier key of a witness in the system's policy.
fn vkey_of(system: &System, name: &str) -> String {
    let policy = std::fs::read_to_string(&system.policy).unwrap();
    let line = policy.lines().find(|line| line.starts_with(&format!("witness {name} "))).unwrap();
    line.split(' ').nth(2).unwrap().to_owned()
}

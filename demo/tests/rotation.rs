//! A log changes its signing key, step by step as `docs/operations/log.md` says, and stays the same log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

#[allow(dead_code, reason = "each test program uses another part")]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_demo::{
    client::{Answer, Client},
    daemon::{ask, run},
    lying::log::copy_data,
    system::{System, path, write},
};
use keyglass_log_server::{
    data_dir::read_identity,
    publisher::{HeadSigner, OwnSignature},
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    evidence::Evidence,
    note::{SignedNote, Vkey},
    time::UnixSeconds,
};
use serde_json::Value;

use crate::support::programs::QUIET;

/// What `keys` prints: the verifier keys, and the configuration.
struct Keys {
    vkeys: Vec<String>,
    configuration: Vec<u8>,
}

async fn keys(data: &Path, arguments: &[&str]) -> Keys {
    let arguments = [&["keys", "--data", path(data)], arguments].concat();
    let printed: Value =
        serde_json::from_str(&run("keyglass-log-server", &arguments).await.unwrap()).unwrap();
    let vkeys = printed["vkeys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned());
    let configuration = STANDARD.decode(printed["configuration"].as_str().unwrap()).unwrap();
    Keys { vkeys: vkeys.collect(), configuration }
}

/// How often, and with which pause, a witness is asked whether it has read its policy.
const ATTEMPTS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

fn log_lines(vkeys: &[&String]) -> String {
    vkeys.iter().map(|vkey| format!("log {vkey}\n")).collect()
}

/// The system whose log changes its key, and what its operators do.
struct Drill {
    system: System,
    address: String,
    reloads: u32,
}

impl Drill {
    async fn start() -> Self {
        let system = System::start(QUIET).await.unwrap();
        let address = system.server.as_ref().unwrap().address().to_owned();
        Self { system, address, reloads: 0 }
    }

    /// A policy as it was, with these `log` lines.
    fn policy(&self, name: &str, vkeys: &[&String]) -> PathBuf {
        let file = self.system.directory().join(name);
        let before = fs::read_to_string(&self.system.policy).unwrap();
        let others: Vec<&str> = before.lines().filter(|line| !line.starts_with("log ")).collect();
        write(&file, format!("{}{}\n", log_lines(vkeys), others.join("\n"))).unwrap();
        file
    }

    /// The witnesses' operators change their `log` lines, and have them read (SIGHUP).
    async fn tell_witnesses(&mut self, vkeys: &[&String]) {
        let policy = self.system.directory().join("witness.policy");
        write(&policy, format!("{}quorum none\n", log_lines(vkeys))).unwrap();
        self.reloads += 1;
        for witness in &self.system.witnesses {
            witness.reload().unwrap();
        }
        let read =
            format!("keyglass_witness_policy_reloads_total{{outcome=\"taken-over\"}} {}", self.reloads);
        for witness in &self.system.witnesses {
            let url = format!("{}/metrics", witness.url());
            let mut attempts = 0;
            while !reqwest::get(&url).await.unwrap().text().await.unwrap().contains(&read) {
                attempts += 1;
                assert!(attempts < ATTEMPTS, "a witness did not read its policy");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// The log's operator starts the log anew, with this policy.
    async fn restart_log(&mut self, policy: &Path) {
        if self.system.server.is_some() {
            self.system.stop_log().await.unwrap();
        }
        self.system.policy = policy.to_owned();
        let address = self.address.clone();
        self.system.start_log(&address).await.unwrap();
    }

    fn person(&self, name: &str, policy: &Path) -> Client {
        Client { policy: policy.to_owned(), ..self.system.client(name).unwrap() }
    }

    async fn checkpoint(&self) -> SignedNote {
        let url = format!("{}/checkpoint", self.system.url().unwrap());
        SignedNote::parse(&reqwest::get(url).await.unwrap().bytes().await.unwrap()).unwrap()
    }

    /// How many lines of the published checkpoint are of these keys, all of which verify.
    async fn lines_of(&self, vkeys: &[&String]) -> usize {
        let keys: Vec<Vkey> = vkeys.iter().map(|vkey| Vkey::parse(vkey).unwrap()).collect();
        let keys: Vec<&Vkey> = keys.iter().collect();
        self.checkpoint().await.verify(&keys).map_or(0, |lines| lines.len())
    }

    /// One round of an auditor with a policy and a configuration.
    async fn audit(&self, policy: &Path) -> (i32, String) {
        let data = self.system.directory().join("auditor");
        if !data.exists() {
            let arguments = ["init", "--data", path(&data), "--name", "auditor.demo.example"];
            run("keyglass-auditor", &arguments).await.unwrap();
        }
        let arguments = [
            "follow",
            "--once",
            "--json",
            "--data",
            path(&data),
            "--url",
            self.system.url().unwrap(),
            "--policy",
            path(policy),
            "--configuration",
            path(&self.system.log.configuration),
        ];
        ask("keyglass-auditor", &arguments).await.unwrap()
    }
}

async fn done(person: &Client, arguments: &[&str]) -> Answer {
    let answer = person.run(arguments).await.unwrap();
    assert_eq!(answer.verdict(), "verified", "{arguments:?}: {}", answer.transcript);
    answer
}

/// Evidence that the log signed another history: a head with the keys that it had before the drill, beside one with those
/// that it has now.
fn evidence(secret: &Path, now: &SignedNote) -> Evidence {
    let identity = read_identity(secret).unwrap();
    let size = Checkpoint::from_note(now).unwrap().tree_size();
    let head = HeadSigner::of(&identity).unwrap().sign(size, [9; 32], UnixSeconds(1)).unwrap();
    let OwnSignature::Checkpoint(checkpoint, lines) = head.signature else { panic!("not a checkpoint") };
    let forged = SignedNote::new(&checkpoint.text(), lines).unwrap();
    Evidence::of_notes(now, &forged).unwrap()
}

#[tokio::test]
async fn a_log_changes_its_key() {
    let mut drill = Drill::start().await;
    let data = drill.system.log.data.clone();
    let old = drill.system.log.vkey.clone();
    let alone = drill.policy("old.policy", &[&old]);
    let (alice, carol) = (drill.person("alice", &alone), drill.person("carol", &alone));
    done(&alice, &["register", "alice"]).await;
    done(&carol, &["register", "carol"]).await;
    let (code, report) = drill.audit(&alone).await;
    assert_eq!(code, 0, "{report}");

    // 1. New keys. The running log takes no notice.
    let secret = drill.system.directory().join("secret");
    drill.system.stop_log().await.unwrap();
    copy_data(&data, &secret).unwrap();
    drill.restart_log(&alone).await;
    assert_eq!(keys(&data, &["add"]).await.vkeys.len(), 2);
    let added = keys(&data, &["add", "--ml-dsa"]).await;
    let [first, new, quantum] = added.vkeys.as_slice() else { panic!("three keys") };
    assert_eq!(*first, old);
    assert_eq!(added.configuration, fs::read(&drill.system.log.configuration).unwrap());
    assert_eq!(drill.lines_of(&[&old, new, quantum]).await, 1);

    // 2. Witnesses, auditors and users learn of them.
    drill.tell_witnesses(&[&old, new, quantum]).await;
    let both = drill.policy("both.policy", &[&old, new, quantum]);
    // 3. The log signs with all of them.
    drill.restart_log(&both).await;
    let alice = drill.person("alice", &both);
    done(&alice, &["lookup", "carol"]).await;
    done(&alice, &["register", "alice-too"]).await;
    assert_eq!(drill.lines_of(&[&old, new, quantum]).await, 3);
    // Whoever knows any of them goes on, and sees the same log.
    for (name, keys) in [("erin", vec![new]), ("frank", vec![quantum]), ("carol", vec![&old])] {
        let policy = drill.policy(&format!("{name}.policy"), &keys);
        done(&drill.person(name, &policy), &["lookup", "alice"]).await;
        let (code, report) = drill.audit(&policy).await;
        assert_eq!(code, 0, "{name}: {report}");
    }

    // 4. The old key is destroyed.
    drill.system.stop_log().await.unwrap();
    let retired = keys(&data, &["retire", &old]).await;
    assert_eq!(retired.vkeys, [new.clone(), quantum.clone()]);
    let configuration = drill.system.directory().join("new.configuration");
    write(&configuration, &retired.configuration).unwrap();
    drill.restart_log(&both).await;
    done(&alice, &["register", "alice-three"]).await;
    assert_eq!(drill.lines_of(&[&old, new, quantum]).await, 2);
    assert_eq!(drill.lines_of(&[&old]).await, 0);
    // Who was told goes on, with the configuration of before or of now.
    done(&alice, &["lookup", "carol"]).await;
    let moved = Client { configuration: configuration.clone(), ..alice.clone() };
    done(&moved, &["lookup", "carol"]).await;
    // Who was not hears why, and accuses nobody.
    for arguments in [&["lookup", "alice"][..], &["monitor"][..]] {
        let answer = carol.run(arguments).await.unwrap();
        assert_eq!(answer.verdict(), "invalid", "{arguments:?}: {}", answer.transcript);
        assert_eq!(answer.text("reason"), "log_key_unknown", "{}", answer.transcript);
    }
    let (_, report) = drill.audit(&alone).await;
    let report: Value = serde_json::from_str(report.lines().last().unwrap()).unwrap();
    assert_eq!(report["verdict"], "invalid", "{report}");
    let told = Client { policy: both.clone(), ..carol.clone() };
    done(&told, &["lookup", "alice"]).await;

    // 5. The old key leaves the policies.
    let last = drill.policy("new.policy", &[new, quantum]);
    drill.tell_witnesses(&[new, quantum]).await;
    drill.system.log.configuration = configuration;
    drill.restart_log(&last).await;
    let alice = drill.person("alice", &last);
    done(&alice, &["register", "alice-four"]).await;
    done(&alice, &["lookup", "carol"]).await;
    let (code, report) = drill.audit(&last).await;
    assert_eq!(code, 0, "{report}");
    // Without `log` lines the configuration's key counts, which is the new one.
    let unnamed = drill.policy("unnamed.policy", &[]);
    done(&drill.person("grace", &unnamed), &["lookup", "alice"]).await;

    // Two histories are two histories, whichever key signed each.
    let file = drill.system.directory().join("evidence");
    let proof = evidence(&secret, &drill.checkpoint().await);
    write(&file, proof.to_string()).unwrap();
    let verify = ["evidence", "verify", path(&file)];
    for (logs, verdict) in
        [(vec![&old, new], "verified"), (vec![&old, quantum], "verified"), (vec![new, quantum], "unproven")]
    {
        let logs: Vec<&str> = logs.into_iter().flat_map(|vkey| ["--log", vkey.as_str()]).collect();
        let answer = alice.run(&[&verify[..], &logs].concat()).await.unwrap();
        assert_eq!(answer.verdict(), verdict, "{logs:?}: {}", answer.transcript);
    }
}

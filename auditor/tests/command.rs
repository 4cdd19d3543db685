//! The command as scripts use it: processes, exit codes, lines of JSON.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use keyglass_keytrans::wire::LogEntry;
use keyglass_tlog::note::{PublicKey, Vkey};
use kit::*;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass-auditor"));
    command.env("RUST_LOG", "warn").stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn init(data: &Path) -> Output {
    command().args(["init", "--data"]).arg(data).args(["--name", "auditor.example/1"]).output().await.unwrap()
}

/// The files that `follow` is given.
struct Files {
    world: World,
    directory: tempfile::TempDir,
}

impl Files {
    async fn new() -> Self {
        let (world, directory) = (World::new().await, tempfile::tempdir().unwrap());
        fs::write(directory.path().join("policy"), &world.policy).unwrap();
        fs::write(directory.path().join("configuration"), &world.keys.configuration).unwrap();
        assert!(init(&directory.path().join("data")).await.status.success());
        Self { world, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn follow(&self, more: &[&str]) -> Command {
        let mut follow = command();
        follow.arg("follow").args(["--url", &self.world.log.url]);
        for option in ["data", "policy", "configuration"] {
            follow.arg(format!("--{option}")).arg(self.path(option));
        }
        follow.args(more);
        follow
    }

    async fn once(&self) -> (i32, Value) {
        let output = self.follow(&["--once", "--json"]).output().await.unwrap();
        (output.status.code().unwrap(), last_line(&output))
    }
}

fn last_line(output: &Output) -> Value {
    let stdout = core::str::from_utf8(&output.stdout).unwrap();
    let line = stdout.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(line).unwrap()
}

/// A log whose entries are as old as this machine's clock says.
fn now(size: u64) -> Vec<Entry> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let prefix_tree = updates::tree_of(0);
    (0..size).map(|i| LogEntry { timestamp: now - 1000 + i, prefix_tree }.to_bytes()).collect()
}

#[tokio::test]
async fn init_prints_a_cosigners_vkey_alone() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("deep/data");
    let output = init(&data).await;
    assert!(output.status.success());
    let line = String::from_utf8(output.stdout).unwrap();
    let vkey: Vkey = line.strip_suffix('\n').unwrap().parse().unwrap();
    assert!(matches!(vkey.key(), PublicKey::Ed25519Cosigner(_)));
    assert_eq!(vkey.name().as_str(), "auditor.example/1");
    assert_eq!(fs::metadata(data.join("auditor.key")).unwrap().permissions().mode() & 0o7777, 0o600);
    // Options may stand before the command.
    let again = command().arg("--json").arg("--data").arg(&data).arg("vkey").output().await.unwrap();
    assert_eq!(last_line(&again)["vkey"], line.trim_end());
    // Never again in the same place.
    let output = init(&data).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not empty"));
}

#[tokio::test]
async fn once_reports_and_exits_with_the_verdicts_code() {
    let files = Files::new().await;
    let (code, report) = files.once().await;
    assert_eq!((code, &report["verdict"]), (10, &Value::from("unreachable")));
    let entries = now(9);
    files.world.publish(&entries, &ALL);
    let (code, report) = files.once().await;
    assert_eq!((code, &report["verdict"], &report["tree_size"]), (0, &"ok".into(), &9.into()), "{report}");
    assert!(report["head_age_ms"].as_u64().is_some_and(|age| age < 60_000));
    assert_eq!(report["evidence"], serde_json::json!([]));
    let mut forked = entries.clone();
    forked[8][39] ^= 1;
    files.world.cosigned(2, &files.world.keys.note(&forked, &[2]));
    let (code, report) = files.once().await;
    assert_eq!((code, &report["verdict"]), (24, &Value::from("misbehaving")));
    let named: Vec<&Value> =
        report["convictions"].as_array().unwrap().iter().map(|c| &c["faulty_witnesses"]).collect();
    assert!(named.contains(&&serde_json::json!(["w3"])), "{report}");
    let path = report["evidence"][0].as_str().unwrap();
    assert!(path.starts_with(files.path("data").to_str().unwrap()) && fs::metadata(path).unwrap().is_file());
    // Once it is dealt with, and the fork gone, all is well again.
    for path in report["evidence"].as_array().unwrap() {
        fs::remove_file(path.as_str().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn an_old_log_has_a_code_of_its_own() {
    let files = Files::new().await;
    files.world.publish(&honest(9), &ALL);
    let (code, report) = files.once().await;
    assert_eq!((code, &report["verdict"]), (11, &Value::from("stale")));
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_what_and_where() {
    let files = Files::new().await;
    let fails = async |code: i32, words: &str| {
        let output = files.follow(&["--once", "--json"]).output().await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
        last_line(&output)["verdict"].as_str().unwrap().to_owned()
    };
    let policy = files.path("policy");
    for (text, words) in [
        (files.world.policy.replace("quorum q\n", ""), "no quorum line"),
        (files.world.policy.replace("group q 2", "group q 0"), "line 5"),
        (files.world.policy.replace("http://", "ftp://"), "the URL of the witness w1"),
        ("quorum none\n".repeat(2), "line 2"),
    ] {
        fs::write(&policy, text).unwrap();
        assert_eq!(fails(2, words).await, "usage");
    }
    fs::write(&policy, &files.world.policy).unwrap();
    let configuration = files.path("configuration");
    fs::write(&configuration, &files.world.keys.configuration[1..]).unwrap();
    assert_eq!(fails(2, "configuration").await, "usage");
    // Another VRF key is another origin: one configuration cannot stand in for another.
    let mut other = files.world.keys.configuration.clone();
    let last = other.len() - 20;
    other[last] ^= 1;
    fs::write(&configuration, other).unwrap();
    assert_eq!(fails(2, "configuration").await, "usage");
    fs::remove_file(&configuration).unwrap();
    assert_eq!(fails(2, configuration.to_str().unwrap()).await, "usage");
    fs::write(&configuration, &files.world.keys.configuration).unwrap();

    let key = files.path("data").join("auditor.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(fails(1, "mode 0640").await, "failed");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(files.path("data").join("auditor")).unwrap();
    assert_eq!(fails(1, "not the data directory of an auditor").await, "failed");
}

#[tokio::test]
async fn a_bad_command_line_is_a_usage_error() {
    for bad in [
        &["follow"][..],
        &["init"],
        &["init", "--data", "x", "--name", "a b"],
        &["follow", "--once", "--listen", "127.0.0.1:0"],
        &["follow", "--interval", "0"],
        &["what"],
        &[],
    ] {
        assert_eq!(command().args(bad).output().await.unwrap().status.code(), Some(2), "{bad:?}");
    }
    let missing = command().args(["--json", "follow", "--data", "x"]).output().await.unwrap();
    assert_eq!(last_line(&missing)["detail"], "follow needs --url");
    let help = command().args(["follow", "--help"]).output().await.unwrap();
    assert!(help.status.success());
}

#[tokio::test]
async fn it_serves_and_goes_on_until_sigterm() {
    let files = Files::new().await;
    files.world.publish(&now(9), &ALL);
    let follow = ["--listen", "127.0.0.1:0", "--interval", "200", "--json"];
    let mut child = files.follow(&follow).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    let url = first["listening"].as_str().unwrap().to_owned();
    assert!(url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"));
    // Reports go on; what the log adds appears in them.
    let report: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!((&report["verdict"], &report["tree_size"]), (&"ok".into(), &9.into()));
    let client = reqwest::Client::new();
    let report: Value = client.get(format!("{url}/v1/report")).send().await.unwrap().json().await.unwrap();
    assert_eq!(report["verdict"], "ok");
    // Another process cannot have the directory.
    let (code, second) = files.once().await;
    assert_eq!((code, &second["verdict"]), (1, &Value::from("failed")));
    assert!(second["detail"].as_str().unwrap().contains("another process"), "{second}");
    // A client's report makes evidence, and the next line has it.
    let mut forked = now(9);
    forked[3][39] ^= 1;
    let note = files.world.keys.note(&forked, &[2]).to_string();
    let request = client.post(format!("{url}/v1/heads")).header("content-type", "text/plain").body(note);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["standing"], "contradicts");
    loop {
        let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        if line["verdict"] == "misbehaving" {
            break;
        }
    }
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), child.wait()).await;
    assert_eq!(ended.expect("within five seconds").unwrap().code(), Some(0));
}

#[tokio::test]
async fn killed_at_any_moment_it_goes_on_where_it_was() {
    let files = Files::new().await;
    let entries = now(60_000);
    let grow = |size: usize| files.world.publish(&entries[..size], &ALL);
    for round in 1..=8 {
        grow(7_000 * round);
        let mut child = files.follow(&["--interval", "50"]).spawn().unwrap();
        // Until it asks for the entries of this round, and a little longer each time.
        files.world.log.asked();
        let mut asked = 0;
        while asked < round * 3 {
            asked += files.world.log.asked().len();
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            tokio::task::yield_now().await;
        }
        child.kill().await.unwrap();
        child.wait().await.unwrap();
    }
    grow(60_000);
    let (code, report) = files.once().await;
    assert_eq!((code, &report["tree_size"]), (0, &60_000.into()), "{report}");
    assert_eq!(report["audit"]["tree_size"], 60_000, "{report}");
}

#[tokio::test]
async fn check_audits_from_the_first_entry_and_leaves_nothing_but_evidence() {
    let files = Files::new().await;
    let check = async |more: &[&str]| {
        let mut check = command();
        check.args(["check", &files.world.log.url, "--policy"]).arg(files.path("policy"));
        check.arg("--configuration").arg(files.path("configuration")).arg("--out").arg(files.path("out"));
        let temporary = files.path("tmp");
        fs::create_dir_all(&temporary).unwrap();
        let output = check.args(more).env("TMPDIR", &temporary).output().await.unwrap();
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "nothing is left behind");
        output
    };
    assert_eq!(check(&[]).await.status.code(), Some(10));
    let entries = now(700);
    files.world.publish(&entries, &ALL);
    for _ in 0..2 {
        files.world.log.asked();
        let output = check(&["--json"]).await;
        let report = last_line(&output);
        assert_eq!((output.status.code(), &report["verdict"]), (Some(0), &"ok".into()), "{report}");
        assert_eq!((&report["tree_size"], &report["audit"]["tree_size"]), (&700.into(), &700.into()));
        assert!(report["audit"]["cosigned"].is_null());
        assert!(
            files.world.log.asked().iter().any(|path| path == "tile/entries/000"),
            "from the first entry on"
        );
    }
    let words = check(&[]).await;
    assert!(String::from_utf8_lossy(&words.stdout).starts_with("verdict   ok: "));
    // One update that does not verify.
    let mut lied = updates::of_entries(&entries);
    let last = lied[650].len() - 1;
    lied[650][last] ^= 1;
    files.world.log.put_updates(lied);
    let output = check(&["--json"]).await;
    let report = last_line(&output);
    assert_eq!((output.status.code(), &report["verdict"]), (Some(29), &"bad_update".into()), "{report}");
    let refused = report["audit"]["refused"][0].as_str().unwrap();
    assert!(Path::new(refused).is_file() && refused.starts_with(files.path("out").to_str().unwrap()));
    let file = Path::new(refused).file_name().unwrap().to_str().unwrap();
    assert!(report["findings"].to_string().contains(file), "{report}");
    // A fork that a witness shows.
    files.world.publish(&entries, &ALL);
    let mut forked = entries.clone();
    forked[8][39] ^= 1;
    files.world.cosigned(2, &files.world.keys.note(&forked, &[2]));
    let output = check(&["--json"]).await;
    let report = last_line(&output);
    assert_eq!((output.status.code(), &report["verdict"]), (Some(24), &"misbehaving".into()), "{report}");
    let path = &report["evidence"][0];
    assert!(Path::new(path.as_str().unwrap()).is_file());
    assert_eq!(path, &report["convictions"][0]["path"]);
    // What cannot be used.
    for bad in [&["check"][..], &["check", "http://x"], &["check", "x", "--configuration", "/nowhere"]] {
        assert_eq!(command().args(bad).output().await.unwrap().status.code(), Some(2), "{bad:?}");
    }
}

#[tokio::test]
async fn a_long_way_is_told_in_lines_where_there_is_no_terminal() {
    let files = Files::new().await;
    files.world.publish(&now(5_000), &ALL);
    // The last bundle does not come: what was replayed before is told while it is waited for.
    files.world.log.lie("tile/entries/019.p/136", Lie::Silence);
    let mut child = files
        .follow(&["--once", "--timeout", "60000"])
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = loop {
        let line = lines.next_line().await.unwrap().expect("it goes on");
        if line.contains("entries replayed") {
            break line;
        }
    };
    assert!(told.contains(" of 5000 entries replayed"), "{told}");
    child.kill().await.unwrap();
}

//! The program: its command line, its files, its life and death.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
};

use hyper::{Method, StatusCode};
use keyglass_tlog::{
    note::{SignedNote, Vkey},
    witness::checkpoint_path,
};
use proptest::prelude::*;

use crate::{
    client::{Answer, Connection},
    log::{Log, ORIGIN},
};

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass-witness"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A directory with a witness and a policy for one log.
pub struct Home {
    directory: tempfile::TempDir,
    data: PathBuf,
    pub vkeys: Vec<Vkey>,
    pub log: Log,
}

impl Home {
    pub fn new() -> Self {
        Self::with_options(&[])
    }

    /// Made with these options of `init` beside the name.
    pub fn with_options(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        Self::made(directory, data, options)
    }

    /// With its data elsewhere.
    pub fn in_directory(data: PathBuf) -> Self {
        Self::made(tempfile::tempdir().unwrap(), data, &[])
    }

    fn made(directory: tempfile::TempDir, data: PathBuf, options: &[&str]) -> Self {
        let arguments = ["init", "--data", data.to_str().unwrap(), "--name", "witness.example/w1"];
        let made = run(&[&arguments, options].concat());
        assert!(made.status.success(), "{}", text(&made.stderr));
        let vkeys = text(&made.stdout).lines().map(|line| Vkey::parse(line).unwrap()).collect();
        let log = Log::new(ORIGIN);
        fs::write(directory.path().join("policy"), log.policy_text()).unwrap();
        Self { directory, data, vkeys, log }
    }

    pub fn keys(&self) -> Vec<&Vkey> {
        self.vkeys.iter().collect()
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs another command on this directory.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let data = self.data();
        run(&[&["--data", data.to_str().unwrap()], arguments].concat())
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    pub fn state(&self) -> PathBuf {
        self.data().join("witness.redb")
    }

    pub fn policy(&self) -> PathBuf {
        self.directory.path().join("policy")
    }

    pub fn serve(&self, listen: &str) -> Command {
        let mut command = program();
        command.arg("serve").arg("--data").arg(self.data()).args(["--listen", listen]);
        command.arg("--policy").arg(self.policy());
        command
    }

    /// Starts the witness and waits for its first line.
    pub fn start(&self, listen: &str) -> Running {
        Running::start(self.serve(listen))
    }

    /// What serving ends with at once.
    pub fn refused(&self) -> (i32, String) {
        Self::refuses(self.serve("127.0.0.1:0"))
    }

    /// What a command ends with at once.
    pub fn refuses(mut command: Command) -> (i32, String) {
        let output = command.output().unwrap();
        assert_eq!(text(&output.stdout), "", "nobody may be told that it listens");
        (output.status.code().unwrap(), text(&output.stderr).to_owned())
    }
}

/// A witness that runs.
pub struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    pub scheme: String,
    pub address: SocketAddr,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        if line.is_empty() {
            let mut why = String::new();
            stderr.read_to_string(&mut why).unwrap();
            panic!("the witness did not start: {why}");
        }
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let (scheme, address) = line["listening"].as_str().unwrap().split_once("://").unwrap();
        let (scheme, address) = (scheme.to_owned(), address.parse().unwrap());
        Self { child, stderr, scheme, address }
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.address).await.unwrap()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Waits for a line of the log that has these words.
    pub fn wait_for(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "it ended without {words:?}");
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Sends SIGTERM, and waits: a test that hangs here is the failure.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("-TERM");
        let mut log = String::new();
        self.stderr.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn add(connection: &mut Connection, log: &Log, old: u64, new: u64) -> Answer {
    let body = log.request(old, new).to_string();
    connection.send(Method::POST, "/add-checkpoint", body).await.unwrap()
}

#[test]
fn wrong_usage_is_code_2() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["init"],
        &["init", "--data", "/nonexistent"],
        &["init", "--data", "/nonexistent", "--name", "two words"],
        &["init", "--data", "/nonexistent", "--name", "a+b"],
        &["serve", "--data", "/nonexistent"],
        &["serve", "--data", "/nonexistent", "--listen", "nowhere", "--policy", "/nonexistent"],
        &["serve", "--data", "/nonexistent", "--listen", "127.0.0.1:0"],
        &["vkey"],
    ] {
        let output = run(arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
    for arguments in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        assert!(run(arguments).status.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_witness_starts_again_at_once_and_knows_what_it_signed() {
    let home = Home::new();
    let (log, fork) = (&home.log, Log::forked(ORIGIN, 2, 1));
    let mut running = home.start("127.0.0.1:0");
    let mut connection = running.connect().await;
    assert_eq!(add(&mut connection, log, 0, 5).await.status, StatusCode::OK);
    let signed = add(&mut connection, log, 5, 8).await.body;
    let path = format!("/{}", checkpoint_path(ORIGIN));
    let served = connection.send(Method::GET, &path, String::new()).await.unwrap().body;
    running.kill();
    let address = running.address.to_string();
    let running = home.start(&address);
    assert_eq!(running.address.to_string(), address);
    let mut connection = running.connect().await;
    let again = connection.send(Method::GET, &path, String::new()).await.unwrap().body;
    assert_eq!(again, served);
    assert!(again.ends_with(&signed));
    let note = SignedNote::parse(again.as_bytes()).unwrap();
    assert_eq!(note.verify(&[home.keys(), vec![log.vkey()]].concat()).unwrap().len(), 3);
    assert_eq!(add(&mut connection, &fork, 8, 9).await.problem(), "bad-consistency-proof");
    assert_eq!(add(&mut connection, &fork, 0, 9).await.body, "8\n");
    assert_eq!(add(&mut connection, log, 8, 9).await.status, StatusCode::OK);
    assert_eq!(add(&mut connection, &fork, 9, 9).await.problem(), "roots-differ");
    // From here on it holds evidence.
    assert_eq!(add(&mut connection, log, 9, 10).await.problem(), "evidence-held");
    let (status, log) = running.terminate();
    assert!(status.success());
    assert!(log.contains("stopping"), "{log}");
    // The log names the equivocation that it saw.
    assert!(log.contains("equivocated") && log.contains("same-size"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_directory_has_one_process() {
    let home = Home::new();
    let running = home.start("127.0.0.1:0");
    let (code, error) = home.refused();
    assert_eq!(code, 3);
    assert!(error.contains("witness.redb") && error.contains("another process"), "{error}");
    let other = Home::new();
    let taken = other.serve(&running.address.to_string()).output().unwrap();
    assert_eq!(taken.status.code(), Some(5), "{}", text(&taken.stderr));
    assert!(running.terminate().0.success());
}

#[test]
fn a_policy_that_is_none_is_refused() {
    let home = Home::new();
    let log = home.log.policy_text();
    for (policy, why) in [
        ("", "quorum"),
        ("log x\nquorum none\n", "line 1"),
        (log.lines().next().unwrap(), "quorum"),
        ("quorum none\n", "no log"),
    ] {
        fs::write(home.policy(), policy).unwrap();
        let (code, error) = home.refused();
        assert_eq!(code, 4, "{error}");
        assert!(error.contains(why) && error.contains("policy"), "{error}");
    }
    fs::remove_file(home.policy()).unwrap();
    assert_eq!(home.refused().0, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_of_logs_must_be_asked_for() {
    let home = Home::new();
    fs::write(home.policy(), "quorum none\n").unwrap();
    let mut command = home.serve("127.0.0.1:0");
    command.arg("--allow-no-logs");
    let running = Running::start(command);
    let answer = add(&mut running.connect().await, &home.log, 0, 1).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::NOT_FOUND, "unknown-origin"));
}

/// A witness that was killed after it signed some heads, the last one of size 5.
fn with_head() -> Home {
    let home = Home::new();
    let mut running = home.start("127.0.0.1:0");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (old, new) in [(0, 2), (2, 4), (4, 5)] {
        let status =
            runtime.block_on(async { add(&mut running.connect().await, &home.log, old, new).await.status });
        assert_eq!(status, StatusCode::OK);
    }
    running.kill();
    home
}

#[test]
fn a_foreign_or_lost_state_is_refused() {
    let home = with_head();
    let refused = |why: &str| {
        let (code, error) = home.refused();
        assert_eq!(code, 3, "{error}");
        assert!(error.contains("witness.redb") && error.contains(why), "{error}");
    };
    let other = Home::new();
    fs::copy(other.state(), home.state()).unwrap();
    refused("the state of the witness witness.example/w1+");
    for foreign in [&b""[..], b"x", &[0; 100_000], b"SQLite format 3\0", &[0xff; 4096]] {
        fs::write(home.state(), foreign).unwrap();
        refused("not the state of a witness");
    }
    // A database of redb's, but of another program.
    fs::remove_file(home.state()).unwrap();
    drop(redb::Database::create(home.state()).unwrap());
    refused("not the state of a witness");
    fs::remove_file(home.state()).unwrap();
    refused("missing");
    fs::create_dir(home.state()).unwrap();
    refused("");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let home = Home::new();
    let key = home.data().join("witness.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, error) = home.refused();
    assert_eq!(code, 3);
    assert!(error.contains("witness.key") && error.contains("0644") && error.contains("0600"), "{error}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "PRIVATE+KEY+").unwrap();
    assert_eq!(home.refused().0, 3);
    fs::remove_file(&key).unwrap();
    assert_eq!(home.refused().0, 3);
}

/// What the file with the count of commits holds.
fn count_of(count: u64) -> String {
    let digits = format!("{count:020}");
    let checksum = keyglass_crypto::hash::sha256(&[digits.as_bytes()]);
    let checksum: String = checksum[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits} {checksum}\n")
}

#[test]
fn a_state_that_went_back_is_refused() {
    let home = with_head();
    let files = [home.state(), home.data().join("witness.count")];
    let aside = [home.path().join("state"), home.path().join("count")];
    files.iter().zip(&aside).for_each(|(file, aside)| fs::rename(file, aside).unwrap());
    // An empty state of the same witness, as a backup from its first day would be.
    keyglass_witness::store::create(&home.data(), &home.keys()).unwrap();
    fs::write(home.data().join("witness.count"), "00000000000000000003 ").unwrap();
    assert_eq!(home.refused().0, 3);
    fs::write(home.data().join("witness.count"), count_of(3)).unwrap();
    let (code, error) = home.refused();
    assert_eq!(code, 3);
    assert!(error.contains("after 0 commits, but there were 3"), "{error}");
    // The very files again, which a copy of them is not.
    files.iter().zip(&aside).for_each(|(file, aside)| fs::rename(aside, file).unwrap());
    let count = home.data().join("witness.count");
    let sound = fs::read(&count).unwrap();
    for damaged in [&b""[..], b"x", &sound[1..], &sound[..20], b"00000000000000000000 0000000000000000\n"] {
        fs::write(&count, damaged).unwrap();
        let (code, error) = home.refused();
        assert_eq!(code, 3);
        assert!(error.contains("witness.count"), "{error}");
    }
    fs::write(&count, sound).unwrap();
    home.start("127.0.0.1:0");
}

/// The bytes of a sound state with a head in it, and the home that it is of.
fn damage(home: &Home, sound: &[u8], damage: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = sound.to_vec();
    damage(&mut bytes);
    fs::write(home.state(), &bytes).unwrap();
    match keyglass_witness::store::DurableStore::open(&home.data(), &home.keys()) {
        // What is damaged is refused, and says where.
        Err(error) => assert!(error.to_string().contains("witness.redb"), "{error}"),
        // Or it is somewhere that does not matter: then the head is the one that was stored.
        Ok(store) => {
            use keyglass_witness::{head::OriginHash, store::HeadStore as _};
            let kept = store.load(OriginHash::of(ORIGIN)).unwrap();
            let head = kept.head().expect("the head was lost silently");
            assert_eq!(head.note(), &home.log.note(5));
        }
    }
}

#[test]
fn damage_is_refused_or_does_not_matter() {
    let home = with_head();
    let sound = fs::read(home.state()).unwrap();
    for length in [1, 63, 64, 320, 4096, sound.len() / 2, sound.len() - 4096, sound.len() - 1] {
        damage(&home, &sound, |bytes| bytes.truncate(length));
    }
    // The header says which of the last two commits is the one: every bit of the byte that does, one bit of every other.
    for bit in 0..8 {
        damage(&home, &sound, |bytes| bytes[9] ^= 1 << bit);
    }
    for at in 0..320 {
        damage(&home, &sound, |bytes| bytes[at] ^= 1 << (at % 8));
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(100));
    let strategy = (0..sound.len(), 0u32..8, 1usize..64);
    let flips = |(at, bit, run): (usize, u32, usize)| {
        damage(&home, &sound, |bytes| bytes[at..].iter_mut().take(run).for_each(|byte| *byte ^= 1 << bit));
        Ok(())
    };
    runner.run(&strategy, flips).unwrap();
    // Every byte of the stored head itself, wherever the database has put it.
    let text = home.log.note(5).to_string();
    let places: Vec<usize> =
        (0..sound.len() - text.len()).filter(|&at| sound[at..].starts_with(text.as_bytes())).collect();
    assert!(!places.is_empty());
    for at in places {
        for offset in (0..text.len()).step_by(31) {
            damage(&home, &sound, |bytes| bytes[at + offset] ^= 1);
        }
    }
}

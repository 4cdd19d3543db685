//! A witness whose state was put back from a backup: it starts refusing, and goes on after its operator has confirmed.

use std::{fs, path::PathBuf, process::Output};

use hyper::{Method, StatusCode};
use keyglass_tlog::{
    note::{SignedNote, parse_signature_lines},
    witness::{AddCheckpoint, checkpoint_path},
};

use crate::{
    client::Connection,
    log::{Log, ORIGIN},
    process::{Home, Running, add, text},
};

const TWO: &str = "log.example/two";

/// A witness of two logs that has signed the sizes 5 and 3, stopped, with a backup of its directory from then.
struct Restored {
    home: Home,
    two: Log,
    backup: PathBuf,
}

impl Restored {
    async fn new() -> Self {
        let home = Home::new();
        let two = Log::new(TWO);
        fs::write(home.policy(), format!("log {}\nlog {}\nquorum none\n", home.log.vkey(), two.vkey()))
            .unwrap();
        let this = Self { backup: home.path().join("backup"), home, two };
        let running = this.home.start("127.0.0.1:0");
        let mut connection = running.connect().await;
        assert_eq!(add(&mut connection, &this.home.log, 0, 5).await.status, StatusCode::OK);
        assert_eq!(add(&mut connection, &this.two, 0, 3).await.status, StatusCode::OK);
        assert!(running.terminate().0.success());
        this.back_up();
        this
    }

    fn back_up(&self) {
        fs::create_dir_all(&self.backup).unwrap();
        for file in ["witness.redb", "witness.count"] {
            fs::copy(self.home.data().join(file), self.backup.join(file)).unwrap();
        }
    }

    /// Copies files back as new ones, as most programs do.
    fn restore(&self, files: &[&str]) {
        for file in files {
            fs::remove_file(self.home.data().join(file)).unwrap();
            fs::copy(self.backup.join(file), self.home.data().join(file)).unwrap();
        }
    }

    /// Writes over the files that are there.
    fn restore_in_place(&self) {
        for file in ["witness.redb", "witness.count"] {
            fs::write(self.home.data().join(file), fs::read(self.backup.join(file)).unwrap()).unwrap();
        }
    }

    /// Signs on to the sizes 9 and 7; what the logs have then.
    async fn sign_on(&self) -> [SignedNote; 2] {
        let running = self.home.start("127.0.0.1:0");
        let mut connection = running.connect().await;
        let notes = [
            cosign(&mut connection, &self.home.log, 5, 9).await,
            cosign(&mut connection, &self.two, 3, 7).await,
        ];
        assert!(running.terminate().0.success());
        notes
    }

    fn confirm(&self, options: &[&str]) -> Output {
        let policy = self.home.policy();
        self.home.run(&[&["confirm", "--policy", policy.to_str().unwrap()], options].concat())
    }

    fn file(&self, name: &str, note: &SignedNote) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, note.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn refuses_to_start(&self) {
        let (code, error) = self.home.refused();
        assert_eq!(code, 3, "{error}");
        assert!(error.contains("keyglass-witness confirm"), "{error}");
    }
}

/// Sends a log on; its checkpoint with all lines.
async fn cosign(connection: &mut Connection, log: &Log, old: u64, new: u64) -> SignedNote {
    let answer = add(connection, log, old, new).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let lines = parse_signature_lines(answer.body.as_bytes()).unwrap();
    let note = log.note(new);
    SignedNote::new(note.text(), [note.signatures(), &lines].concat()).unwrap()
}

fn said(output: &Output, code: i32, lines: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().rev().collect::<Vec<_>>(), lines);
}

async fn is_suspended(running: &Running, log: &Log, old: u64, new: u64) {
    let mut connection = running.connect().await;
    for _ in 0..2 {
        let answer = add(&mut connection, log, old, new).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.problem(), "state-rolled-back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_put_back_is_refused_until_checkpoints_confirm_it() {
    let this = Restored::new().await;
    let [one, two] = this.sign_on().await;
    this.restore(&["witness.redb", "witness.count"]);
    this.refuses_to_start();
    // What an older copy, or nothing, says about a log is not enough.
    let (log, other) = (&this.home.log, &this.two);
    let file = this.file("one", &one);
    said(
        &this.confirm(&["--note", &file]),
        7,
        &[&format!("{TWO} 3 suspended"), &format!("{ORIGIN} 9 raised")],
    );
    let running = this.home.start("127.0.0.1:0");
    is_suspended(&running, other, 3, 7).await;
    let mut connection = running.connect().await;
    // The first goes on from the size that it was at: a fork that the backup would have allowed is refused.
    let fork = Log::forked(ORIGIN, 6, 1);
    assert_eq!(add(&mut connection, &fork, 5, 8).await.body, "9\n");
    assert_eq!(add(&mut connection, &fork, 9, 10).await.problem(), "bad-consistency-proof");
    let path = format!("/{}", checkpoint_path(ORIGIN));
    let served = connection.send(Method::GET, &path, String::new()).await.unwrap().body;
    assert_eq!(served, one.to_string());
    let path = format!("/{}", checkpoint_path(TWO));
    let none = connection.send(Method::GET, &path, String::new()).await.unwrap();
    assert_eq!(none.problem(), "state-rolled-back");
    assert_eq!(add(&mut connection, log, 9, 10).await.status, StatusCode::OK);
    assert!(running.terminate().0.success());

    let file = this.file("two", &two);
    said(
        &this.confirm(&["--note", &file]),
        0,
        &[&format!("{TWO} 7 raised"), &format!("{ORIGIN} 10 unchanged")],
    );
    let running = this.home.start("127.0.0.1:0");
    assert_eq!(add(&mut running.connect().await, other, 7, 8).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_way_files_come_back_it_is_noticed() {
    let this = Restored::new().await;
    this.sign_on().await;
    // Over the files that are there, which keep their inodes.
    this.restore_in_place();
    this.refuses_to_start();
    said(
        &this.confirm(&["--all-as-it-is"]),
        0,
        &[&format!("{TWO} 3 confirmed"), &format!("{ORIGIN} 5 confirmed")],
    );
    // In place without a start in between: the orderly end was noted down.
    let running = this.home.start("127.0.0.1:0");
    this.back_up();
    add(&mut running.connect().await, &this.home.log, 5, 6).await;
    assert!(running.terminate().0.success());
    this.restore_in_place();
    this.refuses_to_start();
    this.confirm(&["--all-as-it-is"]);
    this.back_up();
    // One file of two.
    this.sign_on().await;
    this.restore(&["witness.redb"]);
    this.refuses_to_start();
    said(
        &this.confirm(&["--all-as-it-is"]),
        0,
        &[&format!("{TWO} 3 confirmed"), &format!("{ORIGIN} 5 confirmed")],
    );
    fs::remove_file(this.home.data().join("witness.count")).unwrap();
    assert_eq!(this.home.refused().0, 3);
    assert_eq!(this.confirm(&["--all-as-it-is"]).status.code(), Some(0));
    this.home.start("127.0.0.1:0");
}

/// Moved to another machine, or another disk: the same, since nobody can tell it from a backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_moves_is_confirmed_as_it_is() {
    let this = Restored::new().await;
    let moved = this.home.path().join("moved");
    fs::create_dir(&moved).unwrap();
    for file in ["witness.key", "witness-ml-dsa-44.key", "witness.redb", "witness.count"] {
        fs::copy(this.home.data().join(file), moved.join(file)).unwrap();
    }
    fs::remove_dir_all(this.home.data()).unwrap();
    fs::rename(&moved, this.home.data()).unwrap();
    this.refuses_to_start();
    let half = this.confirm(&["--as-it-is", TWO]);
    said(&half, 7, &[&format!("{TWO} 3 confirmed"), &format!("{ORIGIN} 5 suspended")]);
    assert!(text(&half.stderr).contains("1 logs are still suspended"));
    let running = this.home.start("127.0.0.1:0");
    assert_eq!(add(&mut running.connect().await, &this.two, 3, 4).await.status, StatusCode::OK);
    is_suspended(&running, &this.home.log, 5, 6).await;
    assert!(running.terminate().0.success());
    this.confirm(&["--as-it-is", ORIGIN]);
    let running = this.home.start("127.0.0.1:0");
    assert_eq!(add(&mut running.connect().await, &this.home.log, 5, 6).await.status, StatusCode::OK);
}

/// A log that the backup does not know may have been signed since.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_does_not_know_is_suspended_too() {
    let this = Restored::new().await;
    this.sign_on().await;
    this.restore(&["witness.redb", "witness.count"]);
    said(
        &this.confirm(&["--as-it-is", ORIGIN, "--as-it-is", TWO]),
        0,
        &[&format!("{TWO} 3 confirmed"), &format!("{ORIGIN} 5 confirmed")],
    );
    let third = Log::new("log.example/three");
    let policy = fs::read_to_string(this.home.policy()).unwrap();
    fs::write(this.home.policy(), format!("log {}\n{policy}", third.vkey())).unwrap();
    let running = this.home.start("127.0.0.1:0");
    is_suspended(&running, &third, 0, 1).await;
    assert!(running.terminate().0.success());
    let json = this.confirm(&["--as-it-is", third.origin(), "--json"]);
    let lines: Vec<serde_json::Value> =
        text(&json.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["origin"] == third.origin()).unwrap();
    assert_eq!((&line["verdict"], &line["tree_size"]), (&"confirmed".into(), &serde_json::Value::Null));
    let running = this.home.start("127.0.0.1:0");
    assert_eq!(add(&mut running.connect().await, &third, 0, 1).await.status, StatusCode::OK);
}

/// A snapshot of the whole machine has the same files. Only the witness's own cosignatures show that time went back.
#[tokio::test(flavor = "multi_thread")]
async fn its_own_cosignature_suspends_a_log_whose_state_went_back_unnoticed() {
    let this = Restored::new().await;
    let [one, two] = this.sign_on().await;
    this.restore(&["witness.redb", "witness.count"]);
    this.confirm(&["--all-as-it-is"]);
    // The witness has forgotten sizes 9 and 7, and believes otherwise. A log that shows the lost cosignature ends that.
    let running = this.home.start("127.0.0.1:0");
    let mut connection = running.connect().await;
    let (log, other) = (&this.home.log, &this.two);
    let request = AddCheckpoint::new(5, log.proof(5, 9), one.clone()).unwrap().to_string();
    let answer = connection.send(Method::POST, "/add-checkpoint", request).await.unwrap();
    assert_eq!(answer.problem(), "state-rolled-back");
    // A fork that the forgetful state would take is not signed any more; the other log goes on.
    let fork = Log::forked(ORIGIN, 6, 1);
    assert_eq!(add(&mut connection, &fork, 5, 8).await.problem(), "state-rolled-back");
    assert_eq!(add(&mut connection, other, 3, 4).await.status, StatusCode::OK);
    let metrics = connection.send(Method::GET, "/metrics", String::new()).await.unwrap().body;
    assert!(metrics.contains("keyglass_witness_suspended_logs 1\n"), "{metrics}");
    let mut running = running;
    running.wait_for("beyond its state");
    running.kill();

    // It is durable, and what was proven is the least that can be confirmed.
    let running = this.home.start("127.0.0.1:0");
    is_suspended(&running, log, 5, 9).await;
    assert!(running.terminate().0.success());
    let older = this.file("older", &SignedNote::new(two.text(), two.signatures().to_vec()).unwrap());
    said(
        &this.confirm(&["--note", &older]),
        7,
        &[&format!("{TWO} 7 raised"), &format!("{ORIGIN} 5 suspended")],
    );
    said(
        &this.confirm(&["--as-it-is", ORIGIN]),
        0,
        &[&format!("{TWO} 7 unchanged"), &format!("{ORIGIN} 9 raised")],
    );
    let running = this.home.start("127.0.0.1:0");
    let mut connection = running.connect().await;
    assert_eq!(add(&mut connection, &fork, 5, 8).await.body, "9\n");
    assert_eq!(add(&mut connection, log, 9, 10).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_can_be_declared() {
    let this = Restored::new().await;
    said(
        &this.confirm(&["--restored"]),
        7,
        &[&format!("{TWO} 3 suspended"), &format!("{ORIGIN} 5 suspended")],
    );
    let running = this.home.start("127.0.0.1:0");
    is_suspended(&running, &this.home.log, 5, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_signed_trees_of_one_size_end_a_witness() {
    let this = Restored::new().await;
    let [one, _] = this.sign_on().await;
    this.restore(&["witness.redb", "witness.count"]);
    this.confirm(&["--all-as-it-is"]);
    // Confirmed wrongly, it signs a fork of the same size.
    let running = this.home.start("127.0.0.1:0");
    let fork = Log::forked(ORIGIN, 6, 1);
    let forked = cosign(&mut running.connect().await, &fork, 5, 9).await;
    assert_ne!(forked.text(), one.text());
    assert!(running.terminate().0.success());
    let refused = this.confirm(&["--note", &this.file("one", &one)]);
    assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(3), ""));
    assert!(text(&refused.stderr).contains("two trees of the size 9"), "{}", text(&refused.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_checkpoints_that_it_cosigned_say_anything() {
    let this = Restored::new().await;
    let other = Home::new();
    let running = other.start("127.0.0.1:0");
    let of_another = cosign(&mut running.connect().await, &other.log, 0, 9).await;
    let [one, _] = this.sign_on().await;
    let stranger = Log::new("log.example/stranger");
    let lines = [vec![stranger.sign(&this.home.log.checkpoint(9))], one.signatures()[1..].to_vec()].concat();
    let unsigned = SignedNote::new(one.text(), lines).unwrap();
    for (note, why) in [
        (&of_another, "no cosignature of this witness"),
        (&this.home.log.note(9), "no cosignature of this witness"),
        (&unsigned, "the log's signature"),
    ] {
        let refused = this.confirm(&["--note", &this.file("note", note)]);
        assert_eq!(refused.status.code(), Some(3));
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
    assert_eq!(this.confirm(&["--note", "/nonexistent"]).status.code(), Some(3));
    assert_eq!(this.home.run(&["confirm"]).status.code(), Some(2));
    // A witness that runs is not to be confirmed.
    let running = this.home.start("127.0.0.1:0");
    let in_use = this.confirm(&["--all-as-it-is"]);
    assert_eq!(in_use.status.code(), Some(3));
    assert!(text(&in_use.stderr).contains("another process"));
    drop(running);
}

/// Whoever cannot confirm begins anew: logs take the new keys into their policies.
#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_witness_begins_with_new_keys() {
    let this = Restored::new().await;
    this.restore(&["witness.redb", "witness.count"]);
    this.refuses_to_start();
    let fresh = Home::new();
    assert!(fresh.vkeys.iter().all(|vkey| !this.home.vkeys.contains(vkey)));
    let running = fresh.start("127.0.0.1:0");
    assert_eq!(add(&mut running.connect().await, &fresh.log, 0, 5).await.status, StatusCode::OK);
}

//! A log whose disk fills up, and has room again.
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
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use keyglass_demo::system::{Log, System};
use keyglass_keytrans::wire::Wire as _;

use crate::support::{
    account::Account,
    api::{Answer, Api, Call},
    programs::{QUIET, new_user, ready, run_to_end, serve},
    user::User,
};

/// More updates than the room that is left can take.
const MOST: usize = 2000;
const ATTEMPTS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// A disk of its own, in memory.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one, if this process may.
    fn mount(at: PathBuf) -> Result<Self, String> {
        fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs"]).arg(&at);
        let output = mount.output().map_err(|error| format!("mount: {error}"))?;
        if output.status.success() {
            return Ok(Self(at));
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// Leaves room for nothing.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        let error = io::copy(&mut io::repeat(0), &mut file).and_then(|_| file.flush()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Copies a directory that no program uses.
fn move_directory(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--archive").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
    fs::remove_dir_all(from).unwrap();
}

async fn update(api: &Api, account: &Account) -> Result<Answer, reqwest::Error> {
    api.attempt(&Call::operation("/v1/update", account.update())).await
}

/// Looks an account up as this user, who compares every head with those before.
async fn finds(api: &Api, user: &mut User, account: &Account) {
    let request = user.search_request(&account.label, None);
    let answer = api.call(Call::operation("/v1/search", request.encode().unwrap())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (found, _) = user.searched(&request, &answer.body).unwrap();
    assert_eq!((found.version, Some(&found.value)), (0, account.records.last()));
}

#[tokio::test]
async fn a_full_disk_stops_a_log_and_loses_nothing() {
    let mut system = System::start(QUIET).await.unwrap();
    let disk = match Disk::mount(system.directory().join("disk")) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: no disk of its own could be mounted ({reason})");
            return;
        }
    };
    let address = system.stop_log().await.unwrap();
    let log = Log { data: disk.0.join("log"), ..system.log.clone() };
    move_directory(&system.log.data, &log.data);
    system.log = log;
    system.start_log(&address).await.unwrap();
    let api = Api::new(system.url().unwrap(), &system.log.origin);
    ready(&api).await;
    let (mut user, mut acknowledged) = (new_user(&system), Vec::new());
    for n in 0..5 {
        let account = Account::new(&api.origin, &format!("before-{n}"), 1);
        assert_eq!(update(&api, &account).await.unwrap().status, 200);
        finds(&api, &mut user, &account).await;
        acknowledged.push(account);
    }

    disk.fill();
    // Space that a file has already taken is still there: some updates may go through.
    let mut refused = None;
    for n in 0..MOST {
        let account = Account::new(&api.origin, &format!("while-full-{n}"), 1);
        match update(&api, &account).await {
            Ok(answer) if answer.status == 200 => acknowledged.push(account),
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text());
                refused = Some(account);
            }
            // The program has ended meanwhile.
            Err(_) => refused = Some(account),
        }
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("a full disk took everything");
    // It ends by itself, says why, and cannot be talked into starting on a full disk and losing something there.
    let ended = system.server.take().unwrap().ended().await.unwrap();
    assert!(!ended.success(), "{ended}");
    let started = run_to_end_or_serve(&system, &address).await;
    assert!(started, "a start on a full disk must end with a reason or serve");

    disk.make_room();
    system.start_log(&address).await.unwrap();
    for account in &acknowledged {
        finds(&api, &mut user, account).await;
    }
    // The update that failed may be asked for again: it is stored once, whether or not it had reached the disk.
    for attempt in 0.. {
        assert!(attempt < ATTEMPTS, "the refused update never goes through");
        match update(&api, &refused).await {
            Ok(answer) if answer.status == 200 => break,
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
    finds(&api, &mut user, &refused).await;
}

/// Starts the log-server on the full disk. Either it refuses, and says what is wrong, or it serves what it has.
async fn run_to_end_or_serve(system: &System, address: &str) -> bool {
    let arguments = serve(&system.log.data, &system.policy, address);
    let output =
        tokio::time::timeout(Duration::from_secs(5), run_to_end("keyglass-log-server", &arguments)).await;
    output.map_or(true, |output| !output.status.success() && !output.stderr.is_empty())
}

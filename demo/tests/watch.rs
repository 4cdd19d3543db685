//! A watcher beside a running system: what it says, what it survives, and who else may use the home.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

#[allow(dead_code, reason = "each test program uses another part")]
mod support;

use std::{process::Stdio, time::Duration};

use keyglass_account::author::Draft;
use keyglass_demo::{
    client::Client,
    daemon::program,
    system::{System, Timing, path},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::support::{
    account::Account,
    api::{Api, Call},
    programs::{api, run_to_end},
};

/// How long a line may be waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often an update is tried while another is on its way.
const ATTEMPTS: u32 = 600;

/// `keyglass watch` as a process.
struct Watcher {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What may be said at any time beside the quiet line.
    tolerated: &'static str,
}

impl Watcher {
    fn start(user: &Client) -> Self {
        let mut child = Command::new(program("keyglass").unwrap())
            .args(user.options())
            .args(["watch", "--every", "1", "--timeout", "2"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, tolerated: "Everything checked" }
    }

    /// Waits for a line with `part`. Lines before it must be quiet ones.
    async fn says(&mut self, part: &str) -> String {
        let awaited = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("the watcher has ended");
                if line.contains(part) {
                    return line;
                }
                let is_quiet = line.starts_with("Everything checked: ") || line.contains(self.tolerated);
                assert!(is_quiet, "{line} in place of {part}");
            }
        };
        timeout(PATIENCE, awaited).await.unwrap_or_else(|_| panic!("the watcher does not say {part}"))
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.try_into().unwrap())).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ends it as a supervisor does.
    async fn ends(mut self) {
        self.signal(Signal::TERM);
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

async fn publish(api: &Api, account: &Account) {
    for _ in 0..ATTEMPTS {
        let answer = api.call(Call::operation("/v1/update", account.update())).await;
        if answer.status != 503 {
            assert_eq!(answer.status, 200, "{}", answer.text());
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the update does not go through");
}

#[tokio::test]
async fn a_watcher_tells_what_happens_and_survives() {
    let mut system = System::start(Timing::default()).await.unwrap();
    let api = api(&system);
    let mut bob = Account::new(&api.origin, "bob", 1);
    publish(&api, &bob).await;
    let alice = system.client("alice").unwrap();
    for command in [["register", "alice"], ["lookup", "bob"]] {
        assert_eq!(alice.run(&command).await.unwrap().verdict(), "verified");
    }

    let mut watcher = Watcher::start(&alice);
    let checked = watcher.says("Everything checked: ").await;
    assert!(checked.contains(" 1 own account, 1 contact, log has "), "{checked}");

    // The home is free between rounds, and has one watcher.
    assert_eq!(alice.run(&["lookup", "bob"]).await.unwrap().verdict(), "verified");
    let second = alice.run(&["watch", "--every", "1"]).await.unwrap();
    let process = watcher.child.id().unwrap();
    assert_eq!((second.verdict(), second.text("reason")), ("failed", "already_watched"));
    assert!(second.text("message").contains(&format!("(process {process})")), "{}", second.transcript);

    let (_, entry) = bob.new_device(2);
    let before = bob.valid();
    let linked = Draft::after(&api.origin, b"bob", &before, 1).add_device(entry).sign(&bob.identity).unwrap();
    bob.records.push(linked.encode());
    publish(&api, &bob).await;
    let line = watcher.says("bob linked a device (number 2) on ").await;
    assert!(line.ends_with("; their identity key signed it"), "{line}");

    // Killed at whatever it is doing; the next one goes on, and has not forgotten what was said.
    watcher.child.kill().await.unwrap();
    let before = bob.valid();
    let unlinked =
        Draft::after(&api.origin, b"bob", &before, 2).remove_device(1).sign(&bob.identity).unwrap();
    bob.records.push(unlinked.encode());
    publish(&api, &bob).await;
    let mut watcher = Watcher::start(&alice);
    // It may have been killed before it noted that it had said this.
    watcher.tolerated = "bob linked a device (number 2) on ";
    watcher.says("bob removed a device (number 1) on ").await;

    // The operator erases Alice's record.
    let data = path(&system.log.data).to_owned();
    let erase = ["erase", "--data", &data, "--label", "alice", "--version", "0"].map(str::to_owned);
    let erased = run_to_end("keyglass-log-server", &erase).await;
    assert!(erased.status.success(), "{erased:?}");
    watcher.says("erased the contents of version 0 of your account alice").await;

    // An outage, and its end.
    let address = system.stop_log().await.unwrap();
    watcher.says("UNREACHABLE: ").await;
    watcher.tolerated = "UNREACHABLE: ";
    system.start_log(&address).await.unwrap();
    watcher.says("Everything checked: ").await;
    watcher.ends().await;
    assert_eq!(alice.run(&["monitor"]).await.unwrap().code, 0);
}

//! A machine whose clock is set while the log runs on it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

#[allow(dead_code, reason = "each test program uses another part")]
mod support;

use std::{path::PathBuf, time::Duration};

use keyglass_demo::{
    daemon::Daemon,
    system::{System, path},
};
use keyglass_keytrans::wire::Wire as _;
use serde_json::Value;

use crate::support::{
    account::Account,
    api::{Api, Call},
    programs::{QUIET, api, new_user, ready, serve},
};

/// The library of Debian's package libfaketime, which shows a program another time.
fn library() -> Option<PathBuf> {
    let architectures = std::fs::read_dir("/usr/lib").ok()?;
    architectures
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")))
        .find(|path| path.is_file())
}

const ATTEMPTS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// Publishes a new account, whom a user with the right time then finds.
async fn publishes_what_users_accept(system: &System, api: &Api, label: &str) {
    let account = Account::new(&api.origin, label, 1);
    let answer = api.call(Call::operation("/v1/update", account.update())).await;
    assert_eq!(answer.status, 200, "{label}: {}", answer.text());
    let mut user = new_user(system);
    let request = user.search_request(&account.label, None);
    let answer = api.call(Call::operation("/v1/search", request.encode().unwrap())).await;
    assert_eq!(answer.status, 200, "{label}: {}", answer.text());
    user.searched(&request, &answer.body).unwrap();
}

/// Waits until `/readyz` answers so, and tells what is wrong.
async fn problems(api: &Api, status: u16) -> String {
    for _ in 0..ATTEMPTS {
        let answer = api.call(Call::get("/readyz")).await;
        if answer.status == status {
            return answer.json::<Value>()["problems"].to_string();
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("/readyz never answered {status}");
}

#[tokio::test]
async fn a_log_does_not_follow_a_clock_that_jumps() {
    let Some(library) = library() else {
        println!("skipped: there is no libfaketime to set a program's clock (Debian package faketime)");
        return;
    };
    let mut system = System::start(QUIET).await.unwrap();
    let address = system.stop_log().await.unwrap();
    let offset = system.directory().join("clock");
    let set = |to: &str| std::fs::write(&offset, to).unwrap();
    set("+0");
    let environment = [
        ("LD_PRELOAD", path(&library)),
        ("FAKETIME_TIMESTAMP_FILE", path(&offset)),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let arguments = serve(&system.log.data, &system.policy, &address);
    let log = system.log.data.with_extension("log");
    let server = Daemon::start_with(&environment, "keyglass-log-server", &arguments, &log).await.unwrap();
    system.server = Some(server);
    let api = api(&system);
    ready(&api).await;
    publishes_what_users_accept(&system, &api, "before").await;
    assert_eq!(problems(&api, 200).await, "[]");

    for (to, said) in [("+365d", "s ahead"), ("-2h", "s back")] {
        set(to);
        publishes_what_users_accept(&system, &api, to.trim_start_matches(['+', '-'])).await;
        let problems = problems(&api, 503).await;
        assert!(problems.contains("clock jumped") && problems.contains(said), "{problems}");
    }
    set("+0");
    publishes_what_users_accept(&system, &api, "after").await;
    assert_eq!(problems(&api, 200).await, "[]");
}

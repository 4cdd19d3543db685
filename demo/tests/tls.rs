//! A log-server that speaks TLS, its certificate from a private authority.
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
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use keyglass_demo::{
    daemon::Daemon,
    system::{System, path},
};

use crate::support::programs::{QUIET, serve};

/// A certificate for 127.0.0.1 and the authority that signed it.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../service/tests/data").join(name)
}

#[tokio::test]
async fn users_trust_the_authority_that_they_name_and_no_other() {
    let mut system = System::start(QUIET).await.unwrap();
    system.stop_log().await.unwrap();
    let key = system.directory().join("tls.key");
    fs::copy(data("server-1.key"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let mut arguments = serve(&system.log.data, &system.policy, "127.0.0.1:0");
    arguments.extend(["--tls-cert", path(&data("server-1.pem")), "--tls-key", path(&key)].map(str::to_owned));
    let log = system.log.data.with_extension("log");
    system.server = Some(Daemon::start("keyglass-log-server", &arguments, &log).await.unwrap());
    assert!(system.url().unwrap().starts_with("https://"));

    let (bob, authority) = (system.client("bob").unwrap(), data("ca.pem"));
    let answer = bob.run(&["register", "bob", "--timeout", "0"]).await.unwrap();
    assert_eq!(answer.verdict(), "unreachable", "{}", answer.transcript);
    let answer = bob.run(&["register", "bob", "--ca", path(&authority)]).await.unwrap();
    assert_eq!(answer.verdict(), "verified", "{}", answer.transcript);

    // What is no certificate is named, and nothing is asked of the server.
    for wrong in [&key, &system.policy, &system.directory().join("missing")] {
        let answer = bob.run(&["lookup", "bob", "--ca", path(wrong)]).await.unwrap();
        assert_eq!(answer.verdict(), "usage", "{}", answer.transcript);
        assert!(answer.transcript.contains(path(wrong)), "{}", answer.transcript);
    }
}

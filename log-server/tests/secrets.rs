//! The program: keys under a passphrase, HTTPS in and out.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use axum::{Router, http::StatusCode, routing::post};
use keyglass_service::{
    connections::Connections,
    server::{Limits, Server, bind, url},
    tls::{Tls, install_provider, read_certificates},
};
use serde_json::Value;
use tokio::sync::Notify;

fn certificates(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../service/tests/data").join(name)
}

struct Place(tempfile::TempDir);

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        self.path(name)
    }

    fn command(&self, arguments: &[&str], files: &[(&str, &Path)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass-log-server"));
        command
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .args(arguments)
            .arg("--data")
            .arg(self.path("log"));
        for (option, file) in files {
            command.arg(option).arg(file);
        }
        command
    }
}

/// What a command ends with.
fn ends(mut command: Command) -> (i32, String) {
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A server that runs until it is dropped, and its URL.
struct Running(Child, String);

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        Self(child, line["listening"].as_str().unwrap().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_keys_and_https() {
    install_provider();
    let place = Place(tempfile::tempdir().unwrap());
    let [one, two] = ["one", "two"].map(|text| place.secret(text, text));
    let key = place.secret("key.pem", &fs::read_to_string(certificates("server-1.key")).unwrap());
    let (cert, ca) = (certificates("server-1.pem"), certificates("ca.pem"));

    let mut init = place.command(&["init", "--prefix", "log.example"], &[("--passphrase-file", &one)]);
    let made = init.output().unwrap();
    assert!(made.status.success(), "{made:?}");
    for name in ["log.key", "vrf.key"] {
        let text = fs::read_to_string(place.path("log").join(name)).unwrap();
        assert!(text.starts_with(&format!("keyglass-sealed-key/v1\nholds {name}\n")), "{text}");
    }

    // A witness behind HTTPS that says when it was asked.
    let asked = Arc::new(Notify::new());
    let witness = Router::new().route("/add-checkpoint", {
        let asked = Arc::clone(&asked);
        post(async move || {
            asked.notify_one();
            StatusCode::NOT_FOUND
        })
    });
    let tls = Tls::load(cert.clone(), key.clone()).unwrap();
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let witness_url = url(&listener, Some(&tls)).unwrap();
    let connections = Connections::default();
    let witness =
        Server::start(listener, witness, Some(tls), Limits::default(), connections.clone()).unwrap();
    let vkey = "witness.example.org/w1+cc1b7c48+BC6gRquCVX4VdvycyXlTJkaXuexdWPCnTRC8/hCV3oPn";
    let policy = place.path("policy");
    fs::write(&policy, format!("witness w {vkey} {witness_url}\nquorum w\n")).unwrap();

    let serve = |files: &[(&str, &Path)]| {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"], files);
        command.arg("--policy").arg(&policy);
        command
    };
    let (code, said) = ends(serve(&[]));
    assert!(code == 8 && said.contains("log.key: this key is sealed"), "{code} {said}");
    let (code, said) = ends(serve(&[("--passphrase-file", &two)]));
    assert!(code == 8 && said.contains("the passphrase is wrong"), "{code} {said}");
    let (code, said) = ends(serve(&[("--passphrase-file", &one), ("--tls-cert", &cert)]));
    assert!(code == 2 && said.contains("--tls-key"), "{code} {said}");
    let (code, said) = ends(serve(&[("--passphrase-file", &one), ("--ca", &policy)]));
    assert!(code == 5 && said.contains("not a PEM file"), "{code} {said}");

    // The passphrase is changed; the key of the tokens is made, and sealed, by the first start.
    let mut change = place.command(&["seal-keys"], &[("--passphrase-file", &two)]);
    let changed = change.arg("--old-passphrase-file").arg(&one).output().unwrap();
    assert_eq!(String::from_utf8(changed.stdout).unwrap(), "log.key\nvrf.key\n");

    // Without the authority no request gets through; with it one does.
    let all = [("--passphrase-file", &*two), ("--tls-cert", &*cert), ("--tls-key", &*key)];
    let strict = Running::start(serve(&all));
    while connections.failed_handshakes() == 0 {
        tokio::task::yield_now().await;
    }
    drop(strict);
    let running = Running::start(serve(&[&all[..], &[("--ca", &*ca)]].concat()));
    asked.notified().await;
    assert!(running.1.starts_with("https://127.0.0.1:"), "{}", running.1);
    let roots = read_certificates(&ca).unwrap();
    let roots = roots.iter().map(|root| reqwest::Certificate::from_der(root).unwrap());
    let client = reqwest::Client::builder().no_proxy().tls_certs_merge(roots).build().unwrap();
    let health = client.get(format!("{}/readyz", running.1)).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::SERVICE_UNAVAILABLE, "the witness signs nothing");
    let token_key = fs::read_to_string(place.path("log").join("token.key")).unwrap();
    assert!(token_key.starts_with("keyglass-sealed-key/v1\nholds token.key\n"), "{token_key}");
    drop(running);
    witness.stop().await;
}

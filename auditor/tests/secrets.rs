//! What the auditor keeps secret: its key under a passphrase; and TLS on both sides.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use axum::{Router, routing::get};
use keyglass_auditor::fetch::{FetchError, Http};
use keyglass_keytrans::{
    config::{CipherSuite, Configuration, ModeFields},
    wire::Wire as _,
};
use keyglass_service::{
    connections::Connections,
    server::{Limits, Server, bind, url},
    tls::{Tls, install_provider, read_certificates},
};

fn certificates(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../service/tests/data").join(name)
}

fn secret(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn tls_key(directory: &Path) -> PathBuf {
    secret(directory, "key.pem", &fs::read_to_string(certificates("server-1.key")).unwrap())
}

fn auditor(arguments: &[&str], files: &[(&str, &Path)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass-auditor"));
    command.env("RUST_LOG", "warn").stdin(Stdio::null()).args(arguments);
    for (option, file) in files {
        command.arg(option).arg(file);
    }
    command
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_sealed_key_needs_its_passphrase() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let [one, two] = ["one", "two"].map(|text| secret(directory.path(), text, text));
    let init =
        auditor(&["init", "--name", "auditor.example"], &[("--data", &data), ("--passphrase-file", &one)])
            .output()
            .unwrap();
    assert!(init.status.success(), "{:?}", said(&init));
    let key = fs::read_to_string(data.join("auditor.key")).unwrap();
    assert!(key.starts_with("keyglass-sealed-key/v1\nholds auditor.key\n"), "{key}");

    let vkey = |passphrase: Option<&Path>| {
        let mut command = auditor(&["vkey"], &[("--data", &data)]);
        if let Some(passphrase) = passphrase {
            command.arg("--passphrase-file").arg(passphrase);
        }
        command.output().unwrap()
    };
    assert_eq!(vkey(Some(&one)).stdout, init.stdout);
    let (code, why) = said(&vkey(None));
    assert!(code == Some(2) && why.contains("sealed"), "{why}");
    let (code, why) = said(&vkey(Some(&two)));
    assert!(code == Some(2) && why.contains("the passphrase is wrong"), "{why}");

    let change = [("--data", &*data), ("--passphrase-file", &two), ("--old-passphrase-file", &one)];
    for _ in 0..2 {
        assert!(auditor(&["seal-keys"], &change).status().unwrap().success());
    }
    assert_eq!(vkey(Some(&two)).stdout, init.stdout);
    assert_eq!(said(&vkey(Some(&one))).0, Some(2));
}

/// Runs a server with TLS that answers one path.
fn secure(directory: &Path) -> (Server, String) {
    let tls = Tls::load(certificates("server-1.pem"), tls_key(directory)).unwrap();
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = url(&listener, Some(&tls)).unwrap();
    let router = Router::new().route("/checkpoint", get(async || "a checkpoint"));
    (Server::start(listener, router, Some(tls), Limits::default(), Connections::default()).unwrap(), url)
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_if_it_is_named() {
    install_provider();
    let directory = tempfile::tempdir().unwrap();
    let (server, url) = secure(directory.path());
    let url: reqwest::Url = format!("{url}/checkpoint").parse().unwrap();
    let roots = read_certificates(&certificates("ca.pem")).unwrap();
    let deadline = Duration::from_secs(20);
    let trusting = Http::trusting(deadline, &roots).unwrap();
    assert_eq!(trusting.get(url.clone(), 100).await.unwrap(), b"a checkpoint");
    let refused = Http::new(deadline).unwrap().get(url, 100).await;
    assert!(matches!(refused, Err(FetchError::Unreachable(_))), "{refused:?}");
    server.stop().await;
}

/// A configuration of suite 0x0002, for which no policy is needed.
fn configuration() -> Vec<u8> {
    let key = keyglass_crypto::sign::SigningKey::from_seed(&[1; 32]);
    let vrf = keyglass_crypto::vrf::VrfSecretKey::from_seed(&[2; 32]);
    let configuration = Configuration {
        ciphersuite: CipherSuite::Draft.number(),
        mode: ModeFields::ContactMonitoring,
        signature_public_key: key.verifying_key().to_bytes().to_vec(),
        vrf_public_key: vrf.public_key().to_bytes().to_vec(),
        max_ahead: 1000,
        max_behind: 1000,
        reasonable_monitoring_window: 1000,
        maximum_lifetime: None,
    };
    configuration.encode().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn https_in_and_out() {
    install_provider();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (log, url) = secure(directory.path());
    fs::write(path("configuration"), configuration()).unwrap();
    let made =
        auditor(&["init", "--name", "auditor.example"], &[("--data", &path("data"))]).output().unwrap();
    assert!(made.status.success());
    let (data, configuration, key) = (path("data"), path("configuration"), path("key.pem"));
    let (ca, cert) = (certificates("ca.pem"), certificates("server-1.pem"));
    let follow = |more: &[(&str, &Path)]| {
        let mut command =
            auditor(&["follow", "--url", &url], &[("--data", &data), ("--configuration", &configuration)]);
        for (option, file) in more {
            command.arg(option).arg(file);
        }
        command
    };
    let (code, why) = said(&follow(&[("--ca", &path("none"))]).output().unwrap());
    assert!(code == Some(2) && why.contains("none"), "{why}");
    let (code, why) = said(&follow(&[("--tls-cert", &cert)]).output().unwrap());
    assert!(code == Some(2) && why.contains("--tls-key"), "{why}");
    // The certificate of the log is refused, or its answers are those of no log.
    let (code, _) = said(&follow(&[]).arg("--once").output().unwrap());
    assert_eq!(code, Some(10));
    let (code, _) = said(&follow(&[("--ca", &ca)]).arg("--once").output().unwrap());
    assert_eq!(code, Some(15));

    let mut serving = follow(&[("--tls-cert", &cert), ("--tls-key", &key)]);
    let mut child = serving.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let listening = line["listening"].as_str().unwrap();
    assert!(listening.starts_with("https://127.0.0.1:"), "{listening}");
    let http = Http::trusting(Duration::from_secs(20), &read_certificates(&ca).unwrap()).unwrap();
    let metrics = http.get(format!("{listening}/metrics").parse().unwrap(), 1 << 20).await.unwrap();
    assert!(String::from_utf8(metrics).unwrap().contains("keyglass_auditor_connections 1\n"));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    log.stop().await;
}

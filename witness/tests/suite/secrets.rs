//! What the program keeps secret: keys under a passphrase, and TLS.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use keyglass_service::tls::read_certificates;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};

use crate::process::{Home, Running, program};

fn secret(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn command(name: &str, data: &Path, passphrase: &Path) -> Command {
    let mut command = program();
    command.arg(name).arg("--data").arg(data).arg("--passphrase-file").arg(passphrase);
    command
}

#[test]
fn a_sealed_key_needs_its_passphrase() {
    let (home, secrets) = (Home::new(), tempfile::tempdir().unwrap());
    let [one, two] =
        ["one", "two"].map(|text| secret(secrets.path(), text, &format!("the passphrase {text}\n")));
    let vkeys: String = home.vkeys.iter().map(|vkey| format!("{vkey}\n")).collect();

    // A key in the clear is refused once sealed ones are expected.
    let (code, said) = Home::refuses(command("vkey", &home.data(), &one));
    assert_eq!(code, 6, "{said}");
    assert!(said.contains("seal-keys"), "{said}");
    let (code, said) = Home::refuses({
        let mut command = program();
        command.arg("seal-keys").arg("--data").arg(home.data());
        command
    });
    assert!(code == 6 && said.contains("--passphrase-file"), "{said}");
    for _ in 0..2 {
        assert!(command("seal-keys", &home.data(), &one).status().unwrap().success());
    }
    let printed = command("vkey", &home.data(), &one).output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), vkeys);

    // Without a passphrase, or with another one.
    let (code, said) = Home::refuses(home.serve("127.0.0.1:0"));
    assert!(code == 6 && said.contains("sealed"), "{said}");
    let with = |passphrase: &Path| {
        let mut command = home.serve("127.0.0.1:0");
        command.arg("--passphrase-file").arg(passphrase);
        command
    };
    let (code, said) = Home::refuses(with(&two));
    assert!(code == 6 && said.contains("the passphrase is wrong"), "{said}");
    fs::set_permissions(&one, fs::Permissions::from_mode(0o640)).unwrap();
    let (code, said) = Home::refuses(with(&one));
    assert!(code == 6 && said.contains("0640"), "{said}");
    fs::set_permissions(&one, fs::Permissions::from_mode(0o600)).unwrap();
    drop(Running::start(with(&one)));

    // The passphrase is changed.
    let mut change = command("seal-keys", &home.data(), &two);
    assert!(change.arg("--old-passphrase-file").arg(&one).status().unwrap().success());
    assert_eq!(Home::refuses(with(&one)).0, 6);
    let mut by_variable = home.serve("127.0.0.1:0");
    by_variable.env("KEYGLASS_PASSPHRASE_FILE", &two);
    drop(Running::start(by_variable));
}

#[test]
fn init_with_a_passphrase_makes_a_sealed_key() {
    let directory = tempfile::tempdir().unwrap();
    let passphrase = secret(directory.path(), "passphrase", "correct horse");
    let data = directory.path().join("data");
    let made = command("init", &data, &passphrase).args(["--name", "w.example"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    for file in ["witness.key", "witness-ml-dsa-44.key"] {
        let key = fs::read_to_string(data.join(file)).unwrap();
        assert!(key.starts_with(&format!("keyglass-sealed-key/v1\nholds {file}\n")), "{key}");
    }
    let shown = command("vkey", &data, &passphrase).output().unwrap();
    assert_eq!(shown.stdout, made.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_of_its_own() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../service/tests/data");
    let (home, secrets) = (Home::new(), tempfile::tempdir().unwrap());
    let key = secret(secrets.path(), "key", &fs::read_to_string(tests.join("server-1.key")).unwrap());
    let with = |options: &[(&str, &Path)]| {
        let mut command = home.serve("127.0.0.1:0");
        for (option, file) in options {
            command.arg(option).arg(file);
        }
        command
    };
    let cert = tests.join("server-1.pem");
    assert_eq!(Home::refuses(with(&[("--tls-cert", &cert)])).0, 2);
    let (code, said) =
        Home::refuses(with(&[("--tls-cert", &tests.join("server-2.pem")), ("--tls-key", &key)]));
    assert!(code == 5 && said.contains("server-2.pem"), "{said}");

    let running = Running::start(with(&[("--tls-cert", &cert), ("--tls-key", &key)]));
    assert_eq!(running.scheme, "https");
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read_certificates(&tests.join("ca.pem")).unwrap());
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(running.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("keyglass_witness_connections 1\n"),
        "{answer}"
    );
}

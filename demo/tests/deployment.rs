//! What people are given to run Keyglass with: the units of systemd with their example of an `auditor.toml`, and the containers.
//! Every command in them starts a real server, on files that the documents say how to make.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_demo::{
    daemon::{Daemon, program, run},
    system::path,
};
use serde_json::Value;

fn repository(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

/// Starts what a command line says, at a port of the system's choice.
async fn start(directory: &Path, command: &[String]) -> Daemon {
    let name = Path::new(&command[0]).file_name().unwrap().to_str().unwrap();
    let mut arguments: Vec<String> = command[1..].to_vec();
    for i in 0..arguments.len() {
        if arguments[i].starts_with("--listen=") {
            arguments[i] = "--listen=127.0.0.1:0".to_owned();
        } else if arguments[i] == "--listen" {
            arguments[i + 1] = "127.0.0.1:0".to_owned();
        }
    }
    Daemon::start(name, &arguments, &directory.join(format!("{name}.log"))).await.unwrap()
}

/// The example with everything that is commented out, as `# key = value` and `# [[table]]`.
fn uncommented(example: &str) -> String {
    let setting = |line: &&str| line.contains(" = ") || line.contains("  = ") || line.starts_with("[[");
    let line = |line| str::strip_prefix(line, "# ").filter(setting).unwrap_or(line);
    example.lines().map(|text| format!("{}\n", line(text))).collect()
}

#[tokio::test]
async fn units_start_their_servers() {
    let directory = tempfile::tempdir().unwrap();
    let (etc, lib) = (directory.path().join("etc"), directory.path().join("lib"));
    for directory in [&etc, &lib] {
        fs::create_dir(directory).unwrap();
    }
    let private = |name: &str, contents: &str| {
        fs::write(etc.join(name), contents).unwrap();
        fs::set_permissions(etc.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    private("passphrase", "correct horse battery staple\n");
    private("auditor.pager-secret", "0123456789abcdef\n");
    let passphrase = etc.join("passphrase");
    let init = async |server: &str, more: &[&str]| {
        let data = lib.join(server);
        let arguments = ["init", "--data", path(&data), "--passphrase-file", path(&passphrase)];
        run(server, &[&arguments[..], more].concat()).await.unwrap()
    };
    let log: Value =
        serde_json::from_str(&init("keyglass-log-server", &["--prefix", "log.example"]).await).unwrap();
    let w1 = init("keyglass-witness", &["--name", "witness.example/w1"]).await;
    let w1 = w1.lines().next().unwrap();
    init("keyglass-auditor", &["--name", "auditor.example"]).await;
    let log_line = format!("log {} https://log.example\n", log["vkey"].as_str().unwrap());
    let policy = format!("{log_line}witness w1 {w1} https://witness.example/w1\nquorum w1\n");
    let configuration = STANDARD.decode(log["configuration"].as_str().unwrap()).unwrap();
    fs::write(etc.join("auditor.configuration"), configuration).unwrap();
    for name in ["log-server.policy", "auditor.policy"] {
        fs::write(etc.join(name), &policy).unwrap();
    }
    fs::write(etc.join("witness.policy"), format!("{log_line}quorum none\n")).unwrap();
    for name in ["witness.peers", "auditor.peers"] {
        fs::write(etc.join(name), "").unwrap();
    }
    let example = fs::read_to_string(repository("systemd/auditor.toml")).unwrap();
    for settings in [example.clone(), uncommented(&example)] {
        fs::write(etc.join("auditor.toml"), settings).unwrap();
        for server in ["keyglass-witness", "keyglass-log-server", "keyglass-auditor"] {
            let unit = fs::read_to_string(repository(&format!("systemd/{server}.service"))).unwrap();
            let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
            let command = command
                .replace("%S/", &format!("{}/", lib.display()))
                .replace("%d/", &format!("{}/", etc.display()))
                .replace("/etc/keyglass/", &format!("{}/", etc.display()));
            let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(command[0], format!("/usr/local/bin/{server}"));
            let running = start(directory.path(), &command).await;
            running.reload().unwrap();
            let answer = reqwest::get(format!("{}/healthz", running.url())).await.unwrap();
            assert_eq!(answer.status(), 200, "{server}");
            drop(running);
        }
    }
    assert_ne!(uncommented(&example), example);
    assert_eq!(uncommented(&example).matches("\n[[alerts.").count(), 2);
}

/// The commands of the services in the file, by name.
fn commands(compose: &str) -> Vec<(String, Vec<String>)> {
    let services = compose.split("\nservices:\n").nth(1).unwrap().split("\nvolumes:\n").next().unwrap();
    let (mut commands, mut reading): (Vec<(String, Vec<String>)>, bool) = (Vec::new(), false);
    for line in services.lines() {
        if let Some(name) = line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '#'])) {
            commands.push((name.trim_end_matches(':').to_owned(), Vec::new()));
            reading = false;
        } else if line == "    command:" {
            reading = true;
        } else if let Some(argument) = line.strip_prefix("      - ").filter(|_| reading) {
            commands.last_mut().unwrap().1.push(argument.to_owned());
        } else {
            reading = false;
        }
    }
    commands.retain(|(_, command)| !command.is_empty());
    commands
}

#[tokio::test]
async fn containers_start_their_servers_and_know_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for name in ["public", "data"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    let programs = program("keyglass").unwrap();
    let path = format!("{}:{}", programs.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let init = || {
        let mut init = Command::new("/bin/bash");
        init.arg(repository("docker/init")).env("PATH", &path);
        let init = init.env("KEYGLASS_ROOT", root).env("KEYGLASS_PREFIX", "log.example").output().unwrap();
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        init.stdout
    };
    // The second time nothing is changed.
    assert_eq!(init(), init());
    let peers = |party: &str| fs::read_to_string(root.join(format!("public/{party}.peers"))).unwrap();
    assert_eq!((peers("witness-1").lines().count(), peers("auditor").lines().count()), (3, 3));
    assert!(!peers("witness-2").contains("witness-2") && peers("witness-2").contains("http://auditor:7390"));

    let commands = commands(&fs::read_to_string(repository("docker/compose.yaml")).unwrap());
    let names: Vec<&str> = commands.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["log", "witness-1", "witness-2", "witness-3", "auditor"]);
    let mut running = Vec::new();
    for (name, command) in &commands {
        let below = |argument: &String| {
            let moved = |prefix: &str, text: &str| {
                text.replace(prefix, &format!("={}{}", root.display(), &prefix[1..]))
            };
            moved("=/public/", &moved("=/data/", argument))
        };
        let command: Vec<String> = command.iter().map(below).collect();
        let server = start(root, &command).await;
        let answer = reqwest::get(format!("{}/healthz", server.url())).await.unwrap();
        assert_eq!(answer.status(), 200, "{name}");
        running.push(server);
    }
    let auditor = running.last().unwrap();
    let status: Value =
        reqwest::get(format!("{}/v1/status", auditor.url())).await.unwrap().json().await.unwrap();
    assert_eq!(status["logs"][0]["urls"], serde_json::json!(["http://log:8080"]));
    // What the auditor has told is there, and may be run.
    let told = repository("docker/alert");
    assert_eq!(fs::metadata(told).unwrap().permissions().mode() & 0o111, 0o111);
}

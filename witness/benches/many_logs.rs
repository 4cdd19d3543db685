//! The memory of a witness with many logs: each is cosigned once, over HTTP, by the real program.
//!
//! `cargo bench -p keyglass-witness --bench many_logs [-- LOGS]`
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Instant,
};

use keyglass_crypto::{hash::sha256, sign::SigningKey};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::{KeyName, NoteSigner, SignedNote},
    witness::AddCheckpoint,
};

const CONNECTIONS: usize = 4;

fn log(index: usize) -> NoteSigner {
    let name = KeyName::new(&format!("log{index}.example/origin-of-a-usual-length")).unwrap();
    NoteSigner::new(name, SigningKey::from_seed(&sha256(&[&index.to_be_bytes()])))
}

/// Memory in KiB by its name in `/proc`.
fn memory(witness: &Child, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", witness.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// The first contact of a log.
fn request(index: usize) -> String {
    let signer = log(index);
    let text = Checkpoint::new(signer.vkey().name().as_str(), 1, [7; 32]).unwrap().text();
    let note = SignedNote::new(&text, vec![signer.sign(&text)]).unwrap();
    let body = AddCheckpoint::new(0, Vec::new(), note).unwrap().to_string();
    format!("POST /add-checkpoint HTTP/1.1\r\nhost: witness\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Sends the requests of every `CONNECTIONS`th log over one connection.
fn drive(address: &str, from: usize, logs: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for index in (from..logs).step_by(CONNECTIONS) {
        stream.write_all(request(index).as_bytes()).unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            answers.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        answers.read_exact(&mut vec![0; length]).unwrap();
    }
}

fn main() {
    let logs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    let directory = tempfile::tempdir().unwrap();
    let (data, policy) = (directory.path().join("data"), directory.path().join("policy"));
    let lines: String = (0..logs).map(|index| format!("log {}\n", log(index).vkey())).collect();
    fs::write(&policy, format!("{lines}quorum none\n")).unwrap();
    let program = env!("CARGO_BIN_EXE_keyglass-witness");
    let made =
        Command::new(program).args(["init", "--name", "w.example", "--data"]).arg(&data).output().unwrap();
    assert!(made.status.success());
    let start = || {
        let mut serve = Command::new(program);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data).arg("--policy").arg(&policy);
        let begun = Instant::now();
        let mut witness = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(witness.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = line["listening"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        (witness, address, begun.elapsed())
    };
    let stop = |mut witness: Child| {
        Command::new("kill").arg(witness.id().to_string()).status().unwrap();
        witness.wait().unwrap();
    };

    let (witness, address, _) = start();
    println!("{logs} logs in the policy, none cosigned: {} KiB resident", memory(&witness, "VmRSS"));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for from in 0..CONNECTIONS {
            let address = &address;
            scope.spawn(move || drive(address, from, logs));
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "each cosigned once in {seconds:.1} s over {CONNECTIONS} connections: {} KiB resident, at most {} KiB",
        memory(&witness, "VmRSS"),
        memory(&witness, "VmHWM"),
    );
    println!("state on disk: {} KiB", fs::metadata(data.join("witness.redb")).unwrap().len() / 1024);
    stop(witness);
    let (witness, _, took) = start();
    println!("started anew, all of it read, in {took:.1?}: {} KiB resident", memory(&witness, "VmRSS"));
    stop(witness);
}

//! The witnesses that are compared, each as its operator would run it.

use std::{
    error::Error,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use keyglass_demo::daemon::program;
use keyglass_interop::{
    programs::Programs,
    stranger::{Stranger, run},
    witnesses::{Litewitness, Omniwitness, Running, WitnessedLog},
};
use serde_json::Value;

/// The witnesses that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// keyglass-witness as `init` makes it.
    Keyglass,
    /// torchwood's litewitness.
    Litewitness,
    /// transparency-dev's omniwitness.
    Omniwitness,
}

/// A running witness.
pub struct Subject {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its verifier keys.
    pub vkeys: Vec<String>,
    /// Its process.
    pub id: u32,
    _running: Process,
}

#[allow(dead_code, reason = "held so that the process lives")]
enum Process {
    Ours(Stranger),
    Theirs(Running),
}

/// Starts a new witness for these logs in a directory.
pub fn start(
    kind: Kind,
    programs: Option<&Programs>,
    directory: &Path,
    logs: &[WitnessedLog],
) -> Result<Subject, Box<dyn Error>> {
    fs::create_dir_all(directory)?;
    let built = || programs.ok_or("the Go programs are not there");
    match kind {
        Kind::Keyglass => keyglass(directory, logs),
        Kind::Litewitness => {
            let witness = Litewitness::new(directory, "witness.bench.example")?;
            let running = witness.start(built()?)?;
            witness.add_logs(built()?, logs)?;
            let (address, vkeys) = (witness.0.address, vec![witness.0.vkey]);
            Ok(Subject { address, vkeys, id: running.id(), _running: Process::Theirs(running) })
        }
        Kind::Omniwitness => {
            let witness = Omniwitness::new(directory, "witness.bench.example", logs)?;
            let running = witness.start(built()?)?;
            let (address, vkeys) = (witness.0.address, vec![witness.0.vkey]);
            Ok(Subject { address, vkeys, id: running.id(), _running: Process::Theirs(running) })
        }
    }
}

fn keyglass(directory: &Path, logs: &[WitnessedLog]) -> Result<Subject, Box<dyn Error>> {
    let witness: PathBuf = program("keyglass-witness")?;
    let data = directory.join("data");
    let policy = directory.join("policy");
    let lines: String = logs.iter().map(|log| format!("log {}\n", log.vkey)).collect();
    fs::write(&policy, format!("{lines}quorum none\n"))?;
    let text = |path: &Path| path.display().to_string();
    let made = run(&witness, &["init", "--data", &text(&data), "--name", "witness.bench.example"], "")?;
    let arguments = [
        "serve",
        "--data",
        &text(&data),
        "--listen",
        "127.0.0.1:0",
        "--policy",
        &text(&policy),
        "--rate-limit",
        "1000000",
    ];
    let running = Stranger::announced(&witness, &arguments, &directory.join("log"))?;
    let line: Value = serde_json::from_str(running.first_line())?;
    let url = line.get("listening").and_then(Value::as_str).ok_or("it does not say where it listens")?;
    Ok(Subject {
        address: url.trim_start_matches("http://").parse()?,
        vkeys: made.lines().map(str::to_owned).collect(),
        id: running.id(),
        _running: Process::Ours(running),
    })
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Resident memory, in KiB.
    pub resident: u64,
    /// Processor time of all threads, in clock ticks of 10 ms.
    pub ticks: u64,
    /// Bytes that it caused to be written to disk.
    pub written: u64,
}

impl Usage {
    /// Reads it from /proc.
    pub fn of(id: u32) -> Result<Self, Box<dyn Error>> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}"));
        let member = |text: &str, name: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        };
        let stat = read("stat")?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        Ok(Self {
            resident: member(&read("status")?, "VmRSS:").unwrap_or(0),
            ticks: field(11) + field(12),
            written: member(&read("io")?, "write_bytes:").unwrap_or(0),
        })
    }
}

//! The witnesses that are compared, each as its operator would run it.

use std::{error::Error, fs, net::SocketAddr, path::Path};

use keyglass_interop::{
    programs::Programs,
    witnesses::{Keyglass, Litewitness, Omniwitness, Running, WitnessedLog},
};

/// The witnesses that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// keyglass-witness as `init` makes it, which signs with Ed25519 and ML-DSA-44.
    Keyglass,
    /// keyglass-witness with an Ed25519 key alone, as the others have it.
    KeyglassEd25519,
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
    _running: Running,
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
        Kind::Keyglass | Kind::KeyglassEd25519 => {
            let options: &[&str] = if kind == Kind::Keyglass { &[] } else { &["--only", "ed25519"] };
            let witness = Keyglass::new(directory, "witness.bench.example", options, logs)?;
            let running = witness.start(&["--rate-limit", "1000000"])?;
            Ok(Subject {
                address: witness.address,
                vkeys: witness.vkeys,
                id: running.id(),
                _running: running,
            })
        }
        Kind::Litewitness => {
            let witness = Litewitness::new(directory, "witness.bench.example")?;
            let running = witness.start(built()?)?;
            witness.add_logs(built()?, logs)?;
            let (address, vkeys) = (witness.0.address, vec![witness.0.vkey]);
            Ok(Subject { address, vkeys, id: running.id(), _running: running })
        }
        Kind::Omniwitness => {
            let witness = Omniwitness::new(directory, "witness.bench.example", logs)?;
            let running = witness.start(built()?)?;
            let (address, vkeys) = (witness.0.address, vec![witness.0.vkey]);
            Ok(Subject { address, vkeys, id: running.id(), _running: running })
        }
    }
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

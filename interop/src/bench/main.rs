//! add-checkpoint of keyglass-witness and of witnesses that others wrote: the same requests from the same driver, one
//! witness after the other, each with a new state on the same disk.

mod drive;
mod requests;
mod subjects;

use std::{error::Error, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use keyglass_interop::programs::{self, BuildError};
use keyglass_tlog::{note::Vkey, witness::parse_cosignatures, witnessed::Horizon};

use crate::{
    drive::{Measured, drive},
    requests::{LogRequests, generate, http},
    subjects::{Kind, Usage, start},
};

/// Measures witnesses side by side.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many logs there are
    #[arg(long, default_value_t = 1_000)]
    logs: usize,

    /// How many connections are kept alive; each has its own logs and one request at a time
    #[arg(long, default_value_t = 64)]
    connections: usize,

    /// How many checkpoints each log submits after its first one, which is not measured
    #[arg(long, default_value_t = 10)]
    rounds: usize,

    /// Which witnesses, comma-separated
    #[arg(long, value_delimiter = ',', default_values = ["keyglass", "keyglass-ed25519", "litewitness", "omniwitness"])]
    witnesses: Vec<Kind>,

    /// Where their states are kept: a folder on the disk to measure with
    #[arg(long)]
    directory: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keyglass-witness-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let built = match programs::build() {
        Ok(built) => Some(built),
        Err(BuildError::Unavailable(why)) => {
            println!("without the witnesses that others wrote: {why}");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let temporary = match &arguments.directory {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let logs = generate(arguments.logs, arguments.rounds)?;
    println!(
        "{} logs, {} connections, {} requests after {} first contacts",
        arguments.logs,
        arguments.connections,
        arguments.logs * arguments.rounds,
        arguments.logs
    );
    println!(
        "| Witness | Signatures | Requests a second | p50 | p90 | p99 | max | sent again | processor a request | written a request | resident |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for &kind in &arguments.witnesses {
        if matches!(kind, Kind::Litewitness | Kind::Omniwitness) && built.is_none() {
            continue;
        }
        let directory = temporary.path().join(format!("{kind:?}"));
        let witnessed: Vec<_> = logs.iter().map(|log| log.log.clone()).collect();
        let subject = start(kind, built, &directory, &witnessed)?;
        let (first, rest) = split(&logs);
        let warm = runtime.block_on(drive(subject.address, &first, arguments.connections, true))?;
        check(&warm, &logs, &subject.vkeys)?;
        let before = Usage::of(subject.id)?;
        let measured = runtime.block_on(drive(subject.address, &rest, arguments.connections, false))?;
        print(kind, &subject.vkeys, &measured, before, Usage::of(subject.id)?);
    }
    Ok(())
}

type Requests = Vec<Arc<Vec<Vec<u8>>>>;

/// First contacts and the rest.
fn split(logs: &[LogRequests]) -> (Requests, Requests) {
    let part = |skip: usize, take: usize| {
        logs.iter()
            .map(|log| Arc::new(log.bodies.iter().skip(skip).take(take).map(|body| http(body)).collect()))
            .collect()
    };
    (part(0, 1), part(1, usize::MAX))
}

/// That the answers to first contacts are cosignatures of each of the witness's keys.
fn check(warm: &Measured, logs: &[LogRequests], vkeys: &[String]) -> Result<(), Box<dyn Error>> {
    let keys: Vec<Vkey> = vkeys.iter().map(|vkey| Vkey::parse(vkey)).collect::<Result<_, _>>()?;
    let keys: Vec<&Vkey> = keys.iter().collect();
    for (index, answer) in &warm.answers {
        let log = logs.get(*index).ok_or("an answer to nobody")?;
        let lines = parse_cosignatures(answer.as_bytes(), &log.first, &keys, Horizon::ignored())?;
        if lines.len() != keys.len() {
            return Err(format!("{} cosignatures of {} keys", lines.len(), keys.len()).into());
        }
    }
    if warm.answers.len() == logs.len() { Ok(()) } else { Err("answers are missing".into()) }
}

fn print(kind: Kind, vkeys: &[String], measured: &Measured, before: Usage, after: Usage) {
    let millis = |per_mille: usize| format!("{:.2} ms", measured.quantile(per_mille).as_secs_f64() * 1e3);
    let types: Vec<&str> = vkeys
        .iter()
        .filter_map(|vkey| Vkey::parse(vkey).ok())
        .map(|vkey| if vkey.key().signature_type() == 0x06 { "ML-DSA-44" } else { "Ed25519" })
        .collect();
    let count = u64::try_from(measured.latencies.len()).unwrap_or(u64::MAX).max(1);
    println!(
        "| {} | {} | {:.0} | {} | {} | {} | {} | {} | {} µs | {} B | {} MiB |",
        format!("{kind:?}").to_lowercase(),
        types.join(", "),
        measured.throughput(),
        millis(500),
        millis(900),
        millis(990),
        millis(1000),
        measured.repeated,
        (after.ticks - before.ticks) * 10_000 / count,
        (after.written - before.written) / count,
        after.resident / 1024,
    );
}

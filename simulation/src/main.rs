//! `keyglass-simulation`: runs histories, and replays one with its trace.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use keyglass_simulation::{
    client::Mutant,
    history::{self, Options, Outcome},
    seeds::{Summary, run_all},
};

/// Simulates accounts, devices and messages in an unreliable, hostile world, around the real code.
///
/// Exits with 0 if every invariant held.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the histories of many seeds
    Run {
        /// The first seed
        #[arg(long, default_value_t = 0)]
        first: u64,
        /// How many
        #[arg(long, default_value_t = 10_000)]
        count: u64,
        /// Break all clients in this way, to see which histories notice
        #[arg(long)]
        mutant: Option<Mutant>,
    },
    /// Run the history of one seed and show what happens in it
    Replay {
        /// The seed
        seed: u64,
    },
}

fn main() -> io::Result<ExitCode> {
    let out = &mut io::stdout().lock();
    let good = match Arguments::parse().command {
        Command::Run { first, count, mutant } => {
            let options = Options { keep_trace: false, mutant };
            let summary = run_all(first..first.saturating_add(count), options);
            report(out, &summary)?;
            summary.failures.is_empty()
        }
        Command::Replay { seed } => {
            let outcome = history::run(seed, Options { keep_trace: true, mutant: None });
            for line in &outcome.trace {
                writeln!(out, "{line}")?;
            }
            verdict(out, &outcome)?;
            outcome.violation.is_none()
        }
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    match &outcome.violation {
        None => writeln!(out, "seed {}: every invariant held", outcome.seed),
        Some(violation) => {
            writeln!(out, "seed {0}: {1}\n  keyglass-simulation replay {0}", outcome.seed, violation.0)
        }
    }
}

fn report(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    writeln!(
        out,
        "{} histories, {} steps, {} texts arrived",
        summary.histories, summary.steps, summary.arrived
    )?;
    for (fault, count) in &summary.faults {
        writeln!(out, "  fault {fault:?}: in {count} histories")?;
    }
    for (lie, count) in &summary.lies {
        let noticed = summary.noticed.get(lie).copied().unwrap_or(0);
        writeln!(out, "  lie {lie:?}: told in {count} histories, noticed in {noticed}")?;
    }
    summary.failures.iter().try_for_each(|failure| verdict(out, failure))
}

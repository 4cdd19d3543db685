//! `keyglass-demo`: starts a log-server, three witnesses and an auditor, shows the honest run and then the attacks.

use std::process::ExitCode;

use clap::Parser;
use keyglass_demo::{
    Failed, honest,
    lies::{hidden_fork, split_view, stale::OldHead, swapped_bundle, unsigned_device},
    report::Report,
    system::{System, Timing},
};

/// Shows Keyglass at work on this machine: a log-server, three witnesses (two must sign) and an auditor, each a process of
/// its own, which gossip with each other; Bob registers, Alice looks him up and writes to him; then servers lie, and every lie is noticed.
///
/// Exits with 0 only if every verdict was the expected one. All files are in one temporary directory, which is removed.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// Print one JSON object a line: each step with its verdict and the expected one
    #[arg(long)]
    json: bool,
    /// Stop before the lies and keep everything running until Ctrl-C, printing commands to try
    #[arg(long)]
    keep_running: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut report = Report::new(arguments.json);
    let result = tokio::select! {
        result = demo(&arguments, &mut report) => result,
        // Dropping what runs ends all processes and removes all files.
        _ = tokio::signal::ctrl_c() => return ExitCode::from(130),
    };
    let finished = report.finish();
    match result {
        Ok(()) if finished => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the demo cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(arguments: &Arguments, report: &mut Report) -> Result<(), Failed> {
    report.doing("starting a log-server, three witnesses and an auditor, which gossip");
    let mut system = System::start(Timing::default()).await?;
    system.start_auditor().await?;
    system.gossip()?;
    report.line(&format!("log-server {}, origin {}", system.url()?, system.log.origin));
    honest::run(report, &system).await?;
    if arguments.keep_running {
        return keep_running(report, &system).await;
    }
    let old_head = OldHead::record(report, &system).await?;
    swapped_bundle::run(report, &system).await?;
    unsigned_device::run(report, &mut system).await?;
    split_view::run(report).await?;
    hidden_fork::run(report).await?;
    old_head.run(report, &system).await?;
    // Last, because honest witnesses cosign nothing more of a log that has shown them two histories.
    split_view::refused(report, &system).await
}

async fn keep_running(report: &Report, system: &System) -> Result<(), Failed> {
    report.title("Everything keeps running until Ctrl-C. Try, for example:");
    for (home, command) in [("alice", "lookup bob"), ("alice", "send bob 'And at one?'"), ("bob", "receive")]
    {
        report.line(&format!("{} {command}", system.client(home)?.command_line()));
    }
    report.line(&format!("curl {}/checkpoint", system.url()?));
    report.doing("running");
    std::future::pending().await
}

//! The auditor's command.

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use clap::Parser as _;
use keyglass_auditor::{
    check,
    cli::{Cli, Command, print_line},
    run, serve,
    verdict::Verdict,
};
use serde_json::json;
use tracing_subscriber::EnvFilter;

/// How long work that is already on its way to the disk may take when the process ends.
const LAST_WRITES: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    keyglass_service::tls::install_provider();
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let ended = match &cli.command {
        Command::Init => run::init(&cli).map(|()| Verdict::Ok),
        Command::Vkey => run::vkey(&cli).map(|()| Verdict::Ok),
        Command::SealKeys => run::seal_keys(&cli).map(|()| Verdict::Ok),
        Command::Check { .. } => in_runtime(check::check(&cli)),
        Command::Follow => in_runtime(run::follow(&cli)),
        Command::Serve => in_runtime(serve::serve(&cli)),
    };
    let verdict = ended.unwrap_or_else(|error| {
        let verdict = error.verdict();
        tracing::error!(%verdict, "{error}");
        if cli.json {
            let detail = error.to_string();
            print_line(&json!({ "verdict": verdict, "detail": detail }).to_string());
        }
        verdict
    });
    ExitCode::from(verdict.exit_code())
}

/// Runs a command that waits for others.
fn in_runtime(
    command: impl Future<Output = Result<Verdict, run::RunError>>,
) -> Result<Verdict, run::RunError> {
    let runtime = tokio::runtime::Runtime::new().map_err(run::RunError::System)?;
    let ended = runtime.block_on(command);
    runtime.shutdown_timeout(LAST_WRITES);
    ended
}

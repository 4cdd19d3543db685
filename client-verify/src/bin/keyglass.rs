//! Messages to people whose keys you have seen proven: see `keyglass --help`.

use std::process::ExitCode;

use clap::Parser as _;
use keyglass_client_verify::command::{self, Arguments};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("KEYGLASS_LOG").unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .init();
    let verdict = command::run(arguments, &mut std::io::stdout(), &mut std::io::stderr()).await;
    ExitCode::from(verdict.exit_code())
}

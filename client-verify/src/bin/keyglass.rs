//! Messages to people whose keys you have seen proven: see `keyglass --help`.

use std::process::ExitCode;

use clap::Parser as _;
use keyglass_client_verify::{
    command::{self, Arguments},
    verdict::Verdict,
};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error),
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("KEYGLASS_LOG").unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .init();
    let verdict = command::run(arguments, &mut std::io::stdout(), &mut std::io::stderr()).await;
    ExitCode::from(verdict.exit_code())
}

/// Help and version, which are no errors, or what is wrong with the command line; scripts get their object all the same.
fn misused(error: &clap::Error) -> ExitCode {
    // If even this cannot be written, the exit code still tells.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let message = error.kind().to_string();
        println!(
            "{}",
            serde_json::json!({ "verdict": Verdict::Usage, "reason": "command_line", "message": message })
        );
    }
    ExitCode::from(Verdict::Usage.exit_code())
}

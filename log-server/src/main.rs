//! The command `keyglass-log-server`.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    keyglass_service::tls::install_provider();
    command::run()
}

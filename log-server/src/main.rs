//! The command `keyglass-log-server`.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}

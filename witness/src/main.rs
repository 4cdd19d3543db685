//! The command `keyglass-witness`.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}

//! `erase`: an operator's command to a running server.

use std::path::Path;

use keyglass_account::api::Label;
use keyglass_log_server::operator::{self, Command, Outcome};

use super::{CommandError, EraseOptions, print_line};

/// Has the version erased and says so.
pub(super) fn run(
    data: &Path,
    label: Option<&str>,
    options: &EraseOptions,
    json: bool,
) -> Result<(), CommandError> {
    let label = label.ok_or(CommandError::MissingOption("erase", "--label LABEL"))?;
    let version = options.version.ok_or(CommandError::MissingOption("erase", "--version VERSION"))?;
    let command = Command::Erase {
        label: Label::new(label.as_bytes().to_vec()).map_err(|_| CommandError::Bounds)?,
        version,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let no_server = |source| CommandError::NoServer { path: data.to_owned(), source };
    match runtime.block_on(operator::send(data, &command)).map_err(no_server)? {
        Outcome::Done { version } if json => {
            print_line(&serde_json::json!({ "label": label, "version": version }).to_string())
        }
        Outcome::Done { version } => print_line(&format!("version {version} of {label} was erased")),
        Outcome::Refused(problem) => Err(CommandError::Refused(problem)),
    }
}

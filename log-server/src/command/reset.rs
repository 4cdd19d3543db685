//! `reset`: an operator's command to a running server.

use std::{fs::File, io::Read as _, path::Path};

use keyglass_account::{
    api::{Base64, Label},
    record::MAX_RECORD_LEN,
};
use keyglass_log_server::operator::{self, Command, Outcome};

use super::{CommandError, ResetOptions, print_line};

/// Sends the record and prints the version that it became.
pub(super) fn run(data: &Path, options: &ResetOptions, json: bool) -> Result<(), CommandError> {
    let label = options.label.clone().ok_or(CommandError::MissingOption("reset", "--label LABEL"))?;
    let path = options.record.as_deref().ok_or(CommandError::MissingOption("reset", "--record FILE"))?;
    let failed = |source| CommandError::File { path: path.to_owned(), source };
    let mut record = Vec::new();
    let limit = u64::try_from(MAX_RECORD_LEN).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut record)).map_err(failed)?;
    let command = Command::Reset {
        label: Label::new(label.clone().into_bytes()).map_err(|_| CommandError::Bounds)?,
        record: Base64::new(record).map_err(|_| CommandError::Bounds)?,
    };

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let no_server = |source| CommandError::NoServer { path: data.to_owned(), source };
    match runtime.block_on(operator::send(data, &command)).map_err(no_server)? {
        Outcome::Done { version } if json => {
            print_line(&serde_json::json!({ "label": label, "version": version }).to_string())
        }
        Outcome::Done { version } => print_line(&format!("{label} was reset with version {version}")),
        Outcome::Refused(problem) => Err(CommandError::Refused(problem)),
    }
}

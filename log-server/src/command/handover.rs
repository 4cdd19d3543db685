//! `handover`: the end of a stopped log.

use std::path::PathBuf;

use keyglass_log_server::{
    data_dir::{DataDir, Place},
    handover,
    server::service_families,
};
use keyglass_tlog::note::Vkey;

use super::{CommandError, parse_vkey, print_line};

/// What the command takes.
#[derive(clap::Args)]
pub(super) struct HandoverOptions {
    /// The verifier key of the log that comes after this one
    #[arg(long, value_name = "VKEY", value_parser = parse_vkey)]
    to: Option<Vkey>,

    /// Write the final checkpoint and the tiles below it into this directory, for a web server
    #[arg(long, value_name = "DIR")]
    tiles: Option<PathBuf>,
}

/// Ends the log and prints the handover.
pub(super) fn run(place: Place<'_>, options: &HandoverOptions, json: bool) -> Result<(), CommandError> {
    let to = options.to.clone().ok_or(CommandError::MissingOption("handover", "--to VKEY"))?;
    let handover = handover::end(DataDir::open_to_end(place, &service_families())?, to)?;
    if let Some(target) = &options.tiles {
        handover::export_tiles(DataDir::open_to_end(place, &service_families())?, target)?;
    }
    let declaration = handover.declaration();
    if json {
        let printed = serde_json::json!({
            "from": declaration.from,
            "size": declaration.size,
            "to": declaration.to.to_string(),
            "handover": handover.to_string(),
        });
        return print_line(&printed.to_string());
    }
    print_line(handover.to_string().trim_end_matches('\n'))
}

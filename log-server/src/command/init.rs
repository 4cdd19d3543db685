//! `init`: a new log.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_log_server::{
    data_dir::DataDir,
    init::{Choices, new_log},
    server::service_families,
};
use rand::{
    SeedableRng as _,
    rngs::{StdRng, SysRng},
};

use super::{CommandError, InitOptions, Mode, print_line};

/// Makes the log in `data` and prints what others need to know of it.
pub(super) fn run(data: &Path, options: &InitOptions) -> Result<(), CommandError> {
    let prefix = options.prefix.clone().ok_or(CommandError::MissingOption("init", "--prefix PREFIX"))?;
    let auditor = match (options.mode, &options.auditor_vkey) {
        (None | Some(Mode::ThirdPartyAuditing), Some(vkey)) => Some(vkey.clone()),
        (None | Some(Mode::ContactMonitoring), None) => None,
        (Some(Mode::ContactMonitoring), Some(_)) | (Some(Mode::ThirdPartyAuditing), None) => {
            return Err(CommandError::Auditor);
        }
    };
    let choices = Choices {
        prefix,
        suite: options.suite,
        auditor,
        max_auditor_lag: options.max_auditor_lag,
        auditor_start: options.auditor_start,
        max_ahead: options.max_ahead,
        max_behind: options.max_behind,
        reasonable_monitoring_window: options.rmw,
        maximum_lifetime: options.max_lifetime,
    };
    let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(std::io::Error::other)?;
    let log = new_log(&choices, &mut rng)?;
    DataDir::create(data, &log.identity, &service_families())?;
    let printed = serde_json::json!({
        "vkey": log.vkey.to_string(),
        "origin": log.identity.origin,
        "configuration": STANDARD.encode(&log.identity.encoded),
    });
    print_line(&printed.to_string())
}

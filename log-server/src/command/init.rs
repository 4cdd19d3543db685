//! `init`: a new log.

use keyglass_log_server::{
    data_dir::{DataDir, Place},
    init::{Choices, new_log},
    server::service_families,
    signing_keys::{self, Kind},
};
use rand::{
    SeedableRng as _,
    rngs::{StdRng, SysRng},
};

use super::{CommandError, InitOptions, Mode, keys::print_identity};

/// Makes the log and prints what others need to know of it.
pub(super) fn run(place: Place<'_>, options: &InitOptions) -> Result<(), CommandError> {
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
    if options.ml_dsa {
        // Before anything is written.
        signing_keys::check(&log.identity, Kind::MlDsa44)?;
    }
    DataDir::create(place, &log.identity, &service_families())?;
    if options.ml_dsa {
        signing_keys::add(place, Kind::MlDsa44, &mut rng)?;
    }
    print_identity(place)
}

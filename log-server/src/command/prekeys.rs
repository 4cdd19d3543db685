//! The options of `serve` that bound the prekey service.

use std::time::Duration;

use keyglass_log_server::prekeys::{Quota, Settings};

const HOUR: Duration = Duration::from_secs(3600);

/// What an operator may want to choose; the rest stays as it is.
#[derive(clap::Args)]
pub(super) struct PreKeyOptions {
    /// serve: bundles that one account may fetch in an hour, of all others together; more are answered 429
    #[arg(long, global = true, value_name = "N", default_value = "3600")]
    prekeys_per_requester: u32,

    /// serve: one-time prekeys that one account may have of one device in an hour; beyond it, bundles come without one
    #[arg(long, global = true, value_name = "N", default_value = "32")]
    prekeys_per_pair: u32,

    /// serve: one-time prekeys of one device that all accounts together may have in an hour; beyond it, only the reserve's
    /// rule gives one
    #[arg(long, global = true, value_name = "N", default_value = "64")]
    prekeys_per_target: u32,

    /// serve: how much of what a pool of one-time prekeys held after its last upload is kept for established accounts, in
    /// percent
    #[arg(long, global = true, value_name = "PERCENT", default_value = "25", value_parser = clap::value_parser!(u32).range(0..=100))]
    prekey_reserve: u32,

    /// serve: how long ago the first version of an account must have been sequenced before it may have a key of a reserve,
    /// in milliseconds; the default is a week
    #[arg(long, global = true, value_name = "MS", default_value = "604800000")]
    prekey_reserve_age: u64,

    /// serve: how long an account waits between two keys of one device's reserve, in milliseconds; the default is 30 days
    #[arg(long, global = true, value_name = "MS", default_value = "2592000000")]
    prekey_reserve_period: u64,

    /// serve: fewer one-time prekeys than this are reported to their device and in the metrics as low
    #[arg(long, global = true, value_name = "N", default_value = "30")]
    prekey_low_water: u32,

    /// serve: how long the prekeys of a device stay that its account's record does not name any more, in milliseconds; the
    /// default is 30 days
    #[arg(long, global = true, value_name = "MS", default_value = "2592000000")]
    prekey_removed_grace: u64,
}

impl PreKeyOptions {
    pub(super) fn settings(&self) -> Settings {
        let hourly = |count| Quota { count, period: HOUR };
        Settings {
            per_requester: hourly(self.prekeys_per_requester),
            per_pair: hourly(self.prekeys_per_pair),
            per_target: hourly(self.prekeys_per_target),
            reserve_percent: self.prekey_reserve,
            established_after: Duration::from_millis(self.prekey_reserve_age),
            reserve_period: Duration::from_millis(self.prekey_reserve_period),
            low_water_mark: self.prekey_low_water,
            removed_grace: Duration::from_millis(self.prekey_removed_grace),
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        prekeys: PreKeyOptions,
    }

    #[test]
    fn the_defaults_of_the_command_are_those_of_the_service() {
        let settings = Alone::parse_from(["serve"]).prekeys.settings();
        assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
    }
}

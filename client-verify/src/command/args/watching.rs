//! The command line of what keeps watch: over prekeys, contacts and one's own accounts.

use clap::Args;

/// Whose prekeys, and what to do about them.
#[derive(Debug, Clone, Default, Args)]
pub struct PrekeysOptions {
    /// Only those of your account LABEL
    #[arg(long, value_name = "LABEL")]
    pub label: Option<String>,
    /// Repair what differs and upload what is lacking now, which tells the server and whoever watches your pool that you are
    /// there. `keyglass watch` does it at times that are drawn beforehand
    #[arg(long)]
    pub refill: bool,
}

/// Who is watched.
#[derive(Debug, Clone, Default, Args)]
pub struct ContactsOptions {
    /// Watch LABEL no longer. What was shown of it is still monitored until its owner has looked
    #[arg(long, value_name = "LABEL", conflicts_with = "watch")]
    pub ignore: Option<String>,
    /// Watch LABEL again
    #[arg(long, value_name = "LABEL")]
    pub watch: Option<String>,
}

/// How to look once.
#[derive(Debug, Clone, Default, Args)]
pub struct MonitorOptions {
    /// Take over the newest version of your own account LABEL, which another device of yours made: it must be signed by your
    /// identity key
    #[arg(long, value_name = "LABEL")]
    pub accept: Option<String>,
}

/// How to keep looking.
#[derive(Debug, Clone, Default, Args)]
pub struct WatchOptions {
    /// Look every so many seconds, give or take a fifth [default: a quarter of the log's monitoring window, at most 12 hours]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub every: Option<u64>,
    /// End after so many rounds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rounds: Option<u64>,
    /// Look once and end, as `monitor` does
    #[arg(long, conflicts_with_all = ["every", "rounds"])]
    pub once: bool,
    /// Say after every round what was checked, also if nothing has changed
    #[arg(long)]
    pub verbose: bool,
}

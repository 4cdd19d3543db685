//! The command line.

use std::{io::Write as _, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use keyglass_tlog::note::KeyName;

/// Follows a key-transparency log, replays every entry of it, compares it with what its witnesses show, and keeps
/// evidence if it ever signs two histories.
#[derive(Debug, Parser)]
#[command(name = "keyglass-auditor", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Machine-readable output: one JSON object per line on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes of `follow --once`, each with the verdict of the same name in --json:
   0  ok            fresh and witnessed, every entry replayed, nothing contradicts it
   1  failed        this auditor failed (data directory, disk); nothing was found out
   2  usage         the command line, the policy or the configuration cannot be used
  10  unreachable   no usable answer from the log, or from any witness
  11  stale         the newest entry is older than the configuration's max_behind
  13  unwitnessed   the head lacks cosignatures that the policy asks for
  14  catching_up   entries remain to be replayed (see --patience)
  22  invalid       what the log serves breaks its own rules
  23  unreconciled  signed heads do not fit together, and there is no evidence (yet)
  24  misbehaving   the log signed two histories: evidence is in DIR/evidence, and in the report
The gravest finding decides. `misbehaving` stays until the operator moves the evidence away.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes an auditor's data directory and key, and prints its vkey alone on one line
    Init(Init),
    /// Follows a log, once or until SIGTERM
    Follow(Follow),
}

/// `init`
#[derive(Debug, Args)]
pub struct Init {
    /// The directory to make; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The name of the auditor's key, such as auditor.example/1
    #[arg(long)]
    pub name: KeyName,
}

/// `follow`
#[derive(Debug, Args)]
pub struct Follow {
    /// The auditor's data directory; it belongs to one log
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The log's URL prefix, below which it serves /checkpoint and /tile
    #[arg(long, value_name = "LOG_URL")]
    pub url: String,
    /// A tlog-policy file: the witnesses, their URLs and the quorum
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// The log's Configuration, as the raw TLS encoding
    #[arg(long, value_name = "FILE")]
    pub configuration: PathBuf,
    /// Does one round, reports, and exits with the verdict's code
    #[arg(long, conflicts_with = "listen")]
    pub once: bool,
    /// Serves /v1/report, /v1/evidence, /v1/heads, /healthz, /readyz and /metrics here; the port may be 0
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Milliseconds between rounds, give or take half
    #[arg(long, value_name = "MS", default_value = "5000", value_parser = milliseconds)]
    pub interval: Duration,
    /// Milliseconds that one request to the log or to a witness may take
    #[arg(long, value_name = "MS", default_value = "10000", value_parser = milliseconds)]
    pub timeout: Duration,
    /// Milliseconds that one round may replay entries before it compares; the next one goes on [default: 60000, with
    /// --once 3600000]
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub patience: Option<Duration>,
    /// Requests per second that one address may make to --listen
    #[arg(long, value_name = "N", default_value = "1000")]
    pub rate: NonZeroU32,
}

/// A duration of at least one millisecond and at most a day.
fn milliseconds(text: &str) -> Result<Duration, &'static str> {
    let ms: u64 = text.parse().map_err(|_| "not a number of milliseconds")?;
    if (1..=86_400_000).contains(&ms) {
        Ok(Duration::from_millis(ms))
    } else {
        Err("must be from 1 to 86400000")
    }
}

/// Writes a line to stdout at once. That nobody reads it any more is no reason to stop auditing.
pub fn print_line(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    if let Err(error) = written {
        tracing::warn!(%error, "stdout cannot be written");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::verdict::Verdict;

    #[test]
    fn the_command_line_is_sound_and_its_codes_are_the_verdicts() {
        Cli::command().debug_assert();
        for verdict in Verdict::ALL {
            let line = format!("{:>4}  {} ", verdict.exit_code(), verdict.name());
            assert!(EXIT_CODES.lines().any(|l| l.starts_with(&line)), "{line}");
        }
    }

    #[test]
    fn durations_are_bounded() {
        assert_eq!(milliseconds("5"), Ok(Duration::from_millis(5)));
        for bad in ["", "0", "-1", "86400001", "1s", "18446744073709551616"] {
            assert!(milliseconds(bad).is_err(), "{bad}");
        }
    }
}

//! The command line.

use std::{io::Write as _, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use keyglass_service::{
    passphrase::PassphraseOptions,
    tls::{RootOptions, TlsOptions},
};
use keyglass_tlog::note::KeyName;
use thiserror::Error;

use crate::settings::LogSettings;

/// An auditor of a key-transparency log.
///
/// It replays every entry of the log and every change that the entries made, compares the log with what its witnesses show,
/// and keeps evidence if it ever signs two histories. Options may stand before or after the command.
#[derive(Debug, Parser)]
#[command(name = "keyglass-auditor", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,

    /// The auditor's data directory: its key (mode 0600), what it replayed, and evidence
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Machine-readable output: one JSON object per line on stdout
    #[arg(long, global = true)]
    pub json: bool,

    #[command(flatten)]
    init: InitOptions,

    #[command(flatten)]
    follow: FollowOptions,

    /// Where the passphrase of the key is
    #[command(flatten)]
    pub passphrase: PassphraseOptions,
}

const SETTINGS: &str = "\
The file is TOML; paths are relative to it, and keys that are not listed here are refused:

  [[log]]                                # one for each log, at least one
  name          = \"chat\"               # what it is called on pages and in alerts
  urls          = [\"https://log.example\"] # tiles and updates come from the first; what the others show is compared
  configuration = \"chat.configuration\" # the log's Configuration, as the raw TLS encoding
  policy        = \"chat.policy\"        # a tlog-policy file; needed under suite 0xF001
  monitoring    = { w1 = \"https://w1.example/monitor\" } # in place of the URLs in the policy; optional
  interval_ms   = 5000                   # in place of --interval; optional, as the following are
  timeout_ms    = 10000                  # in place of --timeout
  patience_ms   = 60000                  # in place of --patience
  max_update_leaves = 200000             # in place of --max-update-leaves

  [[auditor]]                            # other auditors, asked about every log; optional
  name = \"watchdog\"
  url  = \"https://auditor.example\"

Example:
  keyglass-auditor serve --data /var/lib/auditor --config /etc/keyglass/auditor.toml --listen 127.0.0.1:7390";

const EXIT_CODES: &str = "\
Exit codes of `check` and `follow --once`, each with the verdict of the same name in --json:
   0  ok            fresh and witnessed, every entry replayed, nothing contradicts it
   1  failed        this auditor failed (data directory, disk); nothing was found out
   2  usage         the command line, the policy, the configuration, the certificate or the passphrase cannot be used
  10  unreachable   no usable answer from the log, or from any witness
  11  stale         the newest entry is older than the configuration's max_behind
  13  unwitnessed   the head lacks cosignatures that the policy asks for
  14  catching_up   entries remain to be replayed (see --patience)
  15  unaudited     the log does not hand out how the prefix tree changed
  22  invalid       what the log serves breaks its own rules
  23  unreconciled  signed heads do not fit together, and there is no evidence (yet)
  24  misbehaving   the log signed two histories: evidence is in DIR/evidence, and in the report
  29  bad_update    a change of the prefix tree does not verify: the update is in DIR/refused
The gravest finding decides. `misbehaving` stays until the operator moves the evidence away.

Example:
  keyglass-auditor init   --data /var/lib/auditor --name auditor.example/1
  keyglass-auditor serve  --data /var/lib/auditor --config auditor.toml --listen 127.0.0.1:7390
  keyglass-auditor check  https://log.example --policy trust.policy --configuration log.configuration
  keyglass-auditor follow --data /var/lib/auditor --url https://log.example --policy trust.policy \\
                          --configuration log.configuration --once --json";

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Make a new auditor's data directory and key, and print its vkey alone on one line
    ///
    /// Needs --data and --name. A log's Configuration may commit to the vkey. A directory in which something is already
    /// is not touched.
    Init,
    /// Print the auditor's vkey alone on one line
    ///
    /// Needs --data.
    Vkey,
    /// Seal the auditor's key under a passphrase, or change the passphrase
    ///
    /// Needs --data and --passphrase-file; --old-passphrase-file as well for a key that is sealed already. Run again, it
    /// changes nothing.
    SealKeys,
    /// Follow the logs of a configuration file until SIGTERM
    ///
    /// Needs --data and --config. What one log does or fails to do changes nothing for the others. With --listen the first
    /// line on stdout is a JSON object with the URL that is served (`listening`). The log goes to stderr, filtered by RUST_LOG.
    #[command(after_help = SETTINGS)]
    Serve,
    /// Audit one log from its first entry on, once, with nothing remembered: for a cron job or CI
    ///
    /// Needs --configuration and, for a log of suite 0xF001, --policy; no data directory. Exits with the verdict's code, and
    /// leaves evidence and updates that do not verify in the directory --out.
    Check {
        /// The log's URL prefix, below which it serves /checkpoint and /tile
        #[arg(value_name = "LOG_URL")]
        url: String,
        /// Where evidence is left, if there is some
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
    /// Follow one log, once or until SIGTERM
    ///
    /// Needs --data, --url, --configuration and, for a log of suite 0xF001, --policy. If the configuration names this
    /// directory's key as the log's auditor, it signs heads, which the log fetches from --listen. With --listen the first line on stdout is a JSON object with
    /// the URL that is served (`listening`). The log goes to stderr, filtered by RUST_LOG.
    Follow,
}

#[derive(Debug, Args)]
struct InitOptions {
    /// init: the name of the auditor's key, by recommendation a URL without scheme, such as auditor.example/1
    #[arg(long, global = true, value_name = "NAME")]
    name: Option<KeyName>,
}

#[derive(Debug, Args)]
struct FollowOptions {
    /// follow: the log's URL prefix, below which it serves /checkpoint and /tile
    #[arg(long, global = true, value_name = "LOG_URL")]
    url: Option<String>,

    /// follow, check: a tlog-policy file: the witnesses, their URLs and the quorum
    #[arg(long, global = true, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// follow, check: the log's Configuration, as the raw TLS encoding
    #[arg(long, global = true, value_name = "FILE")]
    configuration: Option<PathBuf>,

    /// serve: the TOML file of the logs to follow, see `serve --help`
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// serve: a file of witnesses and auditors to gossip with, `peer NAME URL` on a line; read again on SIGHUP
    #[arg(long, global = true, value_name = "FILE")]
    peers: Option<PathBuf>,

    /// serve: milliseconds between two rounds of gossip with a peer, give or take half
    #[arg(long, global = true, value_name = "MS", default_value = "2000", value_parser = milliseconds)]
    gossip_period: Duration,

    /// follow: do one round, report, and exit with the verdict's code
    #[arg(long, global = true, conflicts_with = "listen")]
    once: bool,

    /// follow, serve: serve /v1/status, /v1/report, /v1/evidence, /v1/heads, /v1/auditor-head, /healthz, /readyz and /metrics here; port 0 takes a free one
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    #[command(flatten)]
    tls: TlsOptions,

    #[command(flatten)]
    roots: RootOptions,

    /// follow, serve: milliseconds between rounds, give or take half
    #[arg(long, global = true, value_name = "MS", default_value = "5000", value_parser = milliseconds)]
    interval: Duration,

    /// follow, serve, check: milliseconds that one request to the log or to a witness may take
    #[arg(long, global = true, value_name = "MS", default_value = "10000", value_parser = milliseconds)]
    timeout: Duration,

    /// follow, serve, check: milliseconds that one round may replay entries and updates before it compares; the next one goes on [default: 60000,
    /// with --once and check 3600000]
    #[arg(long, global = true, value_name = "MS", value_parser = milliseconds)]
    patience: Option<Duration>,

    /// follow, serve, check: the most leaves that one entry may add and remove; an update of more is refused, and bounded before it is read
    #[arg(long, global = true, value_name = "N", default_value = "200000")]
    max_update_leaves: u32,

    /// follow, serve: requests a second that each address may make to --listen; more are answered 429
    #[arg(long, global = true, value_name = "N", default_value = "1000")]
    rate_limit: NonZeroU32,
}

/// The command needs an option that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{command} needs {option}")]
pub struct MissingOption {
    /// The command.
    command: &'static str,
    /// The option.
    option: &'static str,
}

/// What `serve` is asked to do, beside what its file says.
#[derive(Debug)]
pub struct Serve {
    /// The data directory.
    pub data: PathBuf,
    /// The file of the logs.
    pub config: PathBuf,
    /// The file of peers to gossip with.
    pub peers: Option<PathBuf>,
    /// Between rounds of gossip.
    pub gossip_period: Duration,
    /// What is common to all logs.
    pub common: Common,
}

/// What `follow` and `serve` are both asked.
#[derive(Debug)]
pub struct Common {
    /// Where to serve.
    pub listen: Option<SocketAddr>,
    /// The certificate to serve with.
    pub tls: TlsOptions,
    /// Whose certificates to trust.
    pub roots: RootOptions,
    /// Between rounds.
    pub interval: Duration,
    /// For one request.
    pub timeout: Duration,
    /// For replaying in one round.
    pub patience: Duration,
    /// The most leaves in an update.
    pub max_update_leaves: usize,
    /// Requests per second and address.
    pub rate_limit: NonZeroU32,
}

/// What `check` is asked to do.
#[derive(Debug)]
pub struct Check {
    /// The log.
    pub log: LogSettings,
    /// Where evidence is left.
    pub out: PathBuf,
    /// What `follow` is asked, too.
    pub common: Common,
}

/// What `follow` is asked to do.
#[derive(Debug)]
pub struct Follow {
    /// The data directory.
    pub data: PathBuf,
    /// The log.
    pub log: LogSettings,
    /// Whether one round is enough.
    pub once: bool,
    /// What `serve` is asked, too.
    pub common: Common,
}

impl Cli {
    /// The data directory of any command.
    ///
    /// # Errors
    /// [`MissingOption`].
    pub fn data(&self) -> Result<PathBuf, MissingOption> {
        need(self.command.name(), "--data", self.data.as_ref())
    }

    /// The name for `init`.
    ///
    /// # Errors
    /// [`MissingOption`].
    pub fn name(&self) -> Result<KeyName, MissingOption> {
        need("init", "--name", self.init.name.as_ref())
    }

    /// The options of `follow`.
    ///
    /// # Errors
    /// [`MissingOption`].
    pub fn follow(&self) -> Result<Follow, MissingOption> {
        let options = &self.follow;
        Ok(Follow {
            data: self.data()?,
            log: self.log(need("follow", "--url", options.url.as_ref())?)?,
            once: options.once,
            common: self.common(),
        })
    }

    /// The options of `check`.
    ///
    /// # Errors
    /// [`MissingOption`].
    pub fn check(&self) -> Result<Check, MissingOption> {
        let Command::Check { url, out } = &self.command else {
            return Err(MissingOption { command: "check", option: "LOG_URL" });
        };
        Ok(Check { log: self.log(url.clone())?, out: out.clone(), common: self.common() })
    }

    /// The log of a command that is about one.
    fn log(&self, url: String) -> Result<LogSettings, MissingOption> {
        let configuration = need(self.command.name(), "--configuration", self.follow.configuration.as_ref())?;
        let mut log = LogSettings::at(url, configuration);
        log.policy.clone_from(&self.follow.policy);
        Ok(log)
    }

    /// The options of `serve`.
    ///
    /// # Errors
    /// [`MissingOption`].
    pub fn serve(&self) -> Result<Serve, MissingOption> {
        let (data, common) = (self.data()?, self.common());
        let config = need("serve", "--config", self.follow.config.as_ref())?;
        let (peers, gossip_period) = (self.follow.peers.clone(), self.follow.gossip_period);
        Ok(Serve { data, config, peers, gossip_period, common })
    }

    fn common(&self) -> Common {
        let options = &self.follow;
        let once = options.once || matches!(self.command, Command::Check { .. });
        let patience = if once { Duration::from_secs(3600) } else { Duration::from_secs(60) };
        Common {
            listen: options.listen,
            tls: options.tls.clone(),
            roots: options.roots.clone(),
            interval: options.interval,
            timeout: options.timeout,
            patience: options.patience.unwrap_or(patience),
            max_update_leaves: usize::try_from(options.max_update_leaves).unwrap_or(usize::MAX),
            rate_limit: options.rate_limit,
        }
    }
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Check { .. } => "check",
            Self::Init => "init",
            Self::Vkey => "vkey",
            Self::SealKeys => "seal-keys",
            Self::Serve => "serve",
            Self::Follow => "follow",
        }
    }
}

fn need<T: Clone>(
    command: &'static str,
    option: &'static str,
    value: Option<&T>,
) -> Result<T, MissingOption> {
    value.cloned().ok_or(MissingOption { command, option })
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

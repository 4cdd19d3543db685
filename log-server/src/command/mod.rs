//! The command line: `init`, `serve`, `keys`, `reset`, `erase` and `handover`.

mod erase;
mod handover;
mod init;
mod keys;
mod prekeys;
mod reset;
mod serve;

use std::{
    io::Write as _,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum, error::ErrorKind};
use keyglass_account::problem::ProblemDetails;
use keyglass_crypto::sealed::Passphrase;
use keyglass_keytrans::config::CipherSuite;
use keyglass_log_server::{
    audit::poll::{self, BadUrl},
    data_dir::{self, DataError, Place},
    handover::EndError,
    init::InitError,
    publisher::PolicyUnusable,
    registration::{Registration, keys::KeyFileError as TokenKeysError},
    server::Failed,
    server::StartError,
    signing_keys::KeysError,
    tokens,
};
use keyglass_service::{
    key_file::KeyFileError,
    passphrase::{PassphraseError, PassphraseOptions},
    tls::{RootOptions, TlsError, TlsOptions},
};
use keyglass_tlog::{note::Vkey, policy::PolicyError};
use thiserror::Error;

use handover::HandoverOptions;
use keys::KeysCommand;
use prekeys::PreKeyOptions;

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 another failure; 2 wrong usage; 3 the data directory was refused; 4 the policy was refused; 5 the \
address could not be bound, or its certificate was refused; 6 the running server has to be started anew; 7 an operator's command was refused; 8 the passphrase is missing or wrong.

Example:
  keyglass-log-server init  --data /var/lib/log --prefix log.example >log.json
  keyglass-log-server serve --data /var/lib/log --listen 127.0.0.1:7370 --policy witnesses.policy";

/// A transparency log of account records (IETF KEYTRANS), its prekey service and its mailboxes.
///
/// Every version of every account becomes part of an append-only log, and a head of it is served once a quorum of the
/// policy's witnesses has cosigned it (C2SP tlog-witness). Options may stand before or after the command.
#[derive(Parser)]
#[command(name = "keyglass-log-server", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// The data directory: keys (mode 0600), configuration and database
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Print results as one JSON object on one line
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    init: InitOptions,

    #[command(flatten)]
    serve: ServeOptions,

    #[command(flatten)]
    reset: ResetOptions,

    #[command(flatten)]
    passphrase: PassphraseOptions,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new log. Prints one JSON object: vkey, vkeys (of all its keys), origin, configuration (base64 of the TLS
    /// encoding)
    ///
    /// Needs --data and --prefix. What is chosen here stays: the origin commits to the configuration, so that a change
    /// of anything in it is another log. A directory that is not empty is not touched.
    Init,
    /// Run the log
    ///
    /// Needs --data, --listen and --policy, and --auditor where the configuration names an auditor. The first line on stdout is a JSON object with the URL that is served
    /// (`listening`); the log goes to stderr, filtered by RUST_LOG. SIGTERM ends it.
    Serve,
    /// List, add and retire the keys that the log signs its heads with. Prints the object that `init` prints
    ///
    /// Needs --data. A running server takes no notice before it is started anew.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Seal all keys of the log under a passphrase, or change the passphrase. Prints the files that it sealed
    ///
    /// Needs --data and --passphrase-file; --old-passphrase-file as well for keys that are sealed already. Run again, it
    /// changes nothing.
    SealKeys,
    /// Put a reset record on top of an account whose owner has lost all keys, in a running server
    ///
    /// Needs --data, --label and --record. A reset is the provider's word alone: it is logged, every client says so, and
    /// an account in lockdown refuses it. Waits until the record is published.
    Reset,
    /// Erase what a version of an account says, in a running server
    ///
    /// Needs --data, --label and --version, which stands after the command. Opening and value leave the database for good;
    /// that there was such a version, and what it is a commitment to, stays in the log. Waits until no file of the database
    /// holds them any more. May be repeated.
    Erase(EraseOptions),
    /// End a stopped log in favour of another, and print the handover that its users need
    ///
    /// Needs --data and --to, which stands after the command. The log declares its final head and is never served again. Run
    /// once more, it prints the same. Refused while a server runs on the directory, and while entries are not published.
    Handover(Box<HandoverOptions>),
}

#[derive(clap::Args)]
struct InitOptions {
    /// init: what the log's origin starts with, such as log.example
    #[arg(long, global = true, value_name = "PREFIX")]
    prefix: Option<String>,

    /// init: the cipher suite. 0xF001 has heads that witnesses can cosign, 0x0002 is the draft's
    #[arg(long, global = true, value_name = "SUITE", default_value = "0xF001", value_parser = parse_suite)]
    suite: CipherSuite,

    /// init: sign heads with an ML-DSA-44 key as well; keys add: draw such a key and not one of Ed25519
    #[arg(long, global = true)]
    ml_dsa: bool,

    /// init: who vouches for the log beside itself
    #[arg(long, global = true, value_enum)]
    mode: Option<Mode>,

    /// init: the auditor's verifier key; implies --mode third-party-auditing
    #[arg(long, global = true, value_name = "VKEY", value_parser = parse_vkey)]
    auditor_vkey: Option<Vkey>,

    /// init: how far the auditor may lag behind, in milliseconds
    #[arg(long, global = true, value_name = "MS", default_value = "3600000")]
    max_auditor_lag: u64,

    /// init: the first log entry that the auditor verifies, which has to be 0 under suite 0x0002
    #[arg(long, global = true, value_name = "N", default_value = "0")]
    auditor_start: u64,

    /// init: the reasonable monitoring window in milliseconds: how often owners are expected to monitor
    #[arg(long, global = true, value_name = "MS", default_value = "86400000")]
    rmw: u64,

    /// init: how far the log's last entry may be ahead of a user's clock, in milliseconds
    #[arg(long, global = true, value_name = "MS", default_value = "60000")]
    max_ahead: u64,

    /// init: how far the log's last entry may be behind a user's clock, in milliseconds
    #[arg(long, global = true, value_name = "MS", default_value = "600000")]
    max_behind: u64,

    /// init: how long log entries live, in milliseconds; for ever without this option. What only expired entries need is
    /// deleted
    #[arg(long, global = true, value_name = "MS")]
    max_lifetime: Option<u64>,
}

#[derive(clap::Args)]
struct ServeOptions {
    /// serve: the address to listen on; port 0 takes a free one
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    #[command(flatten)]
    tls: TlsOptions,

    #[command(flatten)]
    roots: RootOptions,

    /// serve: a tlog-policy file; its `witness <name> <vkey> <url>` lines are asked, its quorum line says which suffice
    #[arg(long, global = true, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// serve: who may register an account: anybody (open), or whoever brings a token that a key in FILE, a JWK Set, has signed
    /// (token:FILE). SIGHUP reads FILE again
    #[arg(long, global = true, value_name = "POLICY", default_value = "open", value_parser = parse_registration)]
    registration: Registration,

    /// serve: under which labels accounts may be registered; accounts that are there go on
    #[arg(long, global = true, value_enum, default_value_t = LabelChoice::Normalised)]
    labels: LabelChoice,

    /// serve: the URL of the auditor that the log's configuration names; needed in third-party-auditing mode only
    #[arg(long, global = true, value_name = "URL", value_parser = parse_auditor)]
    auditor: Option<poll::Settings>,

    /// serve: the greatest age of the last log entry before an empty one is added, in milliseconds; a fifth of max-behind,
    /// at most a minute, without this option
    #[arg(long, global = true, value_name = "MS")]
    heartbeat: Option<u64>,

    /// serve: how long a batch of updates waits for more after its first, in milliseconds
    #[arg(long, global = true, value_name = "MS", default_value = "50")]
    batch_window: u64,

    /// serve: the most versions in one log entry
    #[arg(long, global = true, value_name = "N", default_value = "100000")]
    batch_size: usize,

    /// serve: how long what has expired stays for requests under way, in milliseconds; less than 30000 is for tests. Only
    /// for logs with --max-lifetime
    #[arg(long, global = true, value_name = "MS", default_value = "60000")]
    pruning_grace: u64,

    /// serve: requests a second that one address may make; more are answered 429. 0 for no limit
    #[arg(long, global = true, value_name = "N", default_value = "2000")]
    rate_limit: u32,

    #[command(flatten)]
    prekeys: PreKeyOptions,
}

#[derive(clap::Args)]
struct ResetOptions {
    /// reset, erase: the account's label, as it is typed
    #[arg(long, global = true, value_name = "LABEL")]
    label: Option<String>,

    /// reset: a file with the encoded record, whose authorisation is a reset
    #[arg(long, global = true, value_name = "FILE")]
    record: Option<PathBuf>,
}

#[derive(clap::Args)]
struct EraseOptions {
    /// The version of the label, counted from 0
    #[arg(long, value_name = "VERSION")]
    version: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Contacts monitor what they looked up
    ContactMonitoring,
    /// An auditor signs heads whose every entry it has checked
    ThirdPartyAuditing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LabelChoice {
    /// User names (RFC 8265), telephone numbers (E.164) and e-mail addresses, each in its one form
    Normalised,
    /// Any 1 to 255 bytes
    Any,
}

/// Why a command failed.
#[derive(Debug, Error)]
enum CommandError {
    #[error("{0} needs {1}")]
    MissingOption(&'static str, &'static str),
    #[error("--mode third-party-auditing needs --auditor-vkey VKEY, and contact-monitoring has no auditor")]
    Auditor,
    #[error(transparent)]
    Init(#[from] InitError),
    #[error("the heartbeat ({heartbeat} ms) must be more than 0 and less than max-behind ({max_behind} ms)")]
    Heartbeat { heartbeat: u64, max_behind: u64 },
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", .path.display())]
    PolicyFile { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", .path.display())]
    Policy { path: PathBuf, source: PolicyError },
    #[error("{}: {source}", .path.display())]
    PolicyUnusable { path: PathBuf, source: PolicyUnusable },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the registration policy: {0}")]
    Registration(#[from] TokenKeysError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    End(#[from] EndError),
    #[error(transparent)]
    Start(StartError),
    #[error("{0}; what is durable shows after a restart")]
    Failed(#[from] Failed),
    #[error("no server answers in {}: {source}", .path.display())]
    NoServer { path: PathBuf, source: std::io::Error },
    #[error("the label has 1 to 255 bytes, the record at most 131072")]
    Bounds,
    #[error("{} ({}){}", .0.title.as_deref().unwrap_or("refused"), .0.kind, detail(.0))]
    Refused(ProblemDetails),
    #[error("{0}")]
    System(#[from] std::io::Error),
}

fn detail(problem: &ProblemDetails) -> String {
    problem.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"))
}

impl CommandError {
    /// What is wrong with a key's file, if that is it.
    fn key_file(&self) -> Option<&KeyFileError> {
        match self {
            Self::Data(DataError::Key(error))
            | Self::Keys(KeysError::Data(DataError::Key(error)))
            | Self::Start(StartError::TokenKey(tokens::key::KeyError::File(error))) => Some(error),
            _ => None,
        }
    }

    fn exit_code(&self) -> u8 {
        if self.key_file().is_some_and(KeyFileError::is_of_passphrase) {
            return 8;
        }
        match self {
            Self::Passphrase(_) => 8,
            Self::System(_) | Self::File { .. } => 1,
            Self::MissingOption(..)
            | Self::Auditor
            | Self::Init(_)
            | Self::Heartbeat { .. }
            | Self::Bounds => 2,
            Self::Start(StartError::AuditorAddress { .. }) => 2,
            Self::Keys(KeysError::Data(_)) => 3,
            Self::Keys(_) => 2,
            Self::Data(_) | Self::End(_) | Self::Start(_) => 3,
            Self::PolicyFile { .. } | Self::Policy { .. } | Self::PolicyUnusable { .. } => 4,
            Self::Tls(TlsError::Incomplete) | Self::Registration(_) => 2,
            Self::Listen { .. } | Self::Tls(_) => 5,
            Self::Failed(_) => 6,
            Self::NoServer { .. } | Self::Refused(_) => 7,
        }
    }
}

/// Runs the command of this process.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if asked_for { 0 } else { 2 });
        }
    };
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keyglass-log-server: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(arguments: &Arguments) -> Result<(), CommandError> {
    let name = match &arguments.command {
        Command::Init => "init",
        Command::Serve => "serve",
        Command::Keys(_) => "keys",
        Command::SealKeys => "seal-keys",
        Command::Reset => "reset",
        Command::Erase(_) => "erase",
        Command::Handover(_) => "handover",
    };
    let data = arguments.data.as_deref().ok_or(CommandError::MissingOption(name, "--data DIR"))?;
    let passphrase = || arguments.passphrase.read();
    match &arguments.command {
        Command::Init => init::run(place(data, passphrase()?.as_ref()), &arguments.init),
        Command::Serve => serve::run(place(data, passphrase()?.as_ref()), &arguments.serve),
        Command::Keys(command) => {
            keys::run(place(data, passphrase()?.as_ref()), command, arguments.init.ml_dsa)
        }
        Command::SealKeys => {
            let (before, passphrase) = arguments.passphrase.read_both()?;
            data_dir::seal_keys(data, before.as_ref(), &passphrase)?
                .iter()
                .try_for_each(|file| print_line(file))
        }
        Command::Reset => reset::run(data, &arguments.reset, arguments.json),
        Command::Erase(options) => {
            erase::run(data, arguments.reset.label.as_deref(), options, arguments.json)
        }
        Command::Handover(options) => {
            handover::run(place(data, passphrase()?.as_ref()), options, arguments.json)
        }
    }
}

/// The log's directory, and what seals its keys.
fn place<'p>(path: &'p Path, passphrase: Option<&'p Passphrase>) -> Place<'p> {
    Place { path, passphrase }
}

/// Prints a line that a script waits for.
fn print_line(line: &str) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

fn parse_suite(text: &str) -> Result<CipherSuite, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let number = u16::from_str_radix(digits, 16).map_err(|_| "a suite is a hexadecimal number".to_owned())?;
    CipherSuite::from_number(number).ok_or_else(|| "the suites are 0xF001 and 0x0002".to_owned())
}

fn parse_registration(text: &str) -> Result<Registration, String> {
    match text.split_once(':') {
        None if text == "open" => Ok(Registration::Open),
        Some(("token", file)) if !file.is_empty() => Ok(Registration::Token(file.into())),
        _ => Err("registration is open, or token:FILE".to_owned()),
    }
}

fn parse_auditor(text: &str) -> Result<poll::Settings, BadUrl> {
    poll::Settings::new(text)
}

fn parse_vkey(text: &str) -> Result<Vkey, String> {
    Vkey::parse(text).map_err(|error| error.to_string())
}

/// The rate limit that an option of 0 or more means.
fn rate(limit: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(limit)
}

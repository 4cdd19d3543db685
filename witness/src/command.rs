//! The command line.

mod confirm;
mod init;
mod policy_file;
mod serve;

use std::{io::Write as _, net::SocketAddr, num::NonZeroU32, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum, error::ErrorKind};
use keyglass_service::{
    key_file::{KeyFileError, Sealing},
    passphrase::{PassphraseError, PassphraseOptions},
    tls::{TlsError, TlsOptions},
};
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{KeyName, NoteError, PublicKey, Vkey},
    policy::PolicyError,
};
use keyglass_witness::{
    key::{self, KeyError, KeyType},
    rollback::NotShown,
    store::{ConfirmError, StoreError},
};
use thiserror::Error;

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 another failure; 2 wrong usage; 3 the data directory, its keys or its state was refused; \
4 the policy was refused; 5 the address could not be bound, or its certificate was refused; 6 the passphrase is missing or \
wrong; 7 confirm: logs are still suspended.

Example:
  keyglass-witness init  --data /var/lib/witness --name witness.example/w1
  keyglass-witness serve --data /var/lib/witness --listen 127.0.0.1:7380 --policy logs.policy";

/// A witness of transparency logs.
///
/// It cosigns the checkpoints of the logs in its policy (C2SP tlog-witness): each only if the tree behind it extends
/// every tree that it cosigned for that log before. Options may stand before or after the command.
#[derive(Parser)]
#[command(name = "keyglass-witness", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// The data directory: the private keys (witness.key and witness-ml-dsa-44.key, mode 0600) and the state
    /// (witness.redb and witness.count)
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Print results as one JSON object on one line
    #[arg(long, global = true)]
    json: bool,

    /// serve, confirm: a tlog-policy file; its `log <vkey>` lines are the logs to cosign
    #[arg(long, global = true, value_name = "FILE")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    init: InitOptions,

    #[command(flatten)]
    serve: ServeOptions,

    #[command(flatten)]
    confirm: ConfirmOptions,

    #[command(flatten)]
    passphrase: PassphraseOptions,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new witness: its keys and an empty state. Prints the verifier keys, one a line, Ed25519 first
    ///
    /// Needs --data and --name. Logs need the printed keys in their policies, in one `any` group, since they are one
    /// witness. A directory that has a key or a state is not touched.
    Init,
    /// Print the verifier keys of a witness, one a line, Ed25519 first
    ///
    /// Needs --data.
    Vkey,
    /// Make the key that a witness lacks, of the type that it does not sign with yet, and print all verifier keys
    ///
    /// Needs --data, and the witness stopped. Cut off, it can be run again.
    AddKey,
    /// Seal the keys of a witness under a passphrase, or change the passphrase
    ///
    /// Needs --data and --passphrase-file; --old-passphrase-file as well for keys that are sealed already. Run again, it
    /// changes nothing.
    SealKeys,
    /// Run the witness
    ///
    /// Needs --data, --listen and --policy. The first line on stdout is a JSON object with the URL that is served
    /// (`listening`), the verifier keys (`vkeys`) and the first of them (`vkey`); the log goes to stderr, filtered by
    /// RUST_LOG. SIGHUP has the policy read again, SIGTERM ends it.
    Serve,
    /// Go on after the state was put back from a backup or moved
    ///
    /// Needs --data and --policy, and the witness stopped. Such a state may lack what was signed since. Give with --note
    /// the checkpoints of each log that others have with a cosignature of this witness (the log's own `/checkpoint`,
    /// auditors, other monitors): the largest becomes the log's head. Logs of which nothing newer can exist are vouched
    /// for with --as-it-is. The rest stays suspended, and is answered 503. Prints one line for each log: its origin, its
    /// size, and what became of it.
    Confirm,
}

/// The keys that a new witness gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnlyKey {
    Ed25519,
    #[value(name = "ml-dsa-44")]
    MlDsa44,
}

#[derive(clap::Args)]
struct InitOptions {
    /// init: the witness's name, by recommendation a URL without scheme, such as witness.example/w1
    #[arg(long, global = true, value_name = "NAME")]
    name: Option<KeyName>,

    /// init, add-key: another name for the ML-DSA-44 key
    #[arg(long, global = true, value_name = "NAME")]
    ml_dsa_name: Option<KeyName>,

    /// init: make a key of this type only
    #[arg(long, global = true, value_name = "TYPE")]
    only: Option<OnlyKey>,
}

#[derive(clap::Args)]
struct ServeOptions {
    /// serve: the address to listen on; port 0 takes a free one
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    #[command(flatten)]
    tls: TlsOptions,

    /// serve: requests a second that each log may make; more are answered 429
    #[arg(long, global = true, value_name = "N", default_value = "1000")]
    rate_limit: NonZeroU32,

    /// serve: start although the policy lists no log
    #[arg(long, global = true)]
    allow_no_logs: bool,
}

#[derive(clap::Args)]
struct ConfirmOptions {
    /// confirm: a checkpoint with a cosignature of this witness; may be given again
    #[arg(long, global = true, value_name = "FILE")]
    note: Vec<PathBuf>,

    /// confirm: the origin of a log of which nothing newer than the state exists; may be given again
    #[arg(long, global = true, value_name = "ORIGIN")]
    as_it_is: Vec<String>,

    /// confirm: nothing newer than the state exists of any log
    #[arg(long, global = true)]
    all_as_it_is: bool,

    /// confirm: the state is from a backup although its files do not show it, as after a snapshot of a whole machine
    #[arg(long, global = true)]
    restored: bool,
}

/// Why a command failed.
#[derive(Debug, Error)]
enum CommandError {
    #[error("{0} needs {1}")]
    MissingOption(&'static str, &'static str),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}: there is a witness in this directory already", .0.display())]
    AlreadyMade(PathBuf),
    #[error("{}: there is a state without a key, which an init that was cut off may have left", .0.display())]
    NoKey(PathBuf),
    #[error("{}: this witness has a key of every type already", .0.display())]
    NoKeyToAdd(PathBuf),
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    #[error("{}: {source}", .path.display())]
    NoteFile { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", .path.display())]
    Note { path: PathBuf, source: NoteError },
    #[error("{}: {source}", .path.display())]
    NotShown { path: PathBuf, source: NotShown },
    #[error("{0} logs are still suspended; more of their checkpoints, or --as-it-is, are needed")]
    StillSuspended(usize),
    #[error("{}: {source}", .path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", .path.display())]
    PolicyFile { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", .path.display())]
    Policy { path: PathBuf, source: PolicyError },
    #[error("{}: the policy lists no log to cosign (--allow-no-logs starts all the same)", .0.display())]
    NoLogs(PathBuf),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl CommandError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::System(_) => 1,
            Self::MissingOption(..) | Self::Tls(TlsError::Incomplete) => 2,
            Self::Key(KeyError::File(error)) if KeyFileError::is_of_passphrase(error) => 6,
            Self::Passphrase(_) => 6,
            Self::Key(_)
            | Self::Store(_)
            | Self::Confirm(_)
            | Self::NoteFile { .. }
            | Self::Note { .. }
            | Self::NotShown { .. }
            | Self::AlreadyMade(_)
            | Self::NoKey(_)
            | Self::NoKeyToAdd(_)
            | Self::Directory { .. } => 3,
            Self::PolicyFile { .. } | Self::Policy { .. } | Self::NoLogs(_) => 4,
            Self::Listen { .. } | Self::Tls(_) => 5,
            Self::StillSuspended(_) => 7,
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
            eprintln!("keyglass-witness: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(arguments: &Arguments) -> Result<(), CommandError> {
    let command = match arguments.command {
        Command::Init => "init",
        Command::Vkey => "vkey",
        Command::AddKey => "add-key",
        Command::SealKeys => "seal-keys",
        Command::Serve => "serve",
        Command::Confirm => "confirm",
    };
    let missing = |option| CommandError::MissingOption(command, option);
    let data = arguments.data.as_deref().ok_or_else(|| missing("--data DIR"))?;
    let policy = || arguments.policy.as_deref().ok_or_else(|| missing("--policy FILE"));
    let passphrase = || arguments.passphrase.read();
    match arguments.command {
        Command::Init => {
            let name = arguments.init.name.as_ref().ok_or_else(|| missing("--name NAME"))?;
            print_vkeys(&init::run(data, name, &arguments.init, passphrase()?.as_ref())?, arguments.json)
        }
        Command::Vkey => print_vkeys(&key::load(data, passphrase()?.as_ref())?, arguments.json),
        Command::AddKey => {
            print_vkeys(&init::add_key(data, &arguments.init, passphrase()?.as_ref())?, arguments.json)
        }
        Command::SealKeys => {
            let (before, passphrase) = arguments.passphrase.read_both()?;
            print_line(match key::seal(data, before.as_ref(), &passphrase)? {
                Sealing::Sealed => "the keys are sealed",
                Sealing::Kept => "the keys were sealed under this passphrase already",
            })
        }
        Command::Serve => {
            let listen = arguments.serve.listen.ok_or_else(|| missing("--listen ADDR"))?;
            serve::run(data, listen, policy()?, &arguments.serve, passphrase()?.as_ref())
        }
        Command::Confirm => {
            let cosigners = key::load(data, passphrase()?.as_ref())?;
            confirm::run(data, policy()?, &cosigners, &arguments.confirm, arguments.json)
        }
    }
}

fn vkeys(cosigners: &[Cosigner]) -> Vec<&Vkey> {
    cosigners.iter().map(Cosigner::vkey).collect()
}

fn print_vkeys(cosigners: &[Cosigner], json: bool) -> Result<(), CommandError> {
    if !json {
        return cosigners.iter().try_for_each(|cosigner| print_line(&cosigner.vkey().to_string()));
    }
    let described = |cosigner: &Cosigner| {
        let vkey = cosigner.vkey();
        let key_type = match vkey.key() {
            PublicKey::MlDsa44Cosigner(_) => KeyType::MlDsa44,
            PublicKey::Ed25519(_) | PublicKey::Ed25519Cosigner(_) => KeyType::Ed25519,
        };
        serde_json::json!({
            "vkey": vkey.to_string(), "name": vkey.name().as_str(), "type": key_type.name(),
        })
    };
    let all: Vec<serde_json::Value> = cosigners.iter().map(described).collect();
    let mut object = all.first().cloned().unwrap_or_default();
    if let Some(object) = object.as_object_mut() {
        object.insert("vkeys".to_owned(), all.into());
    }
    print_line(&object.to_string())
}

/// Prints a line that a script waits for.
fn print_line(line: &str) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

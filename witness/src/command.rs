//! The command line: `init`, `vkey`, `seal-keys` and `serve`.

mod init;
mod serve;

use std::{io::Write as _, net::SocketAddr, num::NonZeroU32, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};
use keyglass_service::{
    key_file::{KeyFileError, Sealing},
    passphrase::{PassphraseError, PassphraseOptions},
    tls::{TlsError, TlsOptions},
};
use keyglass_tlog::{
    note::{KeyName, Vkey},
    policy::PolicyError,
};
use keyglass_witness::{key::KeyError, store::StoreError};
use thiserror::Error;

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 another failure; 2 wrong usage; 3 the data directory, its key or its state was refused; \
4 the policy was refused; 5 the address could not be bound, or its certificate was refused; 6 the passphrase is missing or \
wrong.

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

    /// The data directory: the private key (witness.key, mode 0600) and the state (witness.redb)
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
    passphrase: PassphraseOptions,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new witness: a key and an empty state. Prints the verifier key alone on one line
    ///
    /// Needs --data and --name. Logs need the printed key in their policies. A directory that has a key or a state is
    /// not touched.
    Init,
    /// Print the verifier key of a witness
    ///
    /// Needs --data.
    Vkey,
    /// Seal the key of a witness under a passphrase, or change the passphrase
    ///
    /// Needs --data and --passphrase-file; --old-passphrase-file as well for a key that is sealed already. Run again, it
    /// changes nothing.
    SealKeys,
    /// Run the witness
    ///
    /// Needs --data, --listen and --policy. The first line on stdout is a JSON object with the URL that is served
    /// (`listening`) and the verifier key (`vkey`); the log goes to stderr, filtered by RUST_LOG. SIGTERM ends it.
    Serve,
}

#[derive(clap::Args)]
struct InitOptions {
    /// init: the witness's name, by recommendation a URL without scheme, such as witness.example/w1
    #[arg(long, global = true, value_name = "NAME")]
    name: Option<KeyName>,
}

#[derive(clap::Args)]
struct ServeOptions {
    /// serve: the address to listen on; port 0 takes a free one
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    #[command(flatten)]
    tls: TlsOptions,

    /// serve: a tlog-policy file; its `log <vkey>` lines are the logs to cosign
    #[arg(long, global = true, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// serve: requests a second that each log may make; more are answered 429
    #[arg(long, global = true, value_name = "N", default_value = "1000")]
    rate_limit: NonZeroU32,

    /// serve: start although the policy lists no log
    #[arg(long, global = true)]
    allow_no_logs: bool,
}

/// Why a command failed.
#[derive(Debug, Error)]
enum CommandError {
    #[error("{0} needs {1}")]
    MissingOption(&'static str, &'static str),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}: there is a witness in this directory already", .0.display())]
    AlreadyMade(PathBuf),
    #[error("{}: there is a state without a key, which an init that was cut off may have left", .0.display())]
    NoKey(PathBuf),
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
            | Self::AlreadyMade(_)
            | Self::NoKey(_)
            | Self::Directory { .. } => 3,
            Self::PolicyFile { .. } | Self::Policy { .. } | Self::NoLogs(_) => 4,
            Self::Listen { .. } | Self::Tls(_) => 5,
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
    let (command, needs) = match arguments.command {
        Command::Init => ("init", "--data DIR"),
        Command::Vkey => ("vkey", "--data DIR"),
        Command::SealKeys => ("seal-keys", "--data DIR"),
        Command::Serve => ("serve", "--data DIR"),
    };
    let data = arguments.data.as_deref().ok_or(CommandError::MissingOption(command, needs))?;
    match arguments.command {
        Command::Init => {
            let name =
                arguments.init.name.clone().ok_or(CommandError::MissingOption(command, "--name NAME"))?;
            print_vkey(&init::run(data, name, arguments.passphrase.read()?.as_ref())?, arguments.json)
        }
        Command::Vkey => {
            let passphrase = arguments.passphrase.read()?;
            print_vkey(keyglass_witness::key::load(data, passphrase.as_ref())?.vkey(), arguments.json)
        }
        Command::SealKeys => {
            let (before, passphrase) = arguments.passphrase.read_both()?;
            print_line(match keyglass_witness::key::seal(data, before.as_ref(), &passphrase)? {
                Sealing::Sealed => "the key is sealed",
                Sealing::Kept => "the key was sealed under this passphrase already",
            })
        }
        Command::Serve => serve::run(data, &arguments.serve, &arguments.passphrase),
    }
}

fn print_vkey(vkey: &Vkey, json: bool) -> Result<(), CommandError> {
    let line = if json {
        serde_json::json!({ "vkey": vkey.to_string(), "name": vkey.name().as_str() }).to_string()
    } else {
        vkey.to_string()
    };
    print_line(&line)
}

/// Prints a line that a script waits for.
fn print_line(line: &str) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

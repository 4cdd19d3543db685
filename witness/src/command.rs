//! The command line.

mod confirm;
mod init;
mod options;
mod policy_file;
mod resolve;
mod serve;

use std::{io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser as _, error::ErrorKind};
use keyglass_gossip::{book::NotResolved, peers::PeersFileError};
use keyglass_service::{
    key_file::{KeyFileError, Sealing},
    passphrase::PassphraseError,
    tls::TlsError,
};
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{NoteError, PublicKey, Vkey},
    policy::PolicyError,
};
use keyglass_witness::{
    key::{self, KeyError, KeyType},
    rollback::NotShown,
    store::{ConfirmError, StoreError},
};
use thiserror::Error;

use self::options::{Arguments, Command};

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
    #[error(transparent)]
    Peers(#[from] PeersFileError),
    #[error("no HTTP client: {0}")]
    Client(String),
    #[error(transparent)]
    Evidence(#[from] keyglass_gossip::store::StoreError),
    #[error(transparent)]
    NotResolved(#[from] NotResolved),
    #[error("a reason is 1 to 1,000 characters")]
    Reason,
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl CommandError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::System(_) | Self::Client(_) => 1,
            Self::MissingOption(..) | Self::Reason | Self::Tls(TlsError::Incomplete) => 2,
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
            | Self::Evidence(_)
            | Self::NotResolved(NotResolved::Store(_))
            | Self::Directory { .. } => 3,
            Self::PolicyFile { .. } | Self::Policy { .. } | Self::NoLogs(_) => 4,
            Self::Listen { .. } | Self::Tls(_) => 5,
            Self::StillSuspended(_) => 7,
            Self::NotResolved(NotResolved::NothingHeld) => 8,
            Self::Peers(_) => 9,
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
        Command::Resolve => "resolve",
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
        Command::Resolve => {
            let options = &arguments.resolve;
            let origin = options.origin.as_deref().ok_or_else(|| missing("--origin ORIGIN"))?;
            let reason = options.reason.as_deref().ok_or_else(|| missing("--reason TEXT"))?;
            let cosigners = key::load(data, passphrase()?.as_ref())?;
            resolve::run(data, policy()?, &cosigners, origin, reason, arguments.json)
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

//! What stands on the command line.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use keyglass_service::{
    passphrase::PassphraseOptions,
    tls::{RootOptions, TlsOptions},
};
use keyglass_tlog::note::KeyName;

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 another failure; 2 wrong usage; 3 the data directory, its keys or its state was refused; \
4 the policy was refused; 5 the address could not be bound, or its certificate was refused; 6 the passphrase is missing or \
wrong; 7 confirm: logs are still suspended; 8 resolve: there is nothing to resolve; 9 the file of peers was refused.

Example:
  keyglass-witness init  --data /var/lib/witness --name witness.example/w1
  keyglass-witness serve --data /var/lib/witness --listen 127.0.0.1:7380 --policy logs.policy";

/// A witness of transparency logs.
///
/// It cosigns the checkpoints of the logs in its policy (C2SP tlog-witness): each only if the tree behind it extends
/// every tree that it cosigned for that log before. Options may stand before or after the command.
#[derive(Parser)]
#[command(name = "keyglass-witness", version, after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,

    /// The data directory: the private keys (witness.key and witness-ml-dsa-44.key, mode 0600) and the state
    /// (witness.redb and witness.count)
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,

    /// Print results as one JSON object on one line
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// serve, confirm, resolve: a tlog-policy file; its `log <vkey>` lines are the logs to cosign. Gossip takes the URL of a
    /// log, if there is one, for the prefix of its tiles (C2SP tlog-tiles), and names the witnesses that cosigned both sides
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) policy: Option<PathBuf>,

    #[command(flatten)]
    pub(super) init: InitOptions,

    #[command(flatten)]
    pub(super) serve: ServeOptions,

    #[command(flatten)]
    pub(super) confirm: ConfirmOptions,

    #[command(flatten)]
    pub(super) resolve: ResolveOptions,

    #[command(flatten)]
    pub(super) passphrase: PassphraseOptions,
}

#[derive(Subcommand)]
pub(super) enum Command {
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
    /// Go on with a log although it signed two histories
    ///
    /// Needs --data, --policy, --origin and --reason, and the witness stopped. Evidence against the log stays, and is passed
    /// on; the witness goes on from its own head, and stops again if the log signs yet another history. Who did so, when and
    /// why is kept. Prints the names of the evidence.
    Resolve,
}

/// The keys that a new witness gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnlyKey {
    Ed25519,
    #[value(name = "ml-dsa-44")]
    MlDsa44,
}

#[derive(clap::Args)]
pub(super) struct InitOptions {
    /// init: the witness's name, by recommendation a URL without scheme, such as witness.example/w1
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) name: Option<KeyName>,

    /// init, add-key: another name for the ML-DSA-44 key
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) ml_dsa_name: Option<KeyName>,

    /// init: make a key of this type only
    #[arg(long, global = true, value_name = "TYPE")]
    pub(super) only: Option<OnlyKey>,
}

#[derive(clap::Args)]
pub(super) struct ServeOptions {
    /// serve: the address to listen on; port 0 takes a free one
    #[arg(long, global = true, value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,

    #[command(flatten)]
    pub(super) tls: TlsOptions,

    /// serve: requests a second that each log may make; more are answered 429
    #[arg(long, global = true, value_name = "N", default_value = "1000")]
    pub(super) rate_limit: NonZeroU32,

    /// serve: a file of witnesses and auditors to gossip with, `peer NAME URL` on a line; read again on SIGHUP
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) peers: Option<PathBuf>,

    /// serve: the mean number of milliseconds between two rounds of gossip with a peer
    #[arg(long, global = true, value_name = "MS", default_value = "2000",
          value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub(super) gossip_period: u64,

    #[command(flatten)]
    pub(super) roots: RootOptions,

    /// serve: start although the policy lists no log
    #[arg(long, global = true)]
    pub(super) allow_no_logs: bool,
}

#[derive(clap::Args)]
pub(super) struct ConfirmOptions {
    /// confirm: a checkpoint with a cosignature of this witness; may be given again
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) note: Vec<PathBuf>,

    /// confirm: the origin of a log of which nothing newer than the state exists; may be given again
    #[arg(long, global = true, value_name = "ORIGIN")]
    pub(super) as_it_is: Vec<String>,

    /// confirm: nothing newer than the state exists of any log
    #[arg(long, global = true)]
    pub(super) all_as_it_is: bool,

    /// confirm: the state is from a backup although its files do not show it, as after a snapshot of a whole machine
    #[arg(long, global = true)]
    pub(super) restored: bool,
}

#[derive(clap::Args)]
pub(super) struct ResolveOptions {
    /// resolve: the origin of the log
    #[arg(long, global = true, value_name = "ORIGIN")]
    pub(super) origin: Option<String>,

    /// resolve: why, for the record; at most 1,000 characters
    #[arg(long, global = true, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

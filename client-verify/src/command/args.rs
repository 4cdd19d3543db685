//! The command line.

mod account;
mod offline;
mod watching;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use account::{DeviceCommand, LinkCommand, RecoveryCommand};
pub use offline::{EvidenceCommand, ExportOptions, NoteCommand, PolicyCommand, ProofCommand};
pub use watching::{ContactsOptions, MonitorOptions, PrekeysOptions, WatchOptions};

use super::reporting::Auditor;
use crate::verdict::Verdict;

/// Messages to people whose keys you have seen proven.
///
/// Every key is checked against a log that independent witnesses have signed, before anything is encrypted to it. What the
/// log, its witnesses and the account's own keys do not all vouch for is refused, and the reason is said.
#[derive(Debug, Parser)]
#[command(name = "keyglass", version, after_long_help = exit_codes(), max_term_width = 100)]
pub struct Arguments {
    /// Where and how.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command, accepted before and after it.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The directory that holds accounts, sessions and what is known of the log [default: ~/.keyglass]
    #[arg(long, global = true, value_name = "DIR", env = "KEYGLASS_HOME")]
    pub home: Option<PathBuf>,
    /// The log-server's address, such as http://127.0.0.1:8080
    #[arg(long, global = true, value_name = "URL", env = "KEYGLASS_SERVER")]
    pub server: Option<String>,
    /// A PEM file with certificates of authorities that are trusted beside the system's, for a server whose address is https
    #[arg(long, global = true, value_name = "FILE", env = "KEYGLASS_CA")]
    pub ca: Option<PathBuf>,
    /// The log's configuration, from a source that you trust: the raw TLS encoding
    #[arg(long, global = true, value_name = "FILE", env = "KEYGLASS_CONFIGURATION")]
    pub configuration: Option<PathBuf>,
    /// Who must have witnessed a head before it counts: a tlog-policy file
    #[arg(long, global = true, value_name = "FILE", env = "KEYGLASS_POLICY")]
    pub policy: Option<PathBuf>,
    /// The handover of the log that this one follows: what was known there is carried over, once
    #[arg(long, global = true, value_name = "FILE")]
    pub handover: Option<PathBuf>,
    /// With --handover, where the old log's tiles are served, if this home's view of it is older than its end
    #[arg(long, global = true, value_name = "URL", requires = "handover")]
    pub old_server: Option<String>,
    /// Tell this auditor which heads of the log you are shown; may be repeated. It learns nothing else, and its answer decides nothing
    #[arg(long, global = true, value_name = "URL", env = "KEYGLASS_AUDITOR", value_delimiter = ' ')]
    pub auditor: Vec<Auditor>,
    /// For how many seconds a request is tried while the server cannot be reached or is not ready
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub timeout: u64,
    /// End with one JSON object on one line of standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Take labels as they are typed, rather than in the one form that user names, telephone numbers and e-mail addresses have
    #[arg(long, global = true)]
    pub labels_as_typed: bool,
    /// Go on where the policy says `quorum none`, although nobody but the log vouches for its heads
    #[arg(long, global = true)]
    pub trust_without_witnesses: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an account with its devices, publish it, and upload prekeys. Run again, it resumes
    Register {
        /// The name under which others find the account: a user name, a telephone number with + and its country code, or an
        /// e-mail address
        label: String,
        /// The token with which the log's operator lets you have the label, where it asks for one: a file, or - for standard
        /// input
        #[arg(long, value_name = "FILE")]
        token: Option<PathBuf>,
        /// How many devices a new account gets [default: 1]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
        devices: Option<u32>,
    },
    /// List, add, upgrade and remove the devices of your account
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Make this home a new device of an account whose identity another device of yours holds
    #[command(subcommand)]
    Link(LinkCommand),
    /// Replace your identity key by a new one, which the one before signs. Your contacts are told
    Rotate {
        /// Which of your accounts, if the home has several
        #[arg(long, value_name = "LABEL")]
        from: Option<String>,
    },
    /// Have everybody refuse a reset of your account by its provider
    Lock {
        /// Which of your accounts, if the home has several
        #[arg(long, value_name = "LABEL")]
        from: Option<String>,
    },
    /// Let the provider reset your account again
    Unlock {
        /// Which of your accounts, if the home has several
        #[arg(long, value_name = "LABEL")]
        from: Option<String>,
    },
    /// Make or withdraw a key that can replace a lost or stolen identity
    #[command(subcommand)]
    Recovery(RecoveryCommand),
    /// Replace a lost or stolen identity by a new one in this home, with the recovery key. Devices that are not in this home
    /// leave the account
    Recover {
        /// Whose account
        label: String,
        /// The recovery key: a sealed file, a file with the text that you wrote down, or - for that text on standard input
        #[arg(long, value_name = "FILE")]
        recovery_key: PathBuf,
        /// A file with the passphrase of a sealed recovery key, on one line; - for standard input
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Keep the devices that are not in this home
        #[arg(long)]
        keep_devices: bool,
        /// Go on although the provider has reset the account
        #[arg(long)]
        accept_change: bool,
    },
    /// Seal your identity, and whom you have met, into a file under a passphrase
    Backup {
        /// The file, which must not exist yet
        file: PathBuf,
        /// A file with the passphrase, on one line; - for standard input
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Which of your accounts, if the home has several
        #[arg(long, value_name = "LABEL")]
        from: Option<String>,
    },
    /// Take an identity back from a backup: this home becomes a new device of the account
    Restore {
        /// The backup
        file: PathBuf,
        /// A file with the passphrase, on one line; - for standard input
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Remove this device, which was lost, in the same step; may be given several times
        #[arg(long, value_name = "ID")]
        remove_device: Vec<u32>,
    },
    /// Show the devices of one or more accounts, and everything that was verified about them
    Lookup {
        /// Whose account
        #[arg(value_name = "LABEL", required = true)]
        labels: Vec<String>,
        /// Accept the identity that is shown, although it is not the one met before or was reset by the provider
        #[arg(long)]
        accept_change: bool,
    },
    /// Show sixty digits, and a code to scan, that are the same for both of you if you both see the same two identities
    SafetyNumber {
        /// With whom
        label: String,
        /// Which of your accounts, if the home has several
        #[arg(long, value_name = "LABEL")]
        from: Option<String>,
        /// The digits that the other person reads out, or the text of the code that was scanned
        #[arg(long, value_name = "DIGITS_OR_CODE")]
        compare: Option<String>,
    },
    /// Encrypt a first message to every device of one or more accounts
    Send {
        /// To whom; each gets the text alone, and nobody is told of the others
        #[arg(value_name = "LABEL", required = true, num_args = 1..)]
        labels: Vec<String>,
        /// What
        #[arg(required = true)]
        text: String,
        /// Which of your accounts sends, if the home has several
        #[arg(long, value_name = "LABEL")]
        from: Option<String>,
        /// Accept the identity that is shown, although it is not the one met before or was reset by the provider
        #[arg(long)]
        accept_change: bool,
    },
    /// Decrypt what has arrived for all accounts of the home, and print each text once
    Receive,
    /// Look once whether your accounts and the people you met are as you know them, and tell what has changed
    Monitor(MonitorOptions),
    /// Keep looking, in the background, and tell what has changed. One at a time for a home and a log
    Watch(WatchOptions),
    /// Say what the log-server holds of your devices' prekeys, and whether it is what they have
    Prekeys(PrekeysOptions),
    /// List the people whom this home has met, or say who of them is watched
    Contacts(ContactsOptions),
    /// Show the log's distinguished heads, which everybody should see alike, or compare them with somebody else's
    Heads {
        /// Print them as text for another person to compare
        #[arg(long, conflicts_with = "compare")]
        export: bool,
        /// Compare them with what another person exported: the text itself, or a file
        #[arg(long, value_name = "FILE_OR_TEXT")]
        compare: Option<String>,
    },
    /// Make and check offline proofs that the log has an entry which witnesses have seen
    #[command(subcommand)]
    Proof(ProofCommand),
    /// Check signed notes, offline
    #[command(subcommand)]
    Note(NoteCommand),
    /// Understand policies, offline
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Work with evidence of misbehaviour, offline
    #[command(subcommand)]
    Evidence(EvidenceCommand),
}

/// The table of verdicts, for `--help`.
fn exit_codes() -> String {
    let lines: Vec<String> = Verdict::ALL
        .iter()
        .map(|verdict| format!("  {:>3}  {:<14}  {}", verdict.exit_code(), verdict.name(), verdict.meaning()))
        .collect();
    format!("Exit codes and verdicts:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_stand_before_and_after_the_command() {
        let before =
            parse("keyglass --home h --server s --configuration c --policy p --json lookup bob").unwrap();
        let after =
            parse("keyglass lookup bob --home h --server s --configuration c --policy p --json").unwrap();
        for arguments in [before, after] {
            assert_eq!(arguments.common.home, Some("h".into()));
            assert_eq!(arguments.common.server.as_deref(), Some("s"));
            assert_eq!(arguments.common.configuration, Some("c".into()));
            assert_eq!(arguments.common.policy, Some("p".into()));
            assert!(arguments.common.json);
            assert_eq!(arguments.common.timeout, 30);
            assert!(
                matches!(arguments.command, Command::Lookup { labels, accept_change: false } if labels == ["bob"])
            );
        }
    }

    #[test]
    fn commands_take_what_the_contract_says() {
        assert!(matches!(
            parse("keyglass register bob --devices 2").unwrap().command,
            Command::Register { devices: Some(2), .. }
        ));
        assert!(matches!(
            parse("keyglass register bob").unwrap().command,
            Command::Register { devices: None, .. }
        ));
        assert!(matches!(
            parse("keyglass send bob hello --timeout 5").unwrap().command,
            Command::Send { from: None, .. }
        ));
        assert!(matches!(parse("keyglass receive").unwrap().command, Command::Receive));
        assert!(matches!(parse("keyglass monitor").unwrap().command, Command::Monitor(_)));
        let watch = parse("keyglass watch --every 5 --rounds 2 --verbose").unwrap().command;
        let Command::Watch(watch) = watch else { panic!("{watch:?}") };
        assert_eq!((watch.every, watch.rounds, watch.once, watch.verbose), (Some(5), Some(2), false, true));
        assert!(matches!(
            parse("keyglass heads --compare file").unwrap().command,
            Command::Heads { export: false, compare: Some(_) }
        ));
        let export = parse("keyglass proof export --index 3 --entry-out e").unwrap().command;
        let Command::Proof(ProofCommand::Export(export)) = export else { panic!("{export:?}") };
        assert_eq!((export.label, export.index, export.out.is_none()), (None, Some(3), true));
        assert!(matches!(
            parse("keyglass proof verify p --entry e --policy q").unwrap().command,
            Command::Proof(ProofCommand::Verify { .. })
        ));
        assert!(matches!(
            parse("keyglass note verify n --vkeys v").unwrap().command,
            Command::Note(NoteCommand::Verify { .. })
        ));
        assert!(matches!(
            parse("keyglass policy check p --against q").unwrap().command,
            Command::Policy(PolicyCommand::Check { against: Some(_), .. })
        ));
        let evidence = parse("keyglass evidence verify file --log vkey --policy p").unwrap();
        assert_eq!(evidence.common.policy, Some("p".into()));
        assert!(matches!(evidence.command, Command::Evidence(EvidenceCommand::Verify { .. })));
        let evidence = parse("keyglass evidence show file --policy p").unwrap();
        assert!(
            matches!(evidence.command, Command::Evidence(EvidenceCommand::Show { log, .. }) if log.is_empty())
        );
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        for line in [
            "keyglass",
            "keyglass lookup",
            "keyglass send bob",
            "keyglass receive bob",
            "keyglass heads bob",
            "keyglass heads --export --compare file",
            "keyglass register bob --devices 0",
            "keyglass register bob --devices 65",
            "keyglass evidence verify file",
            "keyglass proof export",
            "keyglass proof export bob --index 1",
            "keyglass proof verify p",
            "keyglass note verify n",
            "keyglass policy check",
            "keyglass monitor bob",
            "keyglass contacts --ignore bob --watch bob",
            "keyglass watch --every 0",
            "keyglass watch --rounds 0",
            "keyglass watch --once --every 5",
            "keyglass lookup bob --timeout never",
            "keyglass lookup bob --timeout 18446744073709551615",
            "keyglass lookup bob --unknown",
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), i32::from(Verdict::Usage.exit_code()), "{line}: {error}");
        }
    }

    #[test]
    fn help_lists_every_exit_code() {
        let help = Arguments::command().render_long_help().to_string();
        for verdict in Verdict::ALL {
            assert!(help.contains(verdict.name()), "{}", verdict.name());
        }
    }
}

//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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

/// What can be done with the devices of one's own account.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// List the devices of your account, as the log proves them
    List {
        /// Which of your accounts, if the home has several
        #[arg(long, value_name = "LABEL")]
        from: Option<String>,
    },
    /// Add the device that has made an offer with `keyglass link offer`
    Add {
        /// The text of the offer; - for standard input
        code: String,
        /// The digits of the offer as you read them on the new device: if they differ, nothing is published
        #[arg(long, value_name = "DIGITS")]
        digits: Option<String>,
    },
    /// Have devices from before PQXDH reached by it: this home's leave KEM prekeys, and then the account announces PQXDH for
    /// every device that has left some
    Upgrade {
        /// Which of your accounts, if the home has several
        #[arg(long, value_name = "LABEL")]
        from: Option<String>,
    },
    /// Remove a device, which then can neither send nor receive for the account
    Remove {
        /// Its number
        id: u32,
        /// Which of your accounts, if the home has several
        #[arg(long, value_name = "LABEL")]
        from: Option<String>,
    },
}

/// How a device joins an account.
#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    /// Make this home's keys and show the code with which they are added to the account
    Offer {
        /// Which account
        label: String,
        /// Go on although the account was reset, or its identity is another than when the offer was begun
        #[arg(long)]
        accept_change: bool,
    },
    /// Once the device was added: prove that it was, and begin to receive
    Finish {
        /// Which account, if several offers are open
        label: Option<String>,
    },
}

/// What can be done about a recovery key.
#[derive(Debug, Subcommand)]
pub enum RecoveryCommand {
    /// Make a recovery key, which replaces the one before. It is shown once, or sealed into a file, and kept nowhere else
    Create {
        /// Which of your accounts, if the home has several
        #[arg(long, value_name = "LABEL")]
        from: Option<String>,
        /// Seal it into this file, which must not exist yet, and do not show it
        #[arg(long, value_name = "FILE", requires = "passphrase_file")]
        out: Option<PathBuf>,
        /// A file with the passphrase to seal it under, on one line; - for standard input
        #[arg(long, value_name = "FILE", requires = "out")]
        passphrase_file: Option<PathBuf>,
    },
    /// Withdraw the recovery key
    Drop {
        /// Which of your accounts, if the home has several
        #[arg(long, value_name = "LABEL")]
        from: Option<String>,
    },
}

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

/// What can be done with offline proofs.
#[derive(Debug, Subcommand)]
pub enum ProofCommand {
    /// Write a tlog-proof of one log entry, verified before it is written
    Export(ExportOptions),
    /// Check a tlog-proof: that the entry is in a log which --policy names, and that a quorum of its witnesses has seen it.
    /// Exits with 0 if so and with 1 if not
    Verify {
        /// The proof
        proof: PathBuf,
        /// The entry: the exact bytes that are logged
        #[arg(long, value_name = "FILE")]
        entry: PathBuf,
    },
}

/// Which entry, and where its proof goes.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["label", "index"]))]
pub struct ExportOptions {
    /// The entry whose prefix tree was shown to hold the newest version of this account
    pub label: Option<String>,
    /// The entry at this index, counted from 0
    #[arg(long, value_name = "N")]
    pub index: Option<u64>,
    /// Where the proof goes, by custom a name that ends in .tlog-proof [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where the entry's bytes go, which `proof verify` needs beside the proof
    #[arg(long, value_name = "FILE")]
    pub entry_out: Option<PathBuf>,
}

/// What can be done with notes.
#[derive(Debug, Subcommand)]
pub enum NoteCommand {
    /// Say who signed a note. Exits with 0 if at least one known key did and no known key's line is bad, with 1 if not
    Verify {
        /// The note
        file: PathBuf,
        /// The known keys: one verifier key a line; empty lines and lines that begin with # are ignored
        #[arg(long, value_name = "FILE")]
        vkeys: PathBuf,
    },
}

/// What can be done with policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Say in words what a tlog-policy file demands and what it survives. Exits with 0 if it is one, with 1 if not
    Check {
        /// The policy
        file: PathBuf,
        /// Another policy: how many must collude before those who use the one and those who use the other are shown
        /// different logs
        #[arg(long, value_name = "OTHER")]
        against: Option<PathBuf>,
    },
}

/// What can be done with evidence.
#[derive(Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Check that a file proves that a log signed two histories, and name the witnesses that signed both
    Verify {
        /// The evidence
        file: PathBuf,
        /// The log's verifier key; once for each of its keys, since the two histories may be signed by different ones
        #[arg(long, value_name = "VKEY", required = true)]
        log: Vec<String>,
    },
    /// Explain in words who signed what and when, and which witnesses signed both histories. Exits as `verify` does
    ///
    /// The log's keys are those of --log and of the log lines of --policy, which also names the witnesses. Without any
    /// key, the file's claims are shown as claims.
    Show {
        /// The evidence
        file: PathBuf,
        /// The log's verifier key; once for each of its keys
        #[arg(long, value_name = "VKEY")]
        log: Vec<String>,
    },
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

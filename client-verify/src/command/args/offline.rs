//! The command line of what concerns files: proofs, notes, policies, evidence.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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

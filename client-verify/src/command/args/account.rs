//! The command line of what changes one's own account.

use std::path::PathBuf;

use clap::Subcommand;

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

//! From a proven value to a proven account.

use keyglass_account::{
    record::RecordError,
    root::{Answer, Finding, RootSearch},
    verify::{self, Change, ValidRecord, Verified},
};
use keyglass_keytrans::client::VerifiedHead;
use thiserror::Error;

use super::value::ProvenValue;

/// Why a proven value is not a proven account. The value is then not used, and no older one in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProveError {
    /// The log holds this version, but the account's own keys do not vouch for it.
    #[error("version {version} is not vouched for by the account's keys: {error}")]
    NotVouchedFor {
        /// The version that the log holds.
        version: u32,
        /// The rule that it breaks.
        error: RecordError,
    },
    /// The value is of another label, version or log than the one that was wanted.
    #[error("the value is not the one that was wanted")]
    NotWanted,
}

/// Something that a log proved under a head that the policy accepts.
///
/// For accounts see [`ProvenAccount`]. The fields are private and there is no constructor: only a verified search makes one.
#[derive(Debug, Clone)]
pub struct Proven<T> {
    value: T,
    label: Vec<u8>,
    origin: String,
    head: VerifiedHead,
    change: Change,
    root: Finding,
    accepted: bool,
}

/// An account whose newest version the log proved and its own keys vouch for.
pub type ProvenAccount = Proven<ValidRecord>;

/// Whether one may go on with an account's identity without asking the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// It is the identity known before, or this is the first contact and the chain goes back to the account's beginning.
    Continuous,
    /// It was rotated or recovered since the version known before, with the authorisation of the keys known before.
    Succeeded,
    /// Nobody but the provider vouches for it: the account was reset, or its history is withheld or has expired.
    Broken,
}

impl ProvenAccount {
    /// The record.
    #[must_use]
    pub fn valid(&self) -> &ValidRecord {
        &self.value
    }

    /// The label.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        &self.label
    }

    /// The log that proved it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The head under which it was proven, with the witnesses that cosigned it.
    #[must_use]
    pub fn head(&self) -> &VerifiedHead {
        &self.head
    }

    /// What the version changes against the one known before.
    #[must_use]
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// What is known of the identity chain's root.
    #[must_use]
    pub fn root(&self) -> Finding {
        self.root
    }

    /// How the identity key relates to what was known.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let withheld = matches!(self.root, Finding::Withheld { .. } | Finding::HistoryExpired { .. });
        if withheld || self.change.is_reset() {
            Identity::Broken
        } else if self.change.since.is_some() && !self.change.identity.is_empty() {
            Identity::Succeeded
        } else {
            Identity::Continuous
        }
    }

    /// Goes on although nobody but the provider vouches for the identity. Only a person who has compared keys with the
    /// other person through another channel should decide this.
    #[must_use]
    pub fn accept_broken_identity(mut self) -> Self {
        self.accepted = true;
        self
    }

    /// Whether handshakes may be run with this account's devices.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.accepted || self.identity() != Identity::Broken
    }
}

/// What proving an account came to.
#[derive(Debug)]
#[must_use]
pub enum Proving {
    /// The account is proven.
    Done(Box<ProvenAccount>),
    /// Whether the record is valid depends on an older version: search for it.
    NeedsVersion(Box<PendingAccount>),
}

/// A record whose identity chain goes back to a version that is not known yet.
#[derive(Debug)]
pub struct PendingAccount {
    search: RootSearch,
    label: Vec<u8>,
    origin: String,
    version: u32,
    head: VerifiedHead,
}

/// What the log answered for an older version.
#[derive(Debug)]
pub enum History {
    /// Its value.
    Value(ProvenValue),
    /// The log's word that its value was erased.
    Erased,
    /// Nothing that proves anything.
    Withheld,
    /// The log's word that the version is past its maximum lifetime.
    Expired,
}

/// Verifies the newest value of a label as an account's record.
///
/// `known` is the last record of the label that was proven and accepted before, if any.
///
/// # Errors
/// [`ProveError::NotVouchedFor`].
pub fn prove(newest: ProvenValue, known: Option<&ValidRecord>) -> Result<Proving, ProveError> {
    let ProvenValue { origin, label, version, value, head } = newest;
    let verified = verify::verify(&origin, &label, version, &value, known)
        .map_err(|error| ProveError::NotVouchedFor { version, error })?;
    Ok(proving(verified, label, origin, version, head))
}

fn proving(verified: Verified, label: Vec<u8>, origin: String, version: u32, head: VerifiedHead) -> Proving {
    match verified {
        Verified::Valid { record, change, root } => Proving::Done(Box::new(Proven {
            value: *record,
            label,
            origin,
            head,
            change: *change,
            root,
            accepted: false,
        })),
        Verified::NeedsHistory(search) => {
            Proving::NeedsVersion(Box::new(PendingAccount { search: *search, label, origin, version, head }))
        }
    }
}

impl PendingAccount {
    /// The label to search for.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        &self.label
    }

    /// The version to search for.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        self.search.wanted()
    }

    /// Goes on with what the log answered for that version.
    ///
    /// # Errors
    /// [`ProveError::NotWanted`] for a value of something else, [`ProveError::NotVouchedFor`] if the history makes the
    /// record invalid.
    pub fn supply(self, history: History) -> Result<Proving, ProveError> {
        let Self { search, label, origin, version, head } = self;
        let answer = match &history {
            History::Value(value) => {
                if value.label != label || value.origin != origin || value.version != search.wanted() {
                    return Err(ProveError::NotWanted);
                }
                Answer::Value(&value.value)
            }
            History::Erased => Answer::Erased,
            History::Withheld => Answer::Withheld,
            History::Expired => Answer::Expired,
        };
        let verified = search.supply(answer).map_err(|error| ProveError::NotVouchedFor { version, error })?;
        Ok(proving(verified, label, origin, version, head))
    }
}

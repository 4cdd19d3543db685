//! Trust policies: which logs, which witnesses, and which quorum of them suffices (C2SP tlog-policy).

pub mod analysis;
mod parse;

use core::fmt;
use std::collections::BTreeSet;

use thiserror::Error;

use crate::note::{Vkey, VkeyError};

/// The longest policy file that is read, in bytes: ten thousand logs with ML-DSA-44 keys fit.
pub const MAX_POLICY_LEN: usize = 32 * 1024 * 1024;

/// The most logs, and the most witnesses, and the most groups, that a policy may name.
pub const MAX_LINES_OF_A_KIND: usize = 65_536;

/// Why a file is not a policy, and where; lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {kind}")]
pub struct PolicyError {
    /// The line, or the one after the last if something is missing.
    pub line: usize,
    /// What is wrong with it.
    pub kind: PolicyErrorKind,
}

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyErrorKind {
    /// The file is longer than [`MAX_POLICY_LEN`].
    #[error("the policy is too long")]
    TooLong,
    /// More than [`MAX_LINES_OF_A_KIND`] lines of this kind.
    #[error("the policy has too many lines of this kind")]
    TooMany,
    /// An octet that a policy must not have: a control character or U+007F.
    #[error("a policy must not have the octet {0:#04x}")]
    BadOctet(u8),
    /// The first item is none of `log`, `witness`, `group`, `quorum`.
    #[error("a line starts with log, witness, group or quorum")]
    UnknownKeyword,
    /// Too few or too many items on the line.
    #[error("the line does not have the items of its kind")]
    WrongItems,
    /// The verifier key is none.
    #[error(transparent)]
    BadVkey(#[from] VkeyError),
    /// The key's signature type is not one for a log, or not one for a witness.
    #[error("a key of signature type {0:#04x} does not fit this line")]
    WrongKeyType(u8),
    /// Another log, or another witness, has the same public key.
    #[error("the public key is listed twice")]
    DuplicateKey,
    /// The name is taken by a witness or group.
    #[error("{0} is defined twice")]
    DuplicateName(Name),
    /// `none` can be a quorum and nothing else.
    #[error("the name none is reserved")]
    ReservedName,
    /// The name is not defined on an earlier line.
    #[error("{0} is not defined on an earlier line")]
    Undefined(Name),
    /// The name is already a member of this group or of another one.
    #[error("{0} is already a member of a group")]
    DuplicateMember(Name),
    /// The threshold is not a number from 1 to the number of members.
    #[error("the threshold is not all, any or a number from 1 to the number of members")]
    BadThreshold,
    /// There is more than one quorum line.
    #[error("there is a second quorum line")]
    SecondQuorum,
    /// There is no quorum line.
    #[error("there is no quorum line")]
    NoQuorum,
}

impl PolicyErrorKind {
    /// A stable name of the cause, for scripts.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::TooMany => "too_many",
            Self::BadOctet(_) => "bad_octet",
            Self::UnknownKeyword => "unknown_keyword",
            Self::WrongItems => "wrong_items",
            Self::BadVkey(_) => "bad_vkey",
            Self::WrongKeyType(_) => "wrong_key_type",
            Self::DuplicateKey => "duplicate_key",
            Self::DuplicateName(_) => "duplicate_name",
            Self::ReservedName => "reserved_name",
            Self::Undefined(_) => "undefined_name",
            Self::DuplicateMember(_) => "duplicate_member",
            Self::BadThreshold => "bad_threshold",
            Self::SecondQuorum => "second_quorum",
            Self::NoQuorum => "no_quorum",
        }
    }
}

/// The name of a witness or group within one policy: octets, compared as they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.as_bytes().to_vec())
    }
}

impl fmt::Display for Name {
    /// The name as text; octets that are not UTF-8 become U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// A log that the policy accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    vkey: Vkey,
    url: Option<Vec<u8>>,
}

impl Log {
    /// The log's key; its name is the origin.
    #[must_use]
    pub fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// The origin of the log's checkpoints.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.vkey.name().as_str()
    }

    /// The URL's octets, if the line has one; whether they are a URL is for its user to find out.
    #[must_use]
    pub fn url(&self) -> Option<&[u8]> {
        self.url.as_deref()
    }
}

/// A witness that the policy knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    name: Name,
    vkey: Vkey,
    url: Option<Vec<u8>>,
}

impl Witness {
    /// Its name in this policy, which need not be the name of its key.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its key.
    #[must_use]
    pub fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// The URL's octets, if the line has one: by recommendation, the witness's submission prefix.
    #[must_use]
    pub fn url(&self) -> Option<&[u8]> {
        self.url.as_deref()
    }
}

/// A member of a group, or the quorum: an index into [`Policy::witnesses`] or [`Policy::groups`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// A single witness.
    Witness(usize),
    /// A group, which is defined before every group that it is a member of.
    Group(usize),
}

/// A group: it witnesses what at least `threshold` of its members witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    name: Name,
    threshold: usize,
    members: Vec<Member>,
}

impl Group {
    /// Its name in this policy.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// How many members must witness: from 1 to their number.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The members, at least one.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

/// Which cosignatures make a checkpoint valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    /// `quorum none`: no cosignature is required, so that a checkpoint is worth the log's word alone.
    None,
    /// This witness, or this group.
    Of(Member),
}

/// A policy file. Its groups form trees, so all witnesses together always satisfy the quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Quorum,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// A missing last newline is tolerated; leading zeros of a threshold are not. Logs have keys of type 0x01 or
    /// 0x06, witnesses of type 0x04 or 0x06.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn parse(file: &[u8]) -> Result<Self, PolicyError> {
        parse::parse(file)
    }

    /// The logs in the order of their lines.
    #[must_use]
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The keys of the log with this origin; more than one during a rotation, none if the origin is unknown.
    pub fn log_keys(&self, origin: &str) -> impl Iterator<Item = &Vkey> {
        self.logs.iter().filter(move |log| log.origin() == origin).map(Log::vkey)
    }

    /// The witnesses in the order of their lines.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// The groups in the order of their lines; members come before the groups that they are in.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The quorum rule.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// Whether the witnesses with these names are a quorum. Names that the policy does not define do not count, nor
    /// do repeated ones. Under `quorum none` every set is.
    #[must_use]
    pub fn is_quorum(&self, cosigned: &BTreeSet<&Name>) -> bool {
        self.missing(cosigned) == 0
    }

    /// The smallest number of witnesses that is a quorum; 0 for `quorum none`.
    #[must_use]
    pub fn smallest_quorum(&self) -> usize {
        self.missing(&BTreeSet::new())
    }

    /// The smallest number of further witnesses that, with those of these names, are a quorum; 0 if they are one.
    #[must_use]
    pub fn missing(&self, cosigned: &BTreeSet<&Name>) -> usize {
        let Quorum::Of(member) = self.quorum else {
            return 0;
        };
        // Groups come after their members, so one pass in order settles them all without recursion.
        let mut of_groups = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let mut costs: Vec<usize> =
                group.members.iter().map(|member| self.missing_for(*member, cosigned, &of_groups)).collect();
            costs.sort_unstable();
            of_groups.push(
                costs.iter().take(group.threshold).fold(0, |sum: usize, cost| sum.saturating_add(*cost)),
            );
        }
        self.missing_for(member, cosigned, &of_groups)
    }

    fn missing_for(&self, member: Member, cosigned: &BTreeSet<&Name>, of_groups: &[usize]) -> usize {
        match member {
            Member::Witness(index) => {
                usize::from(!self.witnesses.get(index).is_some_and(|w| cosigned.contains(&w.name)))
            }
            // An index that does not exist cannot arise; were it to, it must never count as witnessed.
            Member::Group(index) => of_groups.get(index).copied().unwrap_or(usize::MAX),
        }
    }
}

#[cfg(test)]
mod tests;

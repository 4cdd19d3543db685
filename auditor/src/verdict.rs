//! The verdicts of an audit: one name, one exit code and one plain sentence for each thing that can be the case.
//!
//! Names and codes are stable, and those that the client's verdicts share with these are the same there.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a round of an audit found. The order is that of severity: a report's verdict is the greatest of its findings'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The log's head is fresh and witnessed, every entry up to it was replayed, and nothing contradicts it.
    Ok,
    /// No usable answer arrived, from the log or from any witness.
    Unreachable,
    /// Not all entries under the log's head have been replayed yet.
    CatchingUp,
    /// The newest entry under the log's head is older than the configuration allows.
    Stale,
    /// The log's head lacks the cosignatures that the policy asks for.
    Unwitnessed,
    /// The log does not hand out what would show how the prefix tree changed.
    Unaudited,
    /// What the log serves breaks its own rules, and nothing in it is signed that would convince others.
    Invalid,
    /// A change of the prefix tree does not verify.
    BadUpdate,
    /// Signed heads do not fit together, and the log does not serve what would show whose fault that is.
    Unreconciled,
    /// The log signed two histories, and there is evidence.
    Misbehaving,
    /// The command line, the policy or the configuration cannot be used as given.
    Usage,
    /// Something on this machine failed: the data directory, a file, the clock.
    Failed,
}

impl Verdict {
    /// Every verdict, in the order of severity.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::Unreachable,
        Self::CatchingUp,
        Self::Stale,
        Self::Unwitnessed,
        Self::Unaudited,
        Self::Invalid,
        Self::BadUpdate,
        Self::Unreconciled,
        Self::Misbehaving,
        Self::Usage,
        Self::Failed,
    ];

    /// The stable name, as in `verdict` of a report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unreachable => "unreachable",
            Self::CatchingUp => "catching_up",
            Self::Stale => "stale",
            Self::Unwitnessed => "unwitnessed",
            Self::Unaudited => "unaudited",
            Self::Invalid => "invalid",
            Self::BadUpdate => "bad_update",
            Self::Unreconciled => "unreconciled",
            Self::Misbehaving => "misbehaving",
            Self::Usage => "usage",
            Self::Failed => "failed",
        }
    }

    /// The exit code of `check` and `follow --once`, from 0 to 100.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 10,
            Self::Stale => 11,
            Self::Unwitnessed => 13,
            Self::CatchingUp => 14,
            Self::Unaudited => 15,
            Self::Invalid => 22,
            Self::Unreconciled => 23,
            Self::Misbehaving => 24,
            Self::BadUpdate => 29,
        }
    }

    /// What it means, in a sentence for a person.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => {
                "the head is fresh and witnessed, all entries were replayed, and nothing contradicts it"
            }
            Self::Unreachable => {
                "no usable answer arrived; nothing can be said about the log's present state"
            }
            Self::CatchingUp => "entries under the log's head remain to be replayed",
            Self::Stale => "the head that the log shows is older than its configuration allows",
            Self::Unwitnessed => "the head that the log shows lacks cosignatures that the policy asks for",
            Self::Unaudited => {
                "the log does not hand out what would show how the prefix tree changed, so nobody can vouch for it"
            }
            Self::BadUpdate => {
                "a change of the prefix tree does not verify; this auditor signs nothing beyond it"
            }
            Self::Invalid => "what the log serves breaks its own rules; nothing in it proves that to others",
            Self::Unreconciled => {
                "signed heads do not fit together, and the log does not serve what would explain it"
            }
            Self::Misbehaving => {
                "the log signed two histories; the evidence convinces anyone who has its key"
            }
            Self::Usage => "the command line, the policy or the configuration cannot be used as given",
            Self::Failed => "this auditor failed; nothing was found out about the log",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Verdict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = Self::ALL.into_iter().find(|verdict| verdict.name() == name);
        found.ok_or_else(|| de::Error::custom("no verdict"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_codes_tell_verdicts_apart() {
        let codes: BTreeSet<u8> = Verdict::ALL.iter().map(|verdict| verdict.exit_code()).collect();
        let names: BTreeSet<&str> = Verdict::ALL.iter().map(|verdict| verdict.name()).collect();
        assert_eq!((codes.len(), names.len()), (Verdict::ALL.len(), Verdict::ALL.len()));
        assert!(codes.iter().all(|code| *code <= 100));
        assert!(Verdict::ALL.is_sorted(), "in the order of severity");
        assert_eq!(Verdict::Ok.exit_code(), 0);
    }
}

//! The verdicts of the command: one name, one exit code and one plain sentence for each thing that can be the case.
//!
//! "Offline", "old", "not there" and "lying" are different situations that ask a person to do different things, so they
//! never share a verdict. Names and codes are stable: scripts rely on them.

use serde::{Serialize, Serializer};

/// What a command found.
///
/// [`Verdict::name`] is the value of `verdict` in JSON output, [`Verdict::exit_code`] the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Everything that was asked for was verified or done.
    Verified,
    /// Something on this machine failed: the home directory, a file, the clock.
    Failed,
    /// What was to be checked does not hold: a policy that is none, a note or a proof that does not verify. It shares its
    /// exit code with [`Verdict::Failed`], and the commands that check files answer it alone.
    Rejected,
    /// The command line, the policy or the configuration cannot be used as given.
    Usage,
    /// Everything was verified, and something is new that the accounts' own keys or the operator's rights account for.
    Updated,
    /// No usable answer arrived in time.
    Unreachable,
    /// The newest head that the log shows is older than its configuration allows.
    Stale,
    /// The log says that it has no such label. That is its word, not a proof.
    NotFound,
    /// The head lacks the cosignatures that the policy asks for.
    Unwitnessed,
    /// The account's identity differs from the one that this home met before, or the provider has reset the account.
    Changed,
    /// Something that was answered is not proven by the account's keys, and was therefore not used.
    Refused,
    /// The answer does not verify, and nothing in it is signed that would say whose fault that is.
    Invalid,
    /// The log shows a head that does not extend the one this home holds, and would not supply the proof of that.
    Unreconciled,
    /// The log signed two histories.
    Misbehaving,
    /// The log denies or hides what it has shown before.
    Withheld,
    /// One's own label has a version that this home did not make.
    Unexpected,
    /// What somebody says of the log's history does not fit what was verified here; nothing signed says who is wrong.
    Disputed,
    /// Two accounts of the log's history have nothing in common that could be compared.
    NoOverlap,
    /// The label belongs to another account.
    Taken,
    /// The server declined the request and said why.
    Declined,
    /// Some devices were reached and others were not.
    Partial,
    /// A message arrived that cannot be opened.
    Undecryptable,
    /// The evidence does not prove what it claims.
    Unproven,
}

impl Verdict {
    /// Every verdict, in the order of its exit code.
    pub const ALL: [Self; 23] = [
        Self::Verified,
        Self::Failed,
        Self::Rejected,
        Self::Usage,
        Self::Updated,
        Self::Unreachable,
        Self::Stale,
        Self::NotFound,
        Self::Unwitnessed,
        Self::Changed,
        Self::Refused,
        Self::Invalid,
        Self::Unreconciled,
        Self::Misbehaving,
        Self::Withheld,
        Self::Unexpected,
        Self::Disputed,
        Self::NoOverlap,
        Self::Taken,
        Self::Declined,
        Self::Partial,
        Self::Undecryptable,
        Self::Unproven,
    ];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Usage => "usage",
            Self::Updated => "updated",
            Self::Unreachable => "unreachable",
            Self::Stale => "stale",
            Self::NotFound => "not_found",
            Self::Unwitnessed => "unwitnessed",
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::Unreconciled => "unreconciled",
            Self::Misbehaving => "misbehaving",
            Self::Withheld => "withheld",
            Self::Unexpected => "unexpected",
            Self::Disputed => "disputed",
            Self::NoOverlap => "no_overlap",
            Self::Taken => "taken",
            Self::Declined => "declined",
            Self::Partial => "partial",
            Self::Undecryptable => "undecryptable",
            Self::Unproven => "unproven",
        }
    }

    /// The exit code, from 0 to 100.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::Failed | Self::Rejected => 1,
            Self::Usage => 2,
            Self::Updated => 3,
            Self::Unreachable => 10,
            Self::Stale => 11,
            Self::NotFound => 12,
            Self::Unwitnessed => 13,
            Self::Changed => 20,
            Self::Refused => 21,
            Self::Invalid => 22,
            Self::Unreconciled => 23,
            Self::Misbehaving => 24,
            Self::Withheld => 25,
            Self::Unexpected => 26,
            Self::Disputed => 27,
            Self::NoOverlap => 28,
            Self::Taken => 30,
            Self::Declined => 31,
            Self::Partial => 32,
            Self::Undecryptable => 33,
            Self::Unproven => 34,
        }
    }

    /// What it means and what to do, in one or two sentences for a person.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Verified => "Everything was verified or done.",
            Self::Failed => {
                "Something on this machine failed, such as reading or writing the home directory."
            }
            Self::Rejected => {
                "What was to be checked does not hold: the policy is none, or the note or proof does not verify."
            }
            Self::Usage => "The command line, the policy file or the configuration file cannot be used.",
            Self::Updated => {
                "Everything was verified, and something is new: a change that an account's own keys authorised, or \
                 an erasure. Read what it is."
            }
            Self::Unreachable => {
                "No usable answer arrived in time. This says nothing about the log's honesty: try again."
            }
            Self::Stale => {
                "The newest head that the log shows is too old. Either the log, its witnesses or its auditor have \
                 stopped, or somebody is keeping newer heads from you."
            }
            Self::NotFound => {
                "The log says that it has no such label. A log cannot prove that, so it is only its word."
            }
            Self::Unwitnessed => {
                "Too few witnesses have signed this head, so you may be the only one who is shown it. Nothing \
                 was used."
            }
            Self::Changed => {
                "The account's identity is not the one you met before, or its provider has reset it. Check with \
                 the person through another channel before you accept it."
            }
            Self::Refused => {
                "A key, a record or a bundle is not proven by the account's own keys. It was not used, and \
                 nothing older was used in its place."
            }
            Self::Invalid => {
                "The server's answer does not verify. It is wrong or was altered on the way; nothing in it is \
                 signed that would say by whom."
            }
            Self::Unreconciled => {
                "The log shows a head that does not extend the one you hold, and would not supply what would \
                 prove it. A server that lags behind looks like this for a while: ask again. If it stays so, report \
                 both heads to an auditor: --auditor URL does that, and --json shows them."
            }
            Self::Misbehaving => {
                "The log signed two histories that contradict each other. The evidence file convinces anybody: \
                 pass it on, and stop trusting this log."
            }
            Self::Withheld => {
                "The log denies or hides what it has shown to you before. What it holds back may be what somebody \
                 does not want you to see: ask again from elsewhere, and tell an auditor."
            }
            Self::Unexpected => {
                "Your own label has a version that was not made here. If no other device of yours made it, somebody \
                 else speaks in your name: tell your contacts, and ask the provider."
            }
            Self::Disputed => {
                "Somebody holds another history of the log than you do. Neither is signed evidence, so this names no \
                 culprit: ask an auditor, and the other person through another channel."
            }
            Self::NoOverlap => {
                "The two accounts of the log's history have nothing in common, so that they neither support nor \
                 contradict each other."
            }
            Self::Taken => "The label already belongs to another account.",
            Self::Declined => "The server declined the request; its reason is given.",
            Self::Partial => {
                "Some of the recipient's devices were reached and others were not; or of several accounts, not all came \
                 to the same."
            }
            Self::Undecryptable => "At least one message could not be opened. The reason is given for each.",
            Self::Unproven => "The file is not valid evidence against this log.",
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_codes_are_distinct_and_codes_are_in_range() {
        // No command can answer both of the two that share a code.
        let coded = || Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Rejected);
        assert_eq!(Verdict::Rejected.exit_code(), Verdict::Failed.exit_code());
        let codes: BTreeSet<u8> = coded().map(|v| v.exit_code()).collect();
        let names: BTreeSet<&str> = Verdict::ALL.iter().map(|v| v.name()).collect();
        let meanings: BTreeSet<&str> = Verdict::ALL.iter().map(|v| v.meaning()).collect();
        assert_eq!(codes.len(), coded().count());
        assert_eq!(names.len(), Verdict::ALL.len());
        assert_eq!(meanings.len(), Verdict::ALL.len());
        assert!(codes.iter().all(|&code| code <= 100));
        assert!(Verdict::ALL.is_sorted_by_key(|v| v.exit_code()));
    }

    #[test]
    fn only_verified_is_success() {
        assert_eq!(Verdict::Verified.exit_code(), 0);
        assert!(Verdict::ALL.iter().skip(1).all(|v| v.exit_code() != 0));
    }

    #[test]
    fn serialises_as_its_name() {
        assert_eq!(serde_json::to_string(&Verdict::NotFound).unwrap(), "\"not_found\"");
    }
}

//! Why a device did not open a first message, in the words that it tells the sender and the server.
//!
//! A failure receipt says to the device that sent a first message that this handshake failed, and why. It is not signed: the
//! server vouches for who sent it, so that it proves nothing to anybody else. Whoever forges one can make the sender send
//! the same text again to keys that are proven anew, a bounded number of times, and nothing else.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The reasons, each with its name and what it means.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $retry:literal;)*) => {
        /// Why a device did not open a first message.
        ///
        /// The name is stable: it is the `reason` in the output of `keyglass receive`, in a receipt, and in the server's
        /// metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FailureReason {
            $($(#[$doc])* $variant,)*
        }

        impl FailureReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether a handshake with a fresh bundle may succeed where this one failed.
            #[must_use]
            pub fn is_worth_a_retry(self) -> bool {
                match self { $(Self::$variant => $retry,)* }
            }
        }
    };
}

reasons! {
    /// The device does not run the suite of the message.
    SuiteRefused = "suite_refused", false;
    /// The keys that the message says it is from are not those of the device in the sender's proven record. A device that has
    /// not taken over yet what was published under its own label speaks under keys of before.
    KeyNotProven = "key_not_proven", true;
    /// The signed prekey was this device's, and the time for which it is kept after its end is over.
    SignedPreKeyExpired = "signed_prekey_expired", true;
    /// The device never made a signed prekey of this number: it is that of another of its keys.
    SignedPreKeyUnknown = "signed_prekey_unknown", true;
    /// The one-time prekey was this device's, and the time for which it is kept after its end is over.
    OneTimePreKeyMissing = "one_time_prekey_missing", true;
    /// Another handshake used the one-time prekey up, or its number in the message was altered.
    OneTimePreKeyReused = "one_time_prekey_reused", true;
    /// The ML-KEM prekey was this device's, and the time for which it is kept after its end is over.
    KemPreKeyMissing = "kem_prekey_missing", true;
    /// Another handshake used the one-time ML-KEM prekey up, or its number in the message was altered.
    KemPreKeyReused = "kem_prekey_reused", true;
    /// The prekeys are of a state that the device has lost.
    StateLost = "state_lost", true;
    /// Every key is known, and the message does not authenticate under them: it was altered, or the two sides do not compute
    /// the same.
    NotAuthentic = "not_authentic", true;
}

impl FailureReason {
    /// The reason with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for FailureReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for FailureReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| D::Error::custom("not a reason of this version"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_of_its_own_that_leads_back() {
        for (index, reason) in FailureReason::ALL.iter().enumerate() {
            assert_eq!(FailureReason::from_name(reason.name()), Some(*reason));
            assert!(!FailureReason::ALL[..index].iter().any(|other| other.name() == reason.name()));
            let json = serde_json::to_string(reason).unwrap();
            assert_eq!(json, format!("\"{reason}\""));
            assert_eq!(serde_json::from_str::<FailureReason>(&json).unwrap(), *reason);
        }
        assert!(serde_json::from_str::<FailureReason>("\"because\"").is_err());
    }

    /// Whoever is on call finds every reason in the runbook, in this order, and no other.
    #[test]
    fn the_runbook_names_every_reason() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations/runbook.md");
        let text = std::fs::read_to_string(path).unwrap();
        let section = text.split("\n## When first messages fail\n").nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let rows: Vec<(&str, &str)> = rows.collect();
        let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, FailureReason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>());
        for (reason, (name, rest)) in FailureReason::ALL.iter().zip(&rows) {
            let again = rest.split(" | ").nth(1).unwrap();
            assert_eq!(again, if reason.is_worth_a_retry() { "yes" } else { "no" }, "{name}");
        }
    }

    #[test]
    fn the_page_of_errors_names_every_problem() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations/errors.md");
        let text = std::fs::read_to_string(path).unwrap();
        for problem in crate::problem::Problem::ALL {
            let row = format!("| `{}` | {} | {} |", problem.name(), problem.status(), problem.title());
            assert!(text.contains(&row), "{row}");
        }
    }
}

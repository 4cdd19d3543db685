//! What a home retains of a log, and of the people whom it met there.

use std::collections::BTreeMap;

use keyglass_keytrans::{client::UserState, wire::WireError};
use serde::{Deserialize, Serialize};

use super::{format::Format, text};

/// What is retained of a log between look-ups: the draft's user state.
///
/// It holds the last head with everything that signed it, the subtrees and log entries by which the next head is shown to
/// extend it, and the monitoring map of every label that must be watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogDocument {
    format: Format<1>,
    /// The log's origin.
    pub origin: String,
    #[serde(with = "text::bytes")]
    user_state: Vec<u8>,
}

impl LogDocument {
    /// The document of a state.
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn new(origin: String, state: &UserState) -> Result<Self, WireError> {
        Ok(Self { format: Format, origin, user_state: state.encode()? })
    }

    /// The state.
    ///
    /// # Errors
    /// [`WireError`] if the file was damaged.
    pub fn user_state(&self) -> Result<UserState, WireError> {
        UserState::decode(&self.user_state)
    }
}

/// The accounts that this home has met in a log, by label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contacts {
    format: Format<1>,
    /// The log's origin.
    pub origin: String,
    /// The accounts.
    pub by_label: BTreeMap<String, Contact>,
    /// Accounts met in a log that was handed over to this one, and not met in this one yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub carried: BTreeMap<String, CarriedContact>,
}

/// An account as it was met last in an earlier log: enough to recognise it, and nothing that is proven in this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarriedContact {
    /// The origin of the log in which it was met last.
    pub log: String,
    /// Its identity key there.
    #[serde(with = "text::array")]
    pub identity_key: [u8; 32],
    /// Its identity key at the first meeting.
    #[serde(with = "text::array")]
    pub first_identity_key: [u8; 32],
    /// When that was, milliseconds since the Unix epoch.
    pub first_seen: u64,
    /// When it was proven last, likewise.
    pub last_seen: u64,
}

impl Contacts {
    /// Nobody met yet.
    #[must_use]
    pub fn new(origin: String) -> Self {
        Self { format: Format, origin, by_label: BTreeMap::new(), carried: BTreeMap::new() }
    }
}

/// An account as it was proven last and accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The identity key at the first meeting.
    #[serde(with = "text::array")]
    pub first_identity_key: [u8; 32],
    /// When that was, milliseconds since the Unix epoch.
    pub first_seen: u64,
    /// The version that was proven last.
    pub version: u32,
    /// Its record.
    #[serde(with = "text::bytes")]
    pub record: Vec<u8>,
    /// When it was proven last, milliseconds since the Unix epoch.
    pub last_seen: u64,
    /// Whether the person does not want it watched. Homes of old do not say, which means no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unwatched: bool,
    /// The version up to which the person was told what changed, if that is older than the one that was proven last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<ToldVersion>,
}

/// A version of an account that the person knows of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldVersion {
    /// Its number.
    pub version: u32,
    /// Its record.
    #[serde(with = "text::bytes")]
    pub record: Vec<u8>,
    /// When it was the newest last, milliseconds since the Unix epoch.
    pub last_seen: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_of_old_are_watched() {
        let old = r#"{"first_identity_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","first_seen":1,"version":2,"record":"AQ==","last_seen":3}"#;
        let contact: Contact = serde_json::from_str(old).unwrap();
        assert!(!contact.unwatched && contact.told.is_none());
        assert_eq!(serde_json::to_string(&contact).unwrap(), old);
        let unwatched = serde_json::to_string(&Contact { unwatched: true, ..contact }).unwrap();
        assert!(serde_json::from_str::<Contact>(&unwatched).unwrap().unwatched);
    }
}

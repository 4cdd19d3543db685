//! What a home holds of an account's identity: the key itself, or, on a device that was linked, only its public half.

use core::fmt;

use keyglass_crypto::{
    secret::Secret,
    sign::{SigningKey, VerifyingKey},
};
use serde::{Deserialize, Serialize};

use super::text;

/// The identity of an own account.
///
/// In JSON the seed alone, as base64, or `{"held_elsewhere": key}`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub enum OwnIdentity {
    /// The seed of the identity key is in this home.
    Held(#[serde(with = "text::secret")] Secret<32>),
    /// Another device of the account holds the identity key: this home proves things to others as a device only.
    Elsewhere {
        /// The identity key, as the log proved it last.
        #[serde(rename = "held_elsewhere", with = "text::verifying_key")]
        key: VerifyingKey,
    },
}

impl OwnIdentity {
    /// The public key.
    #[must_use]
    pub fn key(&self) -> VerifyingKey {
        match self {
            Self::Held(seed) => SigningKey::from_seed(seed.expose()).verifying_key(),
            Self::Elsewhere { key } => *key,
        }
    }

    /// The signing key, where it is here.
    #[must_use]
    pub fn signing_key(&self) -> Option<SigningKey> {
        match self {
            Self::Held(seed) => Some(SigningKey::from_seed(seed.expose())),
            Self::Elsewhere { .. } => None,
        }
    }
}

impl fmt::Debug for OwnIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(_) => f.write_str("Held(..)"),
            Self::Elsewhere { key } => f.debug_struct("Elsewhere").field("key", key).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_stored_as_it_always_was() {
        let held = OwnIdentity::Held(Secret::new([7; 32]));
        let json = serde_json::to_string(&held).unwrap();
        assert_eq!(json, "\"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\"");
        let back: OwnIdentity = serde_json::from_str(&json).unwrap();
        assert_eq!(back.key(), held.key());
        assert!(back.signing_key().is_some());
        assert_eq!(format!("{held:?}"), "Held(..)");
    }

    #[test]
    fn a_linked_device_stores_the_public_key_alone() {
        let key = SigningKey::from_seed(&[8; 32]).verifying_key();
        let json = serde_json::to_string(&OwnIdentity::Elsewhere { key }).unwrap();
        assert!(json.starts_with("{\"held_elsewhere\":\""), "{json}");
        let back: OwnIdentity = serde_json::from_str(&json).unwrap();
        assert_eq!(back.key(), key);
        assert!(back.signing_key().is_none());
        for bad in ["\"BwcH\"", "{}", "{\"held_elsewhere\":\"BwcH\"}", "7", "null"] {
            assert!(serde_json::from_str::<OwnIdentity>(bad).is_err(), "{bad}");
        }
        // A point of small order is no identity.
        let zero = format!("{{\"held_elsewhere\":\"{}=\"}}", "A".repeat(43));
        assert!(serde_json::from_str::<OwnIdentity>(&zero).is_err());
    }
}

//! The tags that separate what a key signs or a hash covers, one for each purpose.
//!
//! A signed message starts with its tag as `opaque<1..255>`, then the origin as `opaque<1..2^16-1>`, then the label
//! as `opaque<1..255>`. No two tags are equal, so a signature for one purpose never verifies for another.

use crate::codec::Writer;

/// An account record, signed by the key that authorises it.
pub const RECORD: &str = "keyglass account record v1";
/// An account record, signed by the identity key that it introduces.
pub const NEW_IDENTITY: &str = "keyglass account new identity v1";
/// A device's agreement to belong to an account.
pub const DEVICE: &str = "keyglass account device v1";
/// An identity key's grant to a recovery key.
pub const RECOVERY_GRANT: &str = "keyglass account recovery grant v1";
/// A signed prekey.
pub const SIGNED_PREKEY: &str = "keyglass signed prekey v1";
/// The header of a batch of one-time prekeys.
pub const PREKEY_BATCH: &str = "keyglass one-time prekey batch v1";
/// A last-resort KEM prekey.
pub const LAST_RESORT_PREKEY: &str = "keyglass last-resort KEM prekey v1";
/// The header of a batch of one-time KEM prekeys.
pub const KEM_PREKEY_BATCH: &str = "keyglass one-time KEM prekey batch v1";
/// What the server holds of a device's prekeys, hashed.
pub const PREKEY_POOL: &str = "keyglass prekey pool v1";
/// A request to the server.
pub const REQUEST: &str = "keyglass request v1";
/// A token, authenticated by the server's own key.
pub const TOKEN: &str = "keyglass token v1";
/// The body of an account record, hashed.
pub const RECORD_BODY: &str = "keyglass account record body v1";
/// An account record with its signatures, hashed.
pub const RECORD_HASH: &str = "keyglass account record hash v1";
/// A retired key, hashed.
pub const RETIRED_KEY: &str = "keyglass account retired key v1";
/// The account that a validated record belongs to, hashed.
pub const ACCOUNT: &str = "keyglass account v1";
/// What two people compare, hashed.
pub const SAFETY_NUMBER: &str = "keyglass safety number v1";
/// A device's offer to be added to an account.
pub const LINK_OFFER: &str = "keyglass link offer v1";

/// Every tag, for the test that they differ.
pub const ALL: [&str; 17] = [
    RECORD,
    NEW_IDENTITY,
    DEVICE,
    RECOVERY_GRANT,
    SIGNED_PREKEY,
    PREKEY_BATCH,
    LAST_RESORT_PREKEY,
    KEM_PREKEY_BATCH,
    PREKEY_POOL,
    REQUEST,
    TOKEN,
    RECORD_BODY,
    RECORD_HASH,
    RETIRED_KEY,
    ACCOUNT,
    SAFETY_NUMBER,
    LINK_OFFER,
];

/// The start of everything that is signed: tag, origin, label.
#[must_use]
pub fn signed(tag: &str, origin: &str, label: &[u8]) -> Writer {
    let mut message = Writer::new();
    message.opaque8(tag.as_bytes()).opaque16(origin.as_bytes()).opaque8(label);
    message
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn tags_differ_and_fit_their_length_byte() {
        assert_eq!(super::ALL.iter().collect::<BTreeSet<_>>().len(), super::ALL.len());
        assert!(super::ALL.iter().all(|tag| !tag.is_empty() && tag.len() < 256));
    }

    #[test]
    fn tag_origin_and_label_cannot_run_into_each_other() {
        let all: BTreeSet<Vec<u8>> = [("t", "o", "l"), ("to", "", "l"), ("t", "ol", ""), ("", "to", "l")]
            .into_iter()
            .map(|(tag, origin, label)| super::signed(tag, origin, label.as_bytes()).finish())
            .collect();
        assert_eq!(all.len(), 4);
    }
}

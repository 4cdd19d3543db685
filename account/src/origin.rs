//! Which log a signature is for.
//!
//! A log of suite `0xF001` has an origin, the name of its checkpoints, which commits to its Configuration. A log of
//! suite `0x0002` has none: its Configuration stands in.

use keyglass_crypto::hash::sha256;

/// The stand-in for the origin of a log whose tree head is not a checkpoint (suite `0x0002`): `kt:` and the SHA-256
/// of the TLS-encoded Configuration in lower-case hex. No checkpoint origin of this system starts with `kt:`.
#[must_use]
pub fn of_configuration(encoded: &[u8]) -> String {
    format!("kt:{}", hex::encode(sha256(&[encoded])))
}

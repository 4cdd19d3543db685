//! Commitments: HMAC-SHA256 under the fixed key `Kc` (draft-ietf-keytrans-protocol, "Commitment").

use crate::{hash::Digest, kdf::hmac_sha256};

/// `Kc` of every cipher suite that the draft defines.
pub const KC: [u8; 16] =
    [0xd8, 0x21, 0xf8, 0x79, 0x0d, 0x97, 0x70, 0x97, 0x96, 0xb4, 0xd7, 0x90, 0x33, 0x57, 0xc3, 0xf5];

/// Bytes in an opening (`Nc`).
pub const OPENING_LEN: usize = 16;

/// The commitment to an encoded `CommitmentValue`, given in parts.
#[must_use]
pub fn commit(commitment_value: &[&[u8]]) -> Digest {
    hmac_sha256(&KC, commitment_value)
}

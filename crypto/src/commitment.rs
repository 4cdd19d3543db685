//! Commitments: HMAC-SHA256 under the fixed key `Kc` (draft-ietf-keytrans-protocol, "Commitment").
//!
//! The log's tree holds a commitment to each value instead of the value. It binds the log to the value, and hides it
//! until the *opening*, 16 random bytes at the start of the encoded `CommitmentValue`, is shown. Erasing an opening
//! therefore erases the value from the log without touching a hash.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{self, field};

    #[test]
    fn vectors_of_commitments() {
        vectors::each("commitment.json", "cases", |case| {
            let value = field(case, "commitment_value");
            assert_eq!(commit(&[&value]).as_slice(), field(case, "commitment"));
            assert!(
                value.starts_with(&field(case, "opening")) && field(case, "opening").len() == OPENING_LEN
            );
        });
    }
}

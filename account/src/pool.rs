//! The digest of a device's prekey pool: how the device notices that the server holds something else than it thinks.
//!
//! Numbers alone do not tell that apart: a device that was restored from a backup may have made another batch 5 than the
//! one that the server holds. The digest covers the keys themselves, by the encodings that the device signed and the
//! roots of its batches, so that the device computes the same from its own records or knows that they differ.
//!
//! ```text
//! struct { KeyType type;  uint32 batch;  uint16 leaf_count;  uint16 handed_out;  opaque root[32]; } LiveBatch;
//! struct {
//!   uint32 next_batch;  uint32 next_id;
//!   opaque signed_prekey_hash[32];      SHA-256 of the encoded SignedPreKey; of nothing if there is none
//!   opaque last_resort_hash[32];        the same of the last-resort KEM prekey
//!   LiveBatch batches<0..2^16-1>;       ascending by type and number
//! } PoolState;
//! ```
//!
//! The digest is SHA-256 over tag, origin, label, `uint32 device` and this.

use keyglass_crypto::hash::{Digest, sha256};

use crate::{prekey::KeyType, tag};

/// A batch of which keys are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolBatch {
    /// The type of its keys.
    pub key_type: KeyType,
    /// Its number.
    pub batch: u32,
    /// Keys that it had.
    pub leaf_count: u16,
    /// Keys that were handed out: those with an index below this.
    pub handed_out: u16,
    /// The root that the device signed.
    pub root: Digest,
}

/// A pool as far as its digest covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolState {
    /// The least number that the next batch may have.
    pub next_batch: u32,
    /// The least id that the next one-time prekey may have.
    pub next_id: u32,
    /// The [hash](encoding_hash) of the signed prekey.
    pub signed_prekey: Digest,
    /// The [hash](encoding_hash) of the last-resort KEM prekey.
    pub last_resort: Digest,
    /// The batches of which keys are left, in any order.
    pub batches: Vec<PoolBatch>,
}

/// The hash of an encoded prekey, or of its absence.
#[must_use]
pub fn encoding_hash(encoded: Option<&[u8]>) -> Digest {
    sha256(&[encoded.unwrap_or_default()])
}

impl PoolState {
    /// The digest of this pool, of a device of `label` in the log `origin`.
    #[must_use]
    pub fn digest(&self, origin: &str, label: &[u8], device: u32) -> Digest {
        let mut batches = self.batches.clone();
        batches.sort_unstable();
        let mut out = tag::signed(tag::PREKEY_POOL, origin, label);
        out.u32(device).u32(self.next_batch).u32(self.next_id);
        out.bytes(&self.signed_prekey).bytes(&self.last_resort);
        out.count16(batches.len());
        for batch in &batches {
            let key_type = match batch.key_type {
                KeyType::X25519 => 1,
                KeyType::MlKem768 => 2,
            };
            out.u8(key_type).u32(batch.batch).u16(batch.leaf_count).u16(batch.handed_out).bytes(&batch.root);
        }
        sha256(&[&out.finish()])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const BATCH: PoolBatch =
        PoolBatch { key_type: KeyType::X25519, batch: 5, leaf_count: 100, handed_out: 7, root: [3; 32] };

    fn state() -> PoolState {
        PoolState {
            next_batch: 9,
            next_id: 8,
            signed_prekey: encoding_hash(Some(b"signed")),
            last_resort: encoding_hash(Some(b"last")),
            batches: vec![BATCH, PoolBatch { key_type: KeyType::MlKem768, batch: 4, ..BATCH }],
        }
    }

    #[test]
    fn every_part_of_a_pool_changes_its_digest() {
        let mut seen = BTreeSet::new();
        let mut differs = |change: &dyn Fn(&mut PoolState)| {
            let mut state = state();
            change(&mut state);
            assert!(seen.insert(state.digest("log", b"bob", 1)));
        };
        differs(&|_| {});
        differs(&|state| state.next_batch += 1);
        differs(&|state| state.next_id += 1);
        differs(&|state| state.signed_prekey = encoding_hash(None));
        differs(&|state| state.last_resort = encoding_hash(None));
        differs(&|state| core::mem::swap(&mut state.signed_prekey, &mut state.last_resort));
        differs(&|state| state.batches[0].key_type = KeyType::MlKem768);
        differs(&|state| state.batches[0].batch += 1);
        differs(&|state| state.batches[0].leaf_count += 1);
        differs(&|state| state.batches[0].handed_out += 1);
        differs(&|state| state.batches[0].root[31] ^= 1);
        differs(&|state| state.batches.truncate(1));
        for (origin, label, device) in [("log2", "bob", 1), ("log", "bo", 1), ("log", "bob", 2)] {
            assert!(seen.insert(state().digest(origin, label.as_bytes(), device)));
        }
    }

    #[test]
    fn the_order_in_which_batches_are_listed_does_not_matter() {
        let mut other = state();
        other.batches.reverse();
        assert_eq!(other.digest("log", b"bob", 1), state().digest("log", b"bob", 1));
    }
}

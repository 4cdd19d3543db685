//! Search keys and the values of nodes (section "Prefix Tree" of "Cryptographic Computations").

use keyglass_crypto::hash::{Digest, sha256};

use crate::wire::PrefixLeaf;

/// A search key: the VRF output of a label and version.
pub type SearchKey = [u8; 32];

/// Stands for a child that does not exist, and for the root of a tree without keys.
pub const ABSENT: Digest = [0; 32];

/// The greatest depth of a node, the most that a proof can say. Two keys that share more bits do not both fit a tree.
pub const MAX_DEPTH: u16 = 255;

/// The value of a leaf, which is the same at any depth.
#[must_use]
pub fn leaf_value(leaf: &PrefixLeaf) -> Digest {
    marked(2, &leaf.vrf_output, &leaf.commitment)
}

/// The value of a parent.
#[must_use]
pub fn parent_value(left: &Digest, right: &Digest) -> Digest {
    marked(3, left, right)
}

/// In one piece, which is hashed faster than three.
fn marked(marker: u8, left: &Digest, right: &Digest) -> Digest {
    let mut content = [marker; 65];
    let (_, values) = content.split_at_mut(1);
    let (first, second) = values.split_at_mut(32);
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    sha256(&[&content])
}

/// The bit of `key` that decides between the children of a node at `depth`: 1 is right.
pub(super) fn goes_right(key: &SearchKey, depth: u16) -> bool {
    key.get(usize::from(depth >> 3)).is_some_and(|byte| (byte << (depth & 7)) & 0x80 != 0)
}

/// The first `bits` bits of `key`, then zeros.
pub(super) fn prefix(key: &SearchKey, bits: u16) -> SearchKey {
    let mut prefix = *key;
    let whole = usize::from(bits >> 3);
    if let Some((partial, rest)) = prefix.get_mut(whole..).and_then(<[u8]>::split_first_mut) {
        *partial &= !(0xff >> (bits & 7));
        rest.fill(0);
    }
    prefix
}

/// The place of the other child beside the one at `depth` (at least 1) above `key`: its bits, then zeros.
pub(super) fn sibling(key: &SearchKey, depth: u16) -> SearchKey {
    let mut sibling = prefix(key, depth);
    let last = depth.saturating_sub(1);
    if let Some(byte) = sibling.get_mut(usize::from(last >> 3)) {
        *byte ^= 0x80 >> (last & 7);
    }
    sibling
}

/// How many bits two keys share before they differ; 256 if they do not.
pub(super) fn shared_bits(a: &SearchKey, b: &SearchKey) -> u16 {
    let differing = a.iter().zip(b).map(|(a, b)| a ^ b);
    match (0_u16..).step_by(8).zip(differing).find(|(_, byte)| *byte != 0) {
        Some((bits, byte)) => bits + u16::try_from(byte.leading_zeros()).unwrap_or(8),
        None => 256,
    }
}

/// Splits what is sorted by search key into what lies to the left and to the right below a node at `depth`.
pub(super) fn split<T>(sorted: &[T], depth: u16, key: impl Fn(&T) -> &SearchKey) -> (&[T], &[T]) {
    sorted.split_at(sorted.partition_point(|item| !goes_right(key(item), depth)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shared_bits_end_at_the_first_that_differs(mut a in any::<SearchKey>(), bit in 0..256_u16, noise in any::<SearchKey>()) {
            a[31] |= 1;
            let mut b = a;
            for i in bit..256 {
                let mask = 0x80 >> (i % 8);
                let flip = i == bit || goes_right(&noise, i);
                b[usize::from(i / 8)] ^= if flip { mask } else { 0 };
            }
            prop_assert_eq!(shared_bits(&a, &b), bit);
            prop_assert_ne!(goes_right(&a, bit), goes_right(&b, bit));
            prop_assert_eq!(shared_bits(&a, &a), 256);
            prop_assert_eq!(prefix(&a, bit), prefix(&b, bit));
            prop_assert_eq!(shared_bits(&prefix(&a, bit + 1), &a).min(bit + 1), bit + 1);
            prop_assert_eq!(sibling(&a, bit + 1), prefix(&b, bit + 1));
        }
    }
}

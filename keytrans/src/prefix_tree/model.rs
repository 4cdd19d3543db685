//! A naive prefix tree to compare with: a sorted map, and recursion over all of it.

use std::collections::BTreeMap;

use keyglass_crypto::hash::{Digest, sha256};
use proptest::prelude::*;

use super::node::SearchKey;
use crate::wire::{PrefixLeaf, PrefixProof, PrefixSearchKind, PrefixSearchResult};

/// A tree as the set of its leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Model(pub(crate) BTreeMap<SearchKey, Digest>);

fn bit(key: &SearchKey, depth: usize) -> bool {
    key[depth / 8] & (0x80 >> (depth % 8)) != 0
}

impl Model {
    pub(crate) fn leaves(&self) -> Vec<PrefixLeaf> {
        self.0
            .iter()
            .map(|(key, commitment)| PrefixLeaf { vrf_output: *key, commitment: *commitment })
            .collect()
    }

    fn value(leaves: &[PrefixLeaf], depth: usize) -> Digest {
        match leaves {
            [] => [0; 32],
            [leaf] => sha256(&[&[2], &leaf.vrf_output, &leaf.commitment]),
            _ => {
                let (left, right): (Vec<_>, Vec<_>) =
                    leaves.iter().partition(|leaf| !bit(&leaf.vrf_output, depth));
                sha256(&[&[3], &Self::value(&left, depth + 1), &Self::value(&right, depth + 1)])
            }
        }
    }

    pub(crate) fn root(&self) -> Digest {
        Self::value(&self.leaves(), 0)
    }

    pub(crate) fn prove(&self, keys: &[SearchKey]) -> PrefixProof {
        let results = keys.iter().map(|key| Self::search(key, &self.leaves(), 0)).collect();
        let mut elements = Vec::new();
        Self::elements(keys, &self.leaves(), 0, &mut elements);
        PrefixProof { results, elements }
    }

    fn search(key: &SearchKey, leaves: &[PrefixLeaf], depth: usize) -> PrefixSearchResult {
        let kind = match leaves {
            [] => PrefixSearchKind::NonInclusionParent,
            [leaf] if leaf.vrf_output == *key => PrefixSearchKind::Inclusion,
            [leaf] => PrefixSearchKind::NonInclusionLeaf(*leaf),
            _ => {
                let below: Vec<PrefixLeaf> = leaves
                    .iter()
                    .filter(|leaf| bit(&leaf.vrf_output, depth) == bit(key, depth))
                    .copied()
                    .collect();
                return Self::search(key, &below, depth + 1);
            }
        };
        PrefixSearchResult { kind, depth: u8::try_from(depth).unwrap() }
    }

    fn elements(keys: &[SearchKey], leaves: &[PrefixLeaf], depth: usize, elements: &mut Vec<Digest>) {
        if keys.is_empty() {
            elements.push(Self::value(leaves, depth));
        } else if leaves.len() > 1 {
            for right in [false, true] {
                let keys: Vec<SearchKey> =
                    keys.iter().filter(|key| bit(key, depth) == right).copied().collect();
                let leaves: Vec<PrefixLeaf> =
                    leaves.iter().filter(|leaf| bit(&leaf.vrf_output, depth) == right).copied().collect();
                Self::elements(&keys, &leaves, depth + 1, elements);
            }
        }
    }

    /// The searches for `keys` with what is known of each.
    pub(crate) fn searches(&self, keys: &[SearchKey]) -> Vec<(SearchKey, Option<Digest>)> {
        keys.iter().map(|key| (*key, self.0.get(key).copied())).collect()
    }
}

/// Keys of which many share long prefixes: up to 254 bits, so that every depth fits.
pub(crate) fn key() -> impl Strategy<Value = SearchKey> {
    let stem = prop_oneof![Just([0; 32]), Just([0xff; 32]), Just([0x5a; 32])];
    (stem, any::<SearchKey>(), prop_oneof![0..4_usize, 0..16_usize, 0..254_usize]).prop_map(
        |(stem, noise, shared)| {
            let mut key = noise;
            for depth in 0..shared {
                let mask = 0x80 >> (depth % 8);
                key[depth / 8] = key[depth / 8] & !mask | stem[depth / 8] & mask;
            }
            // The last two bits never tell two keys apart.
            key[31] &= 0xfc;
            key
        },
    )
}

/// A tree of up to `most` such keys.
pub(crate) fn tree(most: usize) -> impl Strategy<Value = Model> {
    prop::collection::btree_map(key(), any::<Digest>(), 0..=most).prop_map(Model)
}

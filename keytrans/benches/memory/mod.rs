//! A prefix tree in memory, and leaves to put into it.

use std::collections::HashMap;

use keyglass_crypto::hash::sha256;
use keyglass_keytrans::{
    prefix_tree::{NextVersion, Page, PageKey, PageSource, TreeRoot},
    wire::PrefixLeaf,
};
use thiserror::Error;

/// There is no such page.
#[derive(Debug, Error)]
#[error("no such page")]
pub struct Missing;

/// Pages in memory, as a cache over the store would hold them.
#[derive(Default)]
pub struct Memory(pub HashMap<PageKey, Page>);

impl PageSource for Memory {
    type Error = Missing;

    fn pages(&self, keys: &[PageKey]) -> Result<Vec<Page>, Missing> {
        keys.iter().map(|key| self.0.get(key).cloned().ok_or(Missing)).collect()
    }
}

impl Memory {
    pub fn keep(&mut self, next: NextVersion) -> TreeRoot {
        for page in next.superseded {
            self.0.remove(&page);
        }
        self.0.extend(next.pages);
        next.root
    }
}

/// The leaves of these numbers, ascending by search key.
pub fn leaves(numbers: std::ops::Range<u64>) -> Vec<PrefixLeaf> {
    let leaf = |number: u64| {
        let vrf_output = sha256(&[&number.to_be_bytes()]);
        PrefixLeaf { vrf_output, commitment: sha256(&[&vrf_output]) }
    };
    let mut leaves: Vec<PrefixLeaf> = numbers.map(leaf).collect();
    leaves.sort_unstable_by_key(|leaf| leaf.vrf_output);
    leaves
}

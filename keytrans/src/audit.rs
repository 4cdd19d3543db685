//! Replaying a log as a third-party auditor does ("Auditing"): that nothing was rewritten, and nothing removed before
//! every owner could have seen it.
//!
//! An [`AuditedLog`] holds the log tree's frontier, the timestamps on the implicit search tree's frontier and the prefix
//! tree's root: no copy of any tree. Where each leaf was first published is the caller's to store, since there is one
//! position for every leaf that was not removed.

use std::collections::BTreeMap;

use keyglass_crypto::{hash::Digest, vrf::VrfOutput};
use thiserror::Error;

use crate::{
    algorithms::{Tree, Violation},
    ibst,
    log_hash::LogHash,
    log_tree::{Appender, LogTreeError},
    prefix_tree::{ABSENT, PrefixProofError, evaluate_transition},
    view::{Lookups, View},
    wire::{AuditorUpdate, BatchAuditorUpdate, BatchPrefixProof, LogEntry, PrefixLeaf},
};

/// Why an update was refused. Nothing of the auditor's state changes then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuditError {
    /// Step 1: the timestamp is smaller than the one before it.
    #[error("the timestamp goes back")]
    Timestamp,
    /// Steps 2 to 4, 6 and 7: the change is malformed, or a leaf was rewritten.
    #[error(transparent)]
    Change(#[from] PrefixProofError),
    /// Step 5: this leaf was removed before a distinguished log entry had published it.
    #[error("a leaf was removed that no distinguished log entry had published")]
    RemovedUnpublished(VrfOutput),
    /// Step 6: the proof is of another prefix tree than the one that the log had.
    #[error("the proof is not of the prefix tree of the log entry before")]
    PrefixRoot,
    /// The stored state is not of a log.
    #[error(transparent)]
    State(#[from] LogTreeError),
}

/// What an update came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// The log entry that the update describes.
    pub entry: LogEntry,
    /// Its position.
    pub position: u64,
    /// The log tree's root with that entry as its rightmost one.
    pub root: Digest,
}

/// A log whose every transition up to its size was verified.
#[derive(Debug, Clone)]
pub struct AuditedLog {
    hash: LogHash,
    monitoring_window: u64,
    tree: Appender,
    prefix_tree: Digest,
    /// The timestamps of the entries on the implicit search tree's frontier.
    frontier: BTreeMap<u64, u64>,
}

impl AuditedLog {
    /// A log without entries. `monitoring_window` is `Configuration.reasonable_monitoring_window`, in milliseconds.
    #[must_use]
    pub fn new(hash: LogHash, monitoring_window: u64) -> Self {
        let (tree, frontier) = (Appender::new(hash), BTreeMap::new());
        Self { hash, monitoring_window, tree, prefix_tree: ABSENT, frontier }
    }

    /// Goes on from a state that was stored: the log tree's size and the values of its full subtrees, the frontier's log
    /// entries with their positions.
    ///
    /// # Errors
    /// [`AuditError::State`] if these are not of one log.
    pub fn resume(
        hash: LogHash,
        monitoring_window: u64,
        size: u64,
        full_subtrees: &[Digest],
        frontier: &[(u64, LogEntry)],
    ) -> Result<Self, AuditError> {
        let tree = Appender::resume(hash, size, full_subtrees)?;
        if !frontier.iter().map(|(position, _)| *position).eq(ibst::frontier(size)) {
            return Err(LogTreeError::RetainedHeads.into());
        }
        let prefix_tree = frontier.last().map_or(ABSENT, |(_, entry)| entry.prefix_tree);
        let frontier = frontier.iter().map(|(position, entry)| (*position, entry.timestamp)).collect();
        Ok(Self { hash, monitoring_window, tree, prefix_tree, frontier })
    }

    /// How many entries were verified.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The log tree's root; none before the first entry.
    #[must_use]
    pub fn root(&self) -> Option<Digest> {
        self.tree.root()
    }

    /// The values of the log tree's full subtrees, left to right, for storing.
    #[must_use]
    pub fn full_subtrees(&self) -> Vec<Digest> {
        self.tree.full_subtrees()
    }

    /// The rightmost distinguished log entry.
    ///
    /// An entry stays distinguished whatever follows: what is to its right only grows later, and so do the intervals of the
    /// entries above it. Leaves that were there by this entry may therefore be removed by any later one, and where they were
    /// first published need not be known any more.
    #[must_use]
    pub fn rightmost_distinguished(&self) -> Option<u64> {
        let (&rightmost, &timestamp) = self.frontier.last_key_value()?;
        let tree =
            Tree { size: self.size(), monitoring_window: self.monitoring_window, maximum_lifetime: None };
        let mut timestamps = Timestamps { known: &self.frontier, last: (rightmost, timestamp) };
        tree.rightmost_distinguished(&mut timestamps).ok().flatten()
    }

    /// Verifies the update of the next log entry. `first_published` tells the position of the log entry that put a leaf
    /// there which is in the tree now, under the commitment given.
    ///
    /// A leaf that is removed and added again unchanged was not removed: an update names it so that it is known what stands
    /// beside a removed one.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn apply(
        &mut self,
        update: &BatchAuditorUpdate,
        first_published: impl Fn(&PrefixLeaf) -> Option<u64>,
    ) -> Result<Audited, AuditError> {
        let position = self.size();
        if self.frontier.last_key_value().is_some_and(|(_, &before)| update.timestamp < before) {
            return Err(AuditError::Timestamp);
        }
        let proof = &update.proof;
        let transition =
            evaluate_transition(&update.added, &update.removed, &proof.results, &proof.elements)?;
        let stays = |leaf: &&PrefixLeaf| {
            let found = update.added.binary_search_by_key(&leaf.vrf_output, |added| added.vrf_output).ok();
            found.and_then(|index| update.added.get(index)) == Some(*leaf)
        };
        let mut removed = update.removed.iter().filter(|leaf| !stays(leaf)).peekable();
        if removed.peek().is_some() {
            let published = self.rightmost_distinguished_with(position, update.timestamp);
            let in_time = |leaf: &PrefixLeaf| {
                first_published(leaf).is_some_and(|first| published.is_some_and(|entry| first <= entry))
            };
            if let Some(early) = removed.find(|leaf| !in_time(leaf)) {
                return Err(AuditError::RemovedUnpublished(early.vrf_output));
            }
        }
        if transition.before != self.prefix_tree {
            return Err(AuditError::PrefixRoot);
        }
        let prefix_tree = transition.after;
        let entry = LogEntry { timestamp: update.timestamp, prefix_tree };
        self.tree.append(self.hash.leaf(entry.timestamp, &entry.prefix_tree));
        self.prefix_tree = prefix_tree;
        self.frontier.insert(position, entry.timestamp);
        let frontier = ibst::frontier(self.size());
        self.frontier.retain(|position, _| frontier.contains(position));
        let root = self.tree.root().ok_or(LogTreeError::EmptyLog)?;
        Ok(Audited { entry, position, root })
    }

    /// The rightmost log entry before `position` that is distinguished once an entry with `timestamp` is there.
    ///
    /// Every entry is on the frontier of the log before, or to the left of one that is and below it in the search tree; and
    /// what is above a distinguished entry is distinguished. So only the frontier has to be looked at.
    fn rightmost_distinguished_with(&self, position: u64, timestamp: u64) -> Option<u64> {
        let size = position.checked_add(1)?;
        let tree = Tree { size, monitoring_window: self.monitoring_window, maximum_lifetime: None };
        let mut timestamps = Timestamps { known: &self.frontier, last: (position, timestamp) };
        let mut frontier = self.frontier.keys().rev();
        frontier.find(|&&entry| tree.is_distinguished(&mut timestamps, entry) == Ok(true)).copied()
    }
}

/// The timestamps that an auditor knows, as a view that has nothing else.
struct Timestamps<'a> {
    known: &'a BTreeMap<u64, u64>,
    last: (u64, u64),
}

impl View for Timestamps<'_> {
    type Error = Violation;

    fn timestamp(&mut self, position: u64) -> Result<u64, Violation> {
        if position == self.last.0 {
            return Ok(self.last.1);
        }
        self.known.get(&position).copied().ok_or(Violation::BadPosition(position))
    }

    fn look_up(&mut self, position: u64, _: &mut dyn Lookups) -> Result<(), Violation> {
        Err(Violation::BadPosition(position))
    }

    fn ends_before(&mut self, _: u64) -> Result<bool, Violation> {
        Ok(true)
    }
}

impl From<AuditorUpdate> for BatchAuditorUpdate {
    fn from(update: AuditorUpdate) -> Self {
        let AuditorUpdate { timestamp, added, removed, proof } = update;
        let proof = BatchPrefixProof { results: proof.results, elements: proof.elements };
        Self { timestamp, added, removed, proof }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::prefix_tree::model::Model;

    /// A log and what its auditor is told; leaves have been there since the positions in `first`.
    struct World {
        audited: AuditedLog,
        tree: Model,
        first: BTreeMap<VrfOutput, u64>,
        naive: Vec<(u64, Digest)>,
    }

    fn leaf(seed: u8) -> PrefixLeaf {
        PrefixLeaf { vrf_output: keyglass_crypto::hash::sha256(&[&[seed]]), commitment: [seed; 32] }
    }

    fn sorted(mut leaves: Vec<PrefixLeaf>) -> Vec<PrefixLeaf> {
        leaves.sort_by_key(|leaf| leaf.vrf_output);
        leaves
    }

    impl World {
        fn new(hash: LogHash, window: u64) -> Self {
            Self {
                audited: AuditedLog::new(hash, window),
                tree: Model::default(),
                first: BTreeMap::new(),
                naive: Vec::new(),
            }
        }

        fn update(&self, timestamp: u64, added: &[PrefixLeaf], removed: &[PrefixLeaf]) -> BatchAuditorUpdate {
            let (added, removed) = (sorted(added.to_vec()), sorted(removed.to_vec()));
            let keys: Vec<VrfOutput> = added.iter().chain(&removed).map(|leaf| leaf.vrf_output).collect();
            // Without keys the proof is the root alone.
            let proof = self.tree.prove(&keys);
            let proof = BatchPrefixProof { results: proof.results, elements: proof.elements };
            BatchAuditorUpdate { timestamp, added, removed, proof }
        }

        fn apply(&mut self, update: &BatchAuditorUpdate) -> Result<Audited, AuditError> {
            let first = self.first.clone();
            let audited = self.audited.apply(update, |leaf| first.get(&leaf.vrf_output).copied())?;
            for leaf in &update.removed {
                self.tree.0.remove(&leaf.vrf_output);
            }
            for leaf in &update.added {
                self.tree.0.insert(leaf.vrf_output, leaf.commitment);
                self.first.entry(leaf.vrf_output).or_insert(audited.position);
            }
            self.naive.push((update.timestamp, self.tree.root()));
            Ok(audited)
        }

        fn naive_root(&self) -> Digest {
            let mut appender = Appender::new(self.audited.hash);
            for (timestamp, root) in &self.naive {
                appender.append(self.audited.hash.leaf(*timestamp, root));
            }
            appender.root().unwrap()
        }
    }

    #[test]
    fn replaying_gives_the_roots_of_the_log() {
        for hash in [LogHash::Draft, LogHash::Rfc6962] {
            let mut world = World::new(hash, 1000);
            for round in 0..40_u8 {
                let added: Vec<PrefixLeaf> = (0..round % 4).map(|n| leaf(round * 4 + n)).collect();
                let update = world.update(u64::from(round) * 100, &added, &[]);
                let audited = world.apply(&update).unwrap();
                assert_eq!(audited.position, u64::from(round));
                assert_eq!(audited.root, world.naive_root());
                assert_eq!(audited.entry.prefix_tree, world.tree.root());
            }
            let frontier: Vec<(u64, LogEntry)> = ibst::frontier(40)
                .into_iter()
                .map(|position| {
                    let (timestamp, prefix_tree) = world.naive[position as usize];
                    (position, LogEntry { timestamp, prefix_tree })
                })
                .collect();
            let heads = world.audited.full_subtrees();
            let resumed = AuditedLog::resume(hash, 1000, 40, &heads, &frontier).unwrap();
            assert_eq!(resumed.root(), world.audited.root());
            assert!(AuditedLog::resume(hash, 1000, 40, &heads, &frontier[1..]).is_err());
        }
    }

    #[test]
    fn each_lie_is_refused_and_changes_nothing() {
        let mut world = World::new(LogHash::Rfc6962, 1000);
        let first: Vec<PrefixLeaf> = (0..8).map(leaf).collect();
        world.apply(&world.update(5_000, &first, &[])).unwrap();
        let before = world.audited.root();

        let back = world.update(4_999, &[leaf(9)], &[]);
        assert_eq!(world.apply(&back), Err(AuditError::Timestamp));

        let rewritten = PrefixLeaf { commitment: [0xee; 32], ..leaf(3) };
        let rewrite = world.update(5_001, &[rewritten], &[]);
        assert_eq!(world.apply(&rewrite), Err(PrefixProofError::AddedKeyIncluded.into()));

        let mut other_tree = world.update(5_001, &[leaf(9)], &[]);
        other_tree.proof.elements[0][0] ^= 1;
        assert_eq!(world.apply(&other_tree), Err(AuditError::PrefixRoot));

        let mut unsorted = world.update(5_001, &[leaf(9), leaf(10)], &[]);
        unsorted.added.swap(0, 1);
        assert_eq!(world.apply(&unsorted), Err(PrefixProofError::Unsorted.into()));
        assert_eq!(world.audited.root(), before);
    }

    /// The leaf, and what stands beside it unchanged, so that the change can be computed.
    fn removal(world: &World, timestamp: u64, seed: u8) -> BatchAuditorUpdate {
        let beside: Vec<PrefixLeaf> =
            world.tree.leaves().into_iter().filter(|other| *other != leaf(seed)).collect();
        let all = world.tree.leaves();
        world.update(timestamp, &beside, &all)
    }

    #[test]
    fn a_leaf_is_removed_only_after_a_distinguished_entry_published_it() {
        let mut world = World::new(LogHash::Rfc6962, 1000);
        world.apply(&world.update(5_000, &[leaf(0), leaf(1)], &[])).unwrap();
        world.apply(&world.update(5_100, &[leaf(2)], &[])).unwrap();
        // Entry 0 stays above entry 1 in a log of three, where entry 1 is the root and so distinguished.
        world.apply(&removal(&world, 5_200, 2)).unwrap();
        world.apply(&world.update(5_300, &[leaf(3)], &[])).unwrap();
        world.apply(&world.update(5_350, &[leaf(4)], &[])).unwrap();
        // Entry 3 is the root of a log of six: distinguished, and it published leaf 3. Entry 4 is neither yet.
        let early = removal(&world, 5_400, 4);
        assert_eq!(world.apply(&early), Err(AuditError::RemovedUnpublished(leaf(4).vrf_output)));
        world.apply(&removal(&world, 5_400, 3)).unwrap();
        assert!(!world.tree.0.contains_key(&leaf(3).vrf_output));
    }

    #[test]
    fn only_the_frontier_has_to_be_looked_at() {
        // Against the draft's recursion over all timestamps.
        let mut timestamps = Vec::new();
        let mut world = World::new(LogHash::Draft, 700);
        for round in 0..200_u64 {
            let next = 10_000 + round * 37 + (round * round) % 91 * 11;
            let timestamp = timestamps.last().map_or(next, |&last: &u64| next.max(last));
            timestamps.push(timestamp);
            let found = world.audited.rightmost_distinguished_with(round, timestamp);
            let all: BTreeMap<u64, u64> = (0..).zip(timestamps.iter().copied()).collect();
            let mut view = Timestamps { known: &all, last: (round, timestamp) };
            let tree = Tree { size: round + 1, monitoring_window: 700, maximum_lifetime: None };
            let expected = (0..round).rev().find(|&entry| tree.is_distinguished(&mut view, entry).unwrap());
            assert_eq!(found, expected, "round {round}");
            assert!(world.audited.rightmost_distinguished() <= found, "distinguished entries stay so");
            world.apply(&world.update(timestamp, &[], &[])).unwrap();
        }
    }
}

//! The verifier's view: the algorithms' questions answered from a `CombinedTreeProof` ("Tree Proofs", "Combined Tree").

use std::collections::{BTreeMap, BTreeSet};

use keyglass_crypto::hash::Digest;

use super::{
    error::{ProofError, VerifyError},
    state::{KnownVersion, TreeState},
};
use crate::{
    log_hash::LogHash,
    log_tree::{self, Proven},
    prefix_tree,
    view::{Lookups, View},
    wire::{CombinedTreeProof, InclusionProof, LogEntry, PrefixProof},
};

/// A `CombinedTreeProof` being consumed.
pub(super) struct ProofView<'a> {
    timestamps: std::slice::Iter<'a, u64>,
    prefix_proofs: std::slice::Iter<'a, PrefixProof>,
    prefix_roots: &'a [Digest],
    inclusion: &'a InclusionProof,
    versions: &'a BTreeMap<u32, KnownVersion>,
    retained: BTreeMap<u64, LogEntry>,
    /// Every timestamp known, retained ones included.
    known: BTreeMap<u64, u64>,
    /// The entries whose timestamps the proof gave.
    given: BTreeSet<u64>,
    roots: BTreeMap<u64, Digest>,
    shown: BTreeSet<u32>,
}

/// What a proof proves, under a root that a signature has still to cover.
pub(super) struct Consumed {
    pub(super) log: Proven,
    /// The log entries known in full.
    pub(super) entries: BTreeMap<u64, LogEntry>,
    /// The versions that some prefix tree was shown to hold.
    pub(super) shown: BTreeSet<u32>,
}

impl<'a> ProofView<'a> {
    pub(super) fn new(
        proof: &'a CombinedTreeProof,
        retained: Option<&TreeState>,
        versions: &'a BTreeMap<u32, KnownVersion>,
    ) -> Self {
        let retained: BTreeMap<u64, LogEntry> =
            retained.map(|tree| tree.frontier.iter().copied().collect()).unwrap_or_default();
        Self {
            timestamps: proof.timestamps.iter(),
            prefix_proofs: proof.prefix_proofs.iter(),
            prefix_roots: &proof.prefix_roots,
            inclusion: &proof.inclusion,
            versions,
            known: retained.iter().map(|(&position, entry)| (position, entry.timestamp)).collect(),
            retained,
            given: BTreeSet::new(),
            roots: BTreeMap::new(),
            shown: BTreeSet::new(),
        }
    }

    /// Checks that nothing is left over and computes the log's root at `size`.
    pub(super) fn finish(
        mut self,
        hash: LogHash,
        size: u64,
        retained: Option<&TreeState>,
        auditor_size: Option<u64>,
    ) -> Result<Consumed, ProofError> {
        if self.timestamps.next().is_some() || self.prefix_proofs.next().is_some() {
            return Err(ProofError::Leftover);
        }
        let mut prefix_roots = self.prefix_roots.iter();
        let mut entries = self.retained;
        let mut leaves = Vec::with_capacity(self.given.len());
        for &position in &self.given {
            let timestamp = *self.known.get(&position).ok_or(ProofError::TimestampMissing)?;
            let prefix_tree = match self.roots.get(&position) {
                Some(root) => *root,
                None => *prefix_roots.next().ok_or(ProofError::Leftover)?,
            };
            entries.insert(position, LogEntry { timestamp, prefix_tree });
            leaves.push((position, hash.leaf(timestamp, &prefix_tree)));
        }
        if prefix_roots.next().is_some() {
            return Err(ProofError::Leftover);
        }
        let retained = retained.map(|tree| (tree.tree_size(), tree.full_subtrees.as_slice()));
        let log = log_tree::verify(hash, size, &leaves, retained, auditor_size, &self.inclusion.elements)?;
        Ok(Consumed { log, entries, shown: self.shown })
    }
}

impl View for ProofView<'_> {
    type Error = VerifyError;

    fn timestamp(&mut self, position: u64) -> Result<u64, VerifyError> {
        if let Some(&timestamp) = self.known.get(&position) {
            return Ok(timestamp);
        }
        let timestamp = *self.timestamps.next().ok_or(ProofError::TimestampMissing)?;
        let before = self.known.range(..position).next_back().is_none_or(|(_, &left)| left <= timestamp);
        let after = self.known.range(position..).next().is_none_or(|(_, &right)| timestamp <= right);
        if !before || !after {
            return Err(ProofError::TimestampOrder(position).into());
        }
        self.known.insert(position, timestamp);
        self.given.insert(position);
        Ok(timestamp)
    }

    fn look_up(&mut self, position: u64, lookups: &mut dyn Lookups) -> Result<(), VerifyError> {
        let proof = self.prefix_proofs.next().ok_or(ProofError::PrefixProofMissing)?;
        let mut results = proof.results.iter();
        let mut searches = Vec::with_capacity(proof.results.len());
        while let Some(version) = lookups.next() {
            let included = results.next().ok_or(ProofError::ResultMissing(position))?.is_inclusion();
            let known = self.versions.get(&version).ok_or(ProofError::KeyUnknown(version))?;
            let commitment = if included {
                self.shown.insert(version);
                Some(known.commitment.ok_or(ProofError::CommitmentUnknown(version))?)
            } else {
                None
            };
            searches.push((known.key, commitment));
            lookups.answer(included);
        }
        if results.next().is_some() {
            return Err(ProofError::ResultLeft(position).into());
        }
        let root = prefix_tree::evaluate(&searches, proof)
            .map_err(|source| ProofError::Prefix { position, source })?;
        let retained = self.retained.get(&position).map(|entry| entry.prefix_tree);
        if *self.roots.entry(position).or_insert(root) != root
            || retained.is_some_and(|retained| retained != root)
        {
            return Err(ProofError::PrefixRoots(position).into());
        }
        Ok(())
    }

    fn ends_before(&mut self, _: u64) -> Result<bool, VerifyError> {
        Ok(self.prefix_proofs.as_slice().is_empty())
    }
}

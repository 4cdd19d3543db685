//! The prover's view: answers from the log's data, and records what a `CombinedTreeProof` must hold.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ProverError,
    data::{ProverData, ServedHead},
};
use crate::{
    algorithms::{Tree, Violation, update_view},
    ibst, log_tree,
    retention::keeps_entry,
    view::{Lookups, View},
    wire::{BinaryLadderStep, CombinedTreeProof, FullTreeHead, InclusionProof, LogEntry},
};

/// When an owner-monitoring response ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    /// The greatest version that the owner advertised.
    pub(super) advertised: Option<u32>,
    /// How many more ladders it may hold.
    pub(super) ladders: usize,
}

/// A `CombinedTreeProof` under construction, for one label.
pub(super) struct RecordingView<'a, D> {
    pub(super) data: &'a D,
    label: &'a [u8],
    head: &'a ServedHead,
    last: Option<u64>,
    entries: BTreeMap<u64, LogEntry>,
    /// Positions in the order in which their timestamps were asked for; the user knows the others.
    recorded: Vec<u64>,
    retained: BTreeSet<u64>,
    lookups: Vec<(u64, Vec<u32>)>,
    positions: BTreeMap<u32, u64>,
    greatest: Option<u32>,
    pub(super) ending: Option<Ending>,
}

impl<'a, D: ProverData> RecordingView<'a, D> {
    /// Starts a proof for a user whose last head had `last` entries, and brings that user's view up to date.
    pub(super) fn new(
        data: &'a D,
        head: &'a ServedHead,
        label: &'a [u8],
        last: Option<u64>,
    ) -> Result<Self, ProverError<D::Error>> {
        let size = head.tree_head.tree_size;
        let retained: BTreeSet<u64> = last.map(ibst::frontier).unwrap_or_default().into_iter().collect();
        let greatest = data.greatest_below(label, size).map_err(ProverError::Data)?;
        let mut view = Self {
            data,
            label,
            head,
            last,
            entries: BTreeMap::new(),
            recorded: Vec::new(),
            retained,
            lookups: Vec::new(),
            positions: BTreeMap::new(),
            greatest,
            ending: None,
        };
        // The frontier is needed by nearly everything: one read for all of it.
        view.prefetch(&ibst::frontier(size))?;
        update_view(&mut view, size, last)?;
        Ok(view)
    }

    /// The tree that the proof is from.
    pub(super) fn tree(&self) -> Tree {
        self.head.tree()
    }

    /// The label's greatest version in that tree.
    pub(super) fn greatest(&self) -> Option<u32> {
        self.greatest
    }

    fn prefetch(&mut self, positions: &[u64]) -> Result<(), ProverError<D::Error>> {
        let missing: Vec<u64> =
            positions.iter().copied().filter(|position| !self.entries.contains_key(position)).collect();
        let entries = self.data.log_entries(&missing).map_err(ProverError::Data)?;
        if entries.len() != missing.len() {
            return Err(ProverError::Inconsistent);
        }
        self.entries.extend(missing.into_iter().zip(entries));
        Ok(())
    }

    fn entry(&mut self, position: u64) -> Result<LogEntry, ProverError<D::Error>> {
        self.prefetch(&[position])?;
        self.entries.get(&position).copied().ok_or(ProverError::Inconsistent)
    }

    /// The log entry that created an existing version.
    pub(super) fn position_of(&mut self, version: u32) -> Result<u64, ProverError<D::Error>> {
        if let Some(&position) = self.positions.get(&version) {
            return Ok(position);
        }
        let position = self.data.position_of(self.label, version).map_err(ProverError::Data)?;
        self.positions.insert(version, position);
        Ok(position)
    }

    fn exists_at(&mut self, version: u32, position: u64) -> Result<bool, ProverError<D::Error>> {
        if self.greatest.is_none_or(|greatest| version > greatest) {
            return Ok(false);
        }
        Ok(self.position_of(version)? <= position)
    }

    /// The greatest version in the log entry at `position`.
    pub(super) fn greatest_at(&self, position: u64) -> Result<Option<u32>, ProverError<D::Error>> {
        self.data.greatest_below(self.label, position.saturating_add(1)).map_err(ProverError::Data)
    }

    /// Whether the log entry at `position` is expired. Asks the data for nothing that the log may have deleted.
    pub(super) fn is_expired(&mut self, position: u64) -> Result<bool, ProverError<D::Error>> {
        let tree = self.tree();
        let Some(lifetime) = tree.maximum_lifetime else { return Ok(false) };
        let rightmost = self.entry(tree.rightmost())?.timestamp;
        let mut expired = |position| -> Result<bool, ProverError<D::Error>> {
            Ok(rightmost.saturating_sub(self.entry(position)?.timestamp) >= lifetime)
        };
        // If the entry after this one is not expired, this one is kept whatever it is.
        let next = position.saturating_add(1);
        let kept = keeps_entry(position, u64::MAX) || next >= tree.size || !expired(next)?;
        Ok(!kept || expired(position)?)
    }

    /// Whether the log entry after the one at `position`, which is expired, is not.
    fn is_last_expired(&mut self, position: u64) -> Result<bool, ProverError<D::Error>> {
        Ok(!self.is_expired(position.saturating_add(1))?)
    }

    /// Whether no search for `version`, which is not above the greatest, can succeed any more: its successor's log entry
    /// is expired, and so is every entry of which it was the greatest version.
    pub(super) fn is_past(&mut self, version: u32) -> Result<bool, ProverError<D::Error>> {
        let next = version.checked_add(1).filter(|next| Some(*next) <= self.greatest);
        let Some(next) = next.filter(|_| self.tree().maximum_lifetime.is_some()) else { return Ok(false) };
        let position = self.position_of(next)?;
        self.is_expired(position)
    }

    /// A step of a binary ladder: the version's VRF proof, and its commitment if `with_commitment`.
    pub(super) fn step(
        &self,
        version: u32,
        with_commitment: bool,
    ) -> Result<BinaryLadderStep, ProverError<D::Error>> {
        let (_, proof) = self.data.search_key(self.label, version).map_err(ProverError::Data)?;
        let commitment = with_commitment
            .then(|| self.data.commitment(self.label, version))
            .transpose()
            .map_err(ProverError::Data)?;
        Ok(BinaryLadderStep { proof, commitment })
    }

    /// The proof of everything asked for so far, under `full_tree_head`.
    pub(super) fn finish(
        self,
        full_tree_head: &FullTreeHead,
    ) -> Result<CombinedTreeProof, ProverError<D::Error>> {
        let entry = |position: &u64| self.entries.get(position).ok_or(ProverError::Inconsistent);
        let timestamps = self
            .recorded
            .iter()
            .map(|position| entry(position).map(|entry| entry.timestamp))
            .collect::<Result<_, _>>()?;
        let leaves: BTreeSet<u64> = self.recorded.iter().copied().collect();
        let proven: BTreeSet<u64> = self.lookups.iter().map(|(position, _)| *position).collect();
        let prefix_roots = leaves
            .difference(&proven)
            .map(|position| entry(position).map(|entry| entry.prefix_tree))
            .collect::<Result<_, _>>()?;
        let mut prefix_proofs = Vec::with_capacity(self.lookups.len());
        for (position, versions) in &self.lookups {
            let keys = versions
                .iter()
                .map(|&version| self.data.search_key(self.label, version).map(|(key, _)| key))
                .collect::<Result<Vec<_>, _>>()
                .map_err(ProverError::Data)?;
            prefix_proofs.push(self.data.prefix_proof(*position, &keys).map_err(ProverError::Data)?);
        }
        let auditor_size = match full_tree_head {
            FullTreeHead::Updated { auditor_tree_head: Some(auditor), .. } => Some(auditor.tree_size),
            _ => None,
        };
        let leaves: Vec<u64> = leaves.into_iter().collect();
        let nodes = log_tree::plan(self.head.tree_head.tree_size, &leaves, self.last, auditor_size)?;
        let elements = self.data.log_nodes(&nodes).map_err(ProverError::Data)?;
        if elements.len() != nodes.len() {
            return Err(ProverError::Inconsistent);
        }
        Ok(CombinedTreeProof {
            timestamps,
            prefix_proofs,
            prefix_roots,
            inclusion: InclusionProof { elements },
        })
    }
}

impl<D: ProverData> View for RecordingView<'_, D> {
    type Error = ProverError<D::Error>;

    fn timestamp(&mut self, position: u64) -> Result<u64, Self::Error> {
        // Such an entry may be gone; no algorithm but those that look into it needs its timestamp.
        if !keeps_entry(position, u64::MAX)
            && self.is_expired(position)?
            && !self.is_last_expired(position)?
        {
            return Err(Violation::Expired.into());
        }
        let timestamp = self.entry(position)?.timestamp;
        if !self.retained.contains(&position) && !self.recorded.contains(&position) {
            self.recorded.push(position);
        }
        Ok(timestamp)
    }

    fn look_up(&mut self, position: u64, lookups: &mut dyn Lookups) -> Result<(), Self::Error> {
        if self.is_expired(position)? {
            return Err(Violation::Expired.into());
        }
        let mut versions = Vec::new();
        while let Some(version) = lookups.next() {
            versions.push(version);
            let included = self.exists_at(version, position)?;
            lookups.answer(included);
        }
        self.lookups.push((position, versions));
        Ok(())
    }

    fn ends_before(&mut self, position: u64) -> Result<bool, Self::Error> {
        let greatest = self.greatest_at(position)?;
        let Some(ending) = &mut self.ending else { return Ok(false) };
        if greatest > ending.advertised || ending.ladders == 0 {
            return Ok(true);
        }
        ending.ladders -= 1;
        Ok(false)
    }
}

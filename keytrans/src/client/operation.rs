//! What all operations share: the view update before, the root and the head after.

use std::collections::{BTreeMap, BTreeSet};

use keyglass_crypto::vrf::VrfOutput;
use keyglass_tlog::time::UnixMillis;

use super::{
    error::VerifyError,
    head::VerifiedHead,
    proof_view::{Consumed, ProofView},
    state::{KnownVersion, LabelState, StateUpdate, TreeState, UserState},
    trust::Verifier,
};
use crate::{
    algorithms::{Tree, Violation, update_view},
    ibst,
    wire::{BinaryLadderStep, CombinedTreeProof, FullTreeHead, LogEntry, VrfInput, Wire},
};

/// A verified response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verified<T> {
    /// What was asked for.
    pub result: T,
    /// The head that it holds under.
    pub head: VerifiedHead,
    /// What the user has to retain.
    pub update: StateUpdate,
}

/// An operation's outcome before the head is believed.
pub(super) struct Concluded {
    pub(super) consumed: Consumed,
    pub(super) head: VerifiedHead,
    pub(super) tree: TreeState,
}

impl Verifier {
    /// Checks that a request, whose `last` this is, was made from `state`.
    pub(super) fn check_state(state: &UserState, last: Option<u64>) -> Result<(), VerifyError> {
        if state.last() == last { Ok(()) } else { Err(VerifyError::WrongState) }
    }

    /// The tree of `size` entries under this log's configuration.
    pub(super) fn tree(&self, size: u64) -> Tree {
        Tree {
            size,
            monitoring_window: self.config.reasonable_monitoring_window,
            maximum_lifetime: self.config.maximum_lifetime,
        }
    }

    /// Runs the view update and then `algorithm` over the proof, computes the root and verifies the head.
    pub(super) fn run<T>(
        &self,
        state: &UserState,
        head: &FullTreeHead,
        proof: &CombinedTreeProof,
        versions: &BTreeMap<u32, KnownVersion>,
        now: UnixMillis,
        algorithm: impl FnOnce(&mut ProofView<'_>, &Tree) -> Result<T, VerifyError>,
    ) -> Result<(T, Concluded), VerifyError> {
        let retained = state.tree.as_ref();
        let size = self.response_size(head, retained)?;
        if size == 0 {
            return Err(Violation::EmptyLog.into());
        }
        let mut view = ProofView::new(proof, retained, versions);
        update_view(&mut view, size, retained.map(TreeState::tree_size))?;
        let value = algorithm(&mut view, &self.tree(size))?;
        let auditor_size = match head {
            FullTreeHead::Updated { auditor_tree_head: Some(auditor), .. } => Some(auditor.tree_size),
            _ => None,
        };
        let consumed = view.finish(self.suite.log_hash(), size, retained, auditor_size)?;
        let frontier: Vec<(u64, LogEntry)> = ibst::frontier(size)
            .into_iter()
            .filter_map(|position| consumed.entries.get(&position).map(|entry| (position, *entry)))
            .collect();
        let rightmost = frontier.last().map_or(0, |(_, entry)| entry.timestamp);
        let (tree_head, auditor_tree_head, verified) =
            self.verify_head(head, retained, &consumed.log, rightmost, now)?;
        let full_subtrees = consumed.log.full_subtrees.clone();
        let tree = TreeState { tree_head, auditor_tree_head, full_subtrees, frontier };
        Ok((value, Concluded { consumed, head: verified, tree }))
    }

    /// The search key of a version, from its VRF proof.
    pub(super) fn search_key(
        &self,
        label: &[u8],
        version: u32,
        step: &BinaryLadderStep,
    ) -> Result<VrfOutput, VerifyError> {
        let input = VrfInput { label: label.to_vec(), version }.encode()?;
        self.vrf_key.verify(&input, &step.proof).map_err(|_| VerifyError::Vrf(version))
    }
}

/// The versions known before and those learned now, of which `shown` were seen in a prefix tree.
///
/// A commitment that was shown is a fact: another one for the same version is refused if it was shown too, and
/// ignored if it is only the log's word.
pub(super) fn merge_versions(
    known: Option<&LabelState>,
    learned: BTreeMap<u32, KnownVersion>,
    shown: &BTreeSet<u32>,
) -> Result<BTreeMap<u32, KnownVersion>, VerifyError> {
    let mut versions = known.map(|label| label.versions.clone()).unwrap_or_default();
    for (version, mut new) in learned {
        new.shown = shown.contains(&version);
        match versions.get_mut(&version) {
            Some(old) if old.shown && new.shown && old.commitment != new.commitment => {
                return Err(VerifyError::Rewritten(version));
            }
            Some(old) if old.shown || (new.commitment.is_none() && !new.shown) => {}
            Some(old) => *old = new,
            None => {
                versions.insert(version, new);
            }
        }
    }
    // What was known only by the log's word may have been shown now.
    for version in shown {
        if let Some(known) = versions.get_mut(version) {
            known.shown = true;
        }
    }
    Ok(versions)
}

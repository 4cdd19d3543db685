//! Owner initialization and monitoring.

use std::collections::BTreeMap;

use keyglass_tlog::time::UnixMillis;

use super::{
    error::VerifyError,
    operation::{Verified, merge_versions},
    state::{KnownVersion, LabelState, StateUpdate, UserState},
    trust::Verifier,
};
use crate::{
    algorithms::{OwnerKnowledge, owner_init_entries, owner_init_ladders, owner_monitor},
    ladder::versions_for_owner_init,
    wire::{OwnerInitRequest, OwnerInitResponse, OwnerMonitorRequest, OwnerMonitorResponse, Wire},
};

/// Where ownership begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerStart {
    /// The distinguished log entry.
    pub position: u64,
    /// The greatest version there, if the label had one.
    pub version: Option<u32>,
}

/// What one round of owner monitoring found to be in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerMonitorResult {
    /// The distinguished log entries inspected, ascending.
    pub inspected: Vec<u64>,
    /// Whether all there are were inspected. If not, ask again: all is not yet known to be well.
    pub complete: bool,
}

impl Verifier {
    /// The request to begin owning `label` at the distinguished log entry `start`.
    #[must_use]
    pub fn owner_init_request(&self, state: &UserState, label: &[u8], start: u64) -> OwnerInitRequest {
        OwnerInitRequest { last: state.last(), label: label.to_vec(), start }
    }

    /// Verifies the response to `request`, which was made from `state`.
    ///
    /// # Errors
    /// [`VerifyError`]; then nothing of the response may be used.
    pub fn verify_owner_init(
        &self,
        state: &UserState,
        request: &OwnerInitRequest,
        response: &[u8],
        now: UnixMillis,
    ) -> Result<Verified<OwnerStart>, VerifyError> {
        Self::check_state(state, request.last)?;
        let response = OwnerInitResponse::decode(response, self.context())?;
        let claimed = response.greatest_versions.as_slice();
        let needed = versions_for_owner_init(claimed);
        if needed.len() != response.binary_ladder.len() {
            return Err(VerifyError::LadderLength);
        }
        let mut versions = BTreeMap::new();
        for (version, step) in needed.into_iter().zip(&response.binary_ladder) {
            if claimed.contains(&version) && step.commitment.is_none() {
                return Err(VerifyError::CommitmentMissing(version));
            }
            let key = self.search_key(&request.label, version, step)?;
            versions.insert(version, KnownVersion { key, commitment: step.commitment, shown: false });
        }
        let ((), concluded) =
            self.run(state, &response.full_tree_head, &response.init, &versions, now, |view, tree| {
                let entries = owner_init_entries(view, tree, request.start)?;
                owner_init_ladders(view, &entries, claimed)
            })?;
        let known = state.label(&request.label);
        let start = OwnerStart { position: request.start, version: claimed.first().copied() };
        let label_state = LabelState {
            map: known.map(|known| known.map.clone()).unwrap_or_default(),
            owner: Some(OwnerKnowledge {
                start: start.position,
                version_at_start: start.version,
                later_versions: Vec::new(),
            }),
            versions: merge_versions(known, versions, &concluded.consumed.shown)?,
        };
        Ok(Verified {
            result: start,
            head: concluded.head,
            update: StateUpdate { tree: concluded.tree, label: Some((request.label.clone(), label_state)) },
        })
    }

    /// The request to monitor an owned label; `None` if it is not owned.
    #[must_use]
    pub fn owner_monitor_request(&self, state: &UserState, label: &[u8]) -> Option<OwnerMonitorRequest> {
        let known = state.label(label)?;
        let owner = known.owner.as_ref()?;
        Some(OwnerMonitorRequest {
            last: state.last(),
            label: label.to_vec(),
            entries: known.map.entries().collect(),
            start: owner.start,
            greatest_version: owner.greatest_version(),
        })
    }

    /// Verifies the response to `request`, which was made from `state`.
    ///
    /// # Errors
    /// [`VerifyError`]; then nothing of the response may be used.
    pub fn verify_owner_monitor(
        &self,
        state: &UserState,
        request: &OwnerMonitorRequest,
        response: &[u8],
        now: UnixMillis,
    ) -> Result<Verified<OwnerMonitorResult>, VerifyError> {
        Self::check_state(state, request.last)?;
        let known = state.label(&request.label).ok_or(VerifyError::NotOwned)?;
        let owner = known.owner.as_ref().ok_or(VerifyError::NotOwned)?;
        let response = OwnerMonitorResponse::decode(response, self.context())?;
        let (progress, concluded) = self.run(
            state,
            &response.full_tree_head,
            &response.monitor,
            &known.versions,
            now,
            |view, tree| owner_monitor(view, tree, &known.map, owner),
        )?;
        let owner = match progress.inspected.last() {
            Some(&position) => owner.advanced_to(position),
            None => owner.clone(),
        };
        let versions = merge_versions(Some(known), BTreeMap::new(), &concluded.consumed.shown)?;
        let label_state = LabelState { map: progress.map, owner: Some(owner), versions };
        Ok(Verified {
            result: OwnerMonitorResult { inspected: progress.inspected, complete: progress.complete },
            head: concluded.head,
            update: StateUpdate { tree: concluded.tree, label: Some((request.label.clone(), label_state)) },
        })
    }
}

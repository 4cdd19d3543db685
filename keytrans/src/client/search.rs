//! Search.

use std::collections::BTreeMap;

use keyglass_crypto::sign::Signature;
use keyglass_tlog::time::UnixMillis;

use super::{
    error::VerifyError,
    operation::{Verified, merge_versions},
    state::{KnownVersion, LabelState, StateUpdate, UserState},
    trust::Verifier,
};
use crate::{
    algorithms::{fixed_version_search, greatest_version_search},
    config::DeploymentMode,
    ladder::base_ladder,
    wire::{CommitmentValue, Context, SearchRequest, SearchResponse, UpdateTbs, UpdateValue, Wire},
};

/// A label's proven value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchResult {
    /// The version: the one asked for, or the greatest.
    pub version: u32,
    /// The application's bytes.
    pub value: Vec<u8>,
    /// The position of the search's terminal log entry.
    pub terminal: u64,
    /// Whether the user must monitor the label for a while ("Monitoring the Tree"), because no owner has checked the
    /// terminal log entry yet. The update puts it into the monitoring map.
    pub monitored: bool,
}

impl Verifier {
    /// The request for a label's greatest version, or for `version`.
    #[must_use]
    pub fn search_request(&self, state: &UserState, label: &[u8], version: Option<u32>) -> SearchRequest {
        SearchRequest { last: state.last(), label: label.to_vec(), version }
    }

    /// Verifies the response to `request`, which was made from `state`.
    ///
    /// # Errors
    /// [`VerifyError`]; then nothing of the response may be used.
    pub fn verify_search(
        &self,
        state: &UserState,
        request: &SearchRequest,
        response: &[u8],
        now: UnixMillis,
    ) -> Result<Verified<SearchResult>, VerifyError> {
        Self::check_state(state, request.last)?;
        let context = Context { version_requested: request.version.is_some(), ..self.context() };
        let response = SearchResponse::decode(response, context)?;
        let label = request.label.as_slice();
        // The context decides which of the two is present.
        let target = request.version.or(response.version).ok_or(VerifyError::LadderLength)?;
        self.verify_operator(label, target, &response.value)?;
        let versions = self.ladder_versions(label, target, &response)?;
        let (terminal, concluded) =
            self.run(state, &response.full_tree_head, &response.search, &versions, now, |view, tree| {
                let terminal = match request.version {
                    Some(version) => fixed_version_search(view, tree, version)?,
                    None => greatest_version_search(view, tree, target)?,
                };
                let settled = tree.rightmost_distinguished(view)?.is_some_and(|entry| terminal <= entry);
                Ok((terminal, settled))
            })?;
        let (terminal, settled) = terminal;
        let monitored = !settled && self.config.deployment_mode() == DeploymentMode::ContactMonitoring;
        let known = state.label(label);
        let label_state = if monitored || known.is_some() {
            let mut label_state = known.cloned().unwrap_or_default();
            label_state.versions = merge_versions(known, versions, &concluded.consumed.shown)?;
            if monitored {
                label_state.map.watch(terminal, target);
            }
            Some((label.to_vec(), label_state))
        } else {
            None::<(Vec<u8>, LabelState)>
        };
        Ok(Verified {
            result: SearchResult { version: target, value: response.value.value, terminal, monitored },
            head: concluded.head,
            update: StateUpdate { tree: concluded.tree, label: label_state },
        })
    }

    /// The search keys and commitments of the target's ladder (verification steps 2 and 3).
    fn ladder_versions(
        &self,
        label: &[u8],
        target: u32,
        response: &SearchResponse,
    ) -> Result<BTreeMap<u32, KnownVersion>, VerifyError> {
        let ladder = base_ladder(target);
        if ladder.len() != response.binary_ladder.len() {
            return Err(VerifyError::LadderLength);
        }
        let mut versions = BTreeMap::new();
        for (version, step) in ladder.into_iter().zip(&response.binary_ladder) {
            let commitment = if version == target {
                if step.commitment.is_some() {
                    return Err(VerifyError::CommitmentGiven(version));
                }
                let value = CommitmentValue {
                    opening: response.opening,
                    label: label.to_vec(),
                    version,
                    update: response.value.clone(),
                };
                Some(value.commitment()?)
            } else {
                step.commitment
            };
            let key = self.search_key(label, version, step)?;
            versions.insert(version, KnownVersion { key, commitment, shown: false });
        }
        Ok(versions)
    }

    /// In third-party-management mode, the service operator's signature over a value ("Update Format").
    pub(super) fn verify_operator(
        &self,
        label: &[u8],
        version: u32,
        value: &UpdateValue,
    ) -> Result<(), VerifyError> {
        let Some(key) = &self.operator_key else { return Ok(()) };
        let refused = VerifyError::OperatorSignature(version);
        let signature: [u8; 64] = value
            .suffix
            .signature
            .as_deref()
            .and_then(|signature| signature.try_into().ok())
            .ok_or_else(|| refused.clone())?;
        let tbs = UpdateTbs {
            config: self.config.clone(),
            label: label.to_vec(),
            version,
            value: value.value.clone(),
        };
        key.verify(&tbs.encode()?, &Signature(signature)).map_err(|_| refused)
    }
}

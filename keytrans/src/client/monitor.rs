//! Contact monitoring.

use std::collections::BTreeMap;

use keyglass_tlog::time::UnixMillis;

use super::{
    error::VerifyError,
    operation::{Verified, merge_versions},
    state::{LabelState, StateUpdate, UserState},
    trust::Verifier,
};
use crate::{
    algorithms::{MonitoringMap, contact_monitor},
    wire::{ContactMonitorRequest, ContactMonitorResponse, Wire},
};

impl Verifier {
    /// The request to monitor `label`; `None` if nothing of it is to be watched.
    #[must_use]
    pub fn contact_monitor_request(&self, state: &UserState, label: &[u8]) -> Option<ContactMonitorRequest> {
        let known = state.label(label).filter(|known| !known.map.is_empty())?;
        Some(ContactMonitorRequest {
            last: state.last(),
            label: label.to_vec(),
            entries: known.map.entries().collect(),
        })
    }

    /// Verifies the response to `request`, which was made from `state`; gives the monitoring map that remains.
    ///
    /// # Errors
    /// [`VerifyError`]; then nothing of the response may be used.
    pub fn verify_contact_monitor(
        &self,
        state: &UserState,
        request: &ContactMonitorRequest,
        response: &[u8],
        now: UnixMillis,
    ) -> Result<Verified<MonitoringMap>, VerifyError> {
        Self::check_state(state, request.last)?;
        let known = state.label(&request.label).ok_or(VerifyError::WrongState)?;
        let response = ContactMonitorResponse::decode(response, self.context())?;
        let (map, concluded) = self.run(
            state,
            &response.full_tree_head,
            &response.monitor,
            &known.versions,
            now,
            |view, tree| contact_monitor(view, tree, &known.map),
        )?;
        let versions = merge_versions(Some(known), BTreeMap::new(), &concluded.consumed.shown)?;
        let label_state = LabelState { map: map.clone(), owner: known.owner.clone(), versions };
        Ok(Verified {
            result: map,
            head: concluded.head,
            update: StateUpdate { tree: concluded.tree, label: Some((request.label.clone(), label_state)) },
        })
    }
}

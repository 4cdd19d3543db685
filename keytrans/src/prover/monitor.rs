//! Answering contact monitoring and walks of distinguished heads.

use super::{
    ProverError, RECENT,
    data::{ProverData, ServedHead},
    full_tree_head,
    recording::RecordingView,
};
use crate::{
    algorithms::{MonitoringMap, contact_monitor as run_contact_monitor, walk_distinguished},
    ibst,
    wire::{
        ContactMonitorRequest, ContactMonitorResponse, DistinguishedRequest, DistinguishedResponse,
        MonitorMapEntry,
    },
};

/// Checks a monitoring map: ascending positions, no version twice, each position on the direct path of the log entry
/// that created the version ("Contact Monitor").
pub(super) fn check_map<D: ProverData>(
    view: &mut RecordingView<'_, D>,
    entries: &[MonitorMapEntry],
) -> Result<MonitoringMap, ProverError<D::Error>> {
    let size = view.tree().size;
    if view.greatest().is_none() && !entries.is_empty() {
        return Err(ProverError::UnknownLabel);
    }
    for (index, entry) in entries.iter().enumerate() {
        let earlier = entries.get(..index).unwrap_or_default();
        if earlier.iter().any(|e| e.position >= entry.position || e.version == entry.version)
            || entry.position >= size
            || view.greatest().is_none_or(|greatest| entry.version > greatest)
        {
            return Err(ProverError::BadMap);
        }
        let created = view.position_of(entry.version)?;
        if created != entry.position && !ibst::direct_path(created, size).contains(&entry.position) {
            return Err(ProverError::BadMap);
        }
    }
    Ok(MonitoringMap::new(entries.iter().copied()))
}

/// Answers a contact's monitoring request.
///
/// # Errors
/// [`ProverError`].
pub fn contact_monitor<D: ProverData>(
    data: &D,
    head: &ServedHead,
    request: &ContactMonitorRequest,
) -> Result<ContactMonitorResponse, ProverError<D::Error>> {
    let full_tree_head = full_tree_head(head, request.last)?;
    let mut view = RecordingView::new(data, head, &request.label, request.last)?;
    let map = check_map(&mut view, &request.entries)?;
    let tree = view.tree();
    run_contact_monitor(&mut view, &tree, &map)?;
    let monitor = view.finish(&full_tree_head)?;
    Ok(ContactMonitorResponse { full_tree_head, monitor })
}

/// Answers a walk of the [`RECENT`] distinguished log entries.
///
/// # Errors
/// [`ProverError`].
pub fn distinguished<D: ProverData>(
    data: &D,
    head: &ServedHead,
    request: &DistinguishedRequest,
) -> Result<DistinguishedResponse, ProverError<D::Error>> {
    let full_tree_head = full_tree_head(head, request.last)?;
    // A walk looks up no label; the empty one has no versions.
    let mut view = RecordingView::new(data, head, &[], request.last)?;
    let tree = view.tree();
    walk_distinguished(&mut view, &tree, request.stop, RECENT)?;
    let distinguished = view.finish(&full_tree_head)?;
    Ok(DistinguishedResponse { full_tree_head, distinguished })
}

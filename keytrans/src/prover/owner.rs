//! Answering owners.

use super::{
    ProverError,
    data::{ProverData, ServedHead},
    full_tree_head,
    monitor::check_map,
    recording::{Ending, RecordingView},
};
use crate::{
    algorithms::{
        OwnerKnowledge, owner_init_entries, owner_init_ladders, owner_monitor as run_owner_monitor,
    },
    ladder::versions_for_owner_init,
    wire::{OwnerInitRequest, OwnerInitResponse, OwnerMonitorRequest, OwnerMonitorResponse},
};

/// How many distinguished log entries one response inspects at most; owners ask again for more.
const MAX_LADDERS: usize = 64;

/// How many versions an owner may have made since the entry that it verified last.
const MAX_UNMONITORED_VERSIONS: u32 = 4096;

/// Answers a request to begin owning a label.
///
/// # Errors
/// [`ProverError`].
pub fn owner_init<D: ProverData>(
    data: &D,
    head: &ServedHead,
    request: &OwnerInitRequest,
) -> Result<OwnerInitResponse, ProverError<D::Error>> {
    let full_tree_head = full_tree_head(head, request.last)?;
    let mut view = RecordingView::new(data, head, &request.label, request.last)?;
    let tree = view.tree();
    let entries = owner_init_entries(&mut view, &tree, request.start)?;
    let mut greatest_versions = Vec::new();
    for &entry in &entries {
        match view.greatest_at(entry)? {
            Some(greatest) => greatest_versions.push(greatest),
            None => break,
        }
    }
    owner_init_ladders(&mut view, &entries, &greatest_versions)?;
    let greatest = greatest_versions.first().copied();
    let binary_ladder = versions_for_owner_init(&greatest_versions)
        .into_iter()
        .map(|version| view.step(version, greatest.is_some_and(|greatest| version <= greatest)))
        .collect::<Result<_, _>>()?;
    let init = view.finish(&full_tree_head)?;
    Ok(OwnerInitResponse { full_tree_head, greatest_versions, binary_ladder, init })
}

/// Answers an owner's monitoring request.
///
/// # Errors
/// [`ProverError`].
pub fn owner_monitor<D: ProverData>(
    data: &D,
    head: &ServedHead,
    request: &OwnerMonitorRequest,
) -> Result<OwnerMonitorResponse, ProverError<D::Error>> {
    let full_tree_head = full_tree_head(head, request.last)?;
    let mut view = RecordingView::new(data, head, &request.label, request.last)?;
    let map = check_map(&mut view, &request.entries)?;
    let tree = view.tree();
    let knowledge = knowledge(&mut view, request)?;
    view.ending = Some(Ending { advertised: request.greatest_version, ladders: MAX_LADDERS });
    run_owner_monitor(&mut view, &tree, &map, &knowledge)?;
    let monitor = view.finish(&full_tree_head)?;
    Ok(OwnerMonitorResponse { full_tree_head, monitor })
}

/// What the owner knows, which follows from what it advertises.
fn knowledge<D: ProverData>(
    view: &mut RecordingView<'_, D>,
    request: &OwnerMonitorRequest,
) -> Result<OwnerKnowledge, ProverError<D::Error>> {
    if request.start >= view.tree().size {
        return Err(crate::algorithms::Violation::BadStart(request.start).into());
    }
    let version_at_start = view.greatest_at(request.start)?;
    let advertised = request.greatest_version;
    if advertised > view.greatest() || advertised < version_at_start {
        return Err(ProverError::BadGreatestVersion);
    }
    let mut later_versions = Vec::new();
    if let Some(greatest) = advertised {
        let first = version_at_start.map_or(0, |version| version.saturating_add(1));
        if greatest.saturating_sub(first) > MAX_UNMONITORED_VERSIONS {
            return Err(ProverError::BadGreatestVersion);
        }
        for version in first..=greatest {
            later_versions.push((view.position_of(version)?, version));
        }
    }
    Ok(OwnerKnowledge { start: request.start, version_at_start, later_versions })
}

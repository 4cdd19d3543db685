//! Telling owners of new versions.

use super::{
    ProverError,
    data::{ProverData, ServedHead},
    full_tree_head,
    recording::RecordingView,
};
use crate::{
    algorithms::{NewVersions, OwnerKnowledge, Violation, update_label},
    ibst,
    ladder::versions_for_update,
    wire::{LabelValue, UpdateInfo, UpdateRequest, UpdateResponse},
};

/// How many responses one request gets at most; owners ask again for more.
pub const MAX_UPDATE_RESPONSES: usize = 16;

/// Tells of the versions after `request.greatest_version`, one response for each log entry that created some.
/// `created` is the greatest version that this very request created, whose values need not be repeated.
///
/// # Errors
/// [`ProverError`]; [`ProverError::UnknownVersion`] if there is none to tell of.
pub fn update_responses<D: ProverData>(
    data: &D,
    head: &ServedHead,
    request: &UpdateRequest,
    created: Option<u32>,
) -> Result<Vec<UpdateResponse>, ProverError<D::Error>> {
    let mut responses = Vec::new();
    let mut last = request.last;
    let mut previous = request.greatest_version;
    while responses.len() < MAX_UPDATE_RESPONSES {
        let Some((response, greatest)) =
            update_response(data, head, &request.label, last, previous, created)?
        else {
            break;
        };
        responses.push(response);
        last = Some(head.tree_head.tree_size);
        previous = Some(greatest);
    }
    if responses.is_empty() { Err(ProverError::UnknownVersion) } else { Ok(responses) }
}

/// The response about the log entry that created the version after `previous`, and the greatest that it created.
fn update_response<D: ProverData>(
    data: &D,
    head: &ServedHead,
    label: &[u8],
    last: Option<u64>,
    previous: Option<u32>,
    created: Option<u32>,
) -> Result<Option<(UpdateResponse, u32)>, ProverError<D::Error>> {
    let full_tree_head = full_tree_head(head, last)?;
    let mut view = RecordingView::new(data, head, label, last)?;
    let first = previous.map_or(Some(0), |previous| previous.checked_add(1));
    let (Some(greatest), Some(first)) = (view.greatest(), first) else { return Ok(None) };
    if first > greatest {
        return Ok(None);
    }
    let position = view.position_of(first)?;
    let new = NewVersions { position, first, last: view.greatest_at(position)?.unwrap_or(first) };
    // Of several versions in one entry the first is the first to go.
    if view.is_past(first)? {
        return Err(Violation::Expired.into());
    }
    let tree = view.tree();
    let knowledge = knowledge(&mut view, previous, position)?;
    update_label(&mut view, &tree, &knowledge, new)?;
    let versions: Vec<u32> = (new.first..=new.last).collect();
    let binary_ladder = versions_for_update(previous, &versions)
        .into_iter()
        .map(|version| view.step(version, previous.is_some_and(|previous| version < previous)))
        .collect::<Result<_, _>>()?;
    let mut values = Vec::with_capacity(versions.len());
    let mut info = Vec::with_capacity(versions.len());
    for &version in &versions {
        let opened =
            data.opened(label, version).map_err(ProverError::Data)?.ok_or(ProverError::Erased(version))?;
        info.push(UpdateInfo { opening: opened.opening, suffix: opened.update.suffix });
        values.push(LabelValue { value: opened.update.value });
    }
    if created == Some(new.last) {
        values.clear();
    }
    let update = view.finish(&full_tree_head)?;
    let response = UpdateResponse {
        full_tree_head,
        position,
        skipped_versions: None,
        values,
        info,
        binary_ladder,
        update,
    };
    Ok(Some((response, new.last)))
}

/// What the owner knows of the log entries that the algorithm does not inspect: those on the frontier of the previous
/// tree, up to where the previous greatest version was created.
fn knowledge<D: ProverData>(
    view: &mut RecordingView<'_, D>,
    previous: Option<u32>,
    position: u64,
) -> Result<OwnerKnowledge, ProverError<D::Error>> {
    let mut later_versions = Vec::new();
    if let Some(previous) = previous {
        let created = view.position_of(previous)?;
        for entry in ibst::frontier(position).into_iter().filter(|&entry| entry < created) {
            if let Some(greatest) = view.greatest_at(entry)? {
                later_versions.push((entry, greatest));
            }
        }
        later_versions.push((created, previous));
    }
    Ok(OwnerKnowledge { start: 0, version_at_start: None, later_versions })
}

//! Answering searches.

use super::{
    ProverError,
    data::{ProverData, ServedHead},
    full_tree_head,
    recording::RecordingView,
};
use crate::{
    algorithms::{Violation, fixed_version_search, greatest_version_search},
    ladder::base_ladder,
    wire::{SearchRequest, SearchResponse},
};

/// Answers a search.
///
/// # Errors
/// [`ProverError`].
pub fn search<D: ProverData>(
    data: &D,
    head: &ServedHead,
    request: &SearchRequest,
) -> Result<SearchResponse, ProverError<D::Error>> {
    let label = request.label.as_slice();
    let full_tree_head = full_tree_head(head, request.last)?;
    let mut view = RecordingView::new(data, head, label, request.last)?;
    let tree = view.tree();
    let greatest = view.greatest().ok_or(ProverError::UnknownLabel)?;
    let target = request.version.unwrap_or(greatest);
    if target > greatest {
        return Err(ProverError::UnknownVersion);
    }
    match request.version {
        Some(version) => fixed_version_search(&mut view, &tree, version).map_err(|error| match error {
            ProverError::Violation(Violation::NotFound) => ProverError::UnknownVersion,
            other => other,
        })?,
        None => greatest_version_search(&mut view, &tree, target)?,
    };
    let binary_ladder = base_ladder(target)
        .into_iter()
        .map(|version| view.step(version, version != target && version <= greatest))
        .collect::<Result<_, _>>()?;
    let opened = data.opened(label, target).map_err(ProverError::Data)?.ok_or(ProverError::Erased(target))?;
    let search = view.finish(&full_tree_head)?;
    Ok(SearchResponse {
        full_tree_head,
        version: if request.version.is_none() { Some(target) } else { None },
        opening: opened.opening,
        value: opened.update,
        binary_ladder,
        search,
    })
}

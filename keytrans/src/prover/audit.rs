//! What the log tells its auditors of one log entry ("Auditing").

use std::collections::BTreeMap;

use crate::{
    prefix_tree::{
        Change, Difference, PageSource, SearchKey, TreeError, TreeRoot, apply, difference, nearest_leaves,
        prove,
    },
    wire::{BatchAuditorUpdate, BatchPrefixProof, PrefixLeaf},
};

/// The update of a log entry with this `timestamp`, in milliseconds since the Unix epoch, whose prefix tree is `after`
/// where the entry's before it was `before`.
///
/// It is read out of the pages of both versions; nothing else has to be stored for auditors. What has to be known of the
/// leaves beside removed ones is in both lists, unchanged: see [`crate::prefix_tree::evaluate_transition`].
///
/// # Errors
/// If pages cannot be read, or do not fit together.
pub fn auditor_update<S: PageSource>(
    source: &S,
    timestamp: u64,
    before: &TreeRoot,
    after: &TreeRoot,
) -> Result<BatchAuditorUpdate, TreeError<S::Error>> {
    let mut change = difference(source, before, after)?;
    if !change.removed.is_empty() {
        let beside = beside_removed(source, before, &change)?;
        for list in [&mut change.added, &mut change.removed] {
            list.extend_from_slice(&beside);
            list.sort_unstable_by_key(|leaf| leaf.vrf_output);
        }
    }
    let Difference { added, removed } = change;
    let keys: Vec<SearchKey> = added.iter().chain(&removed).map(|leaf| leaf.vrf_output).collect();
    let proof = prove(source, before, &keys)?;
    let proof = BatchPrefixProof { results: proof.results, elements: proof.elements };
    Ok(BatchAuditorUpdate { timestamp, added, removed, proof })
}

/// A leaf of every subtree that stays as it is and loses what was beside it.
fn beside_removed<S: PageSource>(
    source: &S,
    before: &TreeRoot,
    change: &Difference,
) -> Result<Vec<PrefixLeaf>, TreeError<S::Error>> {
    let mut changes: BTreeMap<SearchKey, Change> =
        change.removed.iter().map(|leaf| (leaf.vrf_output, Change::Remove(leaf.vrf_output))).collect();
    for leaf in &change.added {
        let replaces = changes.contains_key(&leaf.vrf_output);
        let change = if replaces { Change::Replace(*leaf) } else { Change::Insert(*leaf) };
        changes.insert(leaf.vrf_output, change);
    }
    let changes: Vec<Change> = changes.into_values().collect();
    // Which entry makes the change does not matter for what is beside.
    let position = before.page().map_or(0, |page| page.position().saturating_add(1));
    let next = apply(source, before, position, &changes)?;
    nearest_leaves(source, before, &next.beside_removed)
}

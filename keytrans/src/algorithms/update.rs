//! The algorithm of "Updating a Label".

use std::cmp::Ordering;

use super::{
    OwnerKnowledge, Tree, Violation,
    lookups::{listed_lookups, search_ladder},
};
use crate::{
    ibst,
    ladder::{SearchLadder, ShownLookups, base_ladder},
    view::View,
};

/// Versions of a label that one log entry created, without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewVersions {
    /// The log entry.
    pub position: u64,
    /// The least of them: the one after the previous greatest version, or 0.
    pub first: u32,
    /// The greatest of them.
    pub last: u32,
}

/// What the owner learned of new versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateOutcome {
    /// Whether the log entry is not distinguished yet, so that its greatest version goes into the monitoring map.
    pub monitored: bool,
    /// The new versions that the entry was shown to hold, ascending. The others follow from later owner monitoring.
    pub proven: Vec<u32>,
}

/// Checks that `new` versions were inserted as they should be, and none other since what the owner knows.
///
/// # Errors
/// A [`Violation`] if they were not; those of the view.
pub fn update_label<V: View>(
    view: &mut V,
    tree: &Tree,
    knowledge: &OwnerKnowledge,
    new: NewVersions,
) -> Result<UpdateOutcome, V::Error> {
    let position = new.position;
    if position >= tree.size || position <= knowledge.settled_until() {
        return Err(Violation::BadPosition(position).into());
    }
    let previous_path_distinguished = match position.checked_sub(1) {
        Some(rightmost_before) => tree.is_distinguished(view, rightmost_before)?,
        None => true,
    };
    let distinguished = tree.is_distinguished(view, position)?;
    let mut shown = ShownLookups::default();
    if !previous_path_distinguished {
        search_previous_tree(view, tree, knowledge, position, &mut shown)?;
    }
    let ladder = base_ladder(new.last);
    let (on_ladder, beside): (Vec<u32>, Vec<u32>) =
        (new.first..=new.last).partition(|version| ladder.contains(version));
    let mut proven = Vec::new();
    if !distinguished {
        if search_ladder(view, &mut shown, position, new.last)? != Ordering::Equal {
            return Err(Violation::UnexpectedVersion(position).into());
        }
        proven.extend(on_ladder);
    }
    if !beside.is_empty() {
        if !listed_lookups(view, position, beside.clone())? {
            return Err(Violation::NewVersionMissing(position).into());
        }
        proven.extend(beside);
        proven.sort_unstable();
    }
    Ok(UpdateOutcome { monitored: !distinguished, proven })
}

/// Steps 1 and 2: the part of a greatest-version search, in the tree before `position`, that no distinguished entry
/// stands for.
fn search_previous_tree<V: View>(
    view: &mut V,
    tree: &Tree,
    knowledge: &OwnerKnowledge,
    position: u64,
    shown: &mut ShownLookups,
) -> Result<(), V::Error> {
    let previous = knowledge.greatest_version();
    let target = previous.unwrap_or(0);
    let expected_outcome = if previous.is_some() { Ordering::Equal } else { Ordering::Less };
    let mut below_distinguished = false;
    let mut last_distinguished = None;
    for entry in ibst::frontier(position) {
        if !below_distinguished && tree.is_distinguished(view, entry)? {
            last_distinguished = Some(entry);
            continue;
        }
        if !below_distinguished {
            below_distinguished = true;
            // A greatest-version search would have begun here, and would have shown what it holds.
            if let Some(start) = last_distinguished {
                imagine_ladder(shown, start, target, knowledge.expected_at(start));
            }
        }
        if previous.is_some() && entry <= knowledge.settled_until() {
            imagine_ladder(shown, entry, target, knowledge.expected_at(entry));
        } else if search_ladder(view, shown, entry, target)? != expected_outcome {
            return Err(Violation::UnexpectedVersion(entry).into());
        }
    }
    Ok(())
}

/// Notes what a search ladder for `target` would show in an entry whose greatest version is `greatest`, without
/// looking.
fn imagine_ladder(shown: &mut ShownLookups, position: u64, target: u32, greatest: Option<u32>) {
    let mut ladder = SearchLadder::new(target, |version| shown.implied(position, version));
    while let Some(version) = ladder.next() {
        let included = greatest.is_some_and(|greatest| version <= greatest);
        shown.record(position, version, included);
        ladder.answer(included);
    }
}

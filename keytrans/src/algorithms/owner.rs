//! The owner algorithms of "Monitoring the Tree".

use std::cmp::Ordering;

use super::{MonitoringMap, OwnerContext, Tree, Violation, contact::monitor, lookups::complete_ladder};
use crate::{ibst, view::View};

/// What an owner knows of the versions of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerKnowledge {
    /// The rightmost distinguished log entry that the owner has verified, or where ownership began.
    pub start: u64,
    /// The greatest version there, if the label had one.
    pub version_at_start: Option<u32>,
    /// Log entries to the right of `start` that created versions, ascending, each with the greatest one it created.
    pub later_versions: Vec<(u64, u32)>,
}

impl OwnerKnowledge {
    /// The greatest version that the owner knows of.
    #[must_use]
    pub fn greatest_version(&self) -> Option<u32> {
        self.later_versions.last().map(|&(_, version)| version).or(self.version_at_start)
    }

    /// The rightmost log entry up to which the owner's knowledge is settled: new versions can only be to its right.
    #[must_use]
    pub fn settled_until(&self) -> u64 {
        self.later_versions.last().map_or(self.start, |&(position, _)| position)
    }

    /// The greatest version that should exist in the log entry at `position`, which is not to the left of `start`.
    #[must_use]
    pub fn expected_at(&self, position: u64) -> Option<u32> {
        self.later_versions
            .iter()
            .rev()
            .find(|&&(created, _)| created <= position)
            .map(|&(_, version)| version)
            .or(self.version_at_start)
    }

    /// The knowledge after the distinguished log entry at `position`, to the right of `start`, was verified.
    #[must_use]
    pub fn advanced_to(&self, position: u64) -> Self {
        Self {
            start: position,
            version_at_start: self.expected_at(position),
            later_versions: self
                .later_versions
                .iter()
                .copied()
                .filter(|&(created, _)| created > position)
                .collect(),
        }
    }
}

/// Whether a ladder's outcome is the one of an entry whose greatest version is `expected`; the ladder's target was
/// that version, or 0.
fn is_expected(outcome: Ordering, expected: Option<u32>) -> bool {
    outcome == if expected.is_some() { Ordering::Equal } else { Ordering::Less }
}

/// The log entries that an owner who starts at `start` inspects (first algorithm, step 1).
///
/// # Errors
/// [`Violation::BadStart`]; those of the view.
pub fn owner_init_entries<V: View>(view: &mut V, tree: &Tree, start: u64) -> Result<Vec<u64>, V::Error> {
    if start >= tree.size {
        return Err(Violation::BadStart(start).into());
    }
    let path = ibst::direct_path(start, tree.size);
    for &entry in path.iter().rev() {
        view.timestamp(entry)?;
    }
    if tree.is_expired(view, start)? || !tree.is_distinguished(view, start)? {
        return Err(Violation::BadStart(start).into());
    }
    let mut entries = vec![start];
    for entry in path.into_iter().filter(|&entry| entry < start) {
        if tree.is_expired(view, entry)? {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Checks the claimed greatest version of each of `entries`; where the label did not exist, and so in all later
/// elements, there is no claim (first algorithm, steps 2 and 5).
///
/// # Errors
/// A [`Violation`] if the claims are wrong; those of the view.
pub fn owner_init_ladders<V: View>(view: &mut V, entries: &[u64], claimed: &[u32]) -> Result<(), V::Error> {
    let descend = claimed.iter().zip(claimed.iter().skip(1)).all(|(earlier, later)| earlier >= later);
    if claimed.len() > entries.len() || !descend {
        return Err(Violation::BadGreatestVersions.into());
    }
    for (index, &position) in entries.iter().enumerate() {
        let expected = claimed.get(index).copied();
        let outcome = complete_ladder(view, position, expected.unwrap_or(0))?;
        if !is_expected(outcome, expected) {
            return Err(Violation::UnexpectedVersion(position).into());
        }
    }
    Ok(())
}

/// How far one round of owner monitoring came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerProgress {
    /// The monitoring map that remains.
    pub map: MonitoringMap,
    /// The distinguished log entries that were inspected, ascending.
    pub inspected: Vec<u64>,
    /// Whether the rightmost distinguished log entry was reached. If not, the owner must ask again before all is well.
    pub complete: bool,
}

/// Runs the contact algorithm, then the owner's second algorithm.
///
/// # Errors
/// A [`Violation`] if a version is hidden or was created without the owner; those of the view.
pub fn owner_monitor<V: View>(
    view: &mut V,
    tree: &Tree,
    map: &MonitoringMap,
    knowledge: &OwnerKnowledge,
) -> Result<OwnerProgress, V::Error> {
    if knowledge.start >= tree.size {
        return Err(Violation::BadStart(knowledge.start).into());
    }
    let monitored = monitor(view, tree, map, Some(OwnerContext { start: knowledge.start }))?;
    let mut round = Round { tree: *tree, knowledge, inspected: Vec::new(), ended: false };
    let rightmost = view.timestamp(tree.rightmost())?;
    round.visit(view, tree.root(), 0, rightmost)?;
    let settled = |position: u64| {
        monitored.awaiting.iter().any(|&(held, entry)| held == position && round.inspected.contains(&entry))
    };
    let map = MonitoringMap::new(monitored.map.entries().filter(|entry| !settled(entry.position)));
    Ok(OwnerProgress { map, complete: !round.ended, inspected: round.inspected })
}

struct Round<'a> {
    tree: Tree,
    knowledge: &'a OwnerKnowledge,
    inspected: Vec<u64>,
    ended: bool,
}

impl Round<'_> {
    /// The subtree of `entry`, whose timestamps lie between `left` and `right`. No deeper than the tree: 64 levels.
    fn visit<V: View>(&mut self, view: &mut V, entry: u64, left: u64, right: u64) -> Result<(), V::Error> {
        if self.ended || !self.tree.spans_window(left, right) {
            return Ok(());
        }
        let right_child = ibst::right(entry, self.tree.size);
        if entry <= self.knowledge.start {
            return match right_child {
                Some(child) => {
                    let timestamp = view.timestamp(entry)?;
                    self.visit(view, child, timestamp, right)
                }
                None => Ok(()),
            };
        }
        if let Some(child) = ibst::left(entry) {
            let timestamp = view.timestamp(entry)?;
            self.visit(view, child, left, timestamp)?;
        }
        if self.ended || view.ends_before(entry)? {
            self.ended = true;
            return Ok(());
        }
        let expected = self.knowledge.expected_at(entry);
        let outcome = complete_ladder(view, entry, expected.unwrap_or(0))?;
        if !is_expected(outcome, expected) {
            return Err(Violation::UnexpectedVersion(entry).into());
        }
        self.inspected.push(entry);
        match right_child {
            Some(child) => {
                let timestamp = view.timestamp(entry)?;
                self.visit(view, child, timestamp, right)
            }
            None => Ok(()),
        }
    }
}

//! The kinds of lookups that the algorithms make in a log entry.

use std::cmp::Ordering;

use super::Violation;
use crate::{
    ladder::{SearchLadder, ShownLookups, monitoring_ladder},
    view::{Lookups, View},
};

/// Lookups of given versions, whatever their results.
#[derive(Debug, Clone)]
struct Listed {
    versions: std::vec::IntoIter<u32>,
    pending: Option<u32>,
    all_included: bool,
}

impl Listed {
    fn new(versions: Vec<u32>) -> Self {
        let mut versions = versions.into_iter();
        let pending = versions.next();
        Self { versions, pending, all_included: true }
    }
}

impl Lookups for Listed {
    fn next(&self) -> Option<u32> {
        self.pending
    }

    fn answer(&mut self, included: bool) {
        self.all_included &= included;
        self.pending = self.versions.next();
    }
}

/// A search ladder that also notes what it shows.
struct Recorded<'a> {
    ladder: SearchLadder,
    position: u64,
    shown: &'a mut ShownLookups,
}

impl Lookups for Recorded<'_> {
    fn next(&self) -> Option<u32> {
        self.ladder.next()
    }

    fn answer(&mut self, included: bool) {
        if let Some(version) = self.ladder.next() {
            self.shown.record(self.position, version, included);
        }
        self.ladder.answer(included);
    }
}

/// The search ladder for `target` in the entry at `position`, without the lookups that `shown` implies, which it adds
/// to. Tells how the greatest version there compares with the target.
pub(super) fn search_ladder<V: View>(
    view: &mut V,
    shown: &mut ShownLookups,
    position: u64,
    target: u32,
) -> Result<Ordering, V::Error> {
    view.timestamp(position)?;
    let ladder = SearchLadder::new(target, |version| shown.implied(position, version));
    let mut lookups = Recorded { ladder, position, shown };
    view.look_up(position, &mut lookups)?;
    ended(lookups.ladder.outcome(), position)
}

/// The search ladder for `target` in the entry at `position`, with every lookup.
pub(super) fn complete_ladder<V: View>(
    view: &mut V,
    position: u64,
    target: u32,
) -> Result<Ordering, V::Error> {
    view.timestamp(position)?;
    let mut ladder = SearchLadder::complete(target);
    view.look_up(position, &mut ladder)?;
    ended(ladder.outcome(), position)
}

/// A view that returns without having answered every lookup leaves the ladder open: that is no outcome at all.
fn ended<E: From<Violation>>(outcome: Option<Ordering>, position: u64) -> Result<Ordering, E> {
    outcome.ok_or_else(|| Violation::LadderUnfinished(position).into())
}

/// The monitoring ladder for `target` in the entry at `position`: whether all its lookups show inclusion.
pub(super) fn monitoring_lookups<V: View>(
    view: &mut V,
    position: u64,
    target: u32,
) -> Result<bool, V::Error> {
    listed_lookups(view, position, monitoring_ladder(target))
}

/// Lookups of `versions` in the entry at `position`: whether all show inclusion.
pub(super) fn listed_lookups<V: View>(
    view: &mut V,
    position: u64,
    versions: Vec<u32>,
) -> Result<bool, V::Error> {
    view.timestamp(position)?;
    let mut lookups = Listed::new(versions);
    view.look_up(position, &mut lookups)?;
    Ok(lookups.all_included && lookups.pending.is_none())
}

//! Which evidence is held about which log, and whether it stops the log: at most [`MAX_PER_LOG`] pieces for each, whatever
//! others send and whatever the log signs.

use std::collections::{BTreeMap, BTreeSet};

use keyglass_tlog::policy::Name;

use crate::{
    decide::Tree,
    evidence::{EvidenceId, Held},
};

/// The most pieces of evidence that are held about one log. One suffices to convict it; more are held only where they
/// name further witnesses, or tell of a fork that was not resolved.
pub const MAX_PER_LOG: usize = 16;

/// The most trees that a resolution can name.
pub const MAX_DISOWNED: usize = 2 * MAX_PER_LOG;

/// What is remembered of a piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub id: EvidenceId,
    /// Its kind.
    pub kind: &'static str,
    /// The trees that contradict each other.
    pub trees: Vec<Tree>,
    /// The witnesses that cosigned both.
    pub faulty: Vec<Name>,
}

impl Summary {
    fn of(held: &Held) -> Self {
        let (trees, faulty) = (held.trees().to_vec(), held.faulty_witnesses().to_vec());
        Self { id: held.id(), kind: held.kind(), trees, faulty }
    }
}

/// What is to be done with verified evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Offer {
    /// It is held already.
    Known,
    /// The log is convicted without it, and it names no witness that others do not name.
    NothingNew,
    /// It is to be stored; first another one is to be deleted, if there is no room for it.
    New {
        /// The one to delete.
        instead_of: Option<EvidenceId>,
    },
}

#[derive(Debug, Clone, Default)]
struct OfLog {
    /// In the order in which they came.
    held: Vec<Summary>,
    disowned: BTreeSet<Tree>,
}

impl OfLog {
    /// Whether an operator has dealt with this contradiction.
    fn is_resolved(&self, trees: &[Tree]) -> bool {
        trees.iter().any(|tree| self.disowned.contains(tree))
    }

    fn unresolved(&self) -> Option<&Summary> {
        self.held.iter().find(|held| !self.is_resolved(&held.trees))
    }
}

/// All evidence that is held, without its text.
#[derive(Debug, Clone, Default)]
pub struct Holdings {
    logs: BTreeMap<String, OfLog>,
    origins: BTreeMap<EvidenceId, String>,
}

impl Holdings {
    /// What is to be done with this evidence. [`hold`](Self::hold) follows once it is stored.
    pub fn offer(&self, held: &Held) -> Offer {
        let Some(log) = self.logs.get(held.origin()) else {
            return Offer::New { instead_of: None };
        };
        if log.held.iter().any(|known| known.id == held.id()) {
            return Offer::Known;
        }
        let stops = !log.is_resolved(held.trees());
        let is_needed = log.held.is_empty() || (stops && log.unresolved().is_none());
        let named: BTreeSet<&Name> = log.held.iter().flat_map(|known| &known.faulty).collect();
        let names_more = held.faulty_witnesses().iter().any(|name| !named.contains(name));
        match (is_needed, names_more, log.held.len() < MAX_PER_LOG) {
            (true, _, true) | (false, true, true) => Offer::New { instead_of: None },
            // All of it is resolved, since the log is not stopped: the oldest has had its time.
            (true, _, false) => Offer::New { instead_of: log.held.first().map(|oldest| oldest.id) },
            (false, _, _) => Offer::NothingNew,
        }
    }

    /// Holds evidence that is stored now.
    pub fn hold(&mut self, held: &Held) {
        if self.origins.insert(held.id(), held.origin().to_owned()).is_none() {
            self.logs.entry(held.origin().to_owned()).or_default().held.push(Summary::of(held));
        }
    }

    /// Forgets evidence that is deleted.
    pub fn forget(&mut self, id: &EvidenceId) {
        if let Some(log) = self.origins.remove(id).and_then(|origin| self.logs.get_mut(&origin)) {
            log.held.retain(|held| held.id != *id);
        }
    }

    /// The evidence for which nothing of this log is to be cosigned, `None` if there is none or it is resolved.
    #[must_use]
    pub fn stops(&self, origin: &str) -> Option<&Summary> {
        self.logs.get(origin)?.unresolved()
    }

    /// The trees that a resolution disowns: those of all evidence about the log but `own`, the one that the witness goes on
    /// from. A later contradiction with one of them is known, and stops nothing; any other does.
    #[must_use]
    pub fn to_disown(&self, origin: &str, own: Option<&Tree>) -> BTreeSet<Tree> {
        let held = self.logs.get(origin).map(|log| log.held.as_slice()).unwrap_or_default();
        held.iter().flat_map(|held| &held.trees).filter(|tree| Some(*tree) != own).copied().collect()
    }

    /// Takes over a resolution.
    pub fn disown(&mut self, origin: &str, trees: impl IntoIterator<Item = Tree>) {
        self.logs.entry(origin.to_owned()).or_default().disowned.extend(trees);
    }

    /// What is held about a log, the oldest first.
    #[must_use]
    pub fn about(&self, origin: &str) -> &[Summary] {
        self.logs.get(origin).map(|log| log.held.as_slice()).unwrap_or_default()
    }

    /// The logs that are stopped, in order.
    pub fn stopped(&self) -> impl Iterator<Item = &str> {
        self.logs.iter().filter(|(_, log)| log.unresolved().is_some()).map(|(origin, _)| origin.as_str())
    }

    /// Names and origins of what is held, in the order of the names, after this one.
    pub fn after(&self, id: Option<EvidenceId>) -> impl Iterator<Item = (EvidenceId, &str)> {
        let from = id.map_or(core::ops::Bound::Unbounded, core::ops::Bound::Excluded);
        let rest = self.origins.range((from, core::ops::Bound::Unbounded));
        rest.map(|(id, origin)| (*id, origin.as_str()))
    }

    /// Whether this is held.
    #[must_use]
    pub fn has(&self, id: &EvidenceId) -> bool {
        self.origins.contains_key(id)
    }

    /// How much is held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use keyglass_tlog::evidence::Evidence;

    use super::*;
    use crate::testkit::{Branch, HONEST, ORIGIN, trust};

    fn fork(branch: u8, size: u64, witnesses: &[u8]) -> Held {
        let other = Branch { fork_at: 0, branch }.note(size, witnesses);
        let evidence = Evidence::of_notes(&HONEST.note(size, witnesses), &other).unwrap();
        Held::verify(evidence, &trust(40)).unwrap()
    }

    fn take(holdings: &mut Holdings, held: &Held) -> Offer {
        let offer = holdings.offer(held);
        if let Offer::New { instead_of } = &offer {
            if let Some(oldest) = instead_of {
                holdings.forget(oldest);
            }
            holdings.hold(held);
        }
        offer
    }

    #[test]
    fn one_suffices_but_for_further_names() {
        let mut holdings = Holdings::default();
        assert!(holdings.stops(ORIGIN).is_none());
        assert_eq!(take(&mut holdings, &fork(1, 5, &[])), Offer::New { instead_of: None });
        assert_eq!(take(&mut holdings, &fork(1, 5, &[])), Offer::Known);
        assert_eq!(take(&mut holdings, &fork(2, 6, &[])), Offer::NothingNew);
        assert_eq!(take(&mut holdings, &fork(2, 6, &[3])), Offer::New { instead_of: None });
        assert_eq!(take(&mut holdings, &fork(3, 7, &[3])), Offer::NothingNew);
        assert_eq!((holdings.len(), holdings.stopped().collect::<Vec<_>>()), (2, vec![ORIGIN]));
    }

    #[test]
    fn what_a_log_can_make_others_hold_is_bounded() {
        let mut holdings = Holdings::default();
        for i in 0..40u8 {
            let _ = take(&mut holdings, &fork(i + 1, 5, &[i]));
        }
        assert_eq!(holdings.about(ORIGIN).len(), MAX_PER_LOG);
        assert_eq!(holdings.after(None).count(), MAX_PER_LOG);
        // Resolved, all of it, and forked again: there is room for what stops the log anew.
        let own = HONEST.head(9);
        holdings.disown(ORIGIN, holdings.to_disown(ORIGIN, Some(own.tree())));
        assert!(holdings.stops(ORIGIN).is_none());
        let again = fork(77, 9, &[]);
        assert!(matches!(take(&mut holdings, &again), Offer::New { instead_of: Some(_) }));
        assert_eq!((holdings.len(), holdings.stops(ORIGIN).unwrap().id), (MAX_PER_LOG, again.id()));
    }

    #[test]
    fn what_is_resolved_stops_nothing_until_the_log_forks_again() {
        let mut holdings = Holdings::default();
        let own = HONEST.head(5);
        let _ = take(&mut holdings, &fork(1, 5, &[]));
        let disowned = holdings.to_disown(ORIGIN, Some(own.tree()));
        assert_eq!(disowned.len(), 1);
        holdings.disown(ORIGIN, disowned);
        assert!(holdings.stops(ORIGIN).is_none() && holdings.stopped().next().is_none());
        // A peer that still has the disowned head contradicts the log's later ones, which is nothing new.
        let late = Branch { fork_at: 0, branch: 1 };
        let (a, b) = (late.note(5, &[]), HONEST.note(8, &[]));
        let relation = keyglass_tlog::relate::relate(&a, &b, |id| Ok::<_, ()>(HONEST.node(id))).unwrap();
        let keyglass_tlog::relate::Relation::Contradicts(evidence) = relation else { panic!() };
        let late = Held::verify(evidence, &trust(0)).unwrap();
        assert_eq!(take(&mut holdings, &late), Offer::NothingNew);
        assert!(matches!(take(&mut holdings, &fork(2, 5, &[])), Offer::New { .. }));
        assert!(holdings.stops(ORIGIN).is_some());
    }

    #[test]
    fn a_list_goes_on_where_it_ended() {
        let mut holdings = Holdings::default();
        (0..5u8).for_each(|i| holdings.hold(&fork(i + 1, 5, &[i])));
        let all: Vec<EvidenceId> = holdings.after(None).map(|(id, _)| id).collect();
        assert!(all.is_sorted() && all.len() == 5);
        assert_eq!(holdings.after(Some(all[2])).map(|(id, _)| id).collect::<Vec<_>>(), all[3..]);
    }
}

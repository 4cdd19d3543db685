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

/// What an operator has dealt with, of one log. It names nothing that is in no evidence, so it is as bounded as that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Trees of which this party knows that they are of another history than its own: every contradiction with one of them
    /// is dealt with, since a peer may go on showing it beside whatever the log signs.
    pub disowned: BTreeSet<Tree>,
    /// Contradictions between two trees neither of which is this party's own, each in ascending order. One of the two may be
    /// of its own history, so that a later contradiction with it may be a new fork: these are dealt with as they are, and
    /// nothing else.
    pub settled: BTreeSet<(Tree, Tree)>,
}

impl Resolved {
    /// Whether an operator has dealt with this contradiction.
    fn covers(&self, trees: &[Tree]) -> bool {
        trees.iter().any(|tree| self.disowned.contains(tree)) || self.settled.contains(&pair(trees))
    }

    /// Deals with a contradiction, given the tree that this party goes on from.
    fn deal_with(&mut self, held: &Summary, own: Option<&Tree>) {
        match (held.trees.as_slice(), own) {
            // Nobody goes on from a tree that cannot be.
            ([impossible], _) => {
                self.disowned.insert(*impossible);
            }
            // Where the log goes on beyond the end that it declared, it is the declaration that does not count, else the rest.
            ([declared, beyond], Some(own)) if held.kind == "after-handover" => {
                let goes_on = own.size > declared.size || (own.size == declared.size && own != declared);
                self.disowned.insert(if goes_on { *declared } else { *beyond });
            }
            (trees, Some(own)) if trees.contains(own) => {
                self.disowned.extend(trees.iter().filter(|tree| *tree != own));
            }
            (trees, _) => {
                self.settled.insert(pair(trees));
            }
        }
    }
}

/// The two trees of a contradiction in ascending order, twice the same where there is one.
fn pair(trees: &[Tree]) -> (Tree, Tree) {
    let impossible = Tree { size: 0, root: [0; 32] };
    let (first, last) = (trees.first().unwrap_or(&impossible), trees.last().unwrap_or(&impossible));
    (*first.min(last), *first.max(last))
}

#[derive(Debug, Clone, Default)]
struct OfLog {
    /// In the order in which they came.
    held: Vec<Summary>,
    resolved: Resolved,
}

impl OfLog {
    fn unresolved(&self) -> Option<&Summary> {
        self.held.iter().find(|held| !self.resolved.covers(&held.trees))
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
        let stops = !log.resolved.covers(held.trees());
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

    /// What is resolved once an operator has dealt with all evidence about a log. `own` is the tree that this party goes on
    /// from, if it has one. What was dealt with before stays so for as long as evidence of it is held.
    #[must_use]
    pub fn resolution(&self, origin: &str, own: Option<&Tree>) -> Resolved {
        let Some(log) = self.logs.get(origin) else { return Resolved::default() };
        let mut resolved = Resolved::default();
        for held in &log.held {
            let known = held.trees.iter().filter(|tree| log.resolved.disowned.contains(tree));
            resolved.disowned.extend(known);
            if log.resolved.settled.contains(&pair(&held.trees)) {
                resolved.settled.insert(pair(&held.trees));
            }
        }
        for held in &log.held {
            if !resolved.covers(&held.trees) {
                resolved.deal_with(held, own);
            }
        }
        resolved
    }

    /// Takes over what is resolved of a log, instead of what was before.
    pub fn resolve(&mut self, origin: &str, resolved: Resolved) {
        self.logs.entry(origin.to_owned()).or_default().resolved = resolved;
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
    use keyglass_tlog::{
        evidence::Evidence,
        relate::{Relation, relate},
    };

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
        holdings.resolve(ORIGIN, holdings.resolution(ORIGIN, Some(own.tree())));
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
        let resolved = holdings.resolution(ORIGIN, Some(own.tree()));
        assert_eq!((resolved.disowned.len(), resolved.settled.len()), (1, 0));
        holdings.resolve(ORIGIN, resolved);
        assert!(holdings.stops(ORIGIN).is_none() && holdings.stopped().next().is_none());
        // A peer that still has the disowned head contradicts the log's later ones, which is nothing new.
        let late = beside(Branch { fork_at: 0, branch: 1 }, 5, 8);
        assert_eq!(take(&mut holdings, &late), Offer::NothingNew);
        assert!(matches!(take(&mut holdings, &fork(2, 5, &[])), Offer::New { .. }));
        assert!(holdings.stops(ORIGIN).is_some());
    }

    /// A head of another history beside a larger one of the honest history.
    fn beside(fork: Branch, size: u64, honest: u64) -> Held {
        let (a, b) = (fork.note(size, &[]), HONEST.note(honest, &[]));
        let relation = relate(&a, &b, |id| Ok::<_, ()>(HONEST.node(id))).unwrap();
        let Relation::Contradicts(evidence) = relation else { panic!("no contradiction") };
        Held::verify(evidence, &trust(0)).unwrap()
    }

    #[test]
    fn a_head_of_ones_own_history_is_never_disowned() {
        let mut holdings = Holdings::default();
        let own = HONEST.head(12);
        // Found by others, with another head of this party's history than its latest.
        let first = beside(Branch { fork_at: 0, branch: 1 }, 5, 8);
        let _ = take(&mut holdings, &first);
        holdings.resolve(ORIGIN, holdings.resolution(ORIGIN, Some(own.tree())));
        assert!(holdings.stops(ORIGIN).is_none());
        assert_eq!(take(&mut holdings, &first), Offer::Known);
        // The log forks again, and whoever finds it has the same honest head.
        let second = beside(Branch { fork_at: 0, branch: 2 }, 6, 8);
        assert_eq!(take(&mut holdings, &second), Offer::New { instead_of: None });
        assert_eq!(holdings.stops(ORIGIN).unwrap().id, second.id());
        // One's own head in new evidence tells the sides apart, and what was settled before stays so.
        let third = beside(Branch { fork_at: 0, branch: 3 }, 6, 12);
        holdings.resolve(ORIGIN, holdings.resolution(ORIGIN, Some(own.tree())));
        let _ = take(&mut holdings, &third);
        let resolved = holdings.resolution(ORIGIN, Some(own.tree()));
        assert_eq!((resolved.disowned.len(), resolved.settled.len()), (1, 2));
        holdings.resolve(ORIGIN, resolved);
        // This party has grown since: the side that it was on is not disowned by a later resolution.
        let grown = HONEST.head(20);
        let again = holdings.resolution(ORIGIN, Some(grown.tree()));
        assert!(again.disowned.len() == 1 && !again.disowned.contains(own.tree()));
        assert_eq!(take(&mut holdings, &beside(Branch { fork_at: 0, branch: 3 }, 6, 20)), Offer::NothingNew);
    }

    #[test]
    fn a_log_that_goes_on_after_its_end_is_resolved_once() {
        let tree = |size, root| Tree { size, root: [root; 32] };
        let held = |trees: [Tree; 2]| Summary {
            id: EvidenceId([1; 32]),
            kind: "after-handover",
            trees: trees.to_vec(),
            faulty: Vec::new(),
        };
        let (declared, beyond) = (tree(8, 1), tree(9, 2));
        for (own, disowned) in [(tree(20, 3), declared), (declared, beyond), (tree(5, 4), beyond)] {
            let mut resolved = Resolved::default();
            resolved.deal_with(&held([declared, beyond]), Some(&own));
            assert_eq!(resolved.disowned, BTreeSet::from([disowned]));
        }
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

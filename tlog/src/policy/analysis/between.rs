//! What two policies have in common: who must collude before those who trust the one and those who trust the other are
//! shown different logs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Counting, tree::Tree};
use crate::policy::Policy;

/// How many pairs of quorums are compared at most.
const BUDGET: usize = 1 << 19;

/// The fewest parties that a quorum of one policy and a quorum of the other have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// So many.
    Exactly(usize),
    /// So many or fewer: the two policies are too different for all pairs of quorums to be compared.
    AtMost(usize),
}

impl Overlap {
    /// The figure, whether or not it is the least.
    #[must_use]
    pub fn figure(self) -> usize {
        match self {
            Self::Exactly(figure) | Self::AtMost(figure) => figure,
        }
    }
}

/// The fewest parties that must collude with a log before it can show two views, one witnessed as policy `a` demands and
/// one as `b` does. Parties of the two policies are the same if they have a public key in common, whatever they are
/// called. With itself, a policy has its [`split`](super::Strength::split) in common.
#[must_use]
pub fn overlap_between(a: &Policy, b: &Policy, counting: Counting) -> Overlap {
    // Nobody has to sign for those who ask for no witness.
    pair(a, b, counting).map_or(Overlap::Exactly(0), |pair| pair.overlap())
}

/// How many parties both policies count.
#[must_use]
pub fn shared_parties(a: &Policy, b: &Policy, counting: Counting) -> usize {
    pair(a, b, counting).map_or(0, |pair| pair.shared.iter().map(Vec::len).sum())
}

fn pair(a: &Policy, b: &Policy, counting: Counting) -> Option<Pair> {
    let (tree_a, tree_b) = (Tree::of(a, counting)?, Tree::of(b, counting)?);
    Some(Pair { shared: shared((a, &tree_a), (b, &tree_b)), a: tree_a, b: tree_b })
}

#[cfg(test)]
pub(super) fn one_overlap(a: &Policy, b: &Policy, counting: Counting) -> Option<usize> {
    pair(a, b, counting).map(|pair| pair.one_overlap())
}

/// The origins of the logs that both policies accept.
#[must_use]
pub fn common_origins<'a>(a: &'a Policy, b: &'a Policy) -> BTreeSet<&'a str> {
    let of_a: BTreeSet<&str> = a.logs().iter().map(|log| log.origin()).collect();
    b.logs().iter().map(|log| log.origin()).filter(|origin| of_a.contains(origin)).collect()
}

/// One party as the two policies know it. Each may have split it into several.
#[derive(Debug, Default, Clone)]
struct Shared {
    in_a: Vec<usize>,
    in_b: Vec<usize>,
}

/// The parties that both policies know, in classes whose members can stand in for each other.
fn shared(a: (&Policy, &Tree), b: (&Policy, &Tree)) -> Vec<Vec<Shared>> {
    // Each party of either policy joins all parties that it has a key in common with.
    let mut known: Vec<Shared> = Vec::new();
    let mut by_key: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for (is_b, (policy, tree)) in [(false, a), (true, b)] {
        for (index, party) in tree.parties().iter().enumerate() {
            let keys = party.witnesses.iter().filter_map(|&witness| policy.witnesses().get(witness));
            let keys: Vec<Vec<u8>> = keys.map(|witness| witness.vkey().key().material()).collect();
            let joined: BTreeSet<usize> = keys.iter().filter_map(|key| by_key.get(key).copied()).collect();
            let mut whole = Shared::default();
            for place in &joined {
                let part = known.get_mut(*place).map(std::mem::take).unwrap_or_default();
                whole.in_a.extend(part.in_a);
                whole.in_b.extend(part.in_b);
            }
            if is_b {
                whole.in_b.push(index)
            } else {
                whole.in_a.push(index)
            }
            let place = known.len();
            known.push(whole);
            for at in by_key.values_mut().filter(|at| joined.contains(at)) {
                *at = place;
            }
            by_key.extend(keys.into_iter().map(|key| (key, place)));
        }
    }
    let mut classes: BTreeMap<_, Vec<Shared>> = BTreeMap::new();
    for (place, party) in known.into_iter().enumerate() {
        let class = match (party.in_a.as_slice(), party.in_b.as_slice()) {
            ([], _) | (_, []) => continue,
            ([in_a], [in_b]) => (a.1.parent(*in_a), b.1.parent(*in_b), None),
            // A party that one of the policies counts several times is like no other.
            _ => (None, None, Some(place)),
        };
        classes.entry(class).or_default().push(party);
    }
    classes.into_values().collect()
}

struct Pair {
    a: Tree,
    b: Tree,
    shared: Vec<Vec<Shared>>,
}

impl Pair {
    /// Goes through which of the shared parties sign for `a`. The others may sign for `b` for nothing, as may all that are
    /// not shared; what `b` then still needs has to come from those that sign for both.
    fn overlap(&self) -> Overlap {
        let sizes: Vec<usize> = self.shared.iter().map(Vec::len).collect();
        let simple = self.shared.iter().flatten().all(|party| party.in_a.len() == 1 && party.in_b.len() == 1);
        let ways = |size: &usize| {
            let size = size.saturating_add(1);
            if simple { size } else { size.saturating_mul(size.saturating_add(1)) / 2 }
        };
        if sizes.iter().map(ways).fold(1, usize::saturating_mul) > BUDGET {
            return Overlap::AtMost(self.one_overlap());
        }
        let mut least = usize::MAX;
        for_each_count(&sizes, |for_a| {
            if self.suffices_for_a(for_a) {
                least = least.min(if simple { self.needed_for_b(for_a) } else { self.both(for_a) });
            }
        });
        Overlap::Exactly(least)
    }

    /// Whether so many of each class, and all that `b` does not know, are a quorum of `a`.
    fn suffices_for_a(&self, for_a: &[usize]) -> bool {
        let absent = self.absent(|class, place| place >= count(for_a, class), |party| &party.in_a);
        self.a.needed(|party| !absent.contains(&party)) == 0
    }

    /// How many of those that sign for `a` must sign for `b` as well, where every party is one leaf of `b`.
    fn needed_for_b(&self, for_a: &[usize]) -> usize {
        let absent = self.absent(|class, place| place < count(for_a, class), |party| &party.in_b);
        self.b.needed(|party| !absent.contains(&party))
    }

    /// The same where a party may be several leaves: goes through all choices.
    fn both(&self, for_a: &[usize]) -> usize {
        let mut least = usize::MAX;
        for_each_count(for_a, |for_both| {
            let total = for_both.iter().fold(0, |sum: usize, count| sum.saturating_add(*count));
            if total >= least {
                return;
            }
            let signs_a_alone = |class, place| place < count(for_a, class) && place >= count(for_both, class);
            let absent = self.absent(signs_a_alone, |party| &party.in_b);
            if self.b.needed(|party| !absent.contains(&party)) == 0 {
                least = total;
            }
        });
        least
    }

    /// The leaves of one policy that shared parties would have to sign for and do not.
    fn absent<'s>(
        &'s self,
        is_absent: impl Fn(usize, usize) -> bool,
        leaves: impl Fn(&'s Shared) -> &'s [usize],
    ) -> BTreeSet<usize> {
        let mut absent = BTreeSet::new();
        for (class, parties) in self.shared.iter().enumerate() {
            for (place, party) in parties.iter().enumerate() {
                if is_absent(class, place) {
                    absent.extend(leaves(party));
                }
            }
        }
        absent
    }

    /// What one pair of quorums has in common, found without trying all: from everybody signing for both, each party in
    /// turn signs for one only if that leaves two quorums.
    fn one_overlap(&self) -> usize {
        let (mut not_a, mut not_b) = (BTreeSet::new(), BTreeSet::new());
        let mut both = 0usize;
        for party in self.shared.iter().flatten() {
            let with = |set: &BTreeSet<usize>, more: &[usize]| -> BTreeSet<usize> {
                set.iter().chain(more).copied().collect()
            };
            let (less_a, less_b) = (with(&not_a, &party.in_a), with(&not_b, &party.in_b));
            // Alternating between the two spends what either can spare evenly.
            let a_can = self.a.needed(|party| !less_a.contains(&party)) == 0;
            let b_can = self.b.needed(|party| !less_b.contains(&party)) == 0;
            match (a_can, b_can) {
                (true, true) if not_a.len() <= not_b.len() => not_a = less_a,
                (true, false) => not_a = less_a,
                (_, true) => not_b = less_b,
                (false, false) => both = both.saturating_add(1),
            }
        }
        both
    }
}

fn count(counts: &[usize], class: usize) -> usize {
    counts.get(class).copied().unwrap_or(0)
}

/// Calls `visit` with every way to take from 0 to `sizes[i]` of each class.
fn for_each_count(sizes: &[usize], mut visit: impl FnMut(&[usize])) {
    let mut counts = vec![0; sizes.len()];
    loop {
        visit(&counts);
        let mut carried = true;
        for (count, size) in counts.iter_mut().zip(sizes) {
            if *count < *size {
                *count = count.saturating_add(1);
                carried = false;
                break;
            }
            *count = 0;
        }
        if carried {
            return;
        }
    }
}

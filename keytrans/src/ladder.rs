//! Binary ladders: which versions of a label are looked up in one log entry's prefix tree (section "Binary Ladder").

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    iter::once,
};

/// The lookups that would establish `n` as a label's greatest version, in order; at most 64.
#[must_use]
pub fn base_ladder(n: u32) -> Vec<u32> {
    let n = u64::from(n);
    // Powers of two minus one, up to the first above `n`. That one may be 2^33 - 1: it bounds the search below but,
    // like everything above 2^32 - 1, is not looked up.
    let powers = || (0..=33).map(|exponent| (1_u64 << exponent) - 1);
    let mut lower = powers().take_while(|&version| version <= n).last().unwrap_or(0);
    let mut upper = powers().find(|&version| version > n).unwrap_or(1);
    let mut versions: Vec<u64> =
        powers().take_while(|&version| version <= lower).chain(once(upper)).collect();
    while lower + 1 < upper {
        let middle = lower.midpoint(upper);
        versions.push(middle);
        if middle <= n {
            lower = middle;
        } else {
            upper = middle;
        }
    }
    versions.into_iter().filter_map(|version| u32::try_from(version).ok()).collect()
}

/// The lookups that show a monitored version `t` to be there still, all by inclusion (section "Monitoring the Tree").
#[must_use]
pub fn monitoring_ladder(t: u32) -> Vec<u32> {
    let mut versions = base_ladder(t);
    versions.retain(|&version| version <= t);
    versions
}

/// The versions, ascending, whose VRF proofs an `UpdateResponse` carries when `new` versions (ascending) follow
/// `previous` (section "Updating a Label"). Empty if there is no new version.
#[must_use]
pub fn versions_for_update(previous: Option<u32>, new: &[u32]) -> Vec<u32> {
    let Some(&greatest) = new.last() else { return Vec::new() };
    let known = previous.map_or_else(|| vec![0], base_ladder);
    let mut versions: BTreeSet<u32> = base_ladder(greatest).into_iter().collect();
    if new.len() > 1 {
        versions.extend(new);
    }
    versions.into_iter().filter(|version| !known.contains(version)).collect()
}

/// The versions, ascending, whose VRF proofs initialize the owner of a label that had `greatest_versions` in the log
/// entries inspected (section "Owner Algorithm", step 3).
#[must_use]
pub fn versions_for_owner_init(greatest_versions: &[u32]) -> Vec<u32> {
    let versions: BTreeSet<u32> =
        once(0).chain(greatest_versions.iter().flat_map(|&greatest| base_ladder(greatest))).collect();
    versions.into_iter().collect()
}

/// What one query response has shown of one label so far, by place: search ladders omit what follows from it.
#[derive(Debug, Clone, Default)]
pub struct ShownLookups {
    leftmost_inclusion: BTreeMap<u32, u64>,
    rightmost_non_inclusion: BTreeMap<u32, u64>,
}

impl ShownLookups {
    /// Records that `version` was looked up in the log entry at `position`.
    pub fn record(&mut self, position: u64, version: u32, included: bool) {
        if included {
            let leftmost = self.leftmost_inclusion.entry(version).or_insert(position);
            *leftmost = position.min(*leftmost);
        } else {
            let rightmost = self.rightmost_non_inclusion.entry(version).or_insert(position);
            *rightmost = position.max(*rightmost);
        }
    }

    /// The outcome of looking up `version` at `position` as far as lookups elsewhere tell: included if it was to the
    /// left, not included if it was not to the right. A lookup at `position` itself tells nothing.
    ///
    /// Lookups that contradict each other are not detected here: inclusion counts.
    #[must_use]
    pub fn implied(&self, position: u64, version: u32) -> Option<bool> {
        if self.leftmost_inclusion.get(&version).is_some_and(|&shown| shown < position) {
            Some(true)
        } else if self.rightmost_non_inclusion.get(&version).is_some_and(|&shown| shown > position) {
            Some(false)
        } else {
            None
        }
    }
}

/// One rung of a search ladder.
#[derive(Debug, Clone, Copy)]
struct Rung {
    version: u32,
    /// The outcome, if the lookup is omitted.
    omitted: Option<bool>,
}

/// A search binary ladder in progress (section "Greatest-Version Search"), driven alike by who produces a proof and
/// who verifies one: [`SearchLadder::next`] names the lookup, [`SearchLadder::answer`] gives its result.
///
/// It follows the ladder of the target, which is the same as that of the greatest version up to the lookup that ends
/// it. It ends after inclusion of a version above the target, after non-inclusion of a version up to the target, or
/// when the ladder is exhausted.
#[derive(Debug, Clone)]
pub struct SearchLadder {
    target: u32,
    rungs: std::vec::IntoIter<Rung>,
    pending: Option<u32>,
    outcome: Option<Ordering>,
}

impl SearchLadder {
    /// The ladder for `target`. `omitted` gives the known outcome of the lookups that are left out, see
    /// [`ShownLookups::implied`].
    #[must_use]
    pub fn new(target: u32, omitted: impl Fn(u32) -> Option<bool>) -> Self {
        let rungs: Vec<Rung> = base_ladder(target)
            .into_iter()
            .map(|version| Rung { version, omitted: omitted(version) })
            .collect();
        let mut ladder = Self { target, rungs: rungs.into_iter(), pending: None, outcome: None };
        ladder.advance();
        ladder
    }

    /// The ladder for `target` without omissions, as owners use it.
    #[must_use]
    pub fn complete(target: u32) -> Self {
        Self::new(target, |_| None)
    }

    /// The version to look up now; none when the ladder has ended. The same until it is answered.
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        self.pending
    }

    /// Records whether the version that [`SearchLadder::next`] named is in the prefix tree. Without effect when the
    /// ladder has ended.
    pub fn answer(&mut self, included: bool) {
        if let Some(version) = self.pending.take() {
            self.judge(version, included);
            self.advance();
        }
    }

    /// How the greatest version in the log entry compares with the target; none until the ladder has ended.
    #[must_use]
    pub fn outcome(&self) -> Option<Ordering> {
        self.outcome
    }

    /// Goes on to the next lookup that is not omitted, or to the end.
    fn advance(&mut self) {
        while self.outcome.is_none() {
            match self.rungs.next() {
                Some(Rung { version, omitted: Some(included) }) => self.judge(version, included),
                Some(Rung { version, omitted: None }) => {
                    self.pending = Some(version);
                    return;
                }
                None => self.outcome = Some(Ordering::Equal),
            }
        }
    }

    fn judge(&mut self, version: u32, included: bool) {
        if included && version > self.target {
            self.outcome = Some(Ordering::Greater);
        } else if !included && version <= self.target {
            self.outcome = Some(Ordering::Less);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::vectors;

    fn versions(value: &Value) -> Vec<u32> {
        value.as_array().unwrap().iter().map(version).collect()
    }

    fn version(value: &Value) -> u32 {
        u32::try_from(value.as_u64().unwrap()).unwrap()
    }

    /// Runs a ladder against a log entry where `greatest` is the greatest version.
    fn climb(mut ladder: SearchLadder, greatest: Option<u32>) -> (Vec<u32>, Ordering) {
        let mut lookups = Vec::new();
        while let Some(version) = ladder.next() {
            assert_eq!(ladder.outcome(), None);
            lookups.push(version);
            ladder.answer(greatest.is_some_and(|greatest| version <= greatest));
        }
        (lookups, ladder.outcome().unwrap())
    }

    #[test]
    fn vector_base_and_monitoring() {
        let file = vectors::read("ladders.json");
        let mut cases = 0;
        for case in file["base"].as_array().unwrap() {
            assert_eq!(base_ladder(version(&case[0])), versions(&case[1]), "base ladder of {}", case[0]);
            cases += 1;
        }
        for case in file["monitoring"].as_array().unwrap() {
            assert_eq!(
                monitoring_ladder(version(&case[0])),
                versions(&case[1]),
                "monitoring ladder of {}",
                case[0]
            );
            cases += 1;
        }
        println!("ladders: {cases} base and monitoring ladders");
        assert!(cases > 0);
    }

    #[test]
    fn vector_search() {
        let file = vectors::read("ladders.json");
        let cases = file["search"].as_array().unwrap();
        for case in cases {
            let target = version(&case["target"]);
            let greatest = case["greatest"].as_u64().map(|greatest| u32::try_from(greatest).unwrap());
            let left = versions(&case["left_inclusion"]);
            let right = versions(&case["right_non_inclusion"]);
            let ladder = SearchLadder::new(target, |version| {
                left.contains(&version).then_some(true).or(right.contains(&version).then_some(false))
            });
            let (lookups, outcome) = climb(ladder, greatest);
            assert_eq!(lookups, versions(&case["lookups"]), "{case}");
            assert_eq!(outcome, greatest.map_or(Ordering::Less, |greatest| greatest.cmp(&target)), "{case}");
        }
        println!("ladders: {} search ladders", cases.len());
        assert!(!cases.is_empty());
    }

    #[test]
    fn vector_vrf_versions() {
        let file = vectors::read("ladders.json");
        let mut cases = 0;
        for case in file["update"].as_array().unwrap() {
            let previous = case["previous"].as_u64().map(|previous| u32::try_from(previous).unwrap());
            let new = versions(&case["new"]);
            assert_eq!(versions_for_update(previous, &new), versions(&case["vrf_versions"]), "{case}");
            cases += 1;
        }
        for case in file["owner_init"].as_array().unwrap() {
            let greatest = versions(&case["greatest_versions"]);
            assert_eq!(versions_for_owner_init(&greatest), versions(&case["vrf_versions"]), "{case}");
            cases += 1;
        }
        println!("ladders: {cases} sets of versions with VRF proofs");
        assert!(cases > 0);
    }

    #[test]
    fn shown_lookups_count_by_place() {
        let mut shown = ShownLookups::default();
        shown.record(10, 3, true);
        shown.record(12, 3, true);
        shown.record(10, 7, false);
        shown.record(8, 7, false);
        assert_eq!(shown.implied(9, 3), None);
        assert_eq!(shown.implied(10, 3), None);
        assert_eq!(shown.implied(11, 3), Some(true));
        assert_eq!(shown.implied(9, 7), Some(false));
        assert_eq!(shown.implied(10, 7), None);
        assert_eq!(shown.implied(11, 7), None);
        assert_eq!(shown.implied(11, 1), None);
    }

    #[test]
    fn no_new_version_needs_no_proof() {
        assert!(versions_for_update(Some(3), &[]).is_empty());
    }

    #[test]
    fn answers_after_the_end_change_nothing() {
        let mut ladder = SearchLadder::complete(5);
        ladder.answer(false);
        assert_eq!(ladder.outcome(), Some(Ordering::Less));
        ladder.answer(true);
        assert_eq!((ladder.next(), ladder.outcome()), (None, Some(Ordering::Less)));
    }

    proptest! {
        #[test]
        fn ladders_are_short_and_decide(
            target in prop_oneof![0..50_u32, any::<u32>(), Just(u32::MAX), Just(u32::MAX - 1), Just(1 << 31)],
            greatest in prop_oneof![Just(None), (0..50_u32).prop_map(Some), any::<u32>().prop_map(Some), Just(Some(u32::MAX))],
        ) {
            prop_assert!(base_ladder(target).len() <= 64);
            let (lookups, outcome) = climb(SearchLadder::complete(target), greatest);
            prop_assert_eq!(outcome, greatest.map_or(Ordering::Less, |greatest| greatest.cmp(&target)));
            // The ladder of the greatest version begins with the same lookups.
            let of_greatest = greatest.map_or_else(|| vec![0], base_ladder);
            prop_assert!(of_greatest.starts_with(&lookups));
        }

        #[test]
        fn omissions_change_no_outcome(
            target in 0..300_u32, greatest in 0..300_u32, before in 0..300_u32, after in 0..300_u32,
        ) {
            // An entry with fewer versions to the left, one with more to the right, both searched for the target.
            let (before, after) = (before.min(greatest), after.max(greatest));
            let mut shown = ShownLookups::default();
            for (position, greatest) in [(1, before), (3, after)] {
                for version in climb(SearchLadder::complete(target), Some(greatest)).0 {
                    shown.record(position, version, version <= greatest);
                }
            }
            let (lookups, outcome) = climb(SearchLadder::new(target, |version| shown.implied(2, version)), Some(greatest));
            let (complete, expected) = climb(SearchLadder::complete(target), Some(greatest));
            prop_assert_eq!(outcome, expected);
            prop_assert!(lookups.iter().all(|version| complete.contains(version)));
        }
    }
}

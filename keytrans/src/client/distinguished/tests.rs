use std::collections::BTreeMap;

use keyglass_crypto::hash::{Digest, sha256};
use proptest::prelude::*;

use super::*;
use crate::{
    ibst,
    wire::{Context, DistinguishedHead},
};

fn root(name: u64) -> Digest {
    sha256(&[&name.to_be_bytes()])
}

fn roots(names: &[u64]) -> Vec<Digest> {
    names.iter().copied().map(root).collect()
}

/// Lays one list over the other at every distance and looks for one at which they touch and nowhere differ.
fn naive(a: &[Digest], b: &[Digest]) -> Agreement {
    let (len_a, len_b) = (a.len() as i64, b.len() as i64);
    let fits = |distance: i64| {
        let mut line: BTreeMap<i64, Digest> =
            a.iter().copied().enumerate().map(|(i, r)| (i as i64, r)).collect();
        let mut touches = false;
        for (i, root) in b.iter().enumerate() {
            match line.insert(i as i64 + distance, *root) {
                Some(other) if other != *root => return false,
                Some(_) => touches = true,
                None => {}
            }
        }
        touches
    };
    if (-len_b..=len_a).any(fits) {
        Agreement::Agree
    } else if a.iter().any(|root| b.contains(root)) {
        Agreement::Disputed
    } else {
        Agreement::NoOverlap
    }
}

/// A window of a history of distinguished entries that leaves the common one at `fork`.
fn window(fork: u64, branch: u64, from: u64, to: u64) -> Vec<(u64, Digest)> {
    let entry = |index: u64| {
        let name = if index < fork { index } else { index + 1000 * branch };
        (3 * index, root(name))
    };
    (from..to).map(entry).collect()
}

fn without_positions(entries: &[(u64, Digest)]) -> Vec<Digest> {
    entries.iter().map(|(_, root)| *root).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Roots that repeat included, which no honest list has.
    #[test]
    fn any_lists_of_roots_compare_as_in_the_naive_model(
        a in proptest::collection::vec(0u64..4, 0..7),
        b in proptest::collection::vec(0u64..4, 0..7),
    ) {
        let (a, b) = (roots(&a), roots(&b));
        let agreement = Agreement::of_roots(&a, &b);
        prop_assert_eq!(agreement, naive(&a, &b));
        prop_assert_eq!(agreement, Agreement::of_roots(&b, &a));
        if a.len() == b.len() {
            prop_assert_eq!(agreement == Agreement::Agree, compare_roots(&a, &b));
        }
    }

    /// What two users of honest or forked logs hold, against what they must conclude.
    #[test]
    fn windows_of_histories_compare_as_their_histories_do(
        fork in 0u64..20,
        (a_from, a_len) in (0u64..20, 1u64..11),
        (b_from, b_len) in (0u64..20, 1u64..11),
        forked: bool,
    ) {
        let fork = if forked { fork } else { u64::MAX };
        let a = window(fork, 1, a_from, a_from + a_len);
        let b = window(fork, 2, b_from, b_from + b_len);
        let (first, last) = (a_from.max(b_from), (a_from + a_len).min(b_from + b_len));
        let with_positions = if first >= last {
            Agreement::NoOverlap
        } else if last <= fork {
            Agreement::Agree
        } else {
            Agreement::Disputed
        };
        prop_assert_eq!(Agreement::of_entries(&a, &b), with_positions);
        // Without positions a fork shows only to those who also hold an entry from before it.
        let without = if with_positions == Agreement::Disputed && first >= fork {
            Agreement::NoOverlap
        } else {
            with_positions
        };
        prop_assert_eq!(Agreement::of_roots(&without_positions(&a), &without_positions(&b)), without);
    }
}

#[test]
fn a_missing_or_extra_entry_between_common_ones_is_a_dispute() {
    let whole = window(u64::MAX, 0, 0, 5);
    for index in 1..4 {
        let mut gap = whole.clone();
        gap.remove(index);
        assert_eq!(Agreement::of_entries(&whole, &gap), Agreement::Disputed);
        let (whole, gap) = (without_positions(&whole), without_positions(&gap));
        assert_eq!(Agreement::of_roots(&whole, &gap), Agreement::Disputed);
    }
    // At an end it is a narrower window.
    assert_eq!(Agreement::of_entries(&whole, &whole[1..4]), Agreement::Agree);
    assert_eq!(Agreement::of_entries(&whole, &[]), Agreement::NoOverlap);
    // The positions are those of different histories although no position is common.
    let (a, b) = ([(3, root(3)), (9, root(9))], [(5, root(5)), (7, root(7))]);
    assert_eq!(Agreement::of_entries(&a, &b), Agreement::Disputed);
}

#[test]
fn a_distinguished_head_holds_at_most_255_roots_in_one_spelling() {
    let context = Context::new(crate::config::DeploymentMode::ContactMonitoring);
    let head = DistinguishedHead { heads: (0..255).map(root).collect() };
    let bytes = head.encode().unwrap();
    assert_eq!(bytes.len(), 1 + 255 * 32, "the length counts roots, not bytes");
    assert_eq!(DistinguishedHead::decode(&bytes, context).unwrap(), head);
    assert!(DistinguishedHead { heads: (0..256).map(root).collect() }.encode().is_err());
    for bad in [&bytes[..bytes.len() - 1], &[bytes.as_slice(), &[0]].concat(), &[]] {
        assert!(DistinguishedHead::decode(bad, context).is_err());
    }
}

/// The distinguished entries of a log with these timestamps, ascending: straight from the definition.
fn distinguished(timestamps: &[u64], window: u64) -> Vec<u64> {
    fn visit(entry: u64, bounds: (u64, u64), timestamps: &[u64], window: u64, found: &mut Vec<u64>) {
        let (left, right) = bounds;
        if right - left < window {
            return;
        }
        let timestamp = timestamps[entry as usize];
        if let Some(child) = ibst::left(entry) {
            visit(child, (left, timestamp), timestamps, window, found);
        }
        found.push(entry);
        if let Some(child) = ibst::right(entry, timestamps.len() as u64) {
            visit(child, (timestamp, right), timestamps, window, found);
        }
    }
    let mut found = Vec::new();
    let root = ibst::root(timestamps.len() as u64);
    visit(root, (0, *timestamps.last().unwrap()), timestamps, window, &mut found);
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// What comparing relies on: as a log grows, its distinguished entries stay, and new ones come at the end only.
    #[test]
    fn distinguished_entries_are_one_sequence_that_grows_at_its_end(
        steps in proptest::collection::vec(prop_oneof![Just(0u64), 1u64..5, 5u64..400], 1..130),
        start in 0u64..2000,
        window in 0u64..1000,
    ) {
        let mut timestamps = Vec::new();
        let mut before: Vec<u64> = Vec::new();
        for step in steps {
            timestamps.push(timestamps.last().unwrap_or(&start) + step);
            let now = distinguished(&timestamps, window);
            prop_assert!(now.starts_with(&before), "{:?} then {:?}", before, now);
            before = now;
        }
    }
}

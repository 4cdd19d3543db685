//! The implicit binary search tree over the log's entries (section "Implicit Binary Search Tree" and its appendix).
//!
//! Entries are positions in the log, `0..n`; `n` is the log's size. Every function answers in at most a few hundred
//! steps for any `n`, so sizes may come from outside.

use std::iter::successors;

/// Levels a tree can have, and so the most entries on any path.
const MAX_PATH: usize = 65;

/// The level of entry `x`: 0 for a leaf, one more than the highest child otherwise.
fn level(x: u64) -> u32 {
    x.trailing_ones()
}

/// The root entry of a log of `n` entries. An empty log has no entries; for it this is 0, as in the draft.
#[must_use]
pub fn root(n: u64) -> u64 {
    n.checked_ilog2().map_or(0, |exponent| (1 << exponent) - 1)
}

/// The left child of `x`: every entry but a leaf has one.
#[must_use]
pub fn left(x: u64) -> Option<u64> {
    let below = level(x).checked_sub(1)?;
    Some(x ^ (1 << below))
}

/// The right child of `x` in a log of `n` entries: none for a leaf, for the rightmost entry and beyond it.
#[must_use]
pub fn right(x: u64, n: u64) -> Option<u64> {
    let below = level(x).checked_sub(1)?;
    let last = n.checked_sub(1)?;
    if x >= last {
        return None;
    }
    // `x` is not all ones, so the bit above its trailing ones exists.
    let mut child = x ^ (3 << below);
    while child > last {
        child = left(child)?;
    }
    Some(child)
}

/// The parent of `x` in a log of `n` entries: none for the root, or if there is no such entry.
#[must_use]
pub fn parent(x: u64, n: u64) -> Option<u64> {
    path_from_root(x, n).into_iter().nth_back(1)
}

/// The direct path of `x` in a log of `n` entries: from its parent to the root. Empty if there is no such entry.
#[must_use]
pub fn direct_path(x: u64, n: u64) -> Vec<u64> {
    path_from_root(x, n).into_iter().rev().skip(1).collect()
}

/// The entries from the root to `x`, both included. Empty if there is no such entry.
fn path_from_root(x: u64, n: u64) -> Vec<u64> {
    if x >= n {
        return Vec::new();
    }
    let mut path = Vec::with_capacity(MAX_PATH);
    path.extend(successors(Some(root(n)), |&entry| match x.cmp(&entry) {
        std::cmp::Ordering::Less => left(entry),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => right(entry, n),
    }));
    path
}

/// The frontier of a log of `n` entries, left to right: from the root by right children to the rightmost entry.
#[must_use]
pub fn frontier(n: u64) -> Vec<u64> {
    let start = (n > 0).then(|| root(n));
    successors(start, |&entry| right(entry, n)).collect()
}

/// The entries whose timestamps update a view from `last` entries to `n`, left to right (section "Updating Views of
/// the Tree"). Without a previous view that is the frontier.
///
/// Empty if nothing is new, and if `last` is not in `1..=n`, which is for the caller to refuse.
#[must_use]
pub fn update_view(n: u64, last: Option<u64>) -> Vec<u64> {
    let Some(last) = last else { return frontier(n) };
    if last > n {
        return Vec::new();
    }
    let Some(rightmost) = last.checked_sub(1) else { return Vec::new() };
    let mut entries = direct_path(rightmost, n);
    entries.retain(|&entry| entry >= last);
    let on_frontier = entries.last().copied().unwrap_or(rightmost);
    entries.extend(successors(right(on_frontier, n), |&entry| right(entry, n)));
    entries
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::vectors;

    fn positions(value: &Value) -> Vec<u64> {
        value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap()).collect()
    }

    #[test]
    fn vector_trees() {
        let file = vectors::read("implicit-bst.json");
        let mut cases = 0;
        for tree in file["trees"].as_array().unwrap() {
            let n = tree["n"].as_u64().unwrap();
            assert_eq!(root(n), tree["root"].as_u64().unwrap(), "root of {n}");
            assert_eq!(frontier(n), positions(&tree["frontier"]), "frontier of {n}");
            for node in tree["nodes"].as_array().unwrap() {
                let x = node[0].as_u64().unwrap();
                assert_eq!(left(x), node[1].as_u64(), "left child of {x}");
                assert_eq!(right(x, n), node[2].as_u64(), "right child of {x} in {n}");
                let path = positions(&node[3]);
                assert_eq!(parent(x, n), path.first().copied(), "parent of {x} in {n}");
                assert_eq!(direct_path(x, n), path, "direct path of {x} in {n}");
                cases += 1;
            }
        }
        println!("implicit-bst: {cases} nodes");
        assert!(cases > 0);
    }

    #[test]
    fn vector_update_view() {
        let file = vectors::read("implicit-bst.json");
        let cases = file["update_view"].as_array().unwrap();
        for case in cases {
            let (n, last) = (case["n"].as_u64().unwrap(), case["last"].as_u64());
            assert_eq!(update_view(n, last), positions(&case["entries"]), "from {last:?} to {n}");
        }
        println!("implicit-bst: {} view updates", cases.len());
        assert!(!cases.is_empty());
    }

    /// The inductive definition: root, left subtree, right subtree with its offset.
    fn define(offset: u64, n: u64, path: &mut Vec<u64>, paths: &mut Vec<(u64, Vec<u64>)>) {
        let mut size = 1;
        while size * 2 <= n {
            size *= 2;
        }
        let here = size - 1;
        paths.push((offset + here, path.clone()));
        path.push(offset + here);
        if here > 0 {
            define(offset, here, path, paths);
        }
        if n > here + 1 {
            define(offset + here + 1, n - here - 1, path, paths);
        }
        path.pop();
    }

    #[test]
    fn agrees_with_the_inductive_definition() {
        for n in 1..300 {
            let mut paths = Vec::new();
            define(0, n, &mut Vec::new(), &mut paths);
            assert_eq!(paths.len(), usize::try_from(n).unwrap());
            for (x, mut path) in paths {
                path.reverse();
                assert_eq!(direct_path(x, n), path);
            }
        }
    }

    #[test]
    fn an_empty_log_has_no_entries() {
        assert!(frontier(0).is_empty());
        assert!(update_view(0, None).is_empty());
        assert!(update_view(0, Some(0)).is_empty());
        assert!(direct_path(0, 0).is_empty());
        assert_eq!(parent(0, 0), None);
        assert_eq!(right(0, 0), None);
    }

    #[test]
    fn entries_outside_the_log_have_no_path() {
        assert!(direct_path(5, 5).is_empty());
        assert_eq!(parent(u64::MAX, 5), None);
        assert_eq!(right(7, 5), None);
        assert!(update_view(5, Some(6)).is_empty());
    }

    proptest! {
        #[test]
        fn hostile_sizes_stay_bounded(
            n in prop_oneof![any::<u64>(), Just(u64::MAX), Just(1 << 63)],
            x in any::<u64>(),
            last in any::<u64>(),
        ) {
            prop_assert!(frontier(n).len() < MAX_PATH);
            let path = path_from_root(x, n);
            prop_assert!(path.len() <= MAX_PATH);
            prop_assert_eq!(path.is_empty(), x >= n);
            if x < n {
                prop_assert_eq!(path.last(), Some(&x));
            }
            let entries = update_view(n, Some(last));
            prop_assert!(entries.len() <= 2 * MAX_PATH);
            prop_assert!(entries.iter().is_sorted());
            if (1..n).contains(&last) {
                prop_assert!(entries.iter().all(|&entry| last <= entry && entry < n));
                prop_assert_eq!(entries.last(), Some(&(n - 1)));
            }
            if n > 0 {
                prop_assert_eq!(frontier(n).pop(), Some(n - 1));
            }
            if let Some(child) = right(x, n) {
                prop_assert!(x < child && child < n);
                prop_assert_eq!(parent(child, n), Some(x));
            }
            if let Some(child) = left(x).filter(|_| x < n) {
                prop_assert_eq!(parent(child, n), Some(x));
            }
        }
    }
}

//! Which log entries a log with a maximum lifetime keeps ("Maximum Lifetime", "Log Entry Maximum Lifetime and the
//! Reasonable Monitoring Window").
//!
//! Timestamps ascend, so that the expired entries are those left of one position, the first unexpired entry. Prefix trees
//! of expired entries are never searched. Their timestamps are still met by searches, on the path that the implicit
//! binary search tree takes to the boundary, and by users who come back with an old head: "Updating Views of the Tree"
//! leads from `last - 1` to every entry above it and to its right, however old. The draft's remark that a logarithmic
//! number of expired entries has to be retained counts the former only. An entry that has others below and to its left
//! can be met so; those are the odd positions. The even ones can leave the disk.
//!
//! So a user can come back after any time, and the paths to all entries stay known: whether an entry is distinguished can
//! be told even when it has expired itself. Owners and contacts who have to look *into* an expired entry, because they did
//! not monitor for longer than the maximum lifetime, are answered that it is expired.

/// The first entry of a log of `size` entries that is not expired when the rightmost one has `rightmost_timestamp`;
/// `timestamp` gives those of the others, and is asked about log2(`size`) times. Times are in milliseconds.
///
/// # Errors
/// Those of `timestamp`.
pub fn first_unexpired<E>(
    size: u64,
    rightmost_timestamp: u64,
    maximum_lifetime: u64,
    mut timestamp: impl FnMut(u64) -> Result<u64, E>,
) -> Result<u64, E> {
    let (mut start, mut end) = (0, size.saturating_sub(1));
    while start < end {
        let middle = start.midpoint(end);
        if rightmost_timestamp.saturating_sub(timestamp(middle)?) >= maximum_lifetime {
            start = middle.saturating_add(1);
        } else {
            end = middle;
        }
    }
    Ok(start)
}

/// Whether the log keeps the entry at `position` when `first_unexpired` is the first that is not expired.
///
/// What is not kept for one boundary is kept for no later one. The last expired entry is always kept.
#[must_use]
pub fn keeps_entry(position: u64, first_unexpired: u64) -> bool {
    !position.is_multiple_of(2) || position.saturating_add(1) >= first_unexpired
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, convert::Infallible};

    use proptest::prelude::*;

    use super::*;
    use crate::ibst;

    /// The expired entries that are met in a log of `size` entries: by a search, which goes right of an expired entry and
    /// left of another, by users of every age, and on the paths to all entries.
    fn met(size: u64, first_unexpired: u64) -> BTreeSet<u64> {
        let mut met = BTreeSet::new();
        let mut entry = Some(ibst::root(size));
        while let Some(at) = entry {
            met.insert(at);
            entry = if at < first_unexpired { ibst::right(at, size) } else { ibst::left(at) };
        }
        for last in 1..=size {
            met.extend(ibst::update_view(size, Some(last)));
            met.extend(ibst::direct_path(last - 1, size));
        }
        met.retain(|entry| *entry < first_unexpired);
        met
    }

    #[test]
    fn what_is_met_is_kept_and_nothing_else() {
        for first_unexpired in 0..60 {
            let kept: BTreeSet<u64> =
                (0..first_unexpired).filter(|&entry| keeps_entry(entry, first_unexpired)).collect();
            let mut somewhere = BTreeSet::new();
            for size in first_unexpired + 1..200 {
                let met = met(size, first_unexpired);
                assert!(met.is_subset(&kept), "{size}, {first_unexpired}: {met:?} of {kept:?}");
                somewhere.extend(met);
            }
            assert_eq!(kept, somewhere, "{first_unexpired}");
        }
    }

    #[test]
    fn frontiers_are_kept() {
        for first_unexpired in 0..200 {
            for size in first_unexpired + 1..400 {
                assert!(ibst::frontier(size).iter().all(|&entry| keeps_entry(entry, first_unexpired)));
            }
        }
    }

    #[test]
    fn what_is_gone_is_never_wanted_again() {
        for entry in 0..200 {
            let kept: Vec<bool> = (0..400).map(|boundary| keeps_entry(entry, boundary)).collect();
            assert!(kept.is_sorted_by(|earlier, later| earlier >= later), "{entry}");
        }
        assert!(
            keeps_entry(u64::MAX, u64::MAX)
                && keeps_entry(u64::MAX - 1, u64::MAX)
                && !keeps_entry(0, u64::MAX)
        );
    }

    proptest! {
        #[test]
        fn the_first_unexpired_entry_is_found(
            steps in prop::collection::vec(0_u64..5, 1..80), lifetime in 1_u64..100,
        ) {
            let mut now = 0;
            let timestamps: Vec<u64> = steps.iter().map(|step| { now += step; now }).collect();
            let expected = timestamps.iter().position(|timestamp| now - timestamp < lifetime).unwrap();
            let size = timestamps.len() as u64;
            let found = first_unexpired(size, now, lifetime, |position| Ok::<_, Infallible>(timestamps[position as usize]));
            prop_assert_eq!(found, Ok(expected as u64));
        }
    }
}

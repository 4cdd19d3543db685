//! Which log entries a log with a maximum lifetime keeps ("Maximum Lifetime", "Log Entry Maximum Lifetime and the
//! Reasonable Monitoring Window").
//!
//! Timestamps ascend, so that the expired entries are those left of one position, the first unexpired entry. An
//! operation meets an expired entry only on its way to that boundary, where it always turns right: on the path that
//! the implicit binary search tree takes to it. Everything else left of the boundary can leave the disk.
//!
//! Who comes back with a head (`last`), a monitoring map or an owner's starting position that is itself left of the
//! boundary asks for entries that are gone. The log answers such a request as expired; the values of the log *tree*'s
//! nodes stay, so that it can still be proven that a head of any age was extended.

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
/// Of the expired entries these are the ones whose subtree reaches the boundary, in a log of any size: at most one of
/// every level of the implicit binary search tree. The boundary only ever moves right, and what is not kept for one
/// position of it is kept for no later one.
#[must_use]
pub fn keeps_entry(position: u64, first_unexpired: u64) -> bool {
    if position >= first_unexpired {
        return true;
    }
    // The subtree of an entry at this level reaches as far right as 2^level - 1 entries.
    let reach = 1_u64.checked_shl(position.trailing_ones()).unwrap_or(u64::MAX);
    position.saturating_add(reach) >= first_unexpired
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, convert::Infallible};

    use proptest::prelude::*;

    use super::*;
    use crate::ibst;

    /// The expired entries that a walk from the root of a log of `size` entries to the boundary meets, as a search does:
    /// right of an expired entry, left of another.
    fn met(size: u64, first_unexpired: u64) -> BTreeSet<u64> {
        let mut met = BTreeSet::new();
        let mut entry = Some(ibst::root(size));
        while let Some(at) = entry {
            entry = if at < first_unexpired {
                met.insert(at);
                ibst::right(at, size)
            } else {
                ibst::left(at)
            };
        }
        met
    }

    #[test]
    fn what_a_search_meets_is_kept_and_little_else() {
        for first_unexpired in 0..300 {
            let kept: BTreeSet<u64> =
                (0..first_unexpired).filter(|&entry| keeps_entry(entry, first_unexpired)).collect();
            assert!(kept.len() <= 10, "{first_unexpired}: {kept:?}");
            for size in first_unexpired + 1..600 {
                let met = met(size, first_unexpired);
                assert!(met.is_subset(&kept), "{size}, {first_unexpired}: {met:?} of {kept:?}");
            }
            // Each is met in some log, so that none is kept for nothing.
            let somewhere: BTreeSet<u64> =
                (first_unexpired + 1..1100).flat_map(|size| met(size, first_unexpired)).collect();
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
        assert!(keeps_entry(u64::MAX, u64::MAX) && !keeps_entry(0, u64::MAX));
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

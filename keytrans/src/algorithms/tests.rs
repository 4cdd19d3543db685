use super::*;
use crate::{vectors, view::Lookups};

/// A view of timestamps only, all of them known.
struct Timestamps(Vec<u64>);

impl View for Timestamps {
    type Error = Violation;

    fn timestamp(&mut self, position: u64) -> Result<u64, Violation> {
        Ok(self.0[usize::try_from(position).unwrap()])
    }

    fn look_up(&mut self, _: u64, _: &mut dyn Lookups) -> Result<(), Violation> {
        unreachable!("distinguished entries are found by their timestamps")
    }

    fn ends_before(&mut self, _: u64) -> Result<bool, Violation> {
        Ok(false)
    }
}

/// The draft's recursion, over all entries.
pub(crate) fn distinguished_by_recursion(timestamps: &[u64], window: u64) -> Vec<u64> {
    fn visit(entry: u64, bounds: (u64, u64), timestamps: &[u64], window: u64, found: &mut Vec<u64>) {
        if bounds.1 - bounds.0 < window {
            return;
        }
        found.push(entry);
        let timestamp = timestamps[entry as usize];
        if let Some(left) = ibst::left(entry) {
            visit(left, (bounds.0, timestamp), timestamps, window, found);
        }
        if let Some(right) = ibst::right(entry, timestamps.len() as u64) {
            visit(right, (timestamp, bounds.1), timestamps, window, found);
        }
    }
    let mut found = Vec::new();
    let last = timestamps[timestamps.len() - 1];
    visit(ibst::root(timestamps.len() as u64), (0, last), timestamps, window, &mut found);
    found.sort_unstable();
    found
}

#[test]
fn vector_distinguished() {
    let file = vectors::read("implicit-bst.json");
    let numbers = |value: &serde_json::Value| -> Vec<u64> {
        value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
    };
    let cases = file["distinguished"].as_array().unwrap();
    for case in cases {
        let timestamps = numbers(&case["timestamps"]);
        let tree = Tree {
            size: timestamps.len() as u64,
            monitoring_window: case["rmw"].as_u64().unwrap(),
            maximum_lifetime: None,
        };
        let expected = numbers(&case["distinguished"]);
        assert_eq!(distinguished_by_recursion(&timestamps, tree.monitoring_window), expected, "{case}");
        let mut view = Timestamps(timestamps);
        let found: Vec<u64> =
            (0..tree.size).filter(|&entry| tree.is_distinguished(&mut view, entry).unwrap()).collect();
        assert_eq!(found, expected, "{case}");
        assert_eq!(tree.rightmost_distinguished(&mut view), Ok(expected.last().copied()), "{case}");
        let all = Recent { count: usize::MAX };
        assert_eq!(walk_distinguished(&mut view, &tree, None, all), Ok(expected), "{case}");
        assert!(!tree.is_distinguished(&mut view, tree.size).unwrap());
    }
    println!("implicit-bst.json: {} logs with distinguished entries", cases.len());
    assert!(!cases.is_empty());
}

#[test]
fn a_map_keeps_the_greater_of_two_versions_at_one_place() {
    let entry = |position, version| crate::wire::MonitorMapEntry { position, version };
    let mut map = MonitoringMap::new([entry(3, 5), entry(3, 2)]);
    assert_eq!(map.entries().collect::<Vec<_>>(), [entry(3, 5)]);
    map.watch(9, 5);
    assert_eq!(map.entries().count(), 1, "version 5 is watched already");
    map.watch(3, 7);
    assert_eq!(map.entries().collect::<Vec<_>>(), [entry(3, 7)]);
}

/// A view that answers no lookup.
struct Silent;

impl View for Silent {
    type Error = Violation;

    fn timestamp(&mut self, _: u64) -> Result<u64, Violation> {
        Ok(0)
    }

    fn look_up(&mut self, _: u64, _: &mut dyn Lookups) -> Result<(), Violation> {
        Ok(())
    }

    fn ends_before(&mut self, _: u64) -> Result<bool, Violation> {
        Ok(false)
    }
}

#[test]
fn an_unfinished_ladder_is_no_outcome() {
    // Without any claim the label should not exist, which "less than 0" would say.
    assert_eq!(owner_init_ladders(&mut Silent, &[0], &[]), Err(Violation::LadderUnfinished(0)));
    let tree = Tree { size: 1, monitoring_window: 0, maximum_lifetime: None };
    assert_eq!(greatest_version_search(&mut Silent, &tree, 0), Err(Violation::LadderUnfinished(0)));
}

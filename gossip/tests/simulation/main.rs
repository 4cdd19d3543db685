//! A part of the simulation, with the bounds that `docs/gossip.md` promises. All of it: `scripts/gossip-simulation`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod world;

use world::{Came, Setting, Shown, World};

const COMMON: Setting = Setting {
    nodes: 100,
    byzantine: 33,
    peers: 16,
    shown: Shown::One,
    sizes_differ: false,
    partition: 0.0,
    seed: 0,
};

fn worst(setting: Setting, seeds: u64) -> Came {
    let runs: Vec<Came> = (0..seeds).map(|seed| World::new(Setting { seed, ..setting }).run()).collect();
    assert!(runs.iter().all(|came| came.wrong == 0), "an honest party was accused or not believed");
    runs.into_iter().max_by(|x, y| x.last.total_cmp(&y.last)).unwrap()
}

#[test]
fn all_honest_of_a_hundred_hold_evidence_within_three_periods() {
    for shown in [Shown::One, Shown::Half] {
        for sizes_differ in [false, true] {
            let came = worst(Setting { shown, sizes_differ, ..COMMON }, 10);
            assert!(came.last <= 3.0, "{shown:?} {sizes_differ} {came:?}");
        }
    }
}

#[test]
fn small_networks_are_no_slower() {
    for nodes in [4, 10, 31] {
        let came = worst(Setting { nodes, byzantine: nodes / 3, ..COMMON }, 20);
        assert!(came.last <= 3.0, "{nodes} {came:?}");
    }
}

#[test]
fn after_a_partition_evidence_spreads() {
    // The peers of the other half were not reachable for two periods: they are asked again after a deadline and pauses.
    let came = worst(Setting { partition: 2.0, ..COMMON }, 5);
    assert!(came.last.is_finite() && came.last <= 12.0, "{came:?}");
}

#[test]
fn a_run_can_be_repeated() {
    let run = || World::new(Setting { nodes: 31, byzantine: 10, seed: 5, ..COMMON }).run();
    let (first, second) = (run(), run());
    assert_eq!((first.last, first.messages), (second.last, second.messages));
}

#[test]
fn without_peers_nobody_hears_of_it() {
    // The simulation can fail.
    let came = World::new(Setting { nodes: 6, byzantine: 0, peers: 0, ..COMMON }).run();
    assert!(came.last.is_infinite() && came.messages == 0);
}

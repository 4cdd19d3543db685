//! Histories in every one of which every invariant holds; and broken clients, which the invariants catch.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    missing_docs
)]

use keyglass_simulation::{
    client::Mutant,
    faults::Fault,
    history::{Options, run, scenario::violation},
    lies::{Lie, PROMISES, When},
    seeds::{first_failure, run_all},
};

/// How many histories CI runs. `keyglass-simulation run --count N` runs more.
const HISTORIES: u64 = 10_000;

/// Within how many histories every broken client is caught.
const CAUGHT_WITHIN: u64 = 1_000;

/// Lies for which there is occasion so seldom that so many histories need not have them.
const RARE: [Lie; 2] = [Lie::ResurrectOneTime, Lie::OldSignedPreKey];

/// The broken clients that so few histories catch.
const CAUGHT: [Mutant; 3] = [Mutant::ForgetsHandshakes, Mutant::AcceptsResets, Mutant::TrustsTheLogAlone];

#[test]
fn every_invariant_holds_in_every_history_and_none_is_vacuous() {
    let summary = run_all(0..HISTORIES, Options::default());
    let failures: Vec<String> = summary
        .failures
        .iter()
        .map(|outcome| {
            let violation = &outcome.violation.as_ref().unwrap().0;
            let replay = "cargo run --release -p keyglass-simulation -- replay";
            format!("seed {0}: {violation}\n  {replay} {0}", outcome.seed)
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(summary.histories, HISTORIES);
    for fault in Fault::ALL {
        assert!(summary.faults.contains_key(&fault), "no history has {fault:?}");
    }
    for promise in PROMISES.iter().filter(|promise| !RARE.contains(&promise.lie)) {
        assert!(summary.lies.contains_key(&promise.lie), "no history tells {:?}", promise.lie);
        let alarming = !matches!(promise.when, When::Visible | When::NotNoticed);
        let noticed = summary.noticed.contains_key(&promise.lie);
        assert!(!alarming || noticed, "{:?} is never noticed", promise.lie);
    }
    println!("{} histories, {} steps, {} texts arrived", summary.histories, summary.steps, summary.arrived);
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [0, 7, 1234, 99_999] {
        let first = run(seed, Options::default());
        let again = run(seed, Options { keep_trace: true, mutant: None });
        assert_eq!(first.hash, again.hash, "seed {seed}");
        assert!(first.trace.is_empty() && !again.trace.is_empty());
        assert_ne!(first.hash, run(seed + 1, Options::default()).hash);
    }
}

#[test]
fn broken_clients_are_caught() {
    for mutant in CAUGHT {
        let caught = first_failure(0..CAUGHT_WITHIN, Options { keep_trace: false, mutant: Some(mutant) });
        let caught =
            caught.unwrap_or_else(|| panic!("{mutant:?} is not caught within {CAUGHT_WITHIN} histories"));
        println!("{mutant:?}: caught by seed {}: {}", caught.seed, caught.violation.unwrap().0);
    }
}

/// What random histories have occasion for too seldom has a history of its own.
#[test]
fn broken_clients_are_caught_in_histories_made_for_them_and_the_real_one_is_not() {
    for mutant in Mutant::ALL.into_iter().filter(|mutant| !CAUGHT.contains(mutant)) {
        let real = violation(mutant, false);
        assert_eq!(real, None, "the real client where {mutant:?} shows");
        let caught = violation(mutant, true).unwrap_or_else(|| panic!("{mutant:?} is not caught"));
        println!("{mutant:?}: {}", caught.0);
    }
}

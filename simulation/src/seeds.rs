//! Many histories, and what they exercised together.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{
    env::Counts,
    faults::Fault,
    history::{Options, Outcome, run},
    lies::Lie,
};

/// What many histories came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many were run.
    pub histories: u64,
    /// Steps in all of them.
    pub steps: u64,
    /// Texts that arrived.
    pub arrived: u64,
    /// In how many histories each fault happened.
    pub faults: Counts<Fault>,
    /// In how many histories each lie was told.
    pub lies: Counts<Lie>,
    /// In how many histories each lie was noticed as promised.
    pub noticed: Counts<Lie>,
    /// Those in which an invariant did not hold, a few of them.
    pub failures: Vec<Outcome>,
}

/// How many failures are kept; after them nothing new is begun.
const KEPT: usize = 5;

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.histories += 1;
        self.steps += outcome.steps;
        self.arrived += outcome.arrived;
        for fault in outcome.faults.keys() {
            *self.faults.entry(*fault).or_default() += 1;
        }
        for lie in outcome.lies.keys() {
            *self.lies.entry(*lie).or_default() += 1;
        }
        for lie in outcome.noticed.keys() {
            *self.noticed.entry(*lie).or_default() += 1;
        }
        if outcome.violation.is_some() && self.failures.len() < KEPT {
            self.failures.push(outcome);
        }
    }
}

/// Runs the histories of all seeds in a range, several at a time. Which thread runs which makes no difference to any of them.
#[must_use]
pub fn run_all(seeds: Range<u64>, options: Options) -> Summary {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run(seed, options);
                    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    summary.add(outcome);
                    if summary.failures.len() >= KEPT {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The first seed of a range whose history breaks an invariant.
#[must_use]
pub fn first_failure(seeds: Range<u64>, options: Options) -> Option<Outcome> {
    seeds.map(|seed| run(seed, options)).find(|outcome| outcome.violation.is_some())
}

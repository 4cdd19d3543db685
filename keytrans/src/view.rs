//! What the algorithms ask of a log, answered alike by who proves and who verifies.
//!
//! An algorithm runs over a [`View`]. The verifier's view takes its answers from a `CombinedTreeProof`, in the order
//! in which they are asked for; the prover's takes them from its own trees and records them in that order. One
//! implementation of each algorithm therefore decides what a proof contains, on both sides ("CombinedTreeProof
//! Implementation" in the draft).

use crate::ladder::SearchLadder;

/// A series of lookups in one prefix tree, each of which may depend on the results before it.
pub trait Lookups {
    /// The version to look up next; none at the end.
    fn next(&self) -> Option<u32>;
    /// Whether that version is in the prefix tree.
    fn answer(&mut self, included: bool);
}

impl Lookups for SearchLadder {
    fn next(&self) -> Option<u32> {
        Self::next(self)
    }

    fn answer(&mut self, included: bool) {
        Self::answer(self, included);
    }
}

/// A log as an algorithm sees it, for one label.
pub trait View {
    /// Why an answer cannot be given; the algorithms add their own reasons.
    type Error: From<crate::algorithms::Violation>;

    /// The timestamp of the log entry at `position`, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// If the proof holds none, or one that is out of order; if the prover's store fails.
    fn timestamp(&mut self, position: u64) -> Result<u64, Self::Error>;

    /// Runs `lookups` to their end in the prefix tree of the log entry at `position`. Every call is a proof of its own.
    ///
    /// # Errors
    /// If the proof holds none, or one that does not evaluate; if the prover's store fails.
    fn look_up(&mut self, position: u64, lookups: &mut dyn Lookups) -> Result<(), Self::Error>;

    /// Whether an owner-monitoring response ends before the ladder of the log entry at `position`: for the verifier,
    /// when the proof is used up; for the prover, when it chooses to.
    fn ends_before(&mut self, position: u64) -> Result<bool, Self::Error>;
}

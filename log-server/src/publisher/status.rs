//! How publication goes, and how each witness does, for whoever watches.

use std::sync::Arc;

use keyglass_tlog::time::UnixMillis;

use super::AskError;

/// How a witness of the policy does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessStatus {
    /// Its name in the policy.
    pub name: String,
    /// The largest size that it is known to have cosigned.
    pub cosigned: u64,
    /// When its last cosignature arrived; `None` if none has since the process began.
    pub last: Option<UnixMillis>,
    /// Since when it lacks the newest head; `None` while it has cosigned that.
    pub lagging_since: Option<UnixMillis>,
    /// How often in a row it has failed, and how it failed last.
    pub failing: Option<(u32, AskError)>,
}

impl WitnessStatus {
    pub(super) fn new(name: String) -> Self {
        Self { name, cosigned: 0, last: None, lagging_since: None, failing: None }
    }

    /// How many entries of the head that is to be published it has not cosigned.
    #[must_use]
    pub fn lag(&self, target: u64) -> u64 {
        target.saturating_sub(self.cosigned)
    }
}

/// How publication goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The size of the head that cosignatures are being collected for.
    pub target: u64,
    /// The published size; 0 before the first head.
    pub published: u64,
    /// How many more witnesses the target needs.
    pub missing: usize,
    /// The witnesses that are asked, in the order of the policy.
    pub witnesses: Vec<WitnessStatus>,
    /// Whether the policy says `quorum none`.
    pub unwitnessed: bool,
    /// Why nothing is published any more.
    pub failed: Option<Arc<str>>,
}

impl Status {
    /// A larger head is asked for from now on.
    pub(super) fn aim(&mut self, target: u64, now: UnixMillis) {
        self.target = target;
        for witness in &mut self.witnesses {
            if witness.cosigned < target {
                witness.lagging_since.get_or_insert(now);
            }
        }
    }

    /// The witness has cosigned that many entries. Gives how often it had failed before.
    pub(super) fn cosigned(&mut self, witness: usize, size: u64, at: Option<UnixMillis>) -> Option<u32> {
        let target = self.target;
        let witness = self.witnesses.get_mut(witness)?;
        witness.cosigned = witness.cosigned.max(size);
        witness.last = at.or(witness.last);
        if witness.cosigned >= target {
            witness.lagging_since = None;
        }
        witness.failing.take().map(|(failures, _)| failures)
    }

    /// The witness has failed once more. Gives how often in a row, and whether it failed in the same way before.
    pub(super) fn failed(&mut self, witness: usize, error: AskError) -> Option<(u32, bool)> {
        let witness = self.witnesses.get_mut(witness)?;
        let (failures, same) = match witness.failing.take() {
            Some((failures, last)) => (failures.saturating_add(1), last == error),
            None => (1, false),
        };
        witness.failing = Some((failures, error));
        Some((failures, same))
    }
}

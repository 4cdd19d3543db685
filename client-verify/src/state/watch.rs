//! What keeping watch remembers from one round to the next.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::format::Format;

/// The memory of `monitor` and `watch`. Nothing in it decides whether anything is proven: losing it repeats reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchDocument {
    format: Format<1>,
    /// The log's origin.
    pub origin: String,
    /// When the next round is due, milliseconds since the Unix epoch.
    pub next_round: Option<u64>,
    /// The rounds in a row that got no answer.
    pub unanswered: u32,
    /// What was reported and still stands, by its key, so that it is not reported again.
    pub reported: BTreeSet<String>,
    /// Versions of one's own labels whose values were erased, each with when that was noticed, milliseconds since the
    /// Unix epoch.
    pub erased: BTreeMap<String, BTreeMap<u32, u64>>,
    /// The version of each own label at which the next round goes on looking for erasures.
    pub cursors: BTreeMap<String, u32>,
}

impl WatchDocument {
    /// Nothing was ever watched.
    #[must_use]
    pub fn new(origin: String) -> Self {
        Self {
            format: Format,
            origin,
            next_round: None,
            unanswered: 0,
            reported: BTreeSet::new(),
            erased: BTreeMap::new(),
            cursors: BTreeMap::new(),
        }
    }
}

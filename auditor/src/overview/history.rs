//! What the auditor keeps of a log's history over restarts: how it grew, and what is and was wrong with it. What the log
//! shows at present is asked for again. Pure.

use serde::{Deserialize, Serialize};

use super::Growth;
use crate::incident::KeptIncidents;

/// The version of the form in which it is kept.
const FORMAT: &str = "keyglass-auditor-history/v1";

/// What is kept of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    format: String,
    pub(super) growth: Growth,
    pub(super) incidents: KeptIncidents,
}

impl History {
    /// This growth and these incidents.
    #[must_use]
    pub fn new(growth: Growth, incidents: KeptIncidents) -> Self {
        Self { format: FORMAT.to_owned(), growth, incidents }
    }

    /// The bytes to keep: at most a few hundred kilobytes, since points and incidents are bounded.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Numbers and texts have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what was kept; none if it is of another version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let history: Self = serde_json::from_slice(bytes).ok()?;
        (history.format == FORMAT && history.growth.is_sound()).then_some(history)
    }
}

#[cfg(test)]
mod tests {
    use keyglass_tlog::time::UnixMillis;

    use super::*;

    #[test]
    fn what_was_kept_is_read_and_nothing_else_is() {
        let mut growth = Growth::default();
        growth.push(UnixMillis(5), 1);
        growth.push(UnixMillis(9), 3);
        let history = History::new(growth, KeptIncidents::default());
        let bytes = history.encode();
        assert_eq!(History::decode(&bytes), Some(history));
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in
            [("history/v1", "history/v2"), ("\"at_ms\":9", "\"at_ms\":5"), ("growth", "grown"), ("{", "")]
        {
            assert!(text.contains(from));
            assert_eq!(History::decode(text.replacen(from, to, 1).as_bytes()), None, "{to}");
        }
    }
}

//! The updates of log entries, as a log serves them.

use super::{FetchError, LogSource};
use crate::updates::{Form, Limits, Malformed, Splitter};

/// The updates after which no more of an answer is read. An honest log sends fewer.
const ENOUGH: usize = 4096;
/// The bytes after which no more of an answer is read, beside one update of the largest size.
const ENOUGH_BYTES: usize = 8 << 20;

/// Why an answer ended where it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// That was all, or enough.
    Well,
    /// There is more, and it is no update.
    Malformed {
        /// What is wrong with it.
        error: Malformed,
        /// As much of it as was read.
        bytes: Vec<u8>,
    },
    /// The answer was cut off.
    CutOff(FetchError),
}

/// What a log answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Updates, each as it is encoded.
    pub updates: Vec<Vec<u8>>,
    /// What came after them.
    pub ended: Ended,
}

impl LogSource {
    /// The updates of the entries from `from` on, as many as the log gives at once. Nothing is known about what they say.
    pub async fn updates(&self, from: u64, form: Form, limits: Limits) -> Fetched {
        let mut splitter = Splitter::new(form, limits);
        let (mut read, mut refused) = (0_usize, None);
        let enough = ENOUGH_BYTES.saturating_add(limits.bytes());
        let take = |chunk: &[u8]| {
            read = read.saturating_add(chunk.len());
            refused = splitter.push(chunk).err();
            refused.is_none() && splitter.complete() < ENOUGH && read < enough
        };
        let streamed = match self.url(&format!("v1/audit/updates?from={from}")) {
            Ok(url) => self.http().stream(url, take).await,
            Err(error) => Err(error),
        };
        let whole = splitter.complete() < ENOUGH && read < enough;
        let (updates, bytes) = splitter.finish();
        let ended = match (refused, streamed) {
            (Some(error), _) => Ended::Malformed { error, bytes },
            (None, Err(error)) => Ended::CutOff(error),
            (None, Ok(())) if whole && !bytes.is_empty() => {
                Ended::Malformed { error: Malformed::Truncated, bytes }
            }
            (None, Ok(())) => Ended::Well,
        };
        Fetched { updates, ended }
    }
}

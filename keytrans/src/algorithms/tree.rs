//! Which log entries are distinguished or expired ("Reasonable Monitoring Window", "Maximum Lifetime").

use crate::{ibst, view::View};

/// A log tree's size and the durations that its configuration defines, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// The number of log entries; at least 1.
    pub size: u64,
    /// The Reasonable Monitoring Window.
    pub monitoring_window: u64,
    /// The maximum lifetime of a log entry, if it has one.
    pub maximum_lifetime: Option<u64>,
}

/// The step that the walk towards an entry takes below `entry`.
fn towards(entry: u64, target: u64, size: u64) -> Option<u64> {
    if target < entry { ibst::left(entry) } else { ibst::right(entry, size) }
}

impl Tree {
    /// The position of the rightmost log entry.
    #[must_use]
    pub fn rightmost(&self) -> u64 {
        self.size.saturating_sub(1)
    }

    /// The root of the implicit binary search tree.
    #[must_use]
    pub fn root(&self) -> u64 {
        ibst::root(self.size)
    }

    /// Whether `later` minus `earlier` reaches the Reasonable Monitoring Window. Timestamps are monotonic once the
    /// view has taken them; should they not be, the difference counts as zero.
    #[must_use]
    pub fn spans_window(&self, earlier: u64, later: u64) -> bool {
        later.saturating_sub(earlier) >= self.monitoring_window
    }

    /// Whether the entry at `position` is distinguished. Asks for the timestamps of the entries on the path from the
    /// root to its parent, up to the first that is not distinguished.
    ///
    /// # Errors
    /// Those of the view.
    pub fn is_distinguished<V: View>(&self, view: &mut V, position: u64) -> Result<bool, V::Error> {
        let (mut left, mut right) = (0, view.timestamp(self.rightmost())?);
        let mut entry = self.root();
        loop {
            if !self.spans_window(left, right) {
                return Ok(false);
            }
            if entry == position {
                return Ok(true);
            }
            let timestamp = view.timestamp(entry)?;
            if position < entry {
                right = timestamp;
            } else {
                left = timestamp;
            }
            match towards(entry, position, self.size) {
                Some(next) => entry = next,
                // Only a position beyond the log is not on the path that leads to it.
                None => return Ok(false),
            }
        }
    }

    /// The rightmost distinguished entry. It lies on the frontier, whose timestamps every view holds.
    ///
    /// # Errors
    /// Those of the view.
    pub fn rightmost_distinguished<V: View>(&self, view: &mut V) -> Result<Option<u64>, V::Error> {
        let right = view.timestamp(self.rightmost())?;
        let mut left = 0;
        let mut found = None;
        for entry in ibst::frontier(self.size) {
            if !self.spans_window(left, right) {
                break;
            }
            found = Some(entry);
            left = view.timestamp(entry)?;
        }
        Ok(found)
    }

    /// Whether the entry at `position` is expired. Asks for its timestamp.
    ///
    /// # Errors
    /// Those of the view.
    pub fn is_expired<V: View>(&self, view: &mut V, position: u64) -> Result<bool, V::Error> {
        let timestamp = view.timestamp(position)?;
        let Some(lifetime) = self.maximum_lifetime else { return Ok(false) };
        let rightmost = view.timestamp(self.rightmost())?;
        Ok(rightmost.saturating_sub(timestamp) >= lifetime)
    }
}

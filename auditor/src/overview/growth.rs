//! How a log grew: sizes over time, in bounded memory. Pure.

use std::time::Duration;

use keyglass_tlog::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// The most points.
pub const MAX_POINTS: usize = 512;
/// The shortest span over which a rate is worth the name.
const MIN_SPAN: Duration = Duration::from_secs(60);

/// A size at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The number of entries.
    pub size: u64,
}

/// The points, oldest first. When there are too many, every other one is given up and further ones are taken half as often:
/// the whole time since the first one stays in view, over restarts too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    points: Vec<Point>,
    /// The least time between two points that are kept.
    step_ms: u64,
}

impl Growth {
    /// Takes note of a size. The newest is always there. Points from the future are given up: the clock was wrong then.
    pub fn push(&mut self, now: UnixMillis, size: u64) {
        let point = Point { at_ms: now.0, size };
        while self.points.last().is_some_and(|last| last.at_ms >= now.0) {
            self.points.pop();
        }
        match *self.points.as_slice() {
            [] => {}
            // The last point moves on until it is far enough from the one before it.
            [.., before, last] if last.at_ms.saturating_sub(before.at_ms) < self.step_ms => {
                self.points.pop();
            }
            // A log that stands still needs no more than the two ends of that time.
            [.., before, last] if before.size == last.size && last.size == size => {
                self.points.pop();
            }
            [..] => {}
        }
        self.points.push(point);
        if self.points.len() >= MAX_POINTS {
            let mut index = 0_usize;
            self.points.retain(|_| {
                index = index.saturating_add(1);
                !index.is_multiple_of(2)
            });
            if self.points.last() != Some(&point) {
                self.points.push(point);
            }
            let (first, len) = (self.points.first(), u64::try_from(self.points.len()).unwrap_or(u64::MAX));
            let span = first.map_or(0, |first| now.0.saturating_sub(first.at_ms));
            self.step_ms = span / len.max(1);
        }
    }

    /// Whether these points are some that [`Growth::push`] makes.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.points.len() < MAX_POINTS && self.points.is_sorted_by(|a, b| a.at_ms < b.at_ms)
    }

    /// The points, oldest first.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Entries in a minute between two times, if they are far enough apart.
    #[must_use]
    pub fn per_minute(&self, since: UnixMillis, until: UnixMillis) -> Option<f64> {
        let first = self.points.iter().find(|point| point.at_ms >= since.0)?;
        let last = self.points.iter().rfind(|point| point.at_ms <= until.0)?;
        let span = Duration::from_millis(last.at_ms.saturating_sub(first.at_ms));
        let grown = u32::try_from(last.size.saturating_sub(first.size)).unwrap_or(u32::MAX);
        (span >= MIN_SPAN).then(|| f64::from(grown) * 60.0 / span.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_entries_in_a_minute() {
        let mut growth = Growth::default();
        for second in 0..=120 {
            growth.push(UnixMillis(second * 1000), second * 3);
        }
        assert_eq!(growth.per_minute(UnixMillis(0), UnixMillis(120_000)), Some(180.0));
        assert_eq!(growth.per_minute(UnixMillis(0), UnixMillis(60_000)), Some(180.0));
        assert_eq!(growth.per_minute(UnixMillis(100_000), UnixMillis(120_000)), None, "too short");
        // A clock that was put back does not keep the log from growing.
        growth.push(UnixMillis(1005), 1);
        let points = [(0, 0), (1000, 3), (1005, 1)].map(|(at_ms, size)| Point { at_ms, size });
        assert_eq!(growth.points(), points);
    }

    #[test]
    fn standing_still_takes_no_room() {
        let mut growth = Growth::default();
        for second in 0..10_000 {
            growth.push(UnixMillis(second * 1000), 7);
        }
        let ends = [Point { at_ms: 0, size: 7 }, Point { at_ms: 9_999_000, size: 7 }];
        assert_eq!(growth.points(), ends);
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_both_ends_stay(steps in proptest::collection::vec((1u64..100_000, 0u64..9), 1..3000)) {
            let (mut growth, mut now, mut size) = (Growth::default(), 0, 0);
            for (ms, more) in &steps {
                (now, size) = (now + ms, size + more);
                growth.push(UnixMillis(now), size);
            }
            let points = growth.points();
            prop_assert!(points.len() < MAX_POINTS);
            prop_assert_eq!(points.last().copied(), Some(Point { at_ms: now, size }));
            prop_assert_eq!(points[0].at_ms, steps[0].0);
            prop_assert!(points.is_sorted_by(|a, b| a.at_ms < b.at_ms && a.size <= b.size));
        }
    }
}

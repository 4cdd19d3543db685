//! How far a replay came, how fast it goes and how long it will take. Pure but for a lock: followers write, pages read.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;

/// The stretch of time over which a rate is taken.
const WINDOW: Duration = Duration::from_secs(20);
/// The most points that are kept of it.
const MAX_POINTS: usize = 64;

/// How far one replay came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Default)]
pub struct Progress {
    /// What is done: entries, or entries whose changes were verified.
    pub done: u64,
    /// What there is to do in all, as far as is known.
    pub of: Option<u64>,
    /// How many are done in a second at present; absent while nothing is going on.
    pub per_second: Option<f64>,
    /// How long the rest will take at that rate, in milliseconds; absent while that cannot be said.
    pub left_ms: Option<u64>,
}

/// What is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// The log's entries.
    Entries,
    /// What the entries changed in the prefix tree.
    Changes,
}

/// The progress of both replays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Default)]
pub struct ReplayProgress {
    /// Of the entries.
    pub entries: Progress,
    /// Of the changes.
    pub changes: Progress,
}

#[derive(Debug, Default)]
struct Track {
    done: u64,
    of: Option<u64>,
    points: VecDeque<(Instant, u64)>,
}

impl Track {
    fn note(&mut self, done: u64, of: Option<u64>, now: Instant) {
        (self.done, self.of) = (done, of.map(|of| of.max(done)));
        self.points.push_back((now, done));
        while self.points.len() > MAX_POINTS
            || self.points.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW)
        {
            self.points.pop_front();
        }
    }

    fn read(&self, now: Instant) -> Progress {
        let mut progress = Progress { done: self.done, of: self.of, ..Progress::default() };
        let recent = |at: &Instant| now.saturating_duration_since(*at) <= WINDOW;
        let first = self.points.iter().find(|(at, _)| recent(at));
        let Some(((from, before), (to, after))) = first.zip(self.points.back()) else { return progress };
        let took = to.saturating_duration_since(*from);
        let done = after.saturating_sub(*before);
        if done == 0 || took.is_zero() {
            return progress;
        }
        let rate = f64::from(u32::try_from(done).unwrap_or(u32::MAX)) / took.as_secs_f64();
        progress.per_second = Some(rate);
        let left = self.of.map(|of| of.saturating_sub(self.done));
        let left = left.map(|left| f64::from(u32::try_from(left).unwrap_or(u32::MAX)) / rate);
        let left = left.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        progress.left_ms = left.and_then(|left| u64::try_from(left.as_millis()).ok());
        progress
    }
}

/// What a follower writes its progress to.
#[derive(Debug, Default)]
pub struct Meter(Mutex<[Track; 2]>);

impl Meter {
    /// Takes note that so much is done, of so much.
    pub fn note(&self, what: Replayed, done: u64, of: Option<u64>, now: Instant) {
        let mut tracks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [entries, changes] = &mut *tracks;
        let track = match what {
            Replayed::Entries => entries,
            Replayed::Changes => changes,
        };
        track.note(done, of, now);
    }

    /// How far it came.
    #[must_use]
    pub fn read(&self, now: Instant) -> ReplayProgress {
        let tracks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [entries, changes] = &*tracks;
        ReplayProgress { entries: entries.read(now), changes: changes.read(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_are_those_of_the_last_seconds() {
        let (meter, start) = (Meter::default(), Instant::now());
        let at = |s: u64| start + Duration::from_secs(s);
        assert_eq!(meter.read(at(0)).entries, Progress::default());
        meter.note(Replayed::Entries, 1000, Some(100_000), at(0));
        assert_eq!(meter.read(at(0)).entries.per_second, None, "one point is no rate");
        for second in 1..=10 {
            meter.note(Replayed::Entries, 1000 + second * 500, Some(100_000), at(second));
        }
        let progress = meter.read(at(10)).entries;
        assert_eq!((progress.done, progress.of), (6000, Some(100_000)));
        assert_eq!(progress.per_second, Some(500.0));
        assert_eq!(progress.left_ms, Some(188_000));
        assert_eq!(meter.read(at(10)).changes, Progress::default(), "each has its own");
        // Nothing moves any more: then there is no rate, and nothing is foretold.
        let stalled = meter.read(at(60)).entries;
        assert_eq!((stalled.done, stalled.per_second, stalled.left_ms), (6000, None, None));
    }

    #[test]
    fn memory_is_bounded_however_often_it_is_told() {
        let (meter, start) = (Meter::default(), Instant::now());
        for i in 0..10_000 {
            meter.note(Replayed::Changes, i, None, start + Duration::from_micros(i));
        }
        assert!(meter.0.lock().unwrap()[1].points.len() <= MAX_POINTS);
        let progress = meter.read(start + Duration::from_millis(10)).changes;
        assert!(progress.per_second.is_some() && progress.left_ms.is_none());
    }
}

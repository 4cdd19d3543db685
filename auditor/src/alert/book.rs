//! Which alerts are open, and what is told of them. Pure: time is an argument.
//!
//! An alert is one thing that is wrong with one log, under a stable key. It opens with the first observation and resolves
//! after it was not observed for the whole hold. Two transitions of one key are never closer than the hold, so that what
//! comes and goes makes one alert. Only completed rounds count as observations: a log of which nothing is known, as after a
//! restart, resolves nothing.

use std::{collections::BTreeMap, time::Duration};

use keyglass_tlog::time::UnixMillis;
use serde::{Deserialize, Serialize};

use super::notice::{FORMAT, Notice, Observation, Severity, Transition};

/// The most alerts of one severity and graver ones, over all logs: however many lesser ones there are, there is room for these.
pub const MAX_ALERTS: usize = 1024;
/// The most of them of one log, so that no log takes the room of others.
pub const MAX_ALERTS_OF_ONE: usize = 128;

/// One key of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tracked {
    log: String,
    what: Observation,
    /// When it began, this time.
    since_ms: u64,
    /// The id of the notice that opened it; absent while it is resolved or has not opened yet.
    open: Option<u64>,
    /// When it opened or resolved last.
    changed_ms: Option<u64>,
    /// Since when it has not been observed; absent while it is.
    absent_ms: Option<u64>,
}

/// An alert that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Open {
    /// Its number.
    pub alert: u64,
    /// The log.
    pub log: String,
    /// Since when it has been wrong, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// What is wrong.
    #[serde(flatten)]
    pub what: Observation,
}

/// All alerts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Book {
    tracked: Vec<Tracked>,
    /// The last id that was given.
    last_id: u64,
    /// The last time that was seen.
    now_ms: u64,
}

impl Book {
    /// Has the numbers of a new book begin with the time: whoever ignores a number seen before goes on being told by an auditor
    /// that has lost its book.
    pub fn number_from(&mut self, now: UnixMillis) {
        if self.last_id == 0 {
            self.last_id = now.0;
        }
    }

    /// Takes note of everything that is wrong with a log at the end of a round, and gives what is to be told of it.
    pub fn observe(
        &mut self,
        log: &str,
        observations: &[Observation],
        now: UnixMillis,
        hold: Duration,
    ) -> Vec<Notice> {
        self.follow_clock(now);
        let mut present: BTreeMap<String, Observation> = BTreeMap::new();
        for observation in observations {
            let observation = observation.clone().bounded();
            let known = present.get(&observation.key).map(|known| known.severity);
            if known.is_none_or(|known| known < observation.severity) {
                present.insert(observation.key.clone(), observation);
            }
        }
        for tracked in self.tracked.iter_mut().filter(|tracked| tracked.log == log) {
            match present.remove(&tracked.what.key) {
                Some(what) => tracked.see(what, now),
                None => {
                    tracked.absent_ms.get_or_insert(now.0);
                }
            }
        }
        for what in present.into_values() {
            if self.has_room(log, what.severity) {
                let (log, since_ms) = (log.to_owned(), now.0);
                self.tracked.push(Tracked {
                    log,
                    what,
                    since_ms,
                    open: None,
                    changed_ms: None,
                    absent_ms: None,
                });
            }
        }
        self.settle(Some(log), now, hold)
    }

    /// Keeps the alerts of these logs: the others are not followed any more, which resolves what was wrong with them.
    pub fn retain(&mut self, logs: &[&str], now: UnixMillis) -> Vec<Notice> {
        self.follow_clock(now);
        let (kept, left): (Vec<_>, Vec<_>) = core::mem::take(&mut self.tracked)
            .into_iter()
            .partition(|tracked| logs.contains(&tracked.log.as_str()));
        self.tracked = kept;
        let mut notices = Vec::new();
        for mut tracked in left {
            notices.extend(tracked.resolve(&mut self.last_id, now));
        }
        notices
    }

    /// Those that are open: gravest first, then oldest.
    #[must_use]
    pub fn open(&self) -> Vec<Open> {
        let mut open: Vec<Open> = self
            .tracked
            .iter()
            .filter_map(|tracked| {
                let (log, what) = (tracked.log.clone(), tracked.what.clone());
                Some(Open { alert: tracked.open?, log, since_ms: tracked.since_ms, what })
            })
            .collect();
        open.sort_by_key(|open| (core::cmp::Reverse(open.what.severity), open.since_ms, open.alert));
        open
    }

    /// Where the clock was put back, so is the time since when things are as they are: what lasted or was gone for a while did
    /// so all the same.
    fn follow_clock(&mut self, now: UnixMillis) {
        let back = self.now_ms.saturating_sub(now.0);
        self.now_ms = now.0;
        for tracked in self.tracked.iter_mut().filter(|_| back > 0) {
            tracked.since_ms = tracked.since_ms.saturating_sub(back);
            for time in [&mut tracked.changed_ms, &mut tracked.absent_ms].into_iter().flatten() {
                *time = time.saturating_sub(back);
            }
        }
    }

    /// Opens and resolves what is due, and forgets what has been over for the hold.
    fn settle(&mut self, log: Option<&str>, now: UnixMillis, hold: Duration) -> Vec<Notice> {
        let lasted = |since: u64| now.saturating_since(UnixMillis(since)) >= hold;
        let mut notices = Vec::new();
        for tracked in &mut self.tracked {
            if log.is_some_and(|log| log != tracked.log) || !tracked.changed_ms.is_none_or(lasted) {
                continue;
            }
            match (tracked.open, tracked.absent_ms) {
                (None, None) => notices.push(tracked.begin(&mut self.last_id, now)),
                (Some(_), Some(absent)) if lasted(absent) => {
                    notices.extend(tracked.resolve(&mut self.last_id, now));
                }
                _ => {}
            }
        }
        self.tracked.retain(|tracked| {
            let over = tracked.absent_ms.is_some() && tracked.changed_ms.is_none_or(lasted);
            tracked.open.is_some() || !over
        });
        notices
    }

    /// Whether one more alert of this severity can be tracked.
    fn has_room(&self, log: &str, severity: Severity) -> bool {
        let as_grave = || self.tracked.iter().filter(|tracked| tracked.what.severity >= severity);
        as_grave().count() < MAX_ALERTS
            && as_grave().filter(|tracked| tracked.log == log).count() < MAX_ALERTS_OF_ONE
            // Severities may change while an alert is tracked.
            && self.tracked.len() < Severity::ALL.len().saturating_mul(MAX_ALERTS)
    }
}

impl Tracked {
    fn see(&mut self, what: Observation, now: UnixMillis) {
        if self.absent_ms.take().is_some() && self.open.is_none() {
            self.since_ms = now.0;
        }
        self.what = what;
    }

    fn begin(&mut self, last_id: &mut u64, now: UnixMillis) -> Notice {
        *last_id = last_id.saturating_add(1);
        (self.open, self.changed_ms) = (Some(*last_id), Some(now.0));
        self.notice(*last_id, *last_id, Transition::Opened, now)
    }

    /// Nothing if it is not open.
    fn resolve(&mut self, last_id: &mut u64, now: UnixMillis) -> Option<Notice> {
        let alert = self.open.take()?;
        *last_id = last_id.saturating_add(1);
        self.changed_ms = Some(now.0);
        Some(self.notice(*last_id, alert, Transition::Resolved, now))
    }

    fn notice(&self, id: u64, alert: u64, transition: Transition, now: UnixMillis) -> Notice {
        Notice {
            format: FORMAT.to_owned(),
            id,
            alert,
            transition,
            at_ms: now.0,
            since_ms: self.since_ms,
            log: self.log.clone(),
            what: self.what.clone(),
        }
    }
}

#[cfg(test)]
mod tests;

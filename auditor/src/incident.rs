//! What is wrong for a while: conditions of single rounds become incidents that open and resolve, and never flap. Pure.
//!
//! A condition must last before an incident opens, and be gone for longer before it resolves. A condition with a threshold has
//! two: beyond the first it is *raised*, between the two it is merely *held*, which opens nothing and resolves nothing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use keyglass_tlog::time::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// The most incidents that are remembered after they were resolved.
pub const MAX_RESOLVED: usize = 64;
/// The most that are open at a time; a log cannot make more kinds of trouble than there are, times its witnesses.
pub const MAX_OPEN: usize = 1024;

/// How strong a condition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Too good to open an incident, not good enough to resolve one.
    Held,
    /// Beyond the threshold, if it lasts.
    Raised,
    /// An incident at once: a fact that no patience changes.
    Certain,
}

/// Something that is not as it should be, as one round saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its stable name.
    pub kind: &'static str,
    /// Whom or what it is about within the log, such as a witness's name; empty for the log itself.
    pub subject: String,
    /// What it means for the verdict on the log.
    pub verdict: Verdict,
    /// In words.
    pub detail: String,
    /// How strong it is.
    pub level: Level,
}

/// An incident, open or resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// What tells it from others of this log, as long as it is open: its kind, and its subject if it has one.
    pub key: String,
    /// Its stable name.
    pub kind: String,
    /// Whom or what it is about within the log; empty for the log itself.
    pub subject: String,
    /// What it means for the verdict on the log.
    pub verdict: Verdict,
    /// In words, as they were last.
    pub detail: String,
    /// When the condition began, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// When it had lasted long enough.
    pub opened_ms: u64,
    /// When it was seen last.
    pub seen_ms: u64,
    /// When it had been gone for long enough; absent while it is open.
    pub resolved_ms: Option<u64>,
    /// The path below the auditor's URL of the evidence that it is about, if there is some.
    pub evidence: Option<String>,
}

/// How long conditions must last and be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hysteresis {
    /// How long a raised condition lasts before an incident opens.
    pub open_after: Duration,
    /// How long a condition is gone before its incident resolves.
    pub resolve_after: Duration,
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self { open_after: Duration::from_secs(20), resolve_after: Duration::from_secs(60) }
    }
}

/// Incidents as they are kept over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptIncidents {
    /// Those that are open.
    open: Vec<Incident>,
    /// Those that were resolved, oldest first.
    resolved: Vec<Incident>,
    /// The time of the last round.
    now_ms: u64,
}

#[derive(Debug)]
struct Tracked {
    incident: Incident,
    open: bool,
}

/// The incidents of one log.
#[derive(Debug)]
pub struct Incidents {
    hysteresis: Hysteresis,
    /// By kind and subject.
    tracked: BTreeMap<(String, String), Tracked>,
    resolved: VecDeque<Incident>,
    /// The time of the last round.
    now_ms: u64,
    /// How often an incident opened or was resolved.
    transitions: u64,
}

impl Incidents {
    /// None yet.
    #[must_use]
    pub fn new(hysteresis: Hysteresis) -> Self {
        let (tracked, resolved) = (BTreeMap::new(), VecDeque::new());
        Self { hysteresis, tracked, resolved, now_ms: 0, transitions: 0 }
    }

    /// Goes on with what was kept: what was open is open, and is resolved once it has been gone for long enough, the time
    /// without rounds included.
    #[must_use]
    pub fn resume(hysteresis: Hysteresis, kept: KeptIncidents) -> Self {
        let KeptIncidents { open, resolved, now_ms } = kept;
        let tracked = |incident: Incident| {
            ((incident.kind.clone(), incident.subject.clone()), Tracked { incident, open: true })
        };
        let tracked = open.into_iter().take(MAX_OPEN).map(tracked).collect();
        let resolved = resolved.into_iter().rev().take(MAX_RESOLVED).rev().collect();
        Self { hysteresis, tracked, resolved, now_ms, transitions: 0 }
    }

    /// What to keep over a restart. What has not lasted long enough begins anew then.
    #[must_use]
    pub fn kept(&self) -> KeptIncidents {
        let (resolved, now_ms) = (self.resolved.iter().cloned().collect(), self.now_ms);
        KeptIncidents { open: self.open(), resolved, now_ms }
    }

    /// A number that is another one once an incident has opened or was resolved.
    #[must_use]
    pub fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Takes note of all conditions of a round.
    pub fn observe(&mut self, conditions: Vec<Condition>, now: UnixMillis) {
        self.follow_clock(now);
        let mut seen = BTreeSet::new();
        for condition in conditions {
            let key = (condition.kind.to_owned(), condition.subject.clone());
            if !self.tracked.contains_key(&key) {
                if condition.level == Level::Held || self.tracked.len() >= MAX_OPEN {
                    continue;
                }
                self.tracked.insert(key.clone(), begin(&condition, now));
            }
            if let Some(tracked) = self.tracked.get_mut(&key) {
                let opened = tracked.see(condition, now, self.hysteresis.open_after);
                self.transitions = self.transitions.saturating_add(opened.into());
            }
            seen.insert(key);
        }
        let gone = |(key, tracked): (&(String, String), &Tracked)| {
            let absent = now.saturating_since(UnixMillis(tracked.incident.seen_ms));
            // What never opened is forgotten at once: it did not last.
            let over = !tracked.open || absent >= self.hysteresis.resolve_after;
            (!seen.contains(key) && over).then(|| key.clone())
        };
        let gone: Vec<_> = self.tracked.iter().filter_map(gone).collect();
        for key in gone {
            if let Some(Tracked { mut incident, open: true }) = self.tracked.remove(&key) {
                incident.resolved_ms = Some(now.0);
                self.transitions = self.transitions.saturating_add(1);
                self.resolved.push_back(incident);
                if self.resolved.len() > MAX_RESOLVED {
                    self.resolved.pop_front();
                }
            }
        }
    }

    /// Where the clock was put back, so is the time since when things are wrong: what lasted or was gone for a while did so
    /// all the same.
    fn follow_clock(&mut self, now: UnixMillis) {
        let back = self.now_ms.saturating_sub(now.0);
        self.now_ms = now.0;
        for Tracked { incident, .. } in self.tracked.values_mut().filter(|_| back > 0) {
            for time in [&mut incident.since_ms, &mut incident.opened_ms, &mut incident.seen_ms] {
                *time = time.saturating_sub(back);
            }
        }
    }

    /// Those that are open, gravest and oldest first.
    #[must_use]
    pub fn open(&self) -> Vec<Incident> {
        let open = self.tracked.values().filter(|tracked| tracked.open);
        let mut open: Vec<Incident> = open.map(|tracked| tracked.incident.clone()).collect();
        open.sort_by_key(|incident| (core::cmp::Reverse(incident.verdict), incident.opened_ms));
        open
    }

    /// The last ones that were resolved, newest first.
    #[must_use]
    pub fn resolved(&self) -> Vec<Incident> {
        self.resolved.iter().rev().cloned().collect()
    }
}

fn begin(condition: &Condition, now: UnixMillis) -> Tracked {
    let (kind, subject) = (condition.kind.to_owned(), condition.subject.clone());
    let key = if subject.is_empty() { kind.clone() } else { format!("{kind}:{subject}") };
    let (verdict, detail) = (condition.verdict, condition.detail.clone());
    let (since_ms, opened_ms, seen_ms) = (now.0, now.0, now.0);
    let (resolved_ms, evidence) = (None, None);
    let incident =
        Incident { key, kind, subject, verdict, detail, since_ms, opened_ms, seen_ms, resolved_ms, evidence };
    Tracked { incident, open: false }
}

impl Tracked {
    /// Takes note that the condition is there. Says whether that opens the incident.
    fn see(&mut self, condition: Condition, now: UnixMillis, open_after: Duration) -> bool {
        if condition.level == Level::Held && !self.open {
            // It is better again before it lasted.
            self.incident.since_ms = now.0;
        }
        self.incident.seen_ms = now.0;
        let lasted = now.saturating_since(UnixMillis(self.incident.since_ms));
        let due = match condition.level {
            Level::Held => false,
            Level::Raised => lasted >= open_after,
            Level::Certain => true,
        };
        let opens = !self.open && due;
        if opens {
            (self.open, self.incident.opened_ms) = (true, now.0);
        }
        (self.incident.verdict, self.incident.detail) = (condition.verdict, condition.detail);
        opens
    }
}

impl Incident {
    /// Links the evidence that the incident is about.
    #[must_use]
    pub fn with_evidence(mut self, path: Option<String>) -> Self {
        self.evidence = path;
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn condition(level: Level) -> Condition {
        let (verdict, detail) = (Verdict::Stale, "old".to_owned());
        Condition { kind: "stale", subject: String::new(), verdict, detail, level }
    }

    fn incidents() -> Incidents {
        let (open_after, resolve_after) = (Duration::from_millis(10), Duration::from_millis(30));
        Incidents::new(Hysteresis { open_after, resolve_after })
    }

    #[test]
    fn a_condition_must_last_and_must_be_gone_for_long() {
        let mut all = incidents();
        let mut at = |ms: u64, level: Option<Level>| {
            all.observe(level.map(condition).into_iter().collect(), UnixMillis(ms));
            (all.open().len(), all.resolved().len())
        };
        assert_eq!(at(0, Some(Level::Raised)), (0, 0));
        assert_eq!(at(5, None), (0, 0), "it did not last, and is forgotten");
        assert_eq!(at(6, Some(Level::Raised)), (0, 0));
        assert_eq!(at(15, Some(Level::Raised)), (0, 0));
        assert_eq!(at(16, Some(Level::Raised)), (1, 0));
        assert_eq!(at(20, None), (1, 0));
        assert_eq!(
            at(45, Some(Level::Raised)),
            (1, 0),
            "back before it was gone for long: the same incident"
        );
        assert_eq!(at(74, Some(Level::Held)), (1, 0), "between the thresholds");
        assert_eq!(at(103, None), (1, 0));
        assert_eq!(at(104, None), (0, 1));
        let resolved = all.resolved();
        assert_eq!((resolved[0].since_ms, resolved[0].opened_ms), (6, 16));
        assert_eq!((resolved[0].seen_ms, resolved[0].resolved_ms), (74, Some(104)));
    }

    #[test]
    fn facts_open_at_once_and_held_conditions_never() {
        let mut all = incidents();
        all.observe(vec![condition(Level::Held)], UnixMillis(0));
        all.observe(vec![condition(Level::Held)], UnixMillis(100));
        assert!(all.open().is_empty());
        let fact =
            Condition { kind: "misbehaving", verdict: Verdict::Misbehaving, ..condition(Level::Certain) };
        let witness = Condition { subject: "w1".to_owned(), ..condition(Level::Certain) };
        all.observe(vec![witness, fact], UnixMillis(101));
        let keys: Vec<String> = all.open().into_iter().map(|incident| incident.key).collect();
        assert_eq!(keys, ["misbehaving", "stale:w1"], "gravest first");
    }

    #[test]
    fn memory_is_bounded() {
        let mut all = incidents();
        let many = |from: usize| -> Vec<Condition> {
            let one = |i| Condition { subject: format!("{i}"), ..condition(Level::Certain) };
            (from..from + MAX_OPEN * 2).map(one).collect()
        };
        all.observe(many(0), UnixMillis(0));
        assert_eq!(all.open().len(), MAX_OPEN);
        all.observe(Vec::new(), UnixMillis(1000));
        assert_eq!((all.open().len(), all.resolved().len()), (0, MAX_RESOLVED));
    }

    #[test]
    fn what_was_open_before_a_restart_is_not_new_and_ends_when_it_is_over() {
        let mut all = incidents();
        all.observe(vec![condition(Level::Certain)], UnixMillis(100));
        let before = all.open();
        let restart = |all: &Incidents| {
            let kept = serde_json::to_string(&all.kept()).unwrap();
            Incidents::resume(all.hysteresis, serde_json::from_str(&kept).unwrap())
        };
        let mut all = restart(&all);
        assert_eq!(all.open(), before);
        all.observe(vec![condition(Level::Held)], UnixMillis(500));
        assert_eq!((all.open()[0].opened_ms, all.open()[0].seen_ms), (100, 500));
        // Nobody looked while it ended.
        let mut all = restart(&all);
        all.observe(Vec::new(), UnixMillis(529));
        assert_eq!((all.open().len(), all.transitions()), (1, 0));
        all.observe(Vec::new(), UnixMillis(530));
        assert_eq!((all.open().len(), all.transitions()), (0, 1));
        assert_eq!(restart(&all).resolved(), all.resolved());
    }

    #[test]
    fn a_clock_that_is_put_back_delays_nothing() {
        let mut all = incidents();
        all.observe(vec![condition(Level::Raised)], UnixMillis(1 << 50));
        all.observe(vec![condition(Level::Raised)], UnixMillis((1 << 50) + 10));
        assert_eq!(all.open().len(), 1);
        all.observe(Vec::new(), UnixMillis(1000));
        all.observe(Vec::new(), UnixMillis(1029));
        assert_eq!(all.open().len(), 1);
        all.observe(Vec::new(), UnixMillis(1030));
        assert_eq!((all.open().len(), all.resolved()[0].seen_ms), (0, 1000));
    }

    proptest! {
        /// However a condition comes and goes, incidents of it are further apart than the time that resolves one.
        #[test]
        fn nothing_flaps(levels in proptest::collection::vec(0u8..3, 1..200)) {
            let (mut all, mut opened) = (incidents(), Vec::new());
            for (i, level) in levels.iter().enumerate() {
                let now = UnixMillis(i as u64 * 3);
                let level = [None, Some(Level::Held), Some(Level::Raised)][usize::from(*level)];
                all.observe(level.map(condition).into_iter().collect(), now);
                opened.extend(all.open().iter().map(|incident| incident.opened_ms));
            }
            opened.dedup();
            for pair in opened.windows(2) {
                prop_assert!(pair[1] - pair[0] >= 40, "{:?}", opened);
            }
            for incident in all.resolved() {
                prop_assert!(incident.opened_ms - incident.since_ms >= 10);
                prop_assert!(incident.resolved_ms.unwrap() - incident.seen_ms >= 30);
            }
        }
    }
}

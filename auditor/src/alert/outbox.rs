//! What is still to be told to whom. Pure: time is an argument.
//!
//! Every notice goes to every receiver that wants its severity, until the receiver has taken it. Notices of one alert reach a
//! receiver in their order; one that a receiver refuses holds up no other alert.

use std::{collections::BTreeSet, time::Duration};

use keyglass_tlog::time::UnixMillis;
use serde::{Deserialize, Serialize};

use super::notice::Notice;

/// The most deliveries that wait at a time. Beyond that the oldest of the least grave ones is given up.
pub const MAX_WAITING: usize = 2048;
/// How often one delivery is tried: with the pauses below, over about 15 hours.
pub const MAX_ATTEMPTS: u32 = 40;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);

/// A notice on its way to a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The receiver's name.
    pub to: String,
    /// What it is told.
    pub notice: Notice,
    /// How often that was tried.
    attempts: u32,
    /// When it is tried next, in milliseconds since the Unix epoch.
    next_ms: u64,
}

/// What became of a delivery that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// It is tried again.
    Later,
    /// It was tried often enough.
    GivenUp,
}

/// All deliveries that wait.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outbox {
    waiting: Vec<Delivery>,
}

impl Outbox {
    /// Has a notice told to a receiver. Gives the receiver whose delivery was given up for it, if too many wait.
    pub fn post(&mut self, to: &str, notice: Notice, now: UnixMillis) -> Option<String> {
        self.waiting.push(Delivery { to: to.to_owned(), notice, attempts: 0, next_ms: now.0 });
        if self.waiting.len() <= MAX_WAITING {
            return None;
        }
        let severity = |(_, delivery): &(usize, &Delivery)| delivery.notice.what.severity;
        let (least, _) = self.waiting.iter().enumerate().min_by_key(severity)?;
        Some(self.waiting.remove(least).to)
    }

    /// Forgets what waits for receivers that are no more. Gives their number.
    pub fn retain(&mut self, receivers: &BTreeSet<&str>) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|delivery| receivers.contains(delivery.to.as_str()));
        before.saturating_sub(self.waiting.len())
    }

    /// What a receiver is to be told next, if it is time: the first notice that no earlier one of the same alert keeps back.
    #[must_use]
    pub fn due(&self, to: &str, now: UnixMillis) -> Option<&Delivery> {
        self.unblocked(to).find(|delivery| delivery.next_ms <= now.0)
    }

    /// When a receiver is to be told something next.
    #[must_use]
    pub fn next(&self, to: &str) -> Option<UnixMillis> {
        self.unblocked(to).map(|delivery| UnixMillis(delivery.next_ms)).min()
    }

    fn unblocked(&self, to: &str) -> impl Iterator<Item = &Delivery> {
        let mut alerts = BTreeSet::new();
        let of_receiver = self.waiting.iter().filter(move |delivery| delivery.to == to);
        of_receiver.filter(move |delivery| alerts.insert(delivery.notice.alert))
    }

    /// A receiver has taken a notice.
    pub fn delivered(&mut self, to: &str, id: u64) {
        self.waiting.retain(|delivery| delivery.to != to || delivery.notice.id != id);
    }

    /// A receiver has not. The pause doubles with every attempt.
    pub fn failed(&mut self, to: &str, id: u64, now: UnixMillis) -> Failed {
        let found = self.waiting.iter_mut().find(|delivery| delivery.to == to && delivery.notice.id == id);
        let Some(delivery) = found else { return Failed::GivenUp };
        delivery.attempts = delivery.attempts.saturating_add(1);
        if delivery.attempts >= MAX_ATTEMPTS {
            self.delivered(to, id);
            return Failed::GivenUp;
        }
        let doublings = delivery.attempts.saturating_sub(1).min(20);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        delivery.next_ms = now.saturating_add(pause).0;
        Failed::Later
    }

    /// Where the clock was put back, nothing waits longer than the longest pause.
    pub fn clamp(&mut self, now: UnixMillis) {
        let latest = now.saturating_add(LONGEST_PAUSE).0;
        for delivery in &mut self.waiting {
            delivery.next_ms = delivery.next_ms.min(latest);
        }
    }

    /// How many deliveries wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alert::notice::{FORMAT, Observation, Severity, Transition};

    fn notice(id: u64, alert: u64) -> Notice {
        let transition = if id == alert { Transition::Opened } else { Transition::Resolved };
        let what = Observation {
            key: format!("k{alert}"),
            severity: Severity::Warning,
            detail: String::new(),
            evidence: None,
        };
        let (at_ms, since_ms, log) = (0, 0, "log".to_owned());
        Notice { format: FORMAT.to_owned(), id, alert, transition, at_ms, since_ms, log, what }
    }

    fn at(ms: u64) -> UnixMillis {
        UnixMillis(ms)
    }

    #[test]
    fn one_alert_is_told_in_order_and_holds_up_no_other() {
        let mut outbox = Outbox::default();
        for (id, alert) in [(1, 1), (2, 1), (3, 3)] {
            outbox.post("hook", notice(id, alert), at(0));
        }
        let due = |outbox: &Outbox, now| outbox.due("hook", at(now)).map(|delivery| delivery.notice.id);
        assert_eq!(due(&outbox, 0), Some(1));
        assert_eq!(outbox.failed("hook", 1, at(0)), Failed::Later);
        assert_eq!(due(&outbox, 0), Some(3), "2 waits for 1, 3 does not");
        outbox.delivered("hook", 3);
        assert_eq!((due(&outbox, 999), outbox.next("hook")), (None, Some(at(1000))));
        assert_eq!(due(&outbox, 1000), Some(1));
        outbox.delivered("hook", 1);
        assert_eq!(due(&outbox, 1000), Some(2));
        assert_eq!(outbox.due("other", at(1000)), None);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_end() {
        let mut outbox = Outbox::default();
        outbox.post("hook", notice(1, 1), at(0));
        let (mut now, mut pauses) = (0, Vec::new());
        while outbox.failed("hook", 1, at(now)) == Failed::Later {
            let next = outbox.next("hook").unwrap().0;
            pauses.push((next - now) / 1000);
            now = next;
        }
        assert_eq!(pauses[..5], [1, 2, 4, 8, 16]);
        assert_eq!((pauses.len(), pauses.last()), (39, Some(&1800)));
        assert!(outbox.is_empty());
        assert_eq!(outbox.failed("hook", 1, at(now)), Failed::GivenUp);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut outbox = Outbox::default();
        for id in 1..=MAX_WAITING as u64 {
            let mut notice = notice(id, id);
            // The first one is graver than the others, which give way to each other.
            notice.what.severity = if id == 1 { Severity::Critical } else { Severity::Warning };
            assert_eq!(outbox.post("hook", notice, at(0)), None);
        }
        assert_eq!(outbox.post("hook", notice(9999, 9999), at(0)).as_deref(), Some("hook"));
        assert_eq!((outbox.len(), outbox.due("hook", at(0)).unwrap().notice.id), (MAX_WAITING, 1));
        outbox.delivered("hook", 1);
        assert_eq!(outbox.due("hook", at(0)).unwrap().notice.id, 3);
        assert_eq!(outbox.post("hook", notice(10_000, 10_000), at(0)), None);
        assert_eq!(outbox.retain(&BTreeSet::new()), MAX_WAITING);
    }

    #[test]
    fn a_clock_that_was_put_back_delays_nothing_for_long() {
        let mut outbox = Outbox::default();
        outbox.post("hook", notice(1, 1), at(1 << 50));
        outbox.clamp(at(0));
        assert_eq!(outbox.next("hook"), Some(at(1_800_000)));
    }

    proptest! {
        /// Over any failures and restarts, every notice is delivered once, and each alert's in order.
        #[test]
        fn everything_is_delivered_once_and_in_order(
            alerts in proptest::collection::vec(1u64..5, 1..20), fails: u64, restarts: u64,
        ) {
            let mut outbox = Outbox::default();
            let mut expected: Vec<(u64, u64)> = Vec::new();
            for (index, alert) in alerts.iter().enumerate() {
                let id = index as u64 + 1;
                outbox.post("hook", notice(id, *alert), at(0));
                expected.push((*alert, id));
            }
            let (mut now, mut delivered, mut step) = (0, Vec::new(), 0u32);
            while let Some(next) = outbox.next("hook") {
                now = now.max(next.0);
                let due = outbox.due("hook", at(now)).unwrap().notice.clone();
                if fails >> (step % 64) & 1 == 1 && step < 64 {
                    outbox.failed("hook", due.id, at(now));
                } else {
                    outbox.delivered("hook", due.id);
                    delivered.push((due.alert, due.id));
                }
                if restarts >> (step % 64) & 1 == 1 {
                    outbox = serde_json::from_slice(&serde_json::to_vec(&outbox).unwrap()).unwrap();
                }
                step += 1;
            }
            for alert in 1..5 {
                let of = |all: &[(u64, u64)]| all.iter().filter(|(a, _)| *a == alert).copied().collect::<Vec<_>>();
                prop_assert_eq!(of(&delivered), of(&expected));
            }
        }
    }
}

//! When to look again.
//!
//! Whoever looks less often than once in a Reasonable Monitoring Window may miss what its log shows for a while and then
//! hides; a quarter of it leaves room for rounds that fail. Jitter keeps the watchers of a log from asking all at once.

use keyglass_account::time::UnixMillis;

/// The longest interval, in milliseconds: whatever the window is, a day should not pass without a look.
const LONGEST: u64 = 12 * 3_600_000;

/// The shortest interval that a window leads to, in milliseconds.
const SHORTEST: u64 = 60_000;

/// The first pause after a round that got no answer, in milliseconds. It doubles up to the interval.
const FIRST_RETRY: u64 = 5_000;

/// What the last round came to, as far as the next one depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// The log answered, whatever it said.
    Answered,
    /// It could not be asked; so many rounds in a row now.
    Unanswered {
        /// At least 1.
        in_a_row: u32,
    },
}

/// How often to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    interval: u64,
}

impl Schedule {
    /// The schedule for a Reasonable Monitoring Window of so many milliseconds.
    #[must_use]
    pub fn of_window(window: u64) -> Self {
        Self { interval: (window / 4).clamp(SHORTEST, LONGEST) }
    }

    /// The schedule of whoever knows better.
    #[must_use]
    pub fn every(seconds: u64) -> Self {
        Self { interval: seconds.saturating_mul(1000).clamp(1, LONGEST) }
    }

    /// The interval before jitter, in milliseconds.
    #[must_use]
    pub fn interval(&self) -> u64 {
        self.interval
    }

    /// When to look next, `random` being any number.
    #[must_use]
    pub fn next(&self, now: UnixMillis, looked: Looked, random: u64) -> UnixMillis {
        let pause = match looked {
            Looked::Answered => self.interval,
            Looked::Unanswered { in_a_row } => {
                let doublings = in_a_row.saturating_sub(1).min(32);
                FIRST_RETRY.saturating_mul(1 << doublings).min(self.interval)
            }
        };
        UnixMillis(now.0.saturating_add(jittered(pause, random)))
    }

    /// How many milliseconds to wait at the start for a round that was planned earlier. One that is overdue is due, and one
    /// further away than any that this schedule plans was planned by another schedule or another clock.
    #[must_use]
    pub fn wait(&self, now: UnixMillis, planned: Option<UnixMillis>) -> u64 {
        let longest = jittered(self.interval, 400);
        planned.map_or(0, |planned| planned.0.saturating_sub(now.0)).min(longest)
    }
}

/// Between 80 % and 120 % of `pause`, at least a millisecond.
fn jittered(pause: u64, random: u64) -> u64 {
    let permille = 800_u64.saturating_add(random % 401);
    (pause.saturating_mul(permille) / 1000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn pause(schedule: Schedule, looked: Looked, random: u64) -> u64 {
        schedule.next(NOW, looked, random).0 - NOW.0
    }

    #[test]
    fn the_interval_is_a_quarter_of_the_window_within_bounds() {
        for (window, interval) in [
            (86_400_000, 21_600_000),
            (7 * 86_400_000, LONGEST),
            (u64::MAX, LONGEST),
            (400_000, 100_000),
            (1_000, SHORTEST),
            (0, SHORTEST),
        ] {
            assert_eq!(Schedule::of_window(window).interval(), interval, "{window}");
        }
        for (seconds, interval) in [(1, 1_000), (0, 1), (3600, 3_600_000), (u64::MAX, LONGEST)] {
            assert_eq!(Schedule::every(seconds).interval(), interval, "{seconds}");
        }
    }

    #[test]
    fn jitter_is_a_fifth_to_either_side_and_uses_all_of_it() {
        let schedule = Schedule::every(1_000);
        let mut pauses: Vec<u64> = (0..401).map(|r| pause(schedule, Looked::Answered, r)).collect();
        assert_eq!((pauses[0], pauses[200], pauses[400]), (800_000, 1_000_000, 1_200_000));
        pauses.dedup();
        assert_eq!(pauses.len(), 401);
        for random in [u64::MAX, u64::MAX - 1, 1 << 63] {
            let pause = pause(schedule, Looked::Answered, random);
            assert!((800_000..=1_200_000).contains(&pause));
        }
    }

    #[test]
    fn retries_double_up_to_the_interval() {
        let schedule = Schedule::of_window(86_400_000);
        let middle = |in_a_row| pause(schedule, Looked::Unanswered { in_a_row }, 200);
        assert_eq!([middle(1), middle(2), middle(3), middle(4)], [5_000, 10_000, 20_000, 40_000]);
        assert_eq!(middle(13), 20_480_000);
        for in_a_row in [14, 40, 64, u32::MAX] {
            assert_eq!(middle(in_a_row), schedule.interval());
        }
        // Whoever is in a hurry stays so.
        assert_eq!(pause(Schedule::every(1), Looked::Unanswered { in_a_row: 9 }, 200), 1_000);
    }

    #[test]
    fn what_was_planned_is_kept_and_what_is_overdue_is_due() {
        let schedule = Schedule::every(10);
        for (planned, wait) in [
            (None, 0),
            (Some(0), 0),
            (Some(NOW.0), 0),
            (Some(NOW.0 + 7_000), 7_000),
            // Another schedule or a clock that was set back.
            (Some(NOW.0 + 3_600_000), 12_000),
            (Some(u64::MAX), 12_000),
        ] {
            assert_eq!(schedule.wait(NOW, planned.map(UnixMillis)), wait, "{planned:?}");
        }
    }

    #[test]
    fn the_end_of_time_is_no_panic() {
        let next = Schedule::every(1).next(UnixMillis(u64::MAX), Looked::Answered, 0);
        assert_eq!(next, UnixMillis(u64::MAX));
    }
}

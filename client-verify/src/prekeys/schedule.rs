//! When a device looks after its prekeys.
//!
//! Whoever drains a pool can watch for its refill: a device that refills when it comes online, or when its pool runs low,
//! tells a stranger when it is there (arXiv 2504.07323). So the moments are drawn beforehand, whatever the pool is like, and
//! one that was missed is drawn anew rather than made up for at once.

use keyglass_account::time::UnixMillis;

/// The mean time between two looks, in milliseconds. Each is between half and one and a half of it.
const MEAN: u64 = 24 * 3_600_000;

/// A look that is overdue for longer than this was missed: the device was away.
const MISSED: u64 = 3_600_000;

/// Within how long a missed look is made up for.
const MAKE_UP: u64 = 6 * 3_600_000;

/// Whether it is time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Now.
    Now,
    /// At this time, which is to be remembered.
    At(UnixMillis),
}

/// Whether a look that was planned is due; `random` is any number.
#[must_use]
pub fn due(planned: Option<UnixMillis>, now: UnixMillis, random: u64) -> Due {
    match planned {
        // A plan from a clock that was ahead is none.
        Some(planned) if planned.0.saturating_sub(now.0) > MEAN.saturating_mul(3) => {
            Due::At(later(now, random, MAKE_UP))
        }
        Some(planned) if planned > now => Due::At(planned),
        Some(planned) if now.0.saturating_sub(planned.0) <= MISSED => Due::Now,
        _ => Due::At(later(now, random, MAKE_UP)),
    }
}

/// When to look after a look at `now`.
#[must_use]
pub fn next(now: UnixMillis, random: u64) -> UnixMillis {
    later(UnixMillis(now.0.saturating_add(MEAN / 2)), random, MEAN)
}

/// A time within the span that begins at `from`, each as likely as any other.
fn later(from: UnixMillis, random: u64, span: u64) -> UnixMillis {
    UnixMillis(from.0.saturating_add(random.checked_rem(span).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn at(offset: i64) -> UnixMillis {
        UnixMillis(NOW.0.saturating_add_signed(offset))
    }

    #[test]
    fn what_was_planned_is_kept_and_what_was_missed_is_drawn_anew() {
        assert_eq!(due(Some(at(5)), NOW, 9), Due::At(at(5)));
        assert_eq!(due(Some(NOW), NOW, 9), Due::Now);
        assert_eq!(due(Some(at(-3_600_000)), NOW, 9), Due::Now);
        assert_eq!(due(Some(at(-3_600_001)), NOW, 9), Due::At(at(9)));
        assert_eq!(due(None, NOW, 7), Due::At(at(7)));
        assert_eq!(due(Some(UnixMillis(u64::MAX)), NOW, 7), Due::At(at(7)));
        assert_eq!(next(UnixMillis(u64::MAX), 7), UnixMillis(u64::MAX));
    }

    proptest! {
        #[test]
        fn looks_are_half_a_day_to_a_day_and_a_half_apart(random: u64) {
            let next = next(NOW, random);
            prop_assert!((at(12 * 3_600_000)..at(36 * 3_600_000)).contains(&next));
            // Whatever is drawn is kept by whoever asks before it.
            prop_assert_eq!(due(Some(next), NOW, random), Due::At(next));
        }

        /// When a device returns tells nothing of when it refills, but that it is within hours.
        #[test]
        fn a_return_is_made_up_for_within_hours_and_never_at_once(random in 1_u64.., away in 3_600_001_u64..1 << 40) {
            let planned = UnixMillis(NOW.0.saturating_sub(away));
            let Due::At(drawn) = due(Some(planned), NOW, random) else { panic!("at once") };
            prop_assert!((NOW..at(6 * 3_600_000)).contains(&drawn));
        }
    }
}

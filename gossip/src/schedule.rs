//! When a peer is asked again. The clock and chance are arguments.

use std::time::Duration;

/// The longest pause after failures.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The pause doubles with each of so many failures in a row.
const DOUBLINGS: u32 = 8;

/// The pause before the next round with a peer that has failed so often in a row: half to one and a half periods, so that
/// parties do not ask in step, twice as long after each failure, and never longer than [`LONGEST_PAUSE`] because of failures. `chance` is uniform over all its values.
#[must_use]
pub fn pause(period: Duration, failures: u32, chance: u32) -> Duration {
    let factor = 0.5 + f64::from(chance) / (f64::from(u32::MAX) + 1.0);
    let patient = period.saturating_mul(1 << failures.min(DOUBLINGS)).min(LONGEST_PAUSE.max(period));
    patient.mul_f64(factor).min(LONGEST_PAUSE.max(period.mul_f64(1.5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_vary_around_the_period_and_grow_with_failures() {
        let period = Duration::from_secs(2);
        assert_eq!(pause(period, 0, 0), Duration::from_secs(1));
        assert_eq!(pause(period, 0, 1 << 31), Duration::from_secs(2));
        assert!(pause(period, 0, u32::MAX) <= Duration::from_secs(3));
        assert_eq!(pause(period, 3, 1 << 31), Duration::from_secs(16));
        for failures in [8, 9, 100, u32::MAX] {
            assert_eq!(pause(period, failures, 1 << 31), LONGEST_PAUSE);
        }
        assert_eq!(pause(period, 8, u32::MAX), LONGEST_PAUSE);
        // Who asks once an hour is not made to ask more often.
        assert_eq!(pause(Duration::from_secs(3600), 5, 1 << 31), Duration::from_secs(3600));
    }
}

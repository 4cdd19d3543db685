//! How long to wait before asking again somebody who did not answer.

use std::time::Duration;

use rand::RngExt as _;

/// Waits that double with each failure, each drawn at random between half and all of its length, so that logs which
/// lost one witness at the same moment do not come back to it at the same moment.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    least: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, next: least }
    }

    /// The wait after one more failure.
    pub(crate) fn failed(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.most);
        wait / 2 + rand::rng().random_range(Duration::ZERO..=wait / 2)
    }

    /// Forgets the failures.
    pub(crate) fn succeeded(&mut self) {
        self.next = self.least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_start_again() {
        let (least, most) = (Duration::from_millis(100), Duration::from_millis(500));
        let mut backoff = Backoff::new(least, most);
        for whole in [100, 200, 400, 500, 500] {
            let whole = Duration::from_millis(whole);
            let wait = backoff.failed();
            assert!((whole / 2..=whole).contains(&wait), "{wait:?} of {whole:?}");
        }
        backoff.succeeded();
        assert!(backoff.failed() <= least);
    }
}

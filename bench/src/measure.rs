//! Medians.

use std::time::{Duration, Instant};

/// What was measured of one operation.
pub struct Measured {
    /// The bytes of the response; the median over the labels asked for.
    pub bytes: u64,
    /// The time that verifying it takes; the median.
    pub time: Duration,
}

impl Measured {
    /// The time in microseconds.
    #[must_use]
    pub fn micros(&self) -> f64 {
        self.time.as_secs_f64() * 1e6
    }
}

/// How often each response is verified.
const ROUNDS: usize = 25;

/// Verifies each of `cases` many times; `bytes` tells the length of a case's response.
pub fn measure<T>(cases: &[T], bytes: impl Fn(&T) -> usize, verify: impl Fn(&T)) -> Measured {
    let mut times = Vec::with_capacity(cases.len() * ROUNDS);
    for _ in 0..ROUNDS {
        for case in cases {
            let began = Instant::now();
            verify(case);
            times.push(began.elapsed());
        }
    }
    let mut lengths: Vec<usize> = cases.iter().map(bytes).collect();
    lengths.sort_unstable();
    times.sort_unstable();
    Measured { bytes: lengths[lengths.len() / 2] as u64, time: times[times.len() / 2] }
}

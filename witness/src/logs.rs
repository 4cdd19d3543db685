//! The logs that are witnessed, each with its keys, its critical section and its share of requests.

use std::{collections::HashMap, num::NonZeroU32};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use keyglass_tlog::{note::Vkey, policy::Policy};
use tokio::sync::{Mutex, MutexGuard};

/// A log that is witnessed.
pub struct Log {
    keys: Vec<Vkey>,
    turn: Mutex<()>,
    limiter: DefaultDirectRateLimiter,
}

impl Log {
    /// The trusted keys, at least one.
    #[must_use]
    pub fn keys(&self) -> &[Vkey] {
        &self.keys
    }

    /// Waits for this request's turn: until the guard is dropped, no other request compares, persists or signs for this
    /// log. First come, first served.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Whether a request of this log may be taken now.
    #[must_use]
    pub fn admits(&self) -> bool {
        self.limiter.check().is_ok()
    }
}

/// The logs that are witnessed, by origin.
#[derive(Default)]
pub struct Logs(HashMap<String, Log>);

impl Logs {
    /// The logs of a policy; a log may have several keys. Each may make `per_second` requests a second, and twice as many
    /// at once after a pause.
    #[must_use]
    pub fn of_policy(policy: &Policy, per_second: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_second)
            .allow_burst(per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)));
        let mut logs: HashMap<String, Log> = HashMap::new();
        for log in policy.logs() {
            let entry = logs.entry(log.origin().to_owned()).or_insert_with(|| Log {
                keys: Vec::new(),
                turn: Mutex::new(()),
                limiter: RateLimiter::direct(quota),
            });
            entry.keys.push(log.vkey().clone());
        }
        Self(logs)
    }

    /// The log of this origin.
    #[must_use]
    pub fn get(&self, origin: &str) -> Option<&Log> {
        self.0.get(origin)
    }

    /// How many logs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

//! The logs that are witnessed, each with its keys, its critical section and its share of requests. A new policy replaces
//! them while requests are under way.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use keyglass_tlog::{note::Vkey, policy::Policy};
use tokio::sync::{MutexGuard, Semaphore, SemaphorePermit};

/// The most requests of one log that wait for their turn or have it; more are sent away at once. It bounds the
/// connections that one log can keep busy while the disk is slow.
pub const MAX_WAITING: usize = 64;

/// What must be one for an origin, whatever policies come and go.
struct Shared {
    turn: tokio::sync::Mutex<()>,
    limiter: DefaultDirectRateLimiter,
    waiting: Semaphore,
}

impl Shared {
    fn new(per_second: NonZeroU32) -> Self {
        let twice = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1));
        let quota = Quota::per_second(per_second).allow_burst(twice);
        Self {
            turn: tokio::sync::Mutex::new(()),
            limiter: RateLimiter::direct(quota),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }
}

/// A log that is witnessed, with the keys of one policy.
pub struct Log {
    keys: Vec<Vkey>,
    shared: Arc<Shared>,
}

/// The right to compare, persist and sign for a log, until it is dropped.
pub struct Turn<'a> {
    _turn: MutexGuard<'a, ()>,
    _place: SemaphorePermit<'a>,
}

impl Log {
    /// The trusted keys, at least one.
    #[must_use]
    pub fn keys(&self) -> &[Vkey] {
        &self.keys
    }

    /// Waits for this request's turn: until the guard is dropped, no other request compares, persists or signs for this
    /// log. First come, first served; `None` if [`MAX_WAITING`] others are there.
    pub async fn turn(&self) -> Option<Turn<'_>> {
        let place = self.shared.waiting.try_acquire().ok()?;
        Some(Turn { _turn: self.shared.turn.lock().await, _place: place })
    }

    /// Whether a request of this log may be taken now.
    #[must_use]
    pub fn admits(&self) -> bool {
        self.shared.limiter.check().is_ok()
    }
}

/// What a new policy changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Origins that are new.
    pub added: usize,
    /// Origins that are gone.
    pub removed: usize,
}

/// The logs that are witnessed, by origin.
pub struct Logs {
    current: RwLock<HashMap<String, Arc<Log>>>,
    /// What logs of earlier policies shared. A request of theirs may still be under way when the log comes back, and must
    /// not have its turn at the same time as a new one.
    former: Mutex<HashMap<String, Weak<Shared>>>,
    per_second: NonZeroU32,
}

impl Logs {
    /// The logs of a policy; a log may have several keys. Each may make `per_second` requests a second, and twice as many
    /// at once after a pause.
    #[must_use]
    pub fn of_policy(policy: &Policy, per_second: NonZeroU32) -> Self {
        let logs = Self { current: RwLock::default(), former: Mutex::default(), per_second };
        logs.replace(policy);
        logs
    }

    /// Witnesses the logs of another policy instead. Logs that stay keep their turn and their share; requests that have
    /// begun end under the keys with which they began.
    pub fn replace(&self, policy: &Policy) -> Change {
        let mut keys: HashMap<String, Vec<Vkey>> = HashMap::new();
        for log in policy.logs() {
            keys.entry(log.origin().to_owned()).or_default().push(log.vkey().clone());
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        for (origin, log) in current.iter() {
            former.insert(origin.clone(), Arc::downgrade(&log.shared));
        }
        let with_shared = |(origin, keys): (String, Vec<Vkey>)| {
            let shared = former.get(&origin).and_then(Weak::upgrade);
            let shared = shared.unwrap_or_else(|| Arc::new(Shared::new(self.per_second)));
            (origin, Arc::new(Log { keys, shared }))
        };
        let next: HashMap<String, Arc<Log>> = keys.into_iter().map(with_shared).collect();
        let added = next.keys().filter(|origin| !current.contains_key(*origin)).count();
        let removed = current.keys().filter(|origin| !next.contains_key(*origin)).count();
        *current = next;
        former.retain(|_, shared| shared.strong_count() > 0);
        Change { added, removed }
    }

    /// The log of this origin.
    #[must_use]
    pub fn get(&self, origin: &str) -> Option<Arc<Log>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).get(origin).cloned()
    }

    /// The origins, in no order.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// How many logs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use keyglass_crypto::sign::SigningKey;
    use keyglass_tlog::note::{KeyName, PublicKey};

    use super::*;

    fn vkey(origin: &str, seed: u8) -> Vkey {
        let key = PublicKey::Ed25519(SigningKey::from_seed(&[seed; 32]).verifying_key());
        Vkey::new(KeyName::new(origin).unwrap(), key)
    }

    fn policy(logs: &[(&str, u8)]) -> Policy {
        let lines: String =
            logs.iter().map(|(origin, seed)| format!("log {}\n", vkey(origin, *seed))).collect();
        Policy::parse(format!("{lines}quorum none\n").as_bytes()).unwrap()
    }

    fn one_a_second(logs: &[(&str, u8)]) -> Logs {
        Logs::of_policy(&policy(logs), NonZeroU32::MIN)
    }

    #[tokio::test]
    async fn logs_that_stay_keep_their_turn_and_their_share() {
        let logs = one_a_second(&[("a", 1), ("b", 2)]);
        let before = logs.get("a").unwrap();
        let turn = before.turn().await;
        assert!(before.admits() && before.admits() && !before.admits(), "two at once");
        // A key is added to one log, one goes, one comes.
        let change = logs.replace(&policy(&[("a", 1), ("a", 3), ("c", 4)]));
        assert_eq!((change, logs.len()), (Change { added: 1, removed: 1 }, 2));
        let after = logs.get("a").unwrap();
        assert_eq!((before.keys().len(), after.keys().len()), (1, 2));
        assert!(!after.admits());
        assert!(after.shared.turn.try_lock().is_err());
        drop(turn);
        assert!(after.shared.turn.try_lock().is_ok());
        assert!(logs.get("b").is_none());
    }

    #[tokio::test]
    async fn a_log_that_comes_back_waits_for_what_is_still_under_way() {
        let logs = one_a_second(&[("a", 1)]);
        let under_way = logs.get("a").unwrap();
        let turn = under_way.turn().await;
        logs.replace(&policy(&[]));
        logs.replace(&policy(&[("b", 2)]));
        logs.replace(&policy(&[("a", 1)]));
        assert!(logs.get("a").unwrap().shared.turn.try_lock().is_err());
        drop(turn);
        drop(under_way);
        // Nothing is remembered of logs that nobody has a request of.
        logs.replace(&policy(&[]));
        assert!(logs.former.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let logs = one_a_second(&[("a", 1)]);
        let log = logs.get("a").unwrap();
        let turn = log.turn().await.unwrap();
        let waiting: Vec<_> = (1..MAX_WAITING)
            .map(|_| {
                let log = Arc::clone(&log);
                tokio::spawn(async move { log.turn().await.is_some() })
            })
            .collect();
        while log.shared.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(log.turn().await.is_none());
        drop(turn);
        for task in waiting {
            assert!(task.await.unwrap());
        }
        assert!(log.turn().await.is_some());
    }
}

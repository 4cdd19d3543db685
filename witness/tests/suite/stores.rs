//! Stores in memory: one that works, and one that fails like a disk, before or after the bytes were written.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use keyglass_tlog::time::UnixSeconds;
use keyglass_witness::{
    clock::Clock,
    head::{Head, OriginHash},
    kept::Kept,
    store::{HeadStore, StoreError},
};
use tokio::sync::Semaphore;

/// What happens to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Stored,
    FailsBefore,
    FailsAfter,
}

#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    kept: HashMap<OriginHash, Vec<u8>>,
    /// Every head that was ever stored, in order.
    history: Vec<Head>,
    fates: VecDeque<Fate>,
    held: HashMap<OriginHash, Arc<Semaphore>>,
    newest_at_start: UnixSeconds,
}

impl MemoryStore {
    /// Lets the next commits meet these fates.
    pub fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.0.lock().unwrap().fates.extend(fates);
    }

    fn store(&self, origin: OriginHash, kept: &Kept) -> Fate {
        let mut inner = self.0.lock().unwrap();
        let fate = inner.fates.pop_front().unwrap_or(Fate::Stored);
        if fate != Fate::FailsBefore {
            inner.kept.insert(origin, kept.encode());
            inner.history.extend(kept.head().cloned());
        }
        fate
    }

    /// Lets commits for this log wait until permits are added, one each.
    pub fn hold(&self, origin: OriginHash) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.0.lock().unwrap().held.insert(origin, Arc::clone(&gate));
        gate
    }

    /// Says that it had a cosignature of this time when it was opened.
    pub fn set_newest_at_start(&self, seconds: u64) {
        self.0.lock().unwrap().newest_at_start = UnixSeconds(seconds);
    }

    pub fn history(&self) -> Vec<Head> {
        self.0.lock().unwrap().history.clone()
    }
}

impl HeadStore for MemoryStore {
    fn load(&self, origin: OriginHash) -> Result<Kept, StoreError> {
        let stored = self.0.lock().unwrap().kept.get(&origin).cloned();
        Ok(stored.map_or(Kept::Nothing, |stored| Kept::decode(origin, &stored).unwrap()))
    }

    async fn commit(&self, origin: OriginHash, kept: &Kept) -> Result<(), StoreError> {
        // Whoever does not hold the log's turn gets in between here.
        tokio::task::yield_now().await;
        let gate = self.0.lock().unwrap().held.get(&origin).cloned();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        let fate = self.store(origin, kept);
        tokio::task::yield_now().await;
        if fate == Fate::Stored {
            Ok(())
        } else {
            Err(StoreError::Missing(PathBuf::from("a disk that fails")))
        }
    }

    fn is_healthy(&self) -> bool {
        self.0.lock().unwrap().fates.is_empty()
    }

    fn newest_at_start(&self) -> UnixSeconds {
        self.0.lock().unwrap().newest_at_start
    }
}

/// A clock that stands where it is put, on a machine whose time since boot does, too.
#[derive(Clone)]
pub struct TestClock(Arc<Mutex<(u64, u64)>>);

impl TestClock {
    pub fn at(seconds: u64) -> Self {
        Self(Arc::new(Mutex::new((seconds, 1000))))
    }

    /// Moves the clock alone.
    pub fn set(&self, seconds: u64) {
        self.0.lock().unwrap().0 = seconds;
    }

    /// Lets time pass.
    pub fn pass(&self, seconds: u64) {
        let mut hands = self.0.lock().unwrap();
        *hands = (hands.0 + seconds, hands.1 + seconds);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.lock().unwrap().0)
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(self.0.lock().unwrap().1)
    }
}

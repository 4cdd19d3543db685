//! Stores in memory: one that works, and one that fails like a disk, before or after the bytes were written.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use keyglass_tlog::time::UnixSeconds;
use keyglass_witness::{
    clock::Clock,
    head::{Head, OriginHash},
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
    heads: HashMap<OriginHash, Vec<u8>>,
    /// Every head that was ever stored, in order.
    history: Vec<Head>,
    fates: VecDeque<Fate>,
    held: HashMap<OriginHash, Arc<Semaphore>>,
}

impl MemoryStore {
    /// Lets the next commits meet these fates.
    pub fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.0.lock().unwrap().fates.extend(fates);
    }

    fn store(&self, head: &Head) -> Fate {
        let mut inner = self.0.lock().unwrap();
        let fate = inner.fates.pop_front().unwrap_or(Fate::Stored);
        if fate != Fate::FailsBefore {
            inner.heads.insert(head.origin_hash(), head.encode());
            inner.history.push(head.clone());
        }
        fate
    }

    /// Lets commits for this log wait until permits are added, one each.
    pub fn hold(&self, origin: OriginHash) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.0.lock().unwrap().held.insert(origin, Arc::clone(&gate));
        gate
    }

    pub fn history(&self) -> Vec<Head> {
        self.0.lock().unwrap().history.clone()
    }
}

impl HeadStore for MemoryStore {
    fn load(&self, origin: OriginHash) -> Result<Option<Head>, StoreError> {
        let stored = self.0.lock().unwrap().heads.get(&origin).cloned();
        Ok(stored.map(|stored| Head::decode(origin, &stored).unwrap()))
    }

    async fn commit(&self, head: &Head) -> Result<(), StoreError> {
        // Whoever does not hold the log's turn gets in between here.
        tokio::task::yield_now().await;
        let gate = self.0.lock().unwrap().held.get(&head.origin_hash()).cloned();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        let fate = self.store(head);
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
}

/// A clock that stands where it is put.
#[derive(Clone)]
pub struct TestClock(Arc<Mutex<UnixSeconds>>);

impl TestClock {
    pub fn at(seconds: u64) -> Self {
        Self(Arc::new(Mutex::new(UnixSeconds(seconds))))
    }

    pub fn set(&self, seconds: u64) {
        *self.0.lock().unwrap() = UnixSeconds(seconds);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixSeconds {
        *self.0.lock().unwrap()
    }
}

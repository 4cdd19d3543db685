//! The overview, put together no more often than it can have changed: many readers cost little more than one.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use tokio::{sync::watch, time::Instant};

use super::Overview;
use crate::followed::Logs;

/// How long an overview in which nothing has changed but the time is shown.
const FRESH: Duration = Duration::from_millis(250);

/// An overview, and its JSON form once somebody has asked for it.
pub struct Snapshot {
    /// The overview.
    pub overview: Arc<Overview>,
    taken: Instant,
    change: u64,
    json: OnceLock<Bytes>,
}

impl Snapshot {
    /// The JSON form. An overview is numbers and texts: it has one.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| serde_json::to_vec(&*self.overview).unwrap_or_default().into()).clone()
    }
}

/// Where snapshots are taken.
pub struct Snapshots {
    logs: Arc<Logs>,
    changes: watch::Receiver<u64>,
    last: Mutex<Option<Arc<Snapshot>>>,
}

impl Snapshots {
    /// Of these logs.
    #[must_use]
    pub fn of(logs: Arc<Logs>) -> Self {
        Self { changes: logs.changes(), logs, last: Mutex::new(None) }
    }

    /// The overview as it is now, but for a moment.
    #[must_use]
    pub fn now(&self) -> Arc<Snapshot> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the overview is put together: what changes meanwhile is seen next time.
        let change = *self.changes.borrow();
        match &*last {
            Some(last) if last.change == change && last.taken.elapsed() < FRESH => Arc::clone(last),
            _ => {
                let (taken, json) = (Instant::now(), OnceLock::new());
                let overview = Arc::new(self.logs.overview());
                let snapshot = Arc::new(Snapshot { overview, taken, change, json });
                *last = Some(Arc::clone(&snapshot));
                snapshot
            }
        }
    }
}

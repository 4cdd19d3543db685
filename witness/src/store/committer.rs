//! One thread that writes. Heads of different logs that wait at the same time share a transaction, and so the one
//! expensive step, which is waiting for the disk.

use std::{
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use keyglass_tlog::{note::Vkey, time::UnixSeconds};
use tokio::sync::{mpsc, oneshot};

use super::{
    HeadStore, StoreError,
    database::{State, Summary},
};
use crate::{head::OriginHash, kept::Kept};

/// The most heads in one transaction, and the most that wait for one.
const MAX_BATCH: usize = 1024;

/// The state file, open. A std lock suffices: it is held for single reads and commits, never across an await.
type Shared = RwLock<Option<State>>;

/// Opens the state: at the start, and anew after a write has failed.
pub(super) type Open = Box<dyn Fn() -> Result<State, StoreError> + Send>;

struct Job {
    origin: OriginHash,
    kept: Vec<u8>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Heads in a redb file.
pub struct DurableStore {
    state: Arc<Shared>,
    healthy: Arc<AtomicBool>,
    summary: Summary,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl DurableStore {
    /// Opens the state in a data directory, which must be that of the witness with exactly these keys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(data: &Path, vkeys: &[&Vkey]) -> Result<Self, StoreError> {
        let data = data.to_owned();
        let vkeys: Vec<Vkey> = vkeys.iter().map(|vkey| (*vkey).clone()).collect();
        let open = move || State::open(&data, &vkeys);
        let state = open()?;
        // From here on the files are told apart from copies that were made of them until now.
        state.renew_counter()?;
        Self::start(state, Box::new(open))
    }

    pub(super) fn start(state: State, open: Open) -> Result<Self, StoreError> {
        let summary = state.summary();
        let path = state.path().to_owned();
        let state = Arc::new(RwLock::new(Some(state)));
        let healthy = Arc::new(AtomicBool::new(true));
        let (jobs, queue) = mpsc::channel(MAX_BATCH);
        let writer = Writer { open, state: Arc::clone(&state), healthy: Arc::clone(&healthy) };
        let thread =
            std::thread::Builder::new().name("committer".to_owned()).spawn(move || writer.run(queue));
        let thread =
            thread.map_err(|error| StoreError::Failed { path, source: Arc::new(redb::Error::Io(error)) })?;
        Ok(Self { state, healthy, summary, jobs: Some(jobs), thread: Some(thread) })
    }

    /// What the state said when it was opened.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary
    }
}

impl HeadStore for DurableStore {
    fn load(&self, origin: OriginHash) -> Result<Kept, StoreError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.as_ref().ok_or(StoreError::Closed)?.load(origin)
    }

    async fn commit(&self, origin: OriginHash, kept: &Kept) -> Result<(), StoreError> {
        let (done, committed) = oneshot::channel();
        let job = Job { origin, kept: kept.encode(), done };
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        committed.await.map_err(|_| StoreError::Closed)?
    }

    fn known(&self) -> Result<Vec<OriginHash>, StoreError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.as_ref().ok_or(StoreError::Closed)?.known()
    }

    fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    fn newest_at_start(&self) -> UnixSeconds {
        self.summary.newest
    }
}

impl Drop for DurableStore {
    /// Waits for commits that are under way.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    open: Open,
    state: Arc<Shared>,
    healthy: Arc<AtomicBool>,
}

impl Writer {
    /// Commits what comes until every sender is gone.
    fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut batch = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            batch.push(first);
            while batch.len() < MAX_BATCH
                && let Ok(job) = queue.try_recv()
            {
                batch.push(job);
            }
            let result = self.commit(&batch);
            if let Err(error) = &result {
                tracing::error!(%error, heads = batch.len(), "state was not stored, so nothing is cosigned");
            }
            self.healthy.store(result.is_ok(), Ordering::Relaxed);
            for job in batch.drain(..) {
                // Whoever asked may have gone; the head is stored all the same.
                let _ = job.done.send(result.clone());
            }
        }
        let state = self.state.write().unwrap_or_else(PoisonError::into_inner).take();
        // What is put back over the files from now on is told apart from them. If this fails, that is all that is lost.
        if let Some(Err(error)) = state.map(|state| state.renew_counter()) {
            tracing::warn!(%error, "the end was not noted down");
        }
    }

    fn commit(&self, batch: &[Job]) -> Result<(), StoreError> {
        self.reopen_if_closed()?;
        let result = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let heads = batch.iter().map(|job| (job.origin, job.kept.as_slice()));
            state.as_ref().ok_or(StoreError::Closed)?.commit(heads)
        };
        if result.is_err() {
            // After a failed write redb refuses all work: opening anew finds out what the disk really holds.
            *self.state.write().unwrap_or_else(PoisonError::into_inner) = None;
            if let Err(error) = self.reopen_if_closed() {
                tracing::error!(%error, "state cannot be opened again; the next request tries once more");
            }
        }
        result
    }

    fn reopen_if_closed(&self) -> Result<(), StoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.is_none() {
            *state = Some((self.open)()?);
        }
        Ok(())
    }
}

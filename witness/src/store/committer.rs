//! One thread that writes. Heads of different logs that wait at the same time share a transaction, and so the one
//! expensive step, which is waiting for the disk.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use keyglass_tlog::note::Vkey;
use tokio::sync::{mpsc, oneshot};

use super::{HeadStore, StoreError, database::State};
use crate::head::{Head, OriginHash};

/// The most heads in one transaction, and the most that wait for one.
const MAX_BATCH: usize = 1024;

/// The state file, open. A std lock suffices: it is held for single reads and commits, never across an await.
type Shared = RwLock<Option<State>>;

struct Job {
    origin: OriginHash,
    head: Vec<u8>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Heads in a redb file.
pub struct DurableStore {
    data: PathBuf,
    vkey: Vkey,
    state: Arc<Shared>,
    healthy: Arc<AtomicBool>,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl DurableStore {
    /// Opens the state in a data directory, which must be that of the witness with this key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(data: &Path, vkey: &Vkey) -> Result<Self, StoreError> {
        let state = Arc::new(RwLock::new(Some(State::open(data, vkey)?)));
        let healthy = Arc::new(AtomicBool::new(true));
        let (jobs, queue) = mpsc::channel(MAX_BATCH);
        let writer = Writer {
            data: data.to_owned(),
            vkey: vkey.clone(),
            state: Arc::clone(&state),
            healthy: Arc::clone(&healthy),
        };
        let thread =
            std::thread::Builder::new().name("committer".to_owned()).spawn(move || writer.run(queue));
        let thread = thread.map_err(|error| StoreError::Failed {
            path: data.to_owned(),
            source: Arc::new(redb::Error::Io(error)),
        })?;
        let (data, vkey) = (data.to_owned(), vkey.clone());
        Ok(Self { data, vkey, state, healthy, jobs: Some(jobs), thread: Some(thread) })
    }

    /// The directory that it keeps heads in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.data
    }

    /// The verifier key of the witness that it keeps heads for.
    #[must_use]
    pub fn vkey(&self) -> &Vkey {
        &self.vkey
    }
}

impl HeadStore for DurableStore {
    fn load(&self, origin: OriginHash) -> Result<Option<Head>, StoreError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.as_ref().ok_or(StoreError::Closed)?.load(origin)
    }

    async fn commit(&self, head: &Head) -> Result<(), StoreError> {
        let (done, committed) = oneshot::channel();
        let job = Job { origin: head.origin_hash(), head: head.encode(), done };
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        committed.await.map_err(|_| StoreError::Closed)?
    }

    fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
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
    data: PathBuf,
    vkey: Vkey,
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
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn commit(&self, batch: &[Job]) -> Result<(), StoreError> {
        self.reopen_if_closed()?;
        let result = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let heads = batch.iter().map(|job| (job.origin, job.head.as_slice()));
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
            *state = Some(State::open(&self.data, &self.vkey)?);
        }
        Ok(())
    }
}

//! Adding prepared batches to the trees, and committing them.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use keyglass_keytrans::{log_hash::LogHash, prefix_tree::TreeError};
use thiserror::Error;
use tokio::sync::watch;

use super::{
    Sequenced, State, Submission,
    entry::{NewVersions, Trees},
    prepare::Prepared,
};
use crate::{
    clock::Clock,
    pages::{Pages, TopPages},
    store::{CommitError, Store, StoreError},
};

/// Why a batch did not become a log entry.
#[derive(Debug, Error)]
enum IntegrateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("the prefix tree: {0}")]
    Tree(#[from] TreeError<StoreError>),
}

/// The thread that extends the log. It is the only one that commits, so it knows the head without asking.
pub(super) struct Integrator {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    trees: Trees,
    top_pages: TopPages,
    expiring: bool,
}

impl Integrator {
    /// Goes on with what is stored.
    pub(super) fn open(
        store: Arc<dyn Store>,
        hash: LogHash,
        clock: Arc<dyn Clock>,
        expiring: bool,
    ) -> Result<Self, StoreError> {
        let trees = Trees::open(&*store.snapshot()?, hash)?;
        Ok(Self { store, clock, trees, top_pages: TopPages::default(), expiring })
    }

    /// What is durable.
    pub(super) fn state(&self) -> State {
        State { size: self.trees.size(), timestamp: self.trees.timestamp(), failed: None }
    }

    /// Runs until no more batches can come, or a commit fails.
    pub(super) fn run(
        mut self,
        batches: &Receiver<Vec<Prepared>>,
        state: &watch::Sender<State>,
        heartbeat: Duration,
    ) {
        // Dropped last, so that whoever waits learns of the end even if this thread panics.
        let guard = PanicGuard { state };
        // A log's first entry is empty, and so is the first after a long rest.
        let mut next = self.is_due(heartbeat).then(Vec::new);
        let mut last_entry = Instant::now();
        loop {
            let wait = heartbeat.saturating_sub(last_entry.elapsed());
            let batch = match next.take().map_or_else(|| batches.recv_timeout(wait), Ok) {
                Ok(batch) => batch,
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = self.integrate(batch, state) {
                tracing::error!(%error, "sequencing stops: the process must be restarted");
                state.send_modify(|state| state.failed = Some(error.to_string().into()));
                break;
            }
            last_entry = Instant::now();
        }
        core::mem::forget(guard);
    }

    /// Whether the log has no entry yet, or its last is older than the heartbeat.
    fn is_due(&self, heartbeat: Duration) -> bool {
        let age = self.clock.now().0.saturating_sub(self.trees.timestamp());
        self.trees.size() == 0 || Duration::from_millis(age) >= heartbeat
    }

    /// Makes one log entry of a batch, which may be empty, and tells whoever waits.
    fn integrate(
        &mut self,
        batch: Vec<Prepared>,
        state: &watch::Sender<State>,
    ) -> Result<(), IntegrateError> {
        let position = self.trees.size();
        let mut replies = Vec::with_capacity(batch.len());
        let mut versions = Vec::with_capacity(batch.len());
        for Prepared { mut submission, values, leaves } in batch {
            let (label, record) = (submission.claim.label().to_vec(), submission.record.take());
            versions.push(NewVersions { label, record, first: submission.first_version, values, leaves });
            replies.push(submission);
        }
        let (batch, trees) = {
            let snapshot = self.store.snapshot()?;
            let source = Pages::new(&*snapshot, &self.top_pages);
            self.trees.extended(&source, self.clock.now(), versions, self.expiring)?
        };
        self.store.commit(position, &batch)?;

        self.top_pages.update(&batch.pages, &batch.superseded);
        self.trees = trees;
        let timestamp = self.trees.timestamp();
        state.send_modify(|state| (state.size, state.timestamp) = (position.saturating_add(1), timestamp));
        for Submission { claim, reply, room, .. } in replies {
            // Both go first: whoever is told may go on at once. Nobody may be listening any more.
            drop((claim, room));
            let _ = reply.send(Sequenced { position });
        }
        Ok(())
    }
}

/// Marks the sequencer as failed if its thread ends by a panic.
struct PanicGuard<'a> {
    state: &'a watch::Sender<State>,
}

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        self.state.send_modify(|state| state.failed = Some("the sequencer panicked".into()));
    }
}

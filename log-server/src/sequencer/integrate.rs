//! Adding prepared batches to the trees, and committing them.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use keyglass_keytrans::{
    log_hash::LogHash,
    log_tree::Appender,
    prefix_tree::{self, TreeError, TreeRoot},
    wire::PrefixLeaf,
};
use thiserror::Error;
use tokio::sync::watch;

use super::{Sequenced, State, Submission, prepare::Prepared};
use crate::{
    clock::Clock,
    log_tree,
    pages::{Pages, TopPages},
    store::{Batch, CommitError, EntryRecord, LabelRecord, LabelUpdate, Store, StoreError, VersionRecord},
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
    hash: LogHash,
    clock: Arc<dyn Clock>,
    log_tree: Appender,
    tree: TreeRoot,
    timestamp: u64,
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
        let (log_tree, last) = {
            let snapshot = store.snapshot()?;
            let size = snapshot.size()?;
            let last = match size.checked_sub(1) {
                None => EntryRecord { timestamp: 0, tree: TreeRoot::EMPTY },
                Some(last) => {
                    snapshot.entry(last)?.ok_or(StoreError::Corrupt("the last log entry is missing"))?
                }
            };
            (log_tree::appender(&*snapshot, hash, size)?, last)
        };
        let (tree, timestamp) = (last.tree, last.timestamp);
        Ok(Self { store, hash, clock, log_tree, tree, timestamp, top_pages: TopPages::default(), expiring })
    }

    /// What is durable.
    pub(super) fn state(&self) -> State {
        State { size: self.log_tree.size(), timestamp: self.timestamp, failed: None }
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
        let age = self.clock.now().0.saturating_sub(self.timestamp);
        self.log_tree.size() == 0 || Duration::from_millis(age) >= heartbeat
    }

    /// Makes one log entry of a batch, which may be empty, and tells whoever waits.
    fn integrate(
        &mut self,
        batch: Vec<Prepared>,
        state: &watch::Sender<State>,
    ) -> Result<(), IntegrateError> {
        let position = self.log_tree.size();
        let mut leaves: Vec<PrefixLeaf> = batch.iter().flat_map(|one| one.leaves.iter().copied()).collect();
        leaves.sort_unstable_by_key(|leaf| leaf.vrf_output);
        let next = {
            let snapshot = self.store.snapshot()?;
            let source = Pages::new(&*snapshot, &self.top_pages);
            prefix_tree::insert(&source, &self.tree, position, &leaves)?
        };
        // A clock that was set back does not take the log with it.
        let timestamp = self.clock.now().0.max(self.timestamp);
        let entry = EntryRecord { timestamp, tree: next.root };
        let mut log_tree = self.log_tree.clone();
        let nodes = log_tree.append(self.hash.leaf(timestamp, entry.tree.value()));

        let mut replies = Vec::with_capacity(batch.len());
        let mut labels = Vec::with_capacity(batch.len());
        let mut replaced = Vec::new();
        for Prepared { submission, values, leaves } in batch {
            let versions = values
                .into_iter()
                .zip(leaves)
                .map(|(opened, leaf)| VersionRecord { commitment: leaf.commitment, opened: Some(opened) });
            let versions: Vec<VersionRecord> = versions.collect();
            let greatest = greatest(submission.first_version, versions.len());
            let (record, moved) = match &submission.record {
                None => (LabelRecord::new(greatest, position), None),
                Some(record) => record.extended(greatest, position),
            };
            // From the greatest version before, if there was one, to the one before the greatest now.
            let below = submission.first_version.saturating_sub(1)..greatest;
            if self.expiring && !below.is_empty() {
                replaced.push((submission.claim.label().to_vec(), below));
            }
            labels.push(LabelUpdate { label: submission.claim.label().to_vec(), record, moved, versions });
            replies.push(submission);
        }
        let batch = Batch { entry, nodes, pages: next.pages, superseded: next.superseded, replaced, labels };
        self.store.commit(position, &batch)?;

        self.top_pages.update(&batch.pages, &batch.superseded);
        (self.log_tree, self.tree, self.timestamp) = (log_tree, entry.tree, timestamp);
        state.send_modify(|state| (state.size, state.timestamp) = (position.saturating_add(1), timestamp));
        for Submission { claim, reply, room, .. } in replies {
            // Both go first: whoever is told may go on at once. Nobody may be listening any more.
            drop((claim, room));
            let _ = reply.send(Sequenced { position });
        }
        Ok(())
    }
}

/// The last of `count` versions from `first` on; there is at least one, and all are within 32 bits.
fn greatest(first: u32, count: usize) -> u32 {
    let after = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_add(after)
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

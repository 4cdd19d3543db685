//! The update of every published log entry, for whoever audits the log.
//!
//! Nothing is stored for auditors: the change that an entry made is read out of the pages of the prefix tree before it and
//! of the one after it, which share all that did not change.

use std::sync::Arc;

use keyglass_account::problem::Problem;
use keyglass_keytrans::{
    config::CipherSuite,
    prefix_tree::{TreeError, TreeRoot},
    prover::auditor_update,
    wire::{AuditorUpdate, BatchAuditorUpdate, Wire as _, WireError},
};
use thiserror::Error;

use crate::{
    http::failure::Failure,
    log::Log,
    pages::{Pages, RecentPages},
    store::{Snapshot, StoreError},
};

/// The bytes after which an answer ends. It holds one update more than fits, so that there is always one.
pub const MAX_BYTES: usize = 4 << 20;
/// The most updates in an answer.
pub const MAX_UPDATES: u64 = 1024;

/// How many entries are read at a time.
const ENTRIES_AT_A_TIME: u64 = 128;
/// Pages that are remembered for one answer: those of one tree are those before the next. They are not shared with what
/// users ask for, which an auditor that reads the whole log would push out.
const PAGES: usize = 4096;

/// Consecutive updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updates {
    /// Their encodings, one after the other: `BatchAuditorUpdate` under suite 0xF001, `AuditorUpdate` under 0x0002.
    pub bytes: Vec<u8>,
    /// How many they are.
    pub count: u64,
    /// Whether they end at a bound and not at the published size, so that the same question has the same answer for ever.
    pub full: bool,
}

/// Why there are no updates.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UpdatesError {
    /// The log is shorter.
    #[error("the log has {size} entries")]
    Beyond {
        /// The published size.
        size: u64,
    },
    /// The prefix tree before the first of them is not kept any more.
    #[error("what entry {position} changed is not kept any more")]
    Pruned {
        /// The entry that was asked for.
        position: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The prefix trees could not be compared.
    #[error(transparent)]
    Tree(#[from] TreeError<StoreError>),
    /// An entry has more versions than its suite's updates hold.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// The updates of the published log from entry `from` on, as many as an answer holds; none if `from` is the log's size.
///
/// # Errors
/// [`UpdatesError`] as a failure.
pub async fn updates(log: &Arc<Log>, from: u64) -> Result<Updates, Failure> {
    let (size, suite) = (log.head()?.size, log.suite());
    log.read(move |snapshot| read(snapshot, suite, size, from)).await
}

/// The updates from entry `from` on of a log of `size` entries, all of which are sequenced. Blocks on the store.
///
/// # Errors
/// [`UpdatesError`].
pub fn read(
    snapshot: &dyn Snapshot,
    suite: CipherSuite,
    size: u64,
    from: u64,
) -> Result<Updates, UpdatesError> {
    if from > size {
        return Err(UpdatesError::Beyond { size });
    }
    // The change that an entry made is that from the tree of the one before.
    let kept = snapshot.pruned()?;
    if from < size && from.saturating_sub(1) < kept && kept > 0 {
        return Err(UpdatesError::Pruned { position: from });
    }
    let remembered = RecentPages::new(PAGES);
    let source = Pages::new(snapshot, &remembered);
    let end = size.min(from.saturating_add(MAX_UPDATES));
    let mut updates = Updates { bytes: Vec::new(), count: 0, full: false };
    let mut before = match from.checked_sub(1) {
        None => TreeRoot::EMPTY,
        Some(_) if from == size => return Ok(updates),
        Some(last) => snapshot.entry(last)?.ok_or(UpdatesError::Pruned { position: from })?.tree,
    };
    let mut position = from;
    while position < end {
        let next = end.min(position.saturating_add(ENTRIES_AT_A_TIME));
        let positions: Vec<u64> = (position..next).collect();
        for entry in snapshot.entries(&positions)? {
            if updates.bytes.len() >= MAX_BYTES {
                updates.full = true;
                return Ok(updates);
            }
            let entry = entry.ok_or(UpdatesError::Pruned { position: from })?;
            let update = auditor_update(&source, entry.timestamp, &before, &entry.tree)?;
            updates.bytes.extend_from_slice(&encode(suite, update)?);
            updates.count = updates.count.saturating_add(1);
            before = entry.tree;
        }
        position = next;
    }
    updates.full = updates.count == MAX_UPDATES;
    Ok(updates)
}

fn encode(suite: CipherSuite, update: BatchAuditorUpdate) -> Result<Vec<u8>, WireError> {
    match suite {
        CipherSuite::Tlog => update.encode(),
        CipherSuite::Draft => AuditorUpdate::try_from(update)?.encode(),
    }
}

impl From<UpdatesError> for Failure {
    fn from(error: UpdatesError) -> Self {
        let problem = match &error {
            UpdatesError::Beyond { .. } => Problem::LastBeyondTree,
            UpdatesError::Pruned { .. } => Problem::Pruned,
            UpdatesError::Store(_) | UpdatesError::Tree(_) | UpdatesError::Wire(_) => {
                // The words are for the operator, not for clients.
                tracing::error!(%error, source = ?core::error::Error::source(&error), "no updates could be made");
                return Self::new(Problem::Internal);
            }
        };
        Self::new(problem).because(error)
    }
}

#[cfg(test)]
mod tests;

//! Where heads are kept: one per log, durable before [`HeadStore::commit`] returns.

mod committer;
mod confirmation;
mod counter;
mod database;
mod identity;
mod meta;

use std::{path::PathBuf, sync::Arc};

use keyglass_tlog::time::UnixSeconds;
use thiserror::Error;

pub use self::{
    committer::DurableStore,
    confirmation::{ConfirmError, Confirmation, Report, Verdict, confirm},
    counter::COUNTER_FILE,
    database::create,
    meta::bind,
};
use crate::{
    head::OriginHash,
    kept::{Kept, KeptError},
};

/// The state's file within the data directory.
pub const STATE_FILE: &str = "witness.redb";

/// Why state cannot be read or written.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// The file is not there. Without it the witness does not know what it cosigned, and must not cosign.
    #[error("{}: the witness's state is missing; if it is lost, make a new witness with a new key", .0.display())]
    Missing(PathBuf),
    /// Another process has the file open.
    #[error("{}: another process is using this data directory", .0.display())]
    InUse(PathBuf),
    /// Not a state file of this program.
    #[error("{}: not the state of a witness", .0.display())]
    Foreign(PathBuf),
    /// The state of another key: the files of a data directory were mixed up.
    #[error("{}: the state of the witness {found}, but the keys here are {expected}", .path.display())]
    OtherWitness {
        /// The file.
        path: PathBuf,
        /// The vkeys in the state.
        found: String,
        /// The vkeys of the keys.
        expected: String,
    },
    /// Not the files that were written last: copies of them.
    #[error(
        "{}: not the file that this witness wrote last, but a copy, such as a backup; it may have signed more since. \
         `keyglass-witness confirm` says what to do",
        .0.display()
    )]
    Copied(PathBuf),
    /// A version of the state that this program does not know.
    #[error("{}: version {found} of the state, which this program does not know", .path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u64,
    },
    /// A head is not the one that was stored.
    #[error("{}: the head of the log with the origin hash {} is damaged: {source}", .path.display(), hex(.origin))]
    DamagedHead {
        /// The file.
        path: PathBuf,
        /// Which log's.
        origin: OriginHash,
        /// What is wrong with it.
        source: KeptError,
    },
    /// The database is damaged.
    #[error("{}: damaged: {source}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: Arc<redb::Error>,
    },
    /// The count of commits is damaged.
    #[error("{}: damaged", .0.display())]
    DamagedCount(PathBuf),
    /// Commits that were counted are not in the state: it is an older copy, or the last commit was undone.
    #[error(
        "{}: the state after {found} commits, but there were {counted}; a witness that went back would sign twice. \
         `keyglass-witness confirm` says what to do",
        .path.display()
    )]
    RolledBack {
        /// The file.
        path: PathBuf,
        /// The commits in the state.
        found: u64,
        /// The commits that were counted.
        counted: u64,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", .path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: Arc<redb::Error>,
    },
    /// The store was closed while the request waited.
    #[error("the store is closed")]
    Closed,
}

fn hex(origin: &OriginHash) -> String {
    origin.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keeps what a witness knows of each log.
pub trait HeadStore: Send + Sync + 'static {
    /// What was committed last for a log.
    ///
    /// # Errors
    /// [`StoreError`].
    fn load(&self, origin: OriginHash) -> Result<Kept, StoreError>;

    /// Replaces what is kept for a log. When this returns `Ok`, it survives the loss of power.
    ///
    /// After an error it is unknown whether it was stored: only [`HeadStore::load`] can say. The caller must be the only
    /// one to commit for this log until this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    fn commit(&self, origin: OriginHash, kept: &Kept) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The logs of which something is kept, in no order. None, for a store that only tests use.
    ///
    /// # Errors
    /// [`StoreError`].
    fn known(&self) -> Result<Vec<OriginHash>, StoreError> {
        Ok(Vec::new())
    }

    /// Whether the last commit, if any, succeeded.
    fn is_healthy(&self) -> bool;

    /// The latest time of any cosignature that the state had when it was opened.
    fn newest_at_start(&self) -> UnixSeconds;
}

#[cfg(test)]
mod tests;

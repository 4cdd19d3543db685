//! Where heads are kept: one per log, durable before [`HeadStore::commit`] returns.

mod committer;
mod counter;
mod database;

use std::{path::PathBuf, sync::Arc};

use thiserror::Error;

pub use self::{committer::DurableStore, counter::COUNTER_FILE, database::create};
use crate::head::{Head, HeadError, OriginHash};

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
    #[error("{}: the state of the witness {found}, but the key is that of {expected}", .path.display())]
    OtherWitness {
        /// The file.
        path: PathBuf,
        /// The vkey in the state.
        found: String,
        /// The vkey of the key.
        expected: String,
    },
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
        source: HeadError,
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
        "{}: the state after {found} commits, but there were {counted}; a witness that went back would sign twice",
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

/// Keeps the last head of each log.
pub trait HeadStore: Send + Sync + 'static {
    /// The head that was committed last for a log; `None` if there never was one.
    ///
    /// # Errors
    /// [`StoreError`].
    fn load(&self, origin: OriginHash) -> Result<Option<Head>, StoreError>;

    /// Replaces the head of its log. When this returns `Ok`, the head survives the loss of power.
    ///
    /// After an error it is unknown whether the head was stored: only [`HeadStore::load`] can say. The caller must be the
    /// only one to commit heads of this log until this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    fn commit(&self, head: &Head) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Whether the last commit, if any, succeeded.
    fn is_healthy(&self) -> bool;
}

//! What the log keeps, in its own words, and the rules that every backend obeys.
//!
//! A batch of updates is one log entry. [`Store::commit`] makes it durable in one atomic step, or not at all, and only
//! if the log has the size that the batch was made for. Everything that a commit writes except the record of a label
//! is written once and never changes, so readers need no lock; a [`Snapshot`] shows one moment to them. What leaves the
//! store leaves it by [`Store::erase`] and [`Store::prune`] alone.
//!
//! What is *sequenced* (committed) and what is *published* (its head carries a quorum of cosignatures) are kept apart:
//! [`Store::publish`] only ever moves the published head forward.
//!
//! Backends do blocking I/O: asynchronous callers use a blocking thread.

use keyglass_crypto::{commitment::OPENING_LEN, hash::Digest};
use keyglass_keytrans::{
    log_tree::NodeId,
    prefix_tree::{Page, PageKey, TreeRoot},
};
use thiserror::Error;

pub mod label;
pub mod memory;
pub mod rocksdb;

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub(crate) mod faulty;

pub use label::{Insertion, Known, LabelRecord};

/// A failure of the store. What it was asked to write may or may not be durable: read again before going on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The database or the disk failed; the words are the backend's own, for the operator.
    #[error("the store failed: {0}")]
    Backend(String),
    /// What was read is not what was once written.
    #[error("the store is corrupt: {0}")]
    Corrupt(&'static str),
}

/// Why a batch was not committed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommitError {
    /// The log has another size than the batch was made for. Nothing is written.
    #[error("the log has {actual} entries, not {expected}")]
    Conflict {
        /// The size that the batch was made for.
        expected: u64,
        /// The size of the log.
        actual: u64,
    },
    /// As it says: the batch may or may not be durable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a head was not published.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// A larger head is published already, or one of the same size with another root. Nothing is written.
    #[error("a head of {published} entries is published")]
    NotForward {
        /// The published size.
        published: u64,
    },
    /// The head is of more entries than are sequenced. Nothing is written.
    #[error("only {sequenced} entries are sequenced")]
    NotSequenced {
        /// The sequenced size.
        sequenced: u64,
    },
    /// As it says: the head may or may not be durable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A log entry and where its prefix tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRecord {
    /// Milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// The entry's version of the prefix tree: its root value, and the page that holds it.
    pub tree: TreeRoot,
}

/// One version of a label.
///
/// The prefix tree holds the commitment; it stands here too so that no search is needed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// The commitment in the prefix tree's leaf.
    pub commitment: Digest,
    /// What opens it; `None` once that was erased.
    pub opened: Option<OpenedValue>,
}

/// What opens the commitment of one version of a label.
///
/// Opening and value live and die together: a value whose opening is erased is no longer tied to its commitment, and
/// an opening without its value would let a guess at the value be confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedValue {
    /// The commitment's random part.
    pub opening: [u8; OPENING_LEN],
    /// The application's bytes.
    pub value: Vec<u8>,
}

/// A label's part of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelUpdate {
    /// The label.
    pub label: Vec<u8>,
    /// Its record after the batch.
    pub record: LabelRecord,
    /// Versions that get rows of their own, since the record has no room for them, and the position of all of them.
    pub moved: Option<(core::ops::Range<u32>, u64)>,
    /// The new versions, the last of them the record's greatest, each one before it the version before.
    pub versions: Vec<VersionRecord>,
}

/// Everything that one log entry adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The entry, at the position that was the log's size.
    pub entry: EntryRecord,
    /// The values of the log tree's full subtrees that the entry completes; the leaf is one.
    pub nodes: Vec<(NodeId, Digest)>,
    /// The pages of the new prefix tree that are new.
    pub pages: Vec<(PageKey, Page)>,
    /// The pages of the old prefix tree that the new one replaces: needed only while the old one may be searched.
    pub superseded: Vec<PageKey>,
    /// The versions that are not their labels' greatest any more: needed only while the entry is not expired. Empty in
    /// logs without a maximum lifetime.
    pub replaced: Vec<Replaced>,
    /// At most one update of any label.
    pub labels: Vec<LabelUpdate>,
}

/// Versions of a label that a log entry made others than the greatest.
pub type Replaced = (Vec<u8>, core::ops::Range<u32>);

/// What is deleted of expired log entries in one step, by exact keys. What is not there is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PruneBatch {
    /// Log entries, by position. The log tree's nodes stay.
    pub entries: Vec<u64>,
    /// Pages of prefix trees.
    pub pages: Vec<PageKey>,
    /// Versions of labels whose openings and values go. Their commitments stay.
    pub versions: Vec<(Vec<u8>, u32)>,
    /// Log entries whose lists of superseded pages go.
    pub superseded: Vec<u64>,
    /// Log entries whose lists of replaced versions go.
    pub replaced: Vec<u64>,
    /// With this, all that is to be pruned for the log entries before this position is. Smaller than before: no change.
    pub until: u64,
}

/// The head that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedHead {
    /// The number of log entries.
    pub size: u64,
    /// The log tree's root.
    pub root: Digest,
    /// `TreeHead.signature`: under 0xF001 the note's signature lines, the log's own and the witnesses'.
    pub signature: Vec<u8>,
}

/// The log's durable state.
pub trait Store: Send + Sync + 'static {
    /// The state at one moment, whatever is committed meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError>;

    /// Adds a log entry to a log of `expected_size` entries. When this returns `Ok`, the whole batch survives a crash;
    /// when the machine stops before, all of it is there afterwards or none.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] without effect; [`CommitError::Store`] with an effect that only a new snapshot tells.
    fn commit(&self, expected_size: u64, batch: &Batch) -> Result<(), CommitError>;

    /// Replaces the published head by a larger one, or by one of the same size and root with other signatures. Durable
    /// when this returns `Ok`.
    ///
    /// # Errors
    /// [`PublishError::NotForward`] or [`PublishError::NotSequenced`] without effect; [`PublishError::Store`].
    fn publish(&self, head: &PublishedHead) -> Result<(), PublishError>;

    /// Removes the opening and the value of a version; its commitment stays. When this returns `Ok`, the store's files
    /// do not hold them any more, not even as remains of something older. That takes a while: readers of earlier moments
    /// are waited for. Of a version that is not there nothing is removed; one that is erased already is cleaned up after
    /// once more, so that an erasure that was cut off can be repeated.
    ///
    /// # Errors
    /// [`StoreError`]: the version may or may not be erased for readers, and what it was may still be on the disk.
    fn erase(&self, label: &[u8], version: u32) -> Result<(), StoreError>;

    /// Deletes what has expired, in one atomic step. Of several that were done before a crash, those survive that were
    /// done before a certain one. Snapshots taken before still show what is deleted.
    ///
    /// # Errors
    /// [`StoreError`]: the batch may or may not be deleted, as a whole.
    fn prune(&self, batch: &PruneBatch) -> Result<(), StoreError>;

    /// Gives the disk back what pruning has deleted, where that is worth the work. It may take long.
    ///
    /// # Errors
    /// [`StoreError`].
    fn reclaim(&self) -> Result<(), StoreError>;
}

/// Reads of one moment, by exact keys. Each answer is in the order of its question.
pub trait Snapshot {
    /// The sequenced size.
    ///
    /// # Errors
    /// [`StoreError`].
    fn size(&self) -> Result<u64, StoreError>;

    /// The published head, once there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    fn published(&self) -> Result<Option<PublishedHead>, StoreError>;

    /// Log entries by position.
    ///
    /// # Errors
    /// [`StoreError`].
    fn entries(&self, positions: &[u64]) -> Result<Vec<Option<EntryRecord>>, StoreError>;

    /// Values of full subtrees of the log tree.
    ///
    /// # Errors
    /// [`StoreError`].
    fn nodes(&self, ids: &[NodeId]) -> Result<Vec<Option<Digest>>, StoreError>;

    /// Pages of prefix trees.
    ///
    /// # Errors
    /// [`StoreError`].
    fn pages(&self, keys: &[PageKey]) -> Result<Vec<Option<Page>>, StoreError>;

    /// Records of labels.
    ///
    /// # Errors
    /// [`StoreError`].
    fn labels(&self, labels: &[&[u8]]) -> Result<Vec<Option<LabelRecord>>, StoreError>;

    /// The positions of versions of a label that have rows of their own.
    ///
    /// # Errors
    /// [`StoreError`].
    fn moved_positions(&self, label: &[u8], versions: &[u32]) -> Result<Vec<Option<u64>>, StoreError>;

    /// Versions of a label; `None` for those that are not sequenced.
    ///
    /// # Errors
    /// [`StoreError`].
    fn versions(&self, label: &[u8], versions: &[u32]) -> Result<Vec<Option<VersionRecord>>, StoreError>;

    /// The pages that the log entry at `position` replaced.
    ///
    /// # Errors
    /// [`StoreError`].
    fn superseded(&self, position: u64) -> Result<Vec<PageKey>, StoreError>;

    /// The versions that the log entry at `position` made others than the greatest of their labels.
    ///
    /// # Errors
    /// [`StoreError`].
    fn replaced(&self, position: u64) -> Result<Vec<Replaced>, StoreError>;

    /// The position before which everything is pruned that is to be: the prefix trees of the log entries before it cannot
    /// be searched any more, those from it on can.
    ///
    /// # Errors
    /// [`StoreError`].
    fn pruned(&self) -> Result<u64, StoreError>;
}

impl dyn Snapshot + '_ {
    /// One log entry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entry(&self, position: u64) -> Result<Option<EntryRecord>, StoreError> {
        Ok(self.entries(&[position])?.pop().flatten())
    }

    /// One version of a label.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn version(&self, label: &[u8], version: u32) -> Result<Option<VersionRecord>, StoreError> {
        Ok(self.versions(label, &[version])?.pop().flatten())
    }

    /// One label's record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn label(&self, label: &[u8]) -> Result<Option<LabelRecord>, StoreError> {
        Ok(self.labels(&[label])?.pop().flatten())
    }

    /// The position of the log entry that added `version` of `label`; `None` if it is not sequenced.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn position_of(&self, label: &[u8], version: u32) -> Result<Option<u64>, StoreError> {
        match self.label(label)?.and_then(|record| record.position_of(version)) {
            None => Ok(None),
            Some(Known::Here(position)) => Ok(Some(position)),
            Some(Known::Before(_)) => self.moved_position(label, version).map(Some),
        }
    }

    /// The greatest version of `label` in the first `size` log entries.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn greatest_below(&self, label: &[u8], size: u64) -> Result<Option<u32>, StoreError> {
        let Some(record) = self.label(label)? else { return Ok(None) };
        let mut end = match record.greatest_below(size) {
            Known::Here(greatest) => return Ok(greatest),
            Known::Before(end) => end,
        };
        // Positions do not descend with the version: find the first version that lies too far right.
        let mut start = 0;
        while start < end {
            let middle = start.midpoint(end);
            if self.moved_position(label, middle)? < size {
                start = middle.saturating_add(1)
            } else {
                end = middle
            }
        }
        Ok(start.checked_sub(1))
    }

    fn moved_position(&self, label: &[u8], version: u32) -> Result<u64, StoreError> {
        let position = self.moved_positions(label, &[version])?.pop().flatten();
        position.ok_or(StoreError::Corrupt("a version of a label has no position"))
    }
}

/// The rule of [`Store::publish`].
fn check_forward(
    published: Option<&PublishedHead>,
    sequenced: u64,
    head: &PublishedHead,
) -> Result<(), PublishError> {
    if head.size > sequenced {
        return Err(PublishError::NotSequenced { sequenced });
    }
    match published {
        Some(old) if old.size > head.size || (old.size == head.size && old.root != head.root) => {
            Err(PublishError::NotForward { published: old.size })
        }
        _ => Ok(()),
    }
}

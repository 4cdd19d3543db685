//! Replaying entries: every leaf and every root is computed from what the log says it logged. Pure.

use std::collections::BTreeMap;

use keyglass_keytrans::{
    config::DeploymentMode,
    wire::{Context, LogEntry, Wire as _},
};
use keyglass_tlog::{
    Digest,
    rfc6962::{CompactTree, leaf_hash},
    tile::FULL_WIDTH,
    time::UnixMillis,
};
use thiserror::Error;

/// The length of an encoded LogEntry.
pub const ENTRY_LEN: usize = 40;

/// Why an entry cannot be the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("entry {position}: {cause}")]
pub struct ReplayError {
    /// The entry's position in the log.
    pub position: u64,
    /// What is wrong with it.
    pub cause: ReplayErrorCause,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplayErrorCause {
    /// It is not a LogEntry.
    #[error("not a log entry of {ENTRY_LEN} bytes")]
    Malformed,
    /// It is older than the one before ("Tree Construction": timestamps are monotonic).
    #[error("its timestamp {timestamp} is before {before}, that of the entry before it")]
    TimestampFalls {
        /// Its timestamp, in milliseconds.
        timestamp: u64,
        /// That of the entry before.
        before: u64,
    },
    /// No tree has more entries.
    #[error("the tree is full")]
    Full,
}

/// The hashes that entries added to the tree, for the tiles that hold them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewHashes(BTreeMap<(u8, u64), Row>);

/// The new hashes of one tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// How many hashes the tile had before.
    pub offset: u64,
    /// The hashes that follow them.
    pub hashes: Vec<Digest>,
}

impl NewHashes {
    /// The tile's level and index, and its new hashes.
    pub fn rows(&self) -> impl Iterator<Item = (u8, u64, &Row)> {
        self.0.iter().map(|((level, index), row)| (*level, *index, row))
    }

    fn push(&mut self, level: u8, index: u64, hash: Digest) {
        let width = u64::from(FULL_WIDTH);
        let row = self.0.entry((level, index / width));
        row.or_insert_with(|| Row { offset: index % width, hashes: Vec::new() }).hashes.push(hash);
    }
}

/// The log as far as its entries were replayed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replay {
    tree: CompactTree,
    last: Option<UnixMillis>,
}

impl Replay {
    /// Goes on from a tree whose last entry has the timestamp `last`, absent only for the empty tree.
    #[must_use]
    pub fn resume(tree: CompactTree, last: Option<UnixMillis>) -> Self {
        Self { tree, last }
    }

    /// The number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    /// The timestamp of the last entry.
    #[must_use]
    pub fn last_timestamp(&self) -> Option<UnixMillis> {
        self.last
    }

    /// Appends an entry; what it adds to the tree goes to `hashes`.
    ///
    /// # Errors
    /// [`ReplayError`]; then nothing was appended.
    pub fn append(&mut self, entry: &[u8], hashes: &mut NewHashes) -> Result<(), ReplayError> {
        let position = self.size();
        let fail = |cause| ReplayError { position, cause };
        // A log entry takes nothing from the context.
        let context = Context::new(DeploymentMode::ContactMonitoring);
        let decoded = LogEntry::decode(entry, context).map_err(|_| fail(ReplayErrorCause::Malformed))?;
        let timestamp = UnixMillis(decoded.timestamp);
        if let Some(before) = self.last.filter(|before| timestamp < *before) {
            let (timestamp, before) = (timestamp.0, before.0);
            return Err(fail(ReplayErrorCause::TimestampFalls { timestamp, before }));
        }
        let keep = |level: u8, index, hash: &Digest| {
            if level.is_multiple_of(8) {
                hashes.push(level / 8, index, *hash);
            }
        };
        self.tree.append_with(leaf_hash(entry), keep).map_err(|_| fail(ReplayErrorCause::Full))?;
        self.last = Some(timestamp);
        Ok(())
    }
}

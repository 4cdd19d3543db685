//! Replaying the updates of log entries: that each is the change which its entry made of the prefix tree, and one that the
//! log may make. Pure.

use std::collections::{BTreeMap, BTreeSet};

use keyglass_crypto::vrf::VrfOutput;
use keyglass_keytrans::{
    audit::{AuditError, AuditedLog},
    ibst,
    log_hash::LogHash,
    log_tree::LogTreeError,
    prefix_tree::PrefixProofError,
    wire::{BatchAuditorUpdate, LogEntry, PrefixLeaf, Reader, Wire, WireError, Writer},
};
use keyglass_tlog::{Digest, time::UnixMillis};
use thiserror::Error;

use crate::{trust::Trust, updates::Malformed};

/// What is wrong with the update of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// It is no update, or a larger one than this auditor takes.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// Step 1 of "Auditing": time does not go back.
    #[error("its timestamp is before that of the entry before it")]
    Timestamp,
    /// Step 3: a value that was published is another one now.
    #[error("it adds a leaf under a key that the prefix tree has already: a leaf is rewritten")]
    Rewrites,
    /// Steps 2, 3, 4, 6 and 7: it does not show a change.
    #[error("it does not prove a change of a prefix tree: {0}")]
    Unproven(PrefixProofError),
    /// Step 5: owners might not have seen what was there.
    #[error("it removes the leaf {} before a distinguished log entry has published it", hex::encode(.0))]
    RemovesEarly(VrfOutput),
    /// The log is full.
    #[error("no log tree has more entries")]
    Full,
    /// Step 6: something changed that no update has told.
    #[error("it changes another prefix tree than the one that the entry before it had")]
    OtherTreeBefore,
    /// The entry in the log's tree has another timestamp.
    #[error("its timestamp is {update}, and that of the entry in the log's tree is {entry}")]
    OtherTimestamp {
        /// The update's.
        update: u64,
        /// The entry's.
        entry: u64,
    },
    /// The entry in the log's tree has another prefix tree: the update leaves something out, or makes something up.
    #[error(
        "it leads to another prefix tree than the entry in the log's tree has: it leaves out or makes up a change"
    )]
    OtherTreeAfter,
    /// It leads to this entry, and the one in the log's tree is another, which the log did not hand out for comparison.
    #[error("it does not lead to the entry in the log's tree")]
    OtherEntry(LogEntry),
}

impl Fault {
    /// The stable name, as in a report.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(error) if error.is_limit() => "update_too_large",
            Self::Malformed(_) => "update_malformed",
            Self::Timestamp => "update_timestamp",
            Self::Rewrites => "update_rewrites",
            Self::Unproven(_) | Self::Full => "update_unproven",
            Self::RemovesEarly(_) => "update_removes_early",
            Self::OtherTreeBefore => "update_of_another_tree",
            Self::OtherTimestamp { .. } => "update_of_another_time",
            Self::OtherTreeAfter => "update_of_another_root",
            Self::OtherEntry(_) => "update_of_another_entry",
        }
    }

    /// What two entries that should be one differ in.
    #[must_use]
    pub fn of_difference(update: &LogEntry, entry: &LogEntry) -> Self {
        if update.timestamp == entry.timestamp {
            Self::OtherTreeAfter
        } else {
            Self::OtherTimestamp { update: update.timestamp, entry: entry.timestamp }
        }
    }
}

/// The first 16 bytes of a leaf's search key. Two keys that begin alike are taken for one, for which the later publication
/// counts: that only makes the rule about removals stricter, and no two keys of an honest log ever do.
pub type KeyStart = [u8; 16];

fn start_of(key: &VrfOutput) -> KeyStart {
    key.first_chunk().copied().unwrap_or_default()
}

/// The leaves that an entry put into the tree, ascending.
pub type Row = Vec<KeyStart>;

/// Where leaves were first published, as it is stored: a row for each entry right of the rightmost distinguished one.
///
/// The rule is that a leaf may be removed once a distinguished entry has published it, and an entry stays distinguished. So
/// where a leaf was first published is of no interest any more once a later distinguished entry is there: only the leaves of
/// the last Reasonable Monitoring Window or so need a place, 16 bytes each.
pub trait RecentlyPublished {
    /// Why it could not be read.
    type Error;

    /// The rightmost entry, if any, in whose row each of these keys is.
    ///
    /// # Errors
    /// As the store says.
    fn positions(&self, keys: &BTreeSet<KeyStart>) -> Result<BTreeMap<KeyStart, u64>, Self::Error>;
}

/// A replay as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditState {
    /// The first entry whose update was verified.
    pub start: u64,
    /// How many entries the log tree has.
    pub size: u64,
    /// The values of its full subtrees, left to right.
    pub full_subtrees: Vec<Digest>,
    /// The entries on the frontier of the implicit search tree.
    pub frontier: Vec<(u64, LogEntry)>,
}

/// No log tree has more full subtrees, nor a longer frontier.
const MAX_DEPTH: usize = 64;

impl Wire for AuditState {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        let count = |length: usize| u8::try_from(length).map_err(|_| WireError::TooLong);
        w.u64(self.start);
        w.u64(self.size);
        w.u8(count(self.full_subtrees.len())?);
        self.full_subtrees.iter().for_each(|value| w.bytes(value));
        w.u8(count(self.frontier.len())?);
        self.frontier.iter().try_for_each(|(position, entry)| {
            w.u64(*position);
            entry.write(w)
        })
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let (start, size) = (r.u64()?, r.u64()?);
        let mut full_subtrees = Vec::with_capacity(MAX_DEPTH);
        for _ in 0..r.u8()? {
            full_subtrees.push(r.array()?);
        }
        let mut frontier = Vec::with_capacity(MAX_DEPTH);
        for _ in 0..r.u8()? {
            frontier.push((r.u64()?, LogEntry::read(r)?));
        }
        Ok(Self { start, size, full_subtrees, frontier })
    }
}

/// Why an update was not replayed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReplayError<E: core::error::Error + 'static> {
    /// It is refused.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// What was stored of the replay cannot be read.
    #[error(transparent)]
    Store(E),
}

/// A log whose every change was verified, from its start to its size.
#[derive(Debug, Clone)]
pub struct Audit {
    hash: LogHash,
    log: AuditedLog,
    start: u64,
    frontier: BTreeMap<u64, LogEntry>,
    /// The position by which a leaf was published at the latest that is in no row; none while all leaves are in rows.
    settled: Option<u64>,
    /// The rows of entries that were replayed since this was made.
    rows: Vec<(u64, Row)>,
}

impl Audit {
    /// An audit that begins with the log.
    #[must_use]
    pub fn new(trust: &Trust) -> Self {
        let (hash, window) = bounds(trust);
        let (log, frontier) = (AuditedLog::new(hash, window), BTreeMap::new());
        Self { hash, log, start: 0, frontier, settled: None, rows: Vec::new() }
    }

    /// Goes on from what was stored.
    ///
    /// # Errors
    /// If it is not of one log.
    pub fn resume(trust: &Trust, state: &AuditState) -> Result<Self, AuditError> {
        let (hash, window) = bounds(trust);
        if state.start > state.size {
            return Err(LogTreeError::RetainedSize.into());
        }
        let log = AuditedLog::resume(hash, window, state.size, &state.full_subtrees, &state.frontier)?;
        let (start, frontier) = (state.start, state.frontier.iter().copied().collect());
        let settled = settled(&log, start);
        Ok(Self { hash, log, start, frontier, settled, rows: Vec::new() })
    }

    /// The first entry whose update counts.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// How many entries the log has, all of whose updates from the start on were verified.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.log.size()
    }

    /// The log tree's root; none before the first entry.
    #[must_use]
    pub fn root(&self) -> Option<Digest> {
        self.log.root()
    }

    /// The timestamp of the last entry.
    #[must_use]
    pub fn last_timestamp(&self) -> Option<UnixMillis> {
        self.frontier.last_key_value().map(|(_, entry)| UnixMillis(entry.timestamp))
    }

    /// What to store.
    #[must_use]
    pub fn state(&self) -> AuditState {
        AuditState {
            start: self.start,
            size: self.size(),
            full_subtrees: self.log.full_subtrees(),
            frontier: self.frontier.iter().map(|(position, entry)| (*position, *entry)).collect(),
        }
    }

    /// The rows of the entries that were replayed since [`Audit::new`] or [`Audit::resume`], as far as they are needed, and
    /// the position up to which no row is.
    #[must_use]
    pub fn rows(&self) -> (Vec<(u64, &Row)>, Option<u64>) {
        let settled = self.log.rightmost_distinguished();
        let needed = self.rows.iter().filter(|(position, row)| Some(*position) > settled && !row.is_empty());
        (needed.map(|(position, row)| (*position, row)).collect(), settled)
    }

    /// Takes note that state and rows are stored.
    pub fn stored(&mut self) {
        self.rows.clear();
        self.settled = settled(&self.log, self.start);
    }

    /// Replays the update of the next entry, of which `leaf` is the hash in the log tree where that is known.
    ///
    /// # Errors
    /// [`ReplayError`]; then nothing has changed.
    pub fn apply<P>(
        &mut self,
        update: &BatchAuditorUpdate,
        leaf: Option<&Digest>,
        recent: &P,
    ) -> Result<(), ReplayError<P::Error>>
    where
        P: RecentlyPublished<Error: core::error::Error + 'static>,
    {
        let known = self.published(update, recent).map_err(ReplayError::Store)?;
        let first = |leaf: &PrefixLeaf| known.get(&start_of(&leaf.vrf_output)).copied().or(self.settled);
        let mut log = self.log.clone();
        let audited = log.apply(update, first).map_err(refusal)?;
        let entry = audited.entry;
        if leaf.is_some_and(|leaf| *leaf != self.hash.leaf(entry.timestamp, &entry.prefix_tree)) {
            return Err(Fault::OtherEntry(entry).into());
        }
        self.log = log;
        self.frontier.insert(audited.position, entry);
        let frontier = ibst::frontier(self.log.size());
        self.frontier.retain(|position, _| frontier.contains(position));
        let stays = |leaf: &&PrefixLeaf| {
            update.removed.binary_search_by_key(&leaf.vrf_output, |removed| removed.vrf_output).is_ok_and(
                |index| {
                    update.removed.get(index).is_some_and(|removed| removed.commitment == leaf.commitment)
                },
            )
        };
        let put = update.added.iter().filter(|leaf| !stays(leaf)).map(|leaf| start_of(&leaf.vrf_output));
        self.rows.push((audited.position, put.collect()));
        Ok(())
    }

    /// Where the leaves that an update removes were first published, as far as that still matters.
    fn published<P: RecentlyPublished>(
        &self,
        update: &BatchAuditorUpdate,
        recent: &P,
    ) -> Result<BTreeMap<KeyStart, u64>, P::Error> {
        let removed: BTreeSet<KeyStart> =
            update.removed.iter().map(|leaf| start_of(&leaf.vrf_output)).collect();
        if removed.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut known = recent.positions(&removed)?;
        for (position, row) in &self.rows {
            known.extend(row.iter().filter(|key| removed.contains(*key)).map(|key| (*key, *position)));
        }
        Ok(known)
    }
}

/// The position by which a leaf was published at the latest that is in no row.
fn settled(log: &AuditedLog, start: u64) -> Option<u64> {
    // What was there before the start was published by the last entry before it.
    log.rightmost_distinguished().max(start.checked_sub(1))
}

fn bounds(trust: &Trust) -> (LogHash, u64) {
    (trust.suite().log_hash(), trust.configuration().reasonable_monitoring_window)
}

fn refusal(error: AuditError) -> Fault {
    match error {
        AuditError::Timestamp => Fault::Timestamp,
        AuditError::Change(PrefixProofError::AddedKeyIncluded) => Fault::Rewrites,
        AuditError::Change(error) => Fault::Unproven(error),
        AuditError::RemovedUnpublished(key) => Fault::RemovesEarly(key),
        AuditError::PrefixRoot => Fault::OtherTreeBefore,
        AuditError::State(_) => Fault::Full,
    }
}

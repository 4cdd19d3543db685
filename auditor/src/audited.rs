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
pub type Published = BTreeMap<KeyStart, u64>;

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

    /// Replays the updates of the next entries until one is refused; says which of them, and why. What comes before it is
    /// replayed. `leaves` are the hashes of these entries in the log tree, where that is known. `published` tells the rightmost
    /// entry, if any, in whose stored row each of some keys is: it is asked once, and only if leaves are removed.
    ///
    /// # Errors
    /// Those of `published`; then nothing has changed.
    pub fn replay<E>(
        &mut self,
        updates: &[BatchAuditorUpdate],
        leaves: Option<&[Digest]>,
        published: impl FnOnce(&BTreeSet<KeyStart>) -> Result<Published, E>,
    ) -> Result<Option<(usize, Fault)>, E> {
        let removed =
            updates.iter().flat_map(|update| &update.removed).map(|leaf| start_of(&leaf.vrf_output));
        let removed: BTreeSet<KeyStart> = removed.collect();
        let mut known = if removed.is_empty() { Published::new() } else { published(&removed)? };
        let here = |(position, row): &(u64, Row)| {
            let row = if removed.is_empty() { &[] } else { row.as_slice() };
            let keys = row.iter().filter(|key| removed.contains(*key));
            keys.map(|key| (*key, *position)).collect::<Vec<_>>()
        };
        known.extend(self.rows.iter().flat_map(here));
        for (i, update) in updates.iter().enumerate() {
            if let Err(fault) = self.apply(update, leaves.map(|leaves| leaves.get(i)), &known) {
                return Ok(Some((i, fault)));
            }
            known.extend(self.rows.last().into_iter().flat_map(here));
        }
        Ok(None)
    }

    /// Replays one update. Of its entry, `leaf` is the hash in the log tree, if there is such a tree.
    fn apply(
        &mut self,
        update: &BatchAuditorUpdate,
        leaf: Option<Option<&Digest>>,
        known: &Published,
    ) -> Result<(), Fault> {
        let first = |leaf: &PrefixLeaf| known.get(&start_of(&leaf.vrf_output)).copied().or(self.settled);
        let mut log = self.log.clone();
        let audited = log.apply(update, first).map_err(refusal)?;
        let entry = audited.entry;
        if leaf.is_some_and(|leaf| leaf != Some(&self.hash.leaf(entry.timestamp, &entry.prefix_tree))) {
            return Err(Fault::OtherEntry(entry));
        }
        self.log = log;
        self.frontier.insert(audited.position, entry);
        let frontier = ibst::frontier(self.log.size());
        self.frontier.retain(|position, _| frontier.contains(position));
        let stays = |leaf: &&PrefixLeaf| {
            let found =
                update.removed.binary_search_by_key(&leaf.vrf_output, |removed| removed.vrf_output).ok();
            found.and_then(|index| update.removed.get(index)) == Some(*leaf)
        };
        let put = update.added.iter().filter(|leaf| !stays(leaf)).map(|leaf| start_of(&leaf.vrf_output));
        self.rows.push((audited.position, put.collect()));
        Ok(())
    }
}

/// The position by which a leaf was published at the latest that is in no row.
fn settled(log: &AuditedLog, start: u64) -> Option<u64> {
    // Where leaves were published that were there before the start is not known. They count as published by the last entry
    // before it: the auditor vouches for no removal of which it does not know that owners could have seen the leaf.
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

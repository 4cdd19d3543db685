//! Deleting what has expired, in the background, while the log is served. Only logs with a maximum lifetime do so.
//!
//! A log entry is expired when the published head's last entry is younger by the maximum lifetime or more. Then these go:
//! - pages of prefix trees that only the trees of expired entries need;
//! - values and openings of versions whose successor's entry is expired: every search for them ends in "expired". A
//!   label's greatest version never expires, and commitments stay, since newer trees contain them;
//! - records of log entries that no operation asks for any more ([`retention`]), in whole entry bundles (C2SP
//!   tlog-tiles), so that the bundle that the first unexpired entry is in can still be served.
//!
//! The log tree's nodes stay: every head that was ever served can be proven to have been extended, to users who return
//! after any time and to witnesses. So does the tree of the last expired entry, against which auditors check the first
//! that is not.
//!
//! A request takes the published head first and reads afterwards. What is deleted is therefore what was expired under a
//! head that had been published for the [grace](Settings::grace): whoever began under an older one has ended.
//!
//! Everything goes in small batches, each of which is one atomic write that also says how far pruning has come
//! ([`Store::prune`]). After a crash the same is deleted once more, which does nothing.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use keyglass_keytrans::{prefix_tree::PageKey, retention};
use tokio::sync::watch;

use crate::store::{PruneBatch, Snapshot, Store, StoreError};

mod worker;

#[cfg(test)]
mod tests;

pub use worker::keep_pruned;

/// Log entries in an entry bundle.
const BUNDLE: u64 = 256;

/// How pruning goes about it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a head has been published before what expired under it is deleted. Longer than any request takes.
    pub grace: Duration,
    /// How often it is looked for something to delete while nothing is published.
    pub every: Duration,
    /// The most keys that one batch deletes.
    pub step: usize,
    /// The rest between two batches.
    pub pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(60),
            every: Duration::from_secs(60),
            step: 2000,
            pause: Duration::from_millis(5),
        }
    }
}

/// What was pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Everything before this log entry is pruned.
    pub position: u64,
    /// Log entries deleted since this process began.
    pub entries: u64,
    /// Pages of prefix trees deleted since this process began.
    pub pages: u64,
    /// Versions whose values were deleted since this process began.
    pub versions: u64,
    /// Whether the last attempt failed.
    pub failing: bool,
}

/// Tells up to which size of the log somebody has to be waited for: the tree before that size is kept, and all later
/// ones. `u64::MAX` if nobody is.
pub type Limit = Box<dyn Fn() -> u64 + Send + Sync>;

/// Prunes one log.
pub struct Pruner {
    store: Arc<dyn Store>,
    lifetime: u64,
    limit: Limit,
    settings: Settings,
    /// Where it is; read from the store at first, and after every failure.
    cursor: Option<Cursor>,
    status: watch::Sender<Status>,
}

/// The log entry that is being made superfluous.
struct Cursor {
    position: u64,
    /// What is still to be deleted for it; absent if that was not looked up yet.
    left: Option<VecDeque<Item>>,
}

/// Something to delete.
enum Item {
    Entry(u64),
    Page(PageKey),
    Version(Vec<u8>, u32),
    SupersededList(u64),
    ReplacedList(u64),
}

impl Pruner {
    /// Prunes a log whose entries live `lifetime` milliseconds.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, lifetime: u64, limit: Limit, settings: Settings) -> Self {
        Self { store, lifetime, limit, settings, cursor: None, status: watch::Sender::default() }
    }

    /// What was pruned, and every change of it.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// The first log entry whose tree is kept under a published head of `size` entries: the one before the first
    /// unexpired entry, or before the limit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn boundary(&self, size: u64) -> Result<u64, StoreError> {
        let snapshot = self.store.snapshot()?;
        let pruned = snapshot.pruned()?;
        let Some(last) = size.checked_sub(1).filter(|last| *last >= pruned) else { return Ok(pruned) };
        let timestamp = |position| {
            let entry = snapshot.entry(position)?;
            Ok(entry.ok_or(StoreError::Corrupt("a log entry is missing"))?.timestamp)
        };
        // What is pruned is expired, and need not be there: the search begins behind it.
        let rest = size.saturating_sub(pruned);
        let at = |offset: u64| timestamp(pruned.saturating_add(offset));
        let offset = retention::first_unexpired(rest, timestamp(last)?, self.lifetime, at)?;
        let first_needed = pruned.saturating_add(offset).min((self.limit)());
        Ok(first_needed.saturating_sub(1).max(pruned))
    }

    /// Deletes one batch of what only the trees and searches before `boundary` need; tells whether there is more.
    ///
    /// # Errors
    /// [`StoreError`]: the batch may or may not be deleted; the next step finds out.
    pub fn step(&mut self, boundary: u64) -> Result<bool, StoreError> {
        let result = self.try_step(boundary);
        self.status.send_modify(|status| status.failing = result.is_err());
        if result.is_err() {
            self.cursor = None;
        }
        result
    }

    fn try_step(&mut self, boundary: u64) -> Result<bool, StoreError> {
        let snapshot = self.store.snapshot()?;
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => Cursor { position: snapshot.pruned()?, left: None },
        };
        let mut batch = PruneBatch::default();
        let mut keys: usize = 0;
        while keys < self.settings.step && cursor.position < boundary {
            let left = match &mut cursor.left {
                Some(left) => left,
                None => cursor.left.insert(items(&*snapshot, cursor.position)?),
            };
            while keys < self.settings.step
                && let Some(item) = left.pop_front()
            {
                add(&mut batch, item);
                keys = keys.saturating_add(1);
            }
            if left.is_empty() {
                cursor = Cursor { position: cursor.position.saturating_add(1), left: None };
                // Positions where nothing changed cost a read.
                keys = keys.saturating_add(1);
            }
        }
        drop(snapshot);
        batch.until = cursor.position;
        let more = cursor.position < boundary;
        if keys > 0 {
            self.store.prune(&batch)?;
        }
        self.status.send_modify(|status| {
            status.position = batch.until;
            let grow = |count: &mut u64, more: usize| {
                *count = count.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
            };
            grow(&mut status.entries, batch.entries.len());
            grow(&mut status.pages, batch.pages.len());
            grow(&mut status.versions, batch.versions.len());
        });
        self.cursor = Some(cursor);
        Ok(more)
    }

    /// Gives the disk back what was deleted, where that is worth the work.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reclaim(&self) -> Result<(), StoreError> {
        self.store.reclaim()
    }
}

/// What nobody needs once the tree of the log entry at `position`, and all before it, are needed no more. The lists
/// come last: as long as they are there, everything in them can be found again.
fn items(snapshot: &dyn Snapshot, position: u64) -> Result<VecDeque<Item>, StoreError> {
    let next = position.saturating_add(1);
    let mut items = VecDeque::new();
    if next.is_multiple_of(BUNDLE) {
        let bundle = next.saturating_sub(BUNDLE)..next;
        // As if the next entry were the first unexpired one, which is at least that far right.
        items.extend(bundle.filter(|entry| !retention::keeps_entry(*entry, next)).map(Item::Entry));
    }
    let superseded = snapshot.superseded(next)?;
    let replaced = snapshot.replaced(position)?;
    let (has_superseded, has_replaced) = (!superseded.is_empty(), !replaced.is_empty());
    items.extend(superseded.into_iter().map(Item::Page));
    for (label, versions) in replaced {
        items.extend(versions.map(|version| Item::Version(label.clone(), version)));
    }
    items.extend(has_superseded.then_some(Item::SupersededList(next)));
    items.extend(has_replaced.then_some(Item::ReplacedList(position)));
    Ok(items)
}

fn add(batch: &mut PruneBatch, item: Item) {
    match item {
        Item::Entry(position) => batch.entries.push(position),
        Item::Page(key) => batch.pages.push(key),
        Item::Version(label, version) => batch.versions.push((label, version)),
        Item::SupersededList(position) => batch.superseded.push(position),
        Item::ReplacedList(position) => batch.replaced.push(position),
    }
}

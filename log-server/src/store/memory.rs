//! The log in memory, for tests and benchmarks: nothing survives the process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use keyglass_crypto::hash::Digest;
use keyglass_keytrans::{
    log_tree::NodeId,
    prefix_tree::{Page, PageKey},
};

use super::{
    Batch, CommitError, EntryRecord, LabelRecord, PruneBatch, PublishError, PublishedHead, Replaced,
    Snapshot, Store, StoreError, VersionRecord,
};

#[derive(Debug, Clone, Default)]
struct State {
    published: Option<PublishedHead>,
    entries: Vec<Option<EntryRecord>>,
    nodes: HashMap<NodeId, Digest>,
    pages: HashMap<PageKey, Page>,
    superseded: HashMap<u64, Vec<PageKey>>,
    replaced: HashMap<u64, Vec<Replaced>>,
    pruned: u64,
    labels: HashMap<Vec<u8>, LabelRecord>,
    moved: HashMap<(Vec<u8>, u32), u64>,
    versions: HashMap<(Vec<u8>, u32), VersionRecord>,
}

/// A store in memory.
///
/// The state is shared with its snapshots; a commit copies it only while a snapshot of the last one is alive.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<Arc<State>>,
}

impl MemoryStore {
    fn with<T>(&self, f: impl FnOnce(&mut Arc<State>) -> T) -> T {
        // A panic while the lock was held cannot have left the state half changed: it is replaced in one go.
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn size_of(state: &State) -> Result<u64, StoreError> {
    u64::try_from(state.entries.len()).map_err(|_| StoreError::Corrupt("the log is too long"))
}

impl Store for MemoryStore {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        Ok(Box::new(self.with(|state| Arc::clone(state))))
    }

    fn commit(&self, expected_size: u64, batch: &Batch) -> Result<(), CommitError> {
        self.with(|state| {
            let actual = size_of(state)?;
            if actual != expected_size {
                return Err(CommitError::Conflict { expected: expected_size, actual });
            }
            let state = Arc::make_mut(state);
            state.entries.push(Some(batch.entry));
            state.nodes.extend(batch.nodes.iter().copied());
            state.pages.extend(batch.pages.iter().cloned());
            state.superseded.insert(actual, batch.superseded.clone());
            state.replaced.insert(actual, batch.replaced.clone());
            for update in &batch.labels {
                if let Some((versions, position)) = &update.moved {
                    let rows = versions.clone().map(|version| ((update.label.clone(), version), *position));
                    state.moved.extend(rows);
                }
                let numbered = (0..=update.record.greatest()).rev().zip(update.versions.iter().rev());
                state
                    .versions
                    .extend(numbered.map(|(v, version)| ((update.label.clone(), v), version.clone())));
                state.labels.insert(update.label.clone(), update.record.clone());
            }
            Ok(())
        })
    }

    fn publish(&self, head: &PublishedHead) -> Result<(), PublishError> {
        self.with(|state| {
            super::check_forward(state.published.as_ref(), size_of(state)?, head)?;
            Arc::make_mut(state).published = Some(head.clone());
            Ok(())
        })
    }

    fn erase(&self, label: &[u8], version: u32) -> Result<(), StoreError> {
        self.with(|state| {
            if let Some(record) = Arc::make_mut(state).versions.get_mut(&(label.to_vec(), version)) {
                record.opened = None;
            }
            Ok(())
        })
    }

    fn prune(&self, batch: &PruneBatch) -> Result<(), StoreError> {
        self.with(|state| {
            let state = Arc::make_mut(state);
            for position in &batch.entries {
                let entry =
                    usize::try_from(*position).ok().and_then(|position| state.entries.get_mut(position));
                if let Some(entry) = entry {
                    *entry = None;
                }
            }
            for page in &batch.pages {
                state.pages.remove(page);
            }
            for version in &batch.versions {
                if let Some(record) = state.versions.get_mut(version) {
                    record.opened = None;
                }
            }
            for position in &batch.superseded {
                state.superseded.remove(position);
            }
            for position in &batch.replaced {
                state.replaced.remove(position);
            }
            state.pruned = state.pruned.max(batch.until);
            Ok(())
        })
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Snapshot for Arc<State> {
    fn size(&self) -> Result<u64, StoreError> {
        size_of(self)
    }

    fn published(&self) -> Result<Option<PublishedHead>, StoreError> {
        Ok(self.published.clone())
    }

    fn entries(&self, positions: &[u64]) -> Result<Vec<Option<EntryRecord>>, StoreError> {
        let at = |p: &u64| usize::try_from(*p).ok().and_then(|p| self.entries.get(p)).copied().flatten();
        Ok(positions.iter().map(at).collect())
    }

    fn nodes(&self, ids: &[NodeId]) -> Result<Vec<Option<Digest>>, StoreError> {
        Ok(ids.iter().map(|id| self.nodes.get(id).copied()).collect())
    }

    fn pages(&self, keys: &[PageKey]) -> Result<Vec<Option<Page>>, StoreError> {
        Ok(keys.iter().map(|key| self.pages.get(key).cloned()).collect())
    }

    fn labels(&self, labels: &[&[u8]]) -> Result<Vec<Option<LabelRecord>>, StoreError> {
        Ok(labels.iter().map(|label| self.labels.get(*label).cloned()).collect())
    }

    fn moved_positions(&self, label: &[u8], versions: &[u32]) -> Result<Vec<Option<u64>>, StoreError> {
        Ok(versions.iter().map(|version| self.moved.get(&(label.to_vec(), *version)).copied()).collect())
    }

    fn versions(&self, label: &[u8], versions: &[u32]) -> Result<Vec<Option<VersionRecord>>, StoreError> {
        Ok(versions.iter().map(|version| self.versions.get(&(label.to_vec(), *version)).cloned()).collect())
    }

    fn superseded(&self, position: u64) -> Result<Vec<PageKey>, StoreError> {
        Ok(self.superseded.get(&position).cloned().unwrap_or_default())
    }

    fn replaced(&self, position: u64) -> Result<Vec<Replaced>, StoreError> {
        Ok(self.replaced.get(&position).cloned().unwrap_or_default())
    }

    fn pruned(&self) -> Result<u64, StoreError> {
        Ok(self.pruned)
    }
}

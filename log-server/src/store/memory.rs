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
    Batch, CommitError, EntryRecord, LabelRecord, PublishError, PublishedHead, Snapshot, Store, StoreError,
    VersionRecord,
};

#[derive(Debug, Clone, Default)]
struct State {
    published: Option<PublishedHead>,
    entries: Vec<EntryRecord>,
    nodes: HashMap<NodeId, Digest>,
    pages: HashMap<PageKey, Page>,
    superseded: Vec<Vec<PageKey>>,
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
            state.entries.push(batch.entry);
            state.nodes.extend(batch.nodes.iter().copied());
            state.pages.extend(batch.pages.iter().cloned());
            state.superseded.push(batch.superseded.clone());
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
}

impl Snapshot for Arc<State> {
    fn size(&self) -> Result<u64, StoreError> {
        size_of(self)
    }

    fn published(&self) -> Result<Option<PublishedHead>, StoreError> {
        Ok(self.published.clone())
    }

    fn entries(&self, positions: &[u64]) -> Result<Vec<Option<EntryRecord>>, StoreError> {
        let at = |p: &u64| usize::try_from(*p).ok().and_then(|p| self.entries.get(p)).copied();
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
        let found = usize::try_from(position).ok().and_then(|position| self.superseded.get(position));
        Ok(found.cloned().unwrap_or_default())
    }
}

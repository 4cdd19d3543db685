//! Evidence in memory and on disk: verified before it is stored, stored before anybody acts on it.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

use keyglass_tlog::evidence::Evidence;
use thiserror::Error;

use crate::{
    decide::Tree,
    evidence::{EvidenceId, Held, NotEvidence},
    holdings::{Holdings, Offer, Summary},
    listing,
    store::{Store, StoreError},
    trust::Trust,
};

/// Why evidence was not kept.
#[derive(Debug, Clone, Error)]
pub enum NotKept {
    /// It convicts no known log.
    #[error(transparent)]
    NotEvidence(#[from] NotEvidence),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of evidence that convicts a known log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The evidence.
    pub held: Held,
    /// Whether it was not held before, and is now.
    pub new: bool,
}

/// Why nothing was resolved.
#[derive(Debug, Clone, Error)]
pub enum NotResolved {
    /// There is nothing to resolve.
    #[error("no unresolved evidence is held against this log")]
    NothingHeld,
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All evidence that a party holds. Its methods may wait for the disk.
pub struct Book {
    store: Store,
    trust: RwLock<Arc<Trust>>,
    holdings: RwLock<Holdings>,
    /// Held while something is decided and written.
    writing: Mutex<()>,
}

impl Book {
    /// Opens the file in a data directory, and verifies all of it again: logs may have other keys by now. What is not proven
    /// any more, or is about a log that is not known, stays on disk and counts for nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(data: &Path, trust: Trust) -> Result<Self, StoreError> {
        let store = Store::open(data)?;
        let holdings = load(&store, &trust)?;
        let (trust, holdings) = (RwLock::new(Arc::new(trust)), RwLock::new(holdings));
        Ok(Self { store, trust, holdings, writing: Mutex::new(()) })
    }

    /// Takes over other logs, keys and witnesses.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has changed then.
    pub fn replace_trust(&self, trust: Trust) -> Result<(), StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let holdings = load(&self.store, &trust)?;
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
        *self.holdings.write().unwrap_or_else(PoisonError::into_inner) = holdings;
        Ok(())
    }

    /// Whose signatures count.
    #[must_use]
    pub fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is held.
    pub fn holdings(&self) -> RwLockReadGuard<'_, Holdings> {
        self.holdings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Verifies evidence in text and keeps it, if it says something new.
    ///
    /// # Errors
    /// [`NotKept`].
    pub fn keep_text(&self, text: &[u8]) -> Result<Kept, NotKept> {
        self.keep_verified(|trust| Held::read(text, trust))
    }

    /// Verifies evidence and keeps it, if it says something new.
    ///
    /// # Errors
    /// [`NotKept`].
    pub fn keep(&self, evidence: Evidence) -> Result<Kept, NotKept> {
        self.keep_verified(|trust| Held::verify(evidence, trust))
    }

    /// Verification is part of the writing: no other trust comes between it and what is held.
    fn keep_verified(
        &self,
        verify: impl FnOnce(&Trust) -> Result<Held, NotEvidence>,
    ) -> Result<Kept, NotKept> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let held = verify(&self.trust())?;
        let Offer::New { instead_of } = self.holdings().offer(&held) else {
            return Ok(Kept { held, new: false });
        };
        self.store.put(&held.id(), held.text(), instead_of.as_ref())?;
        let mut holdings = self.holdings.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(deleted) = instead_of {
            holdings.forget(&deleted);
        }
        holdings.hold(&held);
        Ok(Kept { held, new: true })
    }

    /// The evidence for which nothing of this log is to be cosigned, until it is resolved.
    #[must_use]
    pub fn stops(&self, origin: &str) -> Option<Summary> {
        self.holdings().stops(origin).cloned()
    }

    /// The list of what is held, from after this name.
    #[must_use]
    pub fn listing(&self, after: Option<EvidenceId>) -> String {
        listing::format(&self.holdings(), after)
    }

    /// The text of evidence that is held.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn text(&self, id: &EvidenceId) -> Result<Option<String>, StoreError> {
        if self.holdings().has(id) { self.store.get(id) } else { Ok(None) }
    }

    /// Notes down that an operator has dealt with all evidence that is held against a log. `own` is the tree that this party
    /// goes on from; see [`Resolved`](crate::holdings::Resolved). `record` says who, when and why; it is kept. Gives the
    /// evidence that is resolved by it.
    ///
    /// # Errors
    /// [`NotResolved`].
    pub fn resolve(
        &self,
        origin: &str,
        own: Option<&Tree>,
        record: &str,
    ) -> Result<Vec<Summary>, NotResolved> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut holdings = self.holdings.write().unwrap_or_else(PoisonError::into_inner);
        if holdings.stops(origin).is_none() {
            return Err(NotResolved::NothingHeld);
        }
        let resolved = holdings.resolution(origin, own);
        self.store.resolve(origin, &resolved, record)?;
        holdings.resolve(origin, resolved);
        Ok(holdings.about(origin).to_vec())
    }

    /// The records of all resolutions, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn resolutions(&self) -> Result<Vec<String>, StoreError> {
        self.store.resolutions()
    }
}

fn load(store: &Store, trust: &Trust) -> Result<Holdings, StoreError> {
    let mut holdings = Holdings::default();
    store.for_each(|id, text| match Held::read(text.as_bytes(), trust) {
        // A policy with other witnesses, or in another order, gives evidence another canonical form. What is stored stays: it
        // may have lines of witnesses that come back.
        Ok(held) => holdings.hold(&held.stored_as(id, text)),
        Err(error) => tracing::warn!(%id, %error, "evidence does not count under the policy now"),
    })?;
    for (origin, resolved) in store.resolved()? {
        holdings.resolve(&origin, resolved);
    }
    Ok(holdings)
}

#[cfg(test)]
mod tests;

//! Which labels have an update under way. A label has at most one.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// The labels whose updates are neither committed nor refused yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending(Arc<Mutex<HashSet<Vec<u8>>>>);

impl Pending {
    /// Claims a label; `None` while somebody else holds it.
    pub(super) fn claim(&self, label: &[u8]) -> Option<Claim> {
        let fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(label.to_vec());
        fresh.then(|| Claim { pending: self.clone(), label: label.to_vec() })
    }
}

/// The right to update a label, given back when dropped. While it is held, the label's record does not change.
#[derive(Debug)]
pub(super) struct Claim {
    pending: Pending,
    label: Vec<u8>,
}

impl Claim {
    /// The label.
    pub(super) fn label(&self) -> &[u8] {
        &self.label
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.pending.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_claimed_once_until_given_back() {
        let pending = Pending::default();
        let claim = pending.claim(b"bob").unwrap();
        assert!(pending.claim(b"bob").is_none());
        assert!(pending.claim(b"alice").is_some());
        drop(claim);
        assert!(pending.claim(b"bob").is_some());
    }
}

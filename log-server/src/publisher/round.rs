//! One head and the cosignatures for it.

use std::sync::Arc;

use keyglass_tlog::{note::SignatureLine, policy::Name};
use tokio::time::Instant;

use super::{
    Settings,
    head::{Cosignatures, SignedHead},
};

/// A head that the witnesses are asked about.
pub(super) struct Round {
    head: Arc<SignedHead>,
    asked: usize,
    cosignatures: Cosignatures,
    /// Whether there is something that was not tried to be published yet.
    due: bool,
    began: Instant,
    published_at: Option<Instant>,
}

impl Round {
    /// The round of a new head; `asked` witnesses are asked.
    pub(super) fn new(head: SignedHead, asked: usize) -> Self {
        // Under `quorum none` no answer has to come first.
        Self {
            head: Arc::new(head),
            asked,
            cosignatures: Cosignatures::new(),
            due: true,
            began: Instant::now(),
            published_at: None,
        }
    }

    /// The round of a head that is published with these cosignatures.
    pub(super) fn resumed(head: SignedHead, asked: usize, cosignatures: Cosignatures) -> Self {
        let now = Instant::now();
        Self { cosignatures, due: false, published_at: Some(now), ..Self::new(head, asked) }
    }

    pub(super) fn head(&self) -> &SignedHead {
        &self.head
    }

    pub(super) fn head_shared(&self) -> Arc<SignedHead> {
        Arc::clone(&self.head)
    }

    pub(super) fn size(&self) -> u64 {
        self.head.size
    }

    pub(super) fn cosignatures(&self) -> &Cosignatures {
        &self.cosignatures
    }

    /// Adds a cosignature that has been verified.
    pub(super) fn add(&mut self, name: Name, line: SignatureLine) {
        self.due |= self.cosignatures.insert(name, line.clone()).as_ref() != Some(&line);
    }

    /// Whether cosignatures have come since the last attempt to publish; asking counts as the attempt.
    pub(super) fn is_due(&mut self) -> bool {
        core::mem::replace(&mut self.due, false)
    }

    pub(super) fn published(&mut self) {
        self.published_at.get_or_insert_with(Instant::now);
    }

    /// When to turn to a newer head, if one waits.
    pub(super) fn ends_at(&self, settings: &Settings) -> Instant {
        match self.published_at {
            Some(at) if self.cosignatures.len() >= self.asked => at,
            Some(at) => at.checked_add(settings.grace).unwrap_or(at),
            None => self.began.checked_add(settings.patience).unwrap_or(self.began),
        }
    }
}

//! One head and the cosignatures for it.

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::Instant;

use super::{
    Settings,
    coordinator::Answer,
    head::{Cosignatures, SignedHead},
};

/// A head that the witnesses are asked about.
pub(super) struct Round {
    head: Arc<SignedHead>,
    /// The workers whose answer the grace is for and has not come yet.
    expected: BTreeSet<usize>,
    cosignatures: Cosignatures,
    /// Whether there is something that was not tried to be published yet.
    due: bool,
    began: Instant,
    published_at: Option<Instant>,
}

impl Round {
    /// The round of a new head, with the workers that are likely to answer soon.
    pub(super) fn new(head: SignedHead, expected: BTreeSet<usize>) -> Self {
        // Under `quorum none` no answer has to come first.
        Self {
            head: Arc::new(head),
            expected,
            cosignatures: Cosignatures::new(),
            due: true,
            began: Instant::now(),
            published_at: None,
        }
    }

    /// The round of a head that is published with these cosignatures, and `due` to be published anew or not.
    pub(super) fn resumed(head: SignedHead, cosignatures: Cosignatures, due: bool) -> Self {
        let published_at = Some(Instant::now());
        Self { cosignatures, due, published_at, ..Self::new(head, BTreeSet::new()) }
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

    pub(super) fn expected(&self) -> &BTreeSet<usize> {
        &self.expected
    }

    /// Adds cosignatures that have been verified.
    pub(super) fn answered(&mut self, answer: Answer) {
        self.expected.remove(&answer.worker);
        for (name, line) in answer.lines {
            self.due |= self.cosignatures.insert(name, line.clone()).as_ref() != Some(&line);
        }
    }

    /// When to publish what has come: at once as long as nothing of this head is published; further cosignatures in one go,
    /// since each publication waits for the disk.
    pub(super) fn due_at(&self, settings: &Settings) -> Option<Instant> {
        self.due.then(|| self.published_at.map_or(self.began, |at| self.grace_ends(at, settings)))
    }

    /// Whether that time has come; asking counts as the attempt.
    pub(super) fn is_due(&mut self, now: Instant, settings: &Settings) -> bool {
        let due = self.due_at(settings).is_some_and(|at| at <= now);
        self.due &= !due;
        due
    }

    pub(super) fn published(&mut self) {
        self.published_at.get_or_insert_with(Instant::now);
    }

    /// When to turn to a newer head, if one waits.
    pub(super) fn ends_at(&self, settings: &Settings) -> Instant {
        match self.published_at {
            Some(at) => self.grace_ends(at, settings),
            None => self.began.checked_add(settings.patience).unwrap_or(self.began),
        }
    }

    fn grace_ends(&self, published_at: Instant, settings: &Settings) -> Instant {
        if self.expected.is_empty() {
            return published_at;
        }
        published_at.checked_add(settings.grace).unwrap_or(published_at)
    }
}

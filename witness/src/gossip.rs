//! The witness among its peers: what it shows them, and what it does when evidence reaches it.

use std::sync::Arc;

use keyglass_gossip::{
    book::Book,
    evidence::Held,
    net::{Host, Outcome},
};
use keyglass_tlog::note::SignedNote;

use crate::{clock::Clock, metrics::Metrics, service::Witness, store::HeadStore};

/// A witness that gossips.
pub struct Gossiper<S, C> {
    witness: Arc<Witness<S, C>>,
    book: Arc<Book>,
    metrics: Arc<Metrics>,
}

impl<S: HeadStore, C: Clock> Gossiper<S, C> {
    /// The witness, which was given this book ([`Witness::with_evidence`]).
    #[must_use]
    pub fn new(witness: Arc<Witness<S, C>>, book: Arc<Book>, metrics: Arc<Metrics>) -> Self {
        Self { witness, book, metrics }
    }
}

impl<S: HeadStore, C: Clock> Host for Gossiper<S, C> {
    fn book(&self) -> &Book {
        &self.book
    }

    async fn head(&self, origin: &str) -> Option<SignedNote> {
        self.witness.own_head(origin)
    }

    async fn convicted(&self, held: &Held) {
        let faulty: Vec<String> = held.faulty_witnesses().iter().map(ToString::to_string).collect();
        tracing::error!(
            origin = held.origin(),
            evidence = %held.id(),
            kind = held.kind(),
            faulty_witnesses = ?faulty,
            "the log signed two histories: nothing more of it is cosigned until `keyglass-witness resolve`"
        );
        self.witness.count_evidence();
    }

    fn observe(&self, outcome: Outcome) {
        self.metrics.gossip().observe(outcome);
    }
}

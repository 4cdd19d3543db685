//! One round with one peer: its evidence first, then its heads.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use keyglass_tlog::{evidence, note::MAX_NOTE_LEN, witness::checkpoint_path};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use super::{
    http::{Fetch, FetchError},
    rounds::{Host, Outcome},
};
use crate::{
    book::{Book, Kept, NotKept},
    evidence::{EvidenceId, NotEvidence},
    head::Head,
    listing::{self, MAX_LISTED, MAX_LISTING_LEN},
    node::{Comparison, Node, PeerId, Step, Taken},
    peers::Peer,
};

/// The most logs that a peer is asked about in one round: all have their turn.
const MAX_HEADS: usize = 64;
/// Pieces of evidence that are verified and stored at a time.
pub(super) const KEEPING: u32 = 4;

/// What rounds and comparisons are made with.
pub(super) struct Asker<H> {
    pub(super) host: Arc<H>,
    pub(super) node: Arc<Mutex<Node>>,
    pub(super) fetch: Fetch,
    /// [`KEEPING`] permits: whoever has all of them knows that nothing is being kept.
    pub(super) keeping: Arc<Semaphore>,
    /// What takes the tiles of a log is not part of a round with a peer.
    pub(super) comparisons: mpsc::Sender<Comparison>,
}

impl<H> Clone for Asker<H> {
    fn clone(&self) -> Self {
        Self {
            host: Arc::clone(&self.host),
            node: Arc::clone(&self.node),
            fetch: self.fetch.clone(),
            keeping: Arc::clone(&self.keeping),
            comparisons: self.comparisons.clone(),
        }
    }
}

/// A conversation with a peer, which may take so much time in all. What this party does meanwhile is not counted.
struct Talk<'a> {
    fetch: &'a Fetch,
    peer: &'a Peer,
    left: Duration,
}

impl Talk<'_> {
    async fn get(&mut self, path: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        let started = Instant::now();
        let answer = tokio::time::timeout(self.left, self.fetch.get(self.peer.url(), path, limit)).await;
        self.left = self.left.saturating_sub(started.elapsed());
        answer.unwrap_or(Err(FetchError::Deadline))
    }
}

impl<H: Host> Asker<H> {
    pub(super) fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a peer for all that a round is for.
    ///
    /// # Errors
    /// The peer did not do its part.
    pub(super) async fn round(&self, id: PeerId, peer: &Peer, most: Duration) -> Result<(), FetchError> {
        let mut talk = Talk { fetch: &self.fetch, peer, left: most };
        self.evidence(id, &mut talk).await?;
        let trust = self.host.book().trust();
        let origins = self.node().logs_to_ask(id, &trust, MAX_HEADS);
        for origin in origins {
            self.own(&origin).await;
            match talk.get(&checkpoint_path(&origin), MAX_NOTE_LEN).await {
                Ok(note) => self.head(id, peer, &origin, &note).await,
                // It has no head of this log.
                Err(FetchError::Status(404)) => self.host.observe(Outcome::NoHead),
                // What is wrong with this log at that peer is not wrong with the others.
                Err(FetchError::Status(_) | FetchError::TooLong { .. }) => {
                    self.host.observe(Outcome::BadHead);
                }
                Err(error) => return Err(error),
            }
            let step = self.node().retry(&origin);
            self.take(step).await;
        }
        Ok(())
    }

    /// Lists a peer's evidence, and fetches what is new.
    async fn evidence(&self, id: PeerId, talk: &mut Talk<'_>) -> Result<(), FetchError> {
        let after = self.node().list_after(id);
        let path = after
            .map_or_else(|| listing::PATH.to_owned(), |after| format!("{}?after={after}", listing::PATH));
        let text = match talk.get(&path, MAX_LISTING_LEN).await {
            // A witness that does not gossip is still worth comparing heads with.
            Err(FetchError::Status(404)) => return Ok(()),
            answer => answer?,
        };
        let Ok(listed) = listing::parse(&text) else {
            self.host.observe(Outcome::BadListing);
            return Ok(());
        };
        let (book, full) = (self.host.book(), listed.len() >= MAX_LISTED);
        let trust = book.trust();
        let wanted = self.node().to_fetch(id, &listed, full, &trust, &book.holdings());
        for name in wanted {
            let path = format!("{}/{name}", listing::PATH);
            match talk.get(&path, evidence::MAX_LEN).await {
                Ok(text) => self.evidence_text(id, name, text).await,
                Err(error @ (FetchError::Status(_) | FetchError::TooLong { .. })) => {
                    tracing::debug!(peer = talk.peer.name(), %name, %error, "evidence that is listed is not there");
                    self.node().fetched(id, name, Taken::Refused);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn evidence_text(&self, id: PeerId, name: EvidenceId, text: Vec<u8>) {
        let taken = match self.keep(move |book| book.keep_text(&text)).await {
            Some(Ok(kept)) if kept.new => Taken::New,
            Some(Ok(_) | Err(NotKept::NotEvidence(NotEvidence::UnknownOrigin))) => Taken::NotNeeded,
            Some(Err(NotKept::NotEvidence(error))) => {
                tracing::debug!(%name, %error, "a peer's evidence convicts nobody");
                self.host.observe(Outcome::ForgedEvidence);
                Taken::Refused
            }
            // Not the peer's fault, and to be tried again.
            Some(Err(NotKept::Store(error))) => {
                return tracing::error!(%error, "evidence was not stored");
            }
            None => return,
        };
        self.node().fetched(id, name, taken);
    }

    /// Takes this party's own head into account.
    async fn own(&self, origin: &str) {
        let Some(note) = self.host.head(origin).await else { return };
        if let Ok(head) = Head::verify(&note, &self.host.book().trust()) {
            let step = self.node().learn_own(&Arc::new(head));
            self.take(step).await;
        }
    }

    async fn head(&self, from: PeerId, peer: &Peer, origin: &str, note: &[u8]) {
        match Head::read(note, &self.host.book().trust()) {
            Ok(head) if head.origin() == origin => {
                self.host.observe(Outcome::Head);
                self.host.heard(peer, &head).await;
                let step = self.node().learn(from, &Arc::new(head));
                self.take(step).await;
            }
            Ok(_) | Err(_) => self.host.observe(Outcome::BadHead),
        }
    }

    /// Goes through with a step, or has that done.
    async fn take(&self, step: Step) {
        match step {
            Step::Done => {}
            Step::Evidence(evidence) => self.found(*evidence).await,
            Step::Compare(comparison) => {
                if let Err(error) = self.comparisons.try_send(comparison) {
                    self.leave_open(&error.into_inner());
                }
            }
        }
    }

    /// A comparison that cannot be made now is made when it is its turn again.
    pub(super) fn leave_open(&self, comparison: &Comparison) {
        // This party's own head comes with every round.
        if comparison.from.is_some() {
            let step = self.node().related(comparison, None);
            debug_assert_eq!(step, Step::Done, "what was not compared proves nothing");
        }
    }

    /// Keeps evidence that was found here.
    pub(super) async fn found(&self, evidence: evidence::Evidence) {
        if let Some(Err(error)) = self.keep(move |book| book.keep(evidence)).await {
            tracing::error!(%error, "evidence was not kept");
        }
    }

    /// Keeps evidence, and has everybody know who should. That goes on to its end, also if whoever began it is stopped: what is
    /// stored and not told would be told by nobody. `None` if it panicked, which was reported.
    async fn keep(
        &self,
        keep: impl FnOnce(&Book) -> Result<Kept, NotKept> + Send + 'static,
    ) -> Option<Result<Kept, NotKept>> {
        let permit = Arc::clone(&self.keeping).acquire_owned().await.ok()?;
        let asker = self.clone();
        let told = async move {
            let host = Arc::clone(&asker.host);
            let kept = tokio::task::spawn_blocking(move || keep(host.book())).await.ok()?;
            if let Ok(kept) = &kept {
                asker.node().kept(&kept.held);
                if kept.new {
                    asker.host.convicted(&kept.held).await;
                }
            }
            drop(permit);
            Some(kept)
        };
        tokio::spawn(told).await.ok().flatten()
    }
}

/// What peers are called within one process: by their place among all that were ever configured.
#[derive(Default)]
pub(super) struct Numbers(BTreeMap<String, u32>);

impl Numbers {
    pub(super) fn of(&mut self, peer: &Peer) -> PeerId {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        PeerId(*self.0.entry(peer.url().to_owned()).or_insert(next))
    }
}

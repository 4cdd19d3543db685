//! One round with one peer: its evidence first, then its heads.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use keyglass_tlog::{
    evidence,
    note::MAX_NOTE_LEN,
    relate::{nodes_to_relate, relate},
    witness::checkpoint_path,
};

use super::{
    http::{Fetch, FetchError},
    rounds::{Host, Outcome},
    tiles,
};
use crate::{
    book::NotKept,
    evidence::{EvidenceId, NotEvidence},
    head::Head,
    listing::{self, MAX_LISTED, MAX_LISTING_LEN},
    node::{Comparison, Node, PeerId, Step, THE_LOG, Taken},
    peers::Peer,
};

/// The most logs that a peer is asked about in one round: all have their turn.
const MAX_HEADS: usize = 64;

/// What a round with a peer is made with.
pub(super) struct Asker<H> {
    pub(super) host: Arc<H>,
    pub(super) node: Arc<Mutex<Node>>,
    pub(super) fetch: Fetch,
}

impl<H> Clone for Asker<H> {
    fn clone(&self) -> Self {
        Self { host: Arc::clone(&self.host), node: Arc::clone(&self.node), fetch: self.fetch.clone() }
    }
}

/// A round in which the peer did not do its part.
pub(super) struct Failed(pub(super) FetchError);

impl<H: Host> Asker<H> {
    pub(super) fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a peer for all that a round is for.
    pub(super) async fn round(&self, id: PeerId, peer: &Peer) -> Result<(), Failed> {
        self.evidence(id, peer).await?;
        let trust = self.host.book().trust();
        let origins = self.node().logs_to_ask(id, &trust, MAX_HEADS);
        for origin in origins {
            self.own(&origin).await;
            match self.fetch.get(peer.url(), &checkpoint_path(&origin), MAX_NOTE_LEN).await {
                Ok(note) => self.head(id, peer, &origin, &note).await,
                // It has no head of this log.
                Err(FetchError::Status(404)) => self.host.observe(Outcome::NoHead),
                Err(error) => return Err(Failed(error)),
            }
            let step = self.node().retry(&origin);
            self.take(step).await;
        }
        Ok(())
    }

    /// Lists a peer's evidence, and fetches what is new.
    async fn evidence(&self, id: PeerId, peer: &Peer) -> Result<(), Failed> {
        let after = self.node().list_after(id);
        let path = after
            .map_or_else(|| listing::PATH.to_owned(), |after| format!("{}?after={after}", listing::PATH));
        let text = match self.fetch.get(peer.url(), &path, MAX_LISTING_LEN).await {
            // A witness that does not gossip is still worth comparing heads with.
            Err(FetchError::Status(404)) => return Ok(()),
            answer => answer.map_err(Failed)?,
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
            match self.fetch.get(peer.url(), &path, evidence::MAX_LEN).await {
                Ok(text) => self.evidence_text(id, name, text).await,
                Err(error @ (FetchError::Status(_) | FetchError::TooLong { .. })) => {
                    tracing::debug!(peer = peer.name(), %name, %error, "evidence that is listed is not there");
                    self.node().fetched(id, name, Taken::Refused);
                }
                Err(error) => return Err(Failed(error)),
            }
        }
        Ok(())
    }

    async fn evidence_text(&self, id: PeerId, name: EvidenceId, text: Vec<u8>) {
        let host = Arc::clone(&self.host);
        let kept = tokio::task::spawn_blocking(move || host.book().keep_text(&text)).await;
        let taken = match kept {
            Ok(Ok(kept)) => {
                self.node().kept(&kept.held);
                if kept.new {
                    self.host.convicted(&kept.held).await;
                }
                if kept.new { Taken::New } else { Taken::NotNeeded }
            }
            Ok(Err(NotKept::NotEvidence(NotEvidence::UnknownOrigin))) => Taken::NotNeeded,
            Ok(Err(NotKept::NotEvidence(error))) => {
                tracing::debug!(%name, %error, "a peer's evidence convicts nobody");
                self.host.observe(Outcome::ForgedEvidence);
                Taken::Refused
            }
            // Not the peer's fault, and to be tried again.
            Ok(Err(NotKept::Store(error))) => return tracing::error!(%error, "evidence was not stored"),
            Err(_) => return,
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

    /// Goes through with a step.
    async fn take(&self, step: Step) {
        let comparison = match step {
            Step::Done => return,
            Step::Evidence(evidence) => return self.found(*evidence).await,
            Step::Compare(comparison) => comparison,
        };
        if let Step::Evidence(evidence) = self.compare(&comparison).await {
            return self.found(*evidence).await;
        }
        // Where the log serves neither side's tiles, the head that it shows itself may be one that both contradict.
        let unproven = comparison.from.is_some_and(|from| from != THE_LOG) && {
            let (_, large) = comparison.sizes();
            self.node().is_open(comparison.head.origin(), comparison.head.tree()) && large > 0
        };
        if unproven {
            self.ask_the_log(comparison.head.origin()).await;
        }
    }

    async fn ask_the_log(&self, origin: &str) {
        let trust = self.host.book().trust();
        let Some(url) = trust.log(origin).and_then(|log| log.url()) else { return };
        let Ok(note) = self.fetch.get(&with_slash(url), "checkpoint", MAX_NOTE_LEN).await else { return };
        let Ok(head) = Head::read(&note, &trust) else { return };
        if head.origin() != origin {
            return;
        }
        let step = self.node().learn(THE_LOG, &Arc::new(head));
        let step = match step {
            Step::Compare(comparison) => self.compare(&comparison).await,
            step => step,
        };
        if let Step::Evidence(evidence) = step {
            self.found(*evidence).await;
        }
    }

    /// Relates two heads by the log's tiles.
    async fn compare(&self, comparison: &Comparison) -> Step {
        let (small, large) = comparison.sizes();
        let trust = self.host.book().trust();
        let url = trust.log(comparison.head.origin()).and_then(|log| log.url());
        let nodes = match url {
            Some(url) => {
                tiles::nodes(&self.fetch, &with_slash(url), large, &nodes_to_relate(small, large)).await
            }
            None => None,
        };
        let nodes = nodes.unwrap_or_default();
        let node = |id| nodes.get(&id).copied().ok_or(());
        let relation = relate(comparison.anchor.note(), comparison.head.note(), node).ok();
        self.host.observe(Outcome::Compared);
        self.node().related(comparison, relation)
    }

    /// Keeps evidence that was found here.
    async fn found(&self, evidence: evidence::Evidence) {
        let host = Arc::clone(&self.host);
        match tokio::task::spawn_blocking(move || host.book().keep(evidence)).await {
            Ok(Ok(kept)) => {
                self.node().kept(&kept.held);
                if kept.new {
                    self.host.convicted(&kept.held).await;
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "evidence was not kept"),
            Err(error) => tracing::error!(%error, "evidence was not kept"),
        }
    }
}

/// A prefix that paths can be appended to.
fn with_slash(url: &str) -> String {
    if url.ends_with('/') { url.to_owned() } else { format!("{url}/") }
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

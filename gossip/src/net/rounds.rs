//! Round after round with every peer, each at its own pace, and beside them the comparisons that they give rise to.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use keyglass_tlog::note::SignedNote;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::{JoinHandle, JoinSet},
};

use super::{
    ask::{Asker, KEEPING, Numbers},
    compare::{Comparisons, MAX_WAITING},
    http::Fetch,
};
use crate::{
    book::Book,
    evidence::Held,
    head::Head,
    node::{Comparison, Node, PeerId},
    peers::Peer,
    schedule::pause,
};

/// The pace.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The mean time between rounds with a peer that answers.
    pub period: Duration,
    /// How long a peer may keep this party waiting in one round, and a log in one comparison, whatever they do.
    pub round: Duration,
}

impl Default for Settings {
    /// Two seconds, and a quarter of a minute.
    fn default() -> Self {
        Self { period: Duration::from_secs(2), round: Duration::from_secs(15) }
    }
}

/// What happened, for an operator to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A round in which a peer answered.
    Round,
    /// A round in which it did not.
    FailedRound,
    /// A head that a log signed.
    Head,
    /// A peer has no head of a log.
    NoHead,
    /// What should have been a head is none.
    BadHead,
    /// What should have been a list of evidence is none.
    BadListing,
    /// What should have been evidence convicts nobody.
    ForgedEvidence,
    /// Two heads of different sizes were compared, or could not be.
    Compared,
}

impl Outcome {
    /// A stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Round => "round",
            Self::FailedRound => "failed-round",
            Self::Head => "head",
            Self::NoHead => "no-head",
            Self::BadHead => "bad-head",
            Self::BadListing => "bad-listing",
            Self::ForgedEvidence => "forged-evidence",
            Self::Compared => "compared",
        }
    }
}

/// The party that gossips.
pub trait Host: Send + Sync + 'static {
    /// Its evidence, and whose signatures count.
    fn book(&self) -> &Book;

    /// Its own latest head of a log, which extends all of its earlier ones.
    fn head(&self, origin: &str) -> impl Future<Output = Option<SignedNote>> + Send;

    /// A peer shows a head, which is compared after this. It may contradict others.
    fn heard(&self, peer: &Peer, head: &Head) -> impl Future<Output = ()> + Send {
        let _ = (peer, head);
        async {}
    }

    /// Evidence is held that was not held before.
    fn convicted(&self, held: &Held) -> impl Future<Output = ()> + Send;

    /// Counts.
    fn observe(&self, outcome: Outcome) {
        let _ = outcome;
    }
}

/// Gossip that runs until it is stopped or dropped.
pub struct Gossip {
    peers: watch::Sender<Vec<Peer>>,
    running: JoinHandle<()>,
}

impl Gossip {
    /// Starts, on the current tokio runtime.
    pub fn start<H: Host>(host: Arc<H>, fetch: Fetch, peers: Vec<Peer>, settings: Settings) -> Self {
        let (peers, changed) = watch::channel(peers);
        let (comparisons, to_compare) = mpsc::channel(MAX_WAITING);
        let keeping = Arc::new(Semaphore::new(usize::try_from(KEEPING).unwrap_or(1)));
        let asker = Asker { host, node: Arc::new(Mutex::new(Node::default())), fetch, keeping, comparisons };
        Self { peers, running: tokio::spawn(run(asker, changed, to_compare, settings)) }
    }

    /// Asks other peers from now on. What is known of those that stay stays.
    pub fn replace_peers(&self, peers: Vec<Peer>) {
        self.peers.send_replace(peers);
    }

    /// Stops, and waits until nothing runs any more.
    pub async fn stop(self) {
        drop(self.peers);
        // The task ends itself; it cannot have been cancelled, and what it panicked with was reported.
        let _ = self.running.await;
    }
}

async fn run<H: Host>(
    asker: Asker<H>,
    mut peers: watch::Receiver<Vec<Peer>>,
    mut to_compare: mpsc::Receiver<Comparison>,
    settings: Settings,
) {
    let (mut numbers, mut known) = (Numbers::default(), BTreeSet::new());
    let mut comparisons = Comparisons::new(asker.clone(), settings);
    loop {
        let current = peers.borrow_and_update().clone();
        let numbered: Vec<(PeerId, Peer)> =
            current.into_iter().map(|peer| (numbers.of(&peer), peer)).collect();
        let now: BTreeSet<PeerId> = numbered.iter().map(|(id, _)| *id).collect();
        known.difference(&now).for_each(|gone| asker.node().forget(*gone));
        known = now;
        let trust = asker.host.book().trust();
        asker.node().retain_logs(&trust);
        comparisons.retain_logs(&trust);
        // One task for each peer: who keeps one waiting holds nobody else up.
        let mut tasks = JoinSet::new();
        for (id, peer) in numbered {
            tasks.spawn(rounds(asker.clone(), id, peer, settings));
        }
        let goes_on = loop {
            tokio::select! {
                changed = peers.changed() => break changed.is_ok(),
                Some(comparison) = to_compare.recv() => comparisons.begin(comparison),
                () = comparisons.end_of_one() => {}
            }
        };
        // Dropping the set ends all of its tasks, wherever they wait; what must not be left half done is a task of its own.
        drop(tasks);
        if !goes_on {
            break;
        }
    }
    drop(comparisons);
    // Nothing is begun any more; this waits for what was.
    let _ = asker.keeping.acquire_many(KEEPING).await;
}

/// Round after round with one peer.
async fn rounds<H: Host>(asker: Asker<H>, id: PeerId, peer: Peer, settings: Settings) {
    let mut failures = 0u32;
    // Not all at once: the first round comes within a period.
    tokio::time::sleep(settings.period.mul_f64(rand::random_range(0.0..1.0))).await;
    loop {
        match asker.round(id, &peer, settings.round).await {
            Ok(()) => {
                asker.host.observe(Outcome::Round);
                failures = 0;
            }
            Err(reason) => {
                asker.host.observe(Outcome::FailedRound);
                if failures == 0 {
                    tracing::warn!(peer = peer.name(), %reason, "a peer does not answer");
                }
                failures = failures.saturating_add(1);
            }
        }
        tokio::time::sleep(pause(settings.period, failures, rand::random())).await;
    }
}

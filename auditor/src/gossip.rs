//! The auditor among witnesses and other auditors: heads that they show are compared like any others, evidence that they
//! hold is verified and kept, and what this auditor finds goes to them.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use keyglass_gossip::{
    book::Book,
    evidence::{EvidenceId, Held},
    head::Head,
    metrics::GossipMetrics,
    net::{Fetch, Gossip, Host, Outcome, PEER_DEADLINE, Settings},
    peers::{self, Peer, PeersFileError},
    store::StoreError,
    trust::{KnownLog, Trust},
};
use keyglass_service::tls::CertificateDer;
use keyglass_tlog::{evidence::Evidence, note::SignedNote};
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

use crate::{
    followed::{Followed, Logs},
    plan::Plan,
    records::{Records, Source, Standing},
};

/// The least time between two looks at all logs for what is to be passed on.
const SHARE_PAUSE: Duration = Duration::from_millis(50);

/// Why there is no gossip.
#[derive(Debug, Error)]
pub enum GossipError {
    /// The file of peers cannot be read, or is none.
    #[error(transparent)]
    Peers(#[from] PeersFileError),
    /// Evidence to pass on cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The TLS library.
    #[error("no HTTP client: {0}")]
    Client(reqwest::Error),
    /// The operating system.
    #[error("{0}")]
    System(io::Error),
}

/// The evidence that this auditor passes on, about the logs that it follows. Those of suite 0x0002 have no notes that could
/// be evidence.
///
/// # Errors
/// [`GossipError::Store`].
pub fn open(data: &Path, plans: &[Plan]) -> Result<Arc<Book>, GossipError> {
    let of_plan = |plan: &Plan| {
        let (keys, witnesses) = (plan.trust.log_keys().to_vec(), Arc::clone(plan.trust.witnesses()));
        KnownLog::new(keys, plan.urls.first().cloned(), witnesses)
    };
    let known = plans.iter().filter(|plan| plan.trust.has_checkpoints()).map(of_plan);
    Ok(Arc::new(Book::open(data, Trust::new(known))?))
}

/// Gossip that runs.
pub struct Running {
    gossip: JoinHandle<()>,
    sharing: JoinHandle<()>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Running {
    /// Gossips with the peers of a file, which is read again on SIGHUP, at this pace.
    ///
    /// # Errors
    /// [`GossipError`].
    pub fn start(
        logs: &Arc<Logs>,
        book: &Arc<Book>,
        file: PathBuf,
        period: Duration,
        roots: &[CertificateDer<'_>],
        metrics: GossipMetrics,
    ) -> Result<Self, GossipError> {
        let peers = peers::read(&file)?;
        let roots: Vec<&[u8]> = roots.iter().map(AsRef::as_ref).collect();
        let fetch = Fetch::new(PEER_DEADLINE, &roots).map_err(GossipError::Client)?;
        let mut hung_up = signal(SignalKind::hangup()).map_err(GossipError::System)?;
        let (logs, book) = (Arc::clone(logs), Arc::clone(book));
        let sharing = tokio::spawn(share(Arc::clone(&logs), Arc::clone(&book), metrics.clone()));
        let settings = Settings { period, ..Settings::default() };
        tracing::info!(peers = peers.len(), "gossip");
        let gossip = Gossip::start(Arc::new(Gossiper { logs, book, metrics }), fetch, peers, settings);
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let gossip = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    _ = hung_up.recv() => match peers::read(&file) {
                        Ok(peers) => {
                            tracing::info!(peers = peers.len(), "the peers were read again");
                            gossip.replace_peers(peers);
                        }
                        Err(error) => {
                            tracing::error!(%error, "the file of peers was refused; those before are asked");
                        }
                    },
                }
            }
            gossip.stop().await;
        });
        Ok(Self { gossip, sharing, stop })
    }

    /// Ends it.
    pub async fn stop(self) {
        self.sharing.abort();
        // Whoever has ended already needs no telling.
        let _ = self.stop.send(());
        let _ = self.gossip.await;
    }
}

/// Whenever something has changed, has what this auditor's own rounds found go to its peers, and what they know to the
/// directories of the logs: also after a start, and for a log that could not be opened when it came.
async fn share(logs: Arc<Logs>, book: Arc<Book>, metrics: GossipMetrics) {
    let (mut changes, mut given, mut taken) = (logs.changes(), BTreeSet::new(), BTreeSet::new());
    loop {
        for log in logs.all() {
            // A log that cannot be opened has its turn with a later change.
            let Ok(convictions) = log.convictions().await else { continue };
            for conviction in convictions {
                if given.contains(&conviction.file) {
                    continue;
                }
                let Ok(Some(text)) = log.evidence_text(conviction.file.clone()).await else { continue };
                let book = Arc::clone(&book);
                match tokio::task::spawn_blocking(move || book.keep_text(&text)).await {
                    Ok(Ok(_)) => {
                        given.insert(conviction.file);
                    }
                    Ok(Err(error)) => {
                        tracing::error!(%error, file = conviction.file, "evidence is not passed on");
                    }
                    Err(_) => return,
                }
            }
            let held: Vec<EvidenceId> =
                book.holdings().about(log.trust().origin()).iter().map(|held| held.id).collect();
            for id in held {
                if !taken.contains(&id) && take(log, &book, id).await {
                    taken.insert(id);
                }
            }
        }
        metrics.held(&book.holdings());
        if changes.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(SHARE_PAUSE).await;
    }
}

/// Hands evidence that is passed on to the log that it is about. Says whether that is done.
async fn take(log: &Followed, book: &Arc<Book>, id: EvidenceId) -> bool {
    let book = Arc::clone(book);
    let Ok(Ok(Some(text))) = tokio::task::spawn_blocking(move || book.text(&id)).await else { return false };
    let Ok(evidence) = Evidence::parse(text.as_bytes()) else { return false };
    match log.take_evidence(evidence).await {
        Ok(_) => true,
        Err(refusal) => {
            tracing::warn!(evidence = %id, ?refusal, "evidence of peers is not in the log's directory yet");
            false
        }
    }
}

struct Gossiper {
    logs: Arc<Logs>,
    book: Arc<Book>,
    metrics: GossipMetrics,
}

impl Host for Gossiper {
    fn book(&self) -> &Book {
        &self.book
    }

    /// The largest head that everything was replayed under.
    async fn head(&self, origin: &str) -> Option<SignedNote> {
        let records = self.logs.by_origin(origin)?.records().ok()?;
        let largest = |records: &mut Records| {
            Ok(records.standing(Standing::Agrees).next_back().map(|known| known.head.note().clone()))
        };
        records.with(largest).await.ok().flatten()
    }

    async fn heard(&self, peer: &Peer, head: &Head) {
        let Some(log) = self.logs.by_origin(head.origin()) else { return };
        if let Err(refusal) = log.take_head(head.note().clone(), Source::Peer(peer.name().to_owned())).await {
            tracing::debug!(peer = peer.name(), ?refusal, "a peer's head was not compared");
        }
    }

    async fn convicted(&self, held: &Held) {
        tracing::error!(origin = held.origin(), evidence = %held.id(), "a log signed two histories");
        self.metrics.held(&self.book.holdings());
        if let Some(log) = self.logs.by_origin(held.origin()) {
            // If not now, with the log's next round.
            take(log, &self.book, held.id()).await;
        }
    }

    fn observe(&self, outcome: Outcome) {
        self.metrics.observe(outcome);
    }
}

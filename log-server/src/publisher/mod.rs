//! From durable log entries to the published head.
//!
//! The publisher signs the head of what is sequenced, asks all witnesses for it at once, and publishes it as soon as
//! the cosignatures are a quorum of the policy. Each witness has a task of its own that asks for the newest head, so a
//! slow or silent one holds up nobody else. Cosignatures that come after the quorum are added to the published head
//! while it is the newest; for a short grace the publisher waits for them before it turns to the next head.
//!
//! What it signs is durable already and signing is deterministic, so it can never sign two heads of one size with
//! different roots, whenever the process is killed.

use std::{sync::Arc, time::Duration};

use keyglass_tlog::{
    note,
    policy::{Name, Policy, Quorum},
};
use reqwest::Url;
use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use crate::{
    clock::Clock,
    published::Published,
    sequencer,
    store::{PublishError, Store, StoreError},
};

mod backoff;
mod head;
mod round;
mod witness;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use backoff::Backoff;
pub use head::{
    Cosignatures, HeadSigner, MAX_SIGNATURE_LEN, OwnSignature, SignedHead, SignerError, to_publish,
};
pub use witness::AskError;
pub(crate) use witness::reason;

use round::Round;
use witness::Witness;

/// How the publisher treats witnesses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long one witness may take for one answer.
    pub deadline: Duration,
    /// How long to wait, after a quorum, for the other witnesses, before turning to the next head.
    pub grace: Duration,
    /// How long to stay with one head without a quorum while a newer one waits.
    pub patience: Duration,
    /// The first wait after a witness failed.
    pub least_backoff: Duration,
    /// The longest wait after a witness failed.
    pub most_backoff: Duration,
    /// How far a cosignature's time may be ahead of the clock.
    pub max_ahead: Duration,
    /// Authorities of HTTPS that are trusted beside the system's.
    pub roots: Vec<reqwest::Certificate>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            grace: Duration::from_millis(100),
            patience: Duration::from_secs(5),
            least_backoff: Duration::from_millis(100),
            most_backoff: Duration::from_secs(5),
            max_ahead: Duration::from_secs(60),
            roots: Vec::new(),
        }
    }
}

/// Why a policy cannot be published under.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyUnusable {
    /// A witness's URL is none that can be asked.
    #[error("the URL of witness {0} is not an http or https URL")]
    BadUrl(Name),
    /// The witnesses that have URLs are no quorum.
    #[error("the witnesses that have URLs are not a quorum: {missing} more are needed")]
    Unsatisfiable {
        /// How many more witnesses need a URL.
        missing: usize,
    },
    /// The policy has `log` lines, and this log's key is in none of them: it is another log's policy.
    #[error("the policy names other logs and not this one")]
    AnotherLog,
    /// No witness can verify heads of suite 0x0002.
    #[error("no witness can cosign the heads of suite 0x0002: its policy must say `quorum none`")]
    NotWitnessable,
    /// The log's HTTP client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
}

/// How a witness does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessStatus {
    /// Its name in the policy.
    pub name: String,
    /// The largest size that it has cosigned for this process.
    pub cosigned: u64,
    /// How often in a row it has failed, and how it failed last.
    pub failing: Option<(u32, AskError)>,
}

/// How publication goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The size of the head that cosignatures are being collected for.
    pub target: u64,
    /// The published size; 0 before the first head.
    pub published: u64,
    /// How many more witnesses the target needs.
    pub missing: usize,
    /// The witnesses, in the order of the policy.
    pub witnesses: Vec<WitnessStatus>,
    /// Whether the policy says `quorum none`.
    pub unwitnessed: bool,
    /// Why nothing is published any more.
    pub failed: Option<Arc<str>>,
}

/// What a publisher needs.
pub struct Parts {
    /// Where the log is.
    pub store: Arc<dyn Store>,
    /// Where heads are published.
    pub published: Arc<Published>,
    /// What is sequenced.
    pub sequenced: watch::Receiver<sequencer::State>,
    /// The log's key.
    pub signer: HeadSigner,
    /// Which cosignatures suffice, and where to get them.
    pub policy: Policy,
    /// The clock that cosignatures' times are compared with.
    pub clock: Arc<dyn Clock>,
}

/// Something went wrong that only a restart can settle.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublisherError {
    /// The store failed, or refused a head.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A head cannot be signed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The published head is not a head of this log.
    #[error("the published head of {size} entries has another root than the log has at that size")]
    OtherRoot {
        /// The published size.
        size: u64,
    },
}

impl From<StoreError> for PublisherError {
    fn from(error: StoreError) -> Self {
        Self::Publish(PublishError::Store(error))
    }
}

/// An answer of a witness: who, about which size, and its line.
type Answer = (Name, u64, note::SignatureLine);

/// The publisher, ready to run.
pub struct Publisher {
    parts: Parts,
    settings: Settings,
    witnesses: Vec<Witness>,
    status: watch::Sender<Status>,
}

impl Publisher {
    /// Checks that the policy can be satisfied and prepares to ask its witnesses.
    ///
    /// # Errors
    /// [`PolicyUnusable`].
    pub fn new(parts: Parts, settings: Settings) -> Result<Self, PolicyUnusable> {
        let unwitnessed = parts.policy.quorum() == Quorum::None;
        let logs = parts.policy.logs();
        if let HeadSigner::Checkpoint(signer) = &parts.signer
            && !logs.is_empty()
            && !logs.iter().any(|log| log.vkey() == signer.vkey())
        {
            return Err(PolicyUnusable::AnotherLog);
        }
        let witnesses = match (&parts.signer, unwitnessed) {
            (HeadSigner::Checkpoint(_), _) => connect(&parts, &settings)?,
            (HeadSigner::TreeHead { .. }, true) => Vec::new(),
            (HeadSigner::TreeHead { .. }, false) => return Err(PolicyUnusable::NotWitnessable),
        };
        let reachable = witnesses.iter().map(|witness| witness.policy.name()).collect();
        match parts.policy.missing(&reachable) {
            0 => {}
            missing => return Err(PolicyUnusable::Unsatisfiable { missing }),
        }
        if unwitnessed {
            tracing::warn!(
                "the policy says `quorum none`: heads are published on the log's word alone, and NOTHING IS WITNESSED"
            );
        }
        let of = |witness: &Witness| WitnessStatus {
            name: witness.policy.name().to_string(),
            cosigned: 0,
            failing: None,
        };
        let witness_status = witnesses.iter().map(of).collect();
        let status =
            watch::Sender::new(Status { unwitnessed, witnesses: witness_status, ..Status::default() });
        Ok(Self { parts, settings, witnesses, status })
    }

    /// How publication goes, and every change of it.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Publishes until the sequencer is gone. Dropping the future stops everything.
    ///
    /// # Errors
    /// [`PublisherError`], after which nothing more is published.
    pub async fn run(self) -> Result<(), PublisherError> {
        let Self { parts, settings, witnesses, status } = self;
        let (target, targets) = watch::channel(None);
        let (sender, answers) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        for (index, witness) in witnesses.into_iter().enumerate() {
            let worker = worker::Worker::new(index, witness, &settings, status.clone());
            tasks.spawn(worker.run(targets.clone(), sender.clone()));
        }
        let result = Coordinator { parts, settings, target, status: status.clone() }.run(answers).await;
        if let Err(error) = &result {
            tracing::error!(%error, "publishing stops");
            status.send_modify(|status| status.failed = Some(error.to_string().into()));
        }
        result
    }
}

/// The clients of all witnesses that have a URL.
fn connect(parts: &Parts, settings: &Settings) -> Result<Vec<Witness>, PolicyUnusable> {
    let http = reqwest::Client::builder()
        .user_agent(concat!("keyglass-log-server/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(settings.deadline)
        .pool_max_idle_per_host(2)
        .tls_certs_merge(settings.roots.iter().cloned())
        .build()
        .map_err(|error| PolicyUnusable::Client(error.to_string()))?;
    let mut witnesses = Vec::new();
    for policy in parts.policy.witnesses() {
        let Some(url) = policy.url() else {
            tracing::warn!(witness = %policy.name(), "the policy has no URL for this witness: it is not asked");
            continue;
        };
        let bad = || PolicyUnusable::BadUrl(policy.name().clone());
        let prefix = core::str::from_utf8(url).map_err(|_| bad())?.trim_end_matches('/');
        let add_checkpoint = Url::parse(&format!("{prefix}/add-checkpoint")).map_err(|_| bad())?;
        if !matches!(add_checkpoint.scheme(), "http" | "https") || add_checkpoint.cannot_be_a_base() {
            return Err(bad());
        }
        witnesses.push(Witness {
            policy: policy.clone(),
            add_checkpoint,
            http: http.clone(),
            store: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
            max_ahead: settings.max_ahead,
            deadline: settings.deadline,
            size: 0,
        });
    }
    Ok(witnesses)
}

/// Decides which head the witnesses are asked about, and publishes.
struct Coordinator {
    parts: Parts,
    settings: Settings,
    target: watch::Sender<Option<Arc<SignedHead>>>,
    status: watch::Sender<Status>,
}

impl Coordinator {
    async fn run(mut self, mut answers: mpsc::Receiver<Answer>) -> Result<(), PublisherError> {
        let mut round = self.resume().await?;
        loop {
            if let Some(round) = &mut round
                && round.is_due()
                && let Some(head) = to_publish(round.head(), &self.parts.policy, round.cosignatures())
            {
                let (store, published) = (Arc::clone(&self.parts.store), Arc::clone(&self.parts.published));
                blocking(move || published.publish(&*store, head)).await?;
                round.published();
            }
            self.report(round.as_ref());
            let newest = self.parts.sequenced.borrow_and_update().size;
            let waiting = round.as_ref().map_or(newest > 0, |round| newest > round.size());
            let next_at = match &round {
                _ if !waiting => None,
                None => Some(Instant::now()),
                Some(round) => Some(round.ends_at(&self.settings)),
            };
            tokio::select! {
                biased;
                Some((name, size, line)) = answers.recv() => {
                    if let Some(round) = &mut round && round.size() == size {
                        round.add(name, line);
                    }
                }
                () = until(next_at) => round = Some(self.begin(newest).await?),
                changed = self.parts.sequenced.changed() => if changed.is_err() {
                    return Ok(());
                },
            }
        }
    }

    /// Goes on with the published head: witnesses that have not cosigned it are asked again.
    async fn resume(&self) -> Result<Option<Round>, PublisherError> {
        let Some(published) = self.parts.published.current() else { return Ok(None) };
        let head = self.sign(published.size).await?;
        if head.root != published.root {
            return Err(PublisherError::OtherRoot { size: published.size });
        }
        let lines = note::parse_signature_lines(&published.signature).unwrap_or_default();
        let mut cosignatures = Cosignatures::new();
        for witness in self.parts.policy.witnesses() {
            let of = |line: &&note::SignatureLine| {
                line.name() == witness.vkey().name() && line.id() == witness.vkey().id()
            };
            if let Some(line) = lines.iter().find(of) {
                cosignatures.insert(witness.name().clone(), line.clone());
            }
        }
        let round = Round::resumed(head, self.asked(), cosignatures);
        self.target.send_replace(Some(round.head_shared()));
        Ok(Some(round))
    }

    /// Signs the head of the first `size` entries and asks all witnesses for it.
    async fn begin(&self, size: u64) -> Result<Round, PublisherError> {
        let round = Round::new(self.sign(size).await?, self.asked());
        self.target.send_replace(Some(round.head_shared()));
        Ok(round)
    }

    async fn sign(&self, size: u64) -> Result<SignedHead, PublisherError> {
        let (store, hash) = (Arc::clone(&self.parts.store), self.parts.signer.log_hash());
        let root = blocking(move || {
            let root = crate::log_tree::root(&*store.snapshot()?, hash, size)?;
            root.ok_or(StoreError::Corrupt("a log without entries has no head"))
        });
        Ok(self.parts.signer.sign(size, root.await?)?)
    }

    /// How many witnesses are asked.
    fn asked(&self) -> usize {
        self.status.borrow().witnesses.len()
    }

    fn report(&self, round: Option<&Round>) {
        let published = self.parts.published.current().map_or(0, |head| head.size);
        self.status.send_if_modified(|status| {
            let (target, missing) = round.map_or((0, 0), |round| {
                (round.size(), self.parts.policy.missing(&round.cosignatures().keys().collect()))
            });
            let changed = (status.target, status.missing, status.published) != (target, missing, published);
            (status.target, status.missing, status.published) = (target, missing, published);
            changed
        });
    }
}

/// Waits until then; for ever without a time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => core::future::pending().await,
    }
}

/// Runs something that blocks where blocking is allowed.
async fn blocking<T: Send + 'static, E: Send + 'static + Into<PublisherError>>(
    run: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, PublisherError> {
    match tokio::task::spawn_blocking(run).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => Err(StoreError::Backend(error.to_string()).into()),
    }
}

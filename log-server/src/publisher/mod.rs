//! From durable log entries to the published head.
//!
//! The publisher signs the head of what is sequenced, asks all witnesses for it at once, and publishes it as soon as
//! the cosignatures are a quorum of the policy. Each witness has a task of its own that asks for the newest head, so a
//! slow or silent one holds up nobody else. Witnesses of the policy at one URL are the keys of one operator: one question
//! is for all of them, and each counts by itself. Cosignatures that come after the quorum are added to the published head
//! while it is the newest. Before it turns to the next head, the publisher waits a short grace for them, but only for
//! witnesses that answered the head before in time.
//!
//! What it signs is durable already and signing is deterministic, so it can never sign two heads of one size with
//! different roots, whenever the process is killed.

use std::{sync::Arc, time::Duration};

use keyglass_tlog::policy::{self, Name, Policy, Quorum};
use reqwest::Url;
use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    clock::Clock,
    published::Published,
    sequencer,
    store::{PublishError, Store, StoreError},
};

mod backoff;
mod coordinator;
mod head;
mod meters;
mod round;
mod status;
mod witness;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use backoff::Backoff;
pub use head::{
    CheckpointSigner, Cosignatures, HeadSigner, MAX_SIGNATURE_LEN, OwnSignature, SignedHead, SignerError,
    to_publish,
};
pub use meters::Meters;
pub use status::{Status, WitnessStatus};
pub use witness::AskError;
pub(crate) use witness::reason;

use coordinator::Coordinator;
use witness::Witness;
use worker::Worker;

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

/// The publisher, ready to run.
pub struct Publisher {
    parts: Parts,
    settings: Settings,
    /// Whom to ask, each with the places of its keys in [`Status::witnesses`].
    witnesses: Vec<(Witness, Vec<usize>)>,
    status: watch::Sender<Status>,
    meters: Meters,
}

impl Publisher {
    /// Checks that the policy can be satisfied and prepares to ask its witnesses.
    ///
    /// # Errors
    /// [`PolicyUnusable`].
    pub fn new(parts: Parts, settings: Settings) -> Result<Self, PolicyUnusable> {
        let unwitnessed = parts.policy.quorum() == Quorum::None;
        let logs = parts.policy.logs();
        let own = parts.signer.vkeys();
        if !own.is_empty() && !logs.is_empty() && !logs.iter().any(|log| own.contains(&log.vkey())) {
            return Err(PolicyUnusable::AnotherLog);
        }
        let witnesses = match (&parts.signer, unwitnessed) {
            (HeadSigner::Checkpoint(_), _) => connect(&parts, &settings)?,
            (HeadSigner::TreeHead { .. }, true) => Vec::new(),
            (HeadSigner::TreeHead { .. }, false) => return Err(PolicyUnusable::NotWitnessable),
        };
        let policies = || witnesses.iter().flat_map(|witness| &witness.policies);
        match parts.policy.missing(&policies().map(policy::Witness::name).collect()) {
            0 => {}
            missing => return Err(PolicyUnusable::Unsatisfiable { missing }),
        }
        if unwitnessed {
            tracing::warn!(
                "the policy says `quorum none`: heads are published on the log's word alone, and NOTHING IS WITNESSED"
            );
        }
        let asked: Vec<&policy::Witness> =
            parts.policy.witnesses().iter().filter(|one| policies().any(|other| other == *one)).collect();
        let place = |policy: &policy::Witness| asked.iter().position(|one| *one == policy);
        let places = |witness: &Witness| witness.policies.iter().filter_map(place).collect::<Vec<usize>>();
        let places: Vec<Vec<usize>> = witnesses.iter().map(places).collect();
        let status = asked.iter().map(|witness| WitnessStatus::new(witness.name().to_string())).collect();
        let status = watch::Sender::new(Status { unwitnessed, witnesses: status, ..Status::default() });
        let witnesses = witnesses.into_iter().zip(places).collect();
        Ok(Self { parts, settings, witnesses, status, meters: Meters::default() })
    }

    /// How publication goes, and every change of it.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// What is counted.
    #[must_use]
    pub fn meters(&self) -> Meters {
        self.meters.clone()
    }

    /// Publishes until the sequencer is gone. Dropping the future stops everything.
    ///
    /// # Errors
    /// [`PublisherError`], after which nothing more is published.
    pub async fn run(self) -> Result<(), PublisherError> {
        let Self { parts, settings, witnesses, status, meters } = self;
        let (target, targets) = watch::channel(None);
        let (sender, answers) = mpsc::channel(64);
        let prompt = (0..witnesses.len()).collect();
        let mut tasks = JoinSet::new();
        for (index, (witness, places)) in witnesses.into_iter().enumerate() {
            let worker = Worker::new(index, places, witness, &settings, status.clone(), meters.clone());
            tasks.spawn(worker.run(targets.clone(), sender.clone()));
        }
        let result =
            Coordinator { parts, settings, target, status: status.clone(), prompt }.run(answers).await;
        if let Err(error) = &result {
            tracing::error!(%error, "publishing stops");
            status.send_modify(|status| status.failed = Some(error.to_string().into()));
        }
        result
    }
}

/// The clients of all witnesses that have a URL: one for each URL, since one answer has the lines of all keys there.
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
    let mut witnesses: Vec<Witness> = Vec::new();
    for policy in parts.policy.witnesses() {
        let Some(url) = policy.url() else {
            tracing::warn!(witness = %policy.name(), "the policy has no URL for this witness: it is not asked");
            continue;
        };
        let add_checkpoint =
            add_checkpoint(url).ok_or_else(|| PolicyUnusable::BadUrl(policy.name().clone()))?;
        if let Some(known) = witnesses.iter_mut().find(|known| known.add_checkpoint == add_checkpoint) {
            known.policies.push(policy.clone());
            continue;
        }
        witnesses.push(Witness {
            policies: vec![policy.clone()],
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

/// Where checkpoints are submitted below a witness's submission prefix.
fn add_checkpoint(prefix: &[u8]) -> Option<Url> {
    let prefix = core::str::from_utf8(prefix).ok()?.trim_end_matches('/');
    let url = Url::parse(&format!("{prefix}/add-checkpoint")).ok()?;
    (matches!(url.scheme(), "http" | "https") && !url.cannot_be_a_base()).then_some(url)
}

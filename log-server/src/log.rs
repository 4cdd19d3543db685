//! A log as its HTTP endpoints see it: what is stored, what is published, and who takes updates.

use std::{sync::Arc, time::Duration};

use keyglass_account::problem::Problem;
use keyglass_keytrans::{
    config::{CipherSuite, Configuration},
    wire::Context,
};
use tokio::sync::Semaphore;

use crate::{
    audit::heads::AuditorHeads,
    data_dir::Identity,
    http::failure::Failure,
    proofs::ProofCache,
    published::Published,
    registration::Admission,
    sequencer::Sequencer,
    store::{PublishedHead, Snapshot, Store, StoreError},
};

/// Bounds of the operations.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long an update waits for its publication before the client is asked to come back.
    pub publication: Duration,
    /// How many requests read the store at once; others wait.
    pub readers: usize,
    /// How many VRF proofs are remembered.
    pub vrf_proofs: usize,
    /// How many pages of prefix trees are remembered.
    pub pages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            publication: Duration::from_secs(10),
            readers: cores.saturating_mul(2),
            vrf_proofs: 100_000,
            pages: 50_000,
        }
    }
}

/// A log that can be asked.
pub struct Log {
    store: Arc<dyn Store>,
    published: Arc<Published>,
    sequencer: Option<Arc<Sequencer>>,
    identity: Arc<Identity>,
    limits: Limits,
    readers: Semaphore,
    proofs: Arc<ProofCache>,
    auditor: Option<Arc<AuditorHeads>>,
    admission: Arc<Admission>,
}

impl Log {
    /// A log over this store. Without a sequencer it answers questions and takes no updates.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        published: Arc<Published>,
        sequencer: Option<Arc<Sequencer>>,
        identity: Arc<Identity>,
        limits: Limits,
    ) -> Self {
        let proofs = Arc::new(ProofCache::new(Arc::clone(&identity.vrf_key), &limits));
        let readers = Semaphore::new(limits.readers.max(1));
        Self {
            store,
            published,
            sequencer,
            identity,
            limits,
            readers,
            proofs,
            auditor: None,
            admission: Arc::default(),
        }
    }

    /// The log with the heads of its auditor, which it needs in third-party-auditing mode.
    #[must_use]
    pub fn with_auditor(self, heads: Option<Arc<AuditorHeads>>) -> Self {
        Self { auditor: heads, ..self }
    }

    /// The log with a policy of who may register what. Without one, anybody may register anything.
    #[must_use]
    pub fn with_admission(self, admission: Arc<Admission>) -> Self {
        Self { admission, ..self }
    }

    /// Who may register what.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The heads of the log's auditor.
    #[must_use]
    pub fn auditor(&self) -> Option<&Arc<AuditorHeads>> {
        self.auditor.as_ref()
    }

    /// How many entries the log's auditor has verified, as far as its heads say: none without one. It still has to be told
    /// what the next entry changes, which bounds what may be pruned.
    #[must_use]
    pub fn auditor_size(&self) -> Option<u64> {
        self.auditor.as_ref().and_then(|heads| heads.size())
    }

    /// What checkpoints and records call this log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.identity.origin
    }

    /// Its cipher suite.
    #[must_use]
    pub fn suite(&self) -> CipherSuite {
        self.identity.suite
    }

    /// Its configuration.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.identity.configuration
    }

    /// Its configuration as it is encoded.
    #[must_use]
    pub fn encoded_configuration(&self) -> &[u8] {
        &self.identity.encoded
    }

    /// What decoders of its requests need to know.
    #[must_use]
    pub fn context(&self) -> Context {
        Context::new(self.identity.configuration.deployment_mode())
    }

    /// Its bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The published head, and whoever waits for the next.
    #[must_use]
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Where it is stored.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// VRF proofs and pages that are remembered.
    #[must_use]
    pub fn proofs(&self) -> &Arc<ProofCache> {
        &self.proofs
    }

    /// Who takes updates.
    ///
    /// # Errors
    /// [`Problem::Unavailable`] if nobody does.
    pub fn sequencer(&self) -> Result<&Arc<Sequencer>, Failure> {
        let none = || Failure::new(Problem::Unavailable).because("this server takes no updates");
        self.sequencer.as_ref().ok_or_else(none)
    }

    /// The published head.
    ///
    /// # Errors
    /// [`Problem::NotPublished`] before the first.
    pub fn head(&self) -> Result<Arc<PublishedHead>, Failure> {
        self.published.current().ok_or_else(|| Failure::new(Problem::NotPublished).retry_after(1))
    }

    /// Runs something that reads the store on a thread where that may block, a bounded number at a time.
    ///
    /// # Errors
    /// The failure of `read`; [`Problem::Internal`] if it panics.
    pub async fn read<T, E>(
        &self,
        read: impl FnOnce(&dyn Snapshot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        self.block(move || read(&*store.snapshot()?).map_err(Into::into)).await
    }

    /// Runs something that blocks, a bounded number at a time.
    ///
    /// # Errors
    /// The failure of `run`; [`Problem::Internal`] if it panics.
    pub async fn block<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        // The semaphore is never closed.
        let _permit = self.readers.acquire().await.map_err(|_| Problem::Unavailable)?;
        tokio::task::spawn_blocking(run).await.map_err(|error| {
            tracing::error!(%error, "a request panicked");
            Failure::new(Problem::Internal)
        })?
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        // The words are for the operator, not for clients.
        tracing::error!(%error, "the store failed");
        Self::new(Problem::Internal)
    }
}

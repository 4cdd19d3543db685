//! A whole log-server put together from its parts: the one that `serve` runs.

use std::{
    num::NonZeroU32,
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::Router;
use keyglass_crypto::secret::Secret;
use keyglass_keytrans::client::ConfigurationError;
use keyglass_service::{
    rate::RateLimit,
    server::{self, Server},
    tls::Tls,
};
use keyglass_tlog::policy::Policy;
use rand::{SeedableRng as _, rngs::StdRng};
use thiserror::Error;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    accounts::PublishedAccounts,
    audit::{
        heads::AuditorHeads,
        poll::{self, Poller},
    },
    clock::Clock,
    data_dir::{DataDir, Identity},
    http::{
        self,
        health::{Audited, Watched},
        metrics::Metrics,
    },
    log::{Limits, Log},
    mailbox,
    operator::Socket,
    prekeys,
    pruning::{self, Pruner},
    published::Published,
    publisher::{self, HeadSigner, PolicyUnusable, Publisher, PublisherError, SignerError},
    registration::Admission,
    sequencer::{self, Sequencer},
    store::{Store, StoreError, rocksdb::RocksStore},
    tokens::{self, Accounts},
};

/// How often expired prekeys are deleted.
const PRUNING: Duration = Duration::from_secs(60);

/// The column families of the services beside the log.
#[must_use]
pub fn service_families() -> Vec<&'static str> {
    let families = [prekeys::rocksdb::FAMILIES, mailbox::rocksdb::FAMILIES, tokens::rocksdb::FAMILIES];
    families.into_iter().flatten().copied().collect()
}

/// Choices for a running server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which witnesses to ask, and which suffice.
    pub policy: Policy,
    /// How updates are batched.
    pub sequencer: sequencer::Settings,
    /// How witnesses are treated.
    pub publisher: publisher::Settings,
    /// How what has expired is deleted.
    pub pruning: pruning::Settings,
    /// Bounds of the prekey service.
    pub prekeys: prekeys::Settings,
    /// Who may register what.
    pub admission: Arc<Admission>,
    /// Bounds of the operations.
    pub limits: Limits,
    /// Requests per second and address; no limit if absent.
    pub rate: Option<NonZeroU32>,
    /// Where the auditor is, in third-party-auditing mode and no other.
    pub auditor: Option<poll::Settings>,
    /// The certificate to serve with; plain HTTP without one.
    pub tls: Option<Tls>,
}

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyUnusable),
    /// The log's name and configuration make no signer.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The auditor's address is missing, or there is no auditor.
    #[error("{}", if *.wanted { "in third-party-auditing mode serve needs --auditor URL" } else { "the log has no auditor: --auditor is for third-party-auditing mode" })]
    AuditorAddress {
        /// Whether the log has an auditor.
        wanted: bool,
    },
    /// The configuration is none that users take.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The auditor cannot be asked.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
    /// The key of the tokens.
    #[error(transparent)]
    TokenKey(#[from] tokens::key::KeyError),
    /// The operator's socket, or randomness.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// The services beside the log.
pub struct Services {
    /// Who asks.
    pub tokens: Arc<tokens::Service>,
    /// Prekeys.
    pub prekeys: Arc<prekeys::Service>,
    /// Mailboxes.
    pub mailbox: Arc<mailbox::Service>,
    /// What receivers say of messages that they could not open.
    pub receipts: Arc<mailbox::Receipts>,
}

impl Services {
    /// The services of a log over its database.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(
        db: &Arc<rocksdb::DB>,
        origin: &str,
        token_key: Secret<32>,
        accounts: &Arc<dyn Accounts>,
        clock: &Arc<dyn Clock>,
        prekeys: prekeys::Settings,
    ) -> Result<Self, StoreError> {
        let tokens = tokens::Service::new(
            origin.to_owned(),
            token_key,
            Arc::clone(accounts),
            Arc::new(tokens::rocksdb::RocksNonces::new(Arc::clone(db))),
            Arc::clone(clock),
            tokens::Settings::default(),
        )?;
        let prekeys = prekeys::Service::new(
            origin.to_owned(),
            Arc::new(prekeys::rocksdb::RocksPreKeys::new(Arc::clone(db))),
            Arc::clone(accounts),
            Arc::clone(clock),
            prekeys,
        );
        let mailbox = mailbox::Service::new(
            Arc::new(mailbox::rocksdb::RocksMailbox::new(Arc::clone(db))),
            Arc::clone(accounts),
            Arc::clone(clock),
            mailbox::Settings::default(),
        );
        let receipts = mailbox::Receipts::new(
            Arc::new(mailbox::rocksdb::RocksMailbox::receipts(Arc::clone(db))),
            Arc::clone(accounts),
            Arc::clone(clock),
            mailbox::receipts::HandshakeFailures::default(),
        );
        Ok(Self {
            tokens: Arc::new(tokens),
            prekeys: Arc::new(prekeys),
            mailbox: Arc::new(mailbox),
            receipts: Arc::new(receipts),
        })
    }

    /// Their endpoints.
    pub fn router(&self) -> Router {
        tokens::http::router(Arc::clone(&self.tokens))
            .merge(prekeys::http::router(Arc::clone(&self.prekeys), Arc::clone(&self.tokens)))
            .merge(mailbox::http::router(
                Arc::clone(&self.mailbox),
                Arc::clone(&self.receipts),
                Arc::clone(&self.tokens),
            ))
    }
}

/// The endpoints of a log alone: its files, its operations and what auditors ask for.
pub fn log_router(log: &Arc<Log>) -> Router {
    http::tiles::router(Arc::clone(log))
        .merge(http::operations::router(Arc::clone(log)))
        .merge(http::audit::router(Arc::clone(log)))
}

/// The heads of the log's auditor and the task that fetches them; none for a log without one.
fn auditor(
    path: &Path,
    identity: &Identity,
    settings: Option<poll::Settings>,
    (store, published, clock): (&Arc<dyn Store>, &Arc<Published>, &Arc<dyn Clock>),
) -> Result<Option<(Arc<AuditorHeads>, Poller)>, StartError> {
    let head = published.current();
    let heads = AuditorHeads::open(path, &identity.encoded, &*store.snapshot()?, head.as_deref())?;
    let (heads, settings) = match (heads, settings) {
        (None, None) => return Ok(None),
        (Some(heads), Some(settings)) => (Arc::new(heads), settings),
        (heads, _) => return Err(StartError::AuditorAddress { wanted: heads.is_some() }),
    };
    let parts = poll::Parts {
        heads: Arc::clone(&heads),
        log: *identity.id(),
        store: Arc::clone(store),
        published: Arc::clone(published),
        clock: Arc::clone(clock),
    };
    let poller = Poller::new(parts, settings).map_err(StartError::Client)?;
    Ok(Some((heads, poller)))
}

/// How far the log has to be kept for its auditor, who checks each log entry against the tree before it.
fn prune_limit(log: &Arc<Log>) -> pruning::Limit {
    match log.auditor().cloned() {
        None => Box::new(|| u64::MAX),
        Some(heads) => Box::new(move || heads.size().unwrap_or_default()),
    }
}

/// What made a server stop by itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failed {
    /// Nothing is sequenced any more.
    #[error("sequencing stopped: {0}")]
    Sequencer(Arc<str>),
    /// Nothing is published any more.
    #[error("publishing stopped: {0}")]
    Publisher(#[from] PublisherError),
}

/// A running server.
pub struct LogServer {
    log: Arc<Log>,
    server: Server,
    sequencer: Arc<Sequencer>,
    publishing: JoinSet<Result<(), PublisherError>>,
    background: JoinSet<()>,
    state: watch::Receiver<sequencer::State>,
    db: Weak<rocksdb::DB>,
}

impl LogServer {
    /// Opens the log in a data directory and serves it on a listener. Must be called within a tokio runtime; reads the
    /// store before it returns.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        data: DataDir,
        listener: TcpListener,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let DataDir { path, identity, db, passphrase } = data;
        let identity = Arc::new(identity);
        let token_key = tokens::key::open(&path.join(tokens::key::FILE), passphrase.as_ref())?;
        let socket = Socket::bind(&path)?;
        let store: Arc<dyn Store> = Arc::new(RocksStore::new(Arc::clone(&db)));
        let published = Arc::new(Published::open(&*store)?);

        let parts = (&store, &published, &clock);
        let auditor = auditor(&path, &identity, settings.auditor, parts)?;

        let signer = HeadSigner::of(&identity)?;
        let batching = settings.sequencer.suited_to(&identity.configuration);
        let sequencer_parts = sequencer::Parts {
            store: Arc::clone(&store),
            vrf: Arc::clone(&identity.vrf_key),
            log_hash: signer.log_hash(),
            clock: Arc::clone(&clock),
            rng: Box::new(StdRng::try_from_rng(&mut rand::rngs::SysRng).map_err(std::io::Error::other)?),
        };
        // The policy is judged before anything is sequenced.
        let (state_sender, state) = watch::channel(sequencer::State::default());
        let publisher = Publisher::new(
            publisher::Parts {
                store: Arc::clone(&store),
                published: Arc::clone(&published),
                sequenced: state.clone(),
                signer,
                policy: settings.policy,
                clock: Arc::clone(&clock),
            },
            settings.publisher,
        )?;
        let sequencer = Arc::new(Sequencer::start(sequencer_parts, &batching, state_sender)?);

        let log = Log::new(
            Arc::clone(&store),
            Arc::clone(&published),
            Some(Arc::clone(&sequencer)),
            Arc::clone(&identity),
            settings.limits,
        );
        let log = Arc::new(
            log.with_admission(settings.admission)
                .with_auditor(auditor.as_ref().map(|(heads, _)| Arc::clone(heads))),
        );
        let published_accounts = Arc::new(PublishedAccounts::new(
            Arc::clone(&store),
            Arc::clone(&published),
            identity.origin.clone(),
        ));
        let accounts: Arc<dyn Accounts> = Arc::<PublishedAccounts>::clone(&published_accounts);
        let services = Services::open(&db, &identity.origin, token_key, &accounts, &clock, settings.prekeys)?;
        let pruner = identity
            .configuration
            .maximum_lifetime
            .map(|lifetime| Pruner::new(Arc::clone(&store), lifetime, prune_limit(&log), settings.pruning));
        let heads = published.watch();
        let watched = Arc::new(Watched {
            sequenced: Some(state.clone()),
            publisher: Some(publisher.status()),
            auditor: auditor
                .as_ref()
                .map(|(heads, poller)| Audited { heads: Arc::clone(heads), status: poller.status() }),
            published,
            store,
            clock,
            max_behind: Duration::from_millis(identity.configuration.max_behind),
            max_ahead: Duration::from_millis(identity.configuration.max_ahead),
            pruning: pruner.as_ref().map(Pruner::status),
        });
        let failures = services.receipts.failures();
        let metrics = Metrics::new(&publisher.meters(), services.prekeys.meters())
            .including(|registry| failures.register(registry));
        let metrics = Arc::new(metrics);
        let endpoints = log_router(&log)
            .merge(services.router())
            .merge(http::health::router(Arc::clone(&watched)))
            .merge(http::metrics::router(Arc::clone(&metrics), watched));
        let rate = settings.rate.map(|rate| Arc::new(RateLimit::per_second(rate)));
        let connections = metrics.connections();
        let router = http::bounded(endpoints, metrics, rate);

        let mut publishing = JoinSet::new();
        publishing.spawn(publisher.run());
        let mut background = JoinSet::new();
        background.spawn(prekeys::prune::keep_pruned(Arc::clone(&services.prekeys), PRUNING));
        background.extend(pruner.map(|pruner| pruning::keep_pruned(pruner, heads)));
        background.spawn(socket.serve(Arc::clone(&log), published_accounts));
        if let Some((_, poller)) = auditor {
            background.spawn(poller.run());
        }
        let server = Server::start(listener, router, settings.tls, server::Limits::default(), connections)?;
        Ok(Self { log, server, sequencer, publishing, background, state, db: Arc::downgrade(&db) })
    }

    /// The log that is served.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Returns when the server cannot go on and has to be started anew.
    pub async fn failed(&mut self) -> Failed {
        let failed = self.state.wait_for(|state| state.failed.is_some());
        tokio::select! {
            state = failed => {
                let reason = state.ok().and_then(|state| state.failed.clone());
                Failed::Sequencer(reason.unwrap_or_else(|| "its thread has ended".into()))
            }
            Some(published) = self.publishing.join_next() => match published {
                Ok(Err(error)) => Failed::Publisher(error),
                Ok(Ok(())) => Failed::Sequencer("its thread has ended".into()),
                Err(error) => Failed::Publisher(StoreError::Backend(error.to_string()).into()),
            },
        }
    }

    /// Lets requests under way finish within two seconds, sequences what was accepted, stops everything, and returns when
    /// the database is closed, or after four seconds.
    pub async fn stop(self) {
        let Self { log, server, sequencer, mut publishing, mut background, state, db } = self;
        // Held to the end, so that it is closed here: a count of owners reaches 0 before the last of them has closed it.
        let db = db.upgrade();
        server.stop().await;
        background.shutdown().await;
        // What is being committed is not cut off, but a disk that hangs does not keep the process.
        let stopped = tokio::task::spawn_blocking(move || sequencer.stop());
        if tokio::time::timeout(Duration::from_secs(1), stopped).await.is_err() {
            tracing::error!("the sequencer did not stop in time");
        }
        publishing.shutdown().await;
        drop((log, state));
        let Some(db) = db else { return };
        // A compaction may take minutes; what it was for is done after the next start.
        db.cancel_all_background_work(false);
        // Reads that were cut off go on for a moment on threads of their own.
        let alone = async {
            while Arc::strong_count(&db) > 1 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(Duration::from_millis(500), alone).await.is_err() {
            tracing::warn!("something still uses the database");
        }
    }
}

#[cfg(test)]
mod tests;

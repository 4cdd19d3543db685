//! A log that keeps no rule but its data structures': it takes values unchecked and asks whom it likes to cosign.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use keyglass_log_server::{
    clock::SystemClock,
    data_dir::DataDir,
    log::{Limits, Log},
    published::Published,
    publisher::{self, HeadSigner, Publisher, PublisherError, Status},
    sequencer::{self, Sequencer},
    server::{log_router, service_families},
    store::{Store, rocksdb::RocksStore},
};
use keyglass_service::server::Server;
use keyglass_tlog::policy::Policy;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinSet, spawn_blocking},
};

use crate::Failed;

/// How long a lie may take to be published.
const PATIENCE: Duration = Duration::from_secs(20);

fn lying(error: impl ToString) -> Failed {
    Failed::Lying(error.to_string())
}

/// A running lying log, under the keys of the log whose data directory it was given.
pub struct LyingLog {
    store: Arc<dyn Store>,
    published: Arc<Published>,
    sequencer: Arc<Sequencer>,
    status: watch::Receiver<Status>,
    publishing: JoinSet<Result<(), PublisherError>>,
    server: Server,
    address: SocketAddr,
}

impl LyingLog {
    /// Serves the log in `data` on a port that the system picks, and publishes under `policy`.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn start(data: &Path, policy: &str, heartbeat: Duration) -> Result<Self, Failed> {
        let policy = Policy::parse(policy.as_bytes()).map_err(lying)?;
        let data = DataDir::open(data, &service_families()).map_err(lying)?;
        let identity = Arc::new(data.identity);
        let store: Arc<dyn Store> = Arc::new(RocksStore::new(data.db));
        let published = Arc::new(Published::open(&*store).map_err(lying)?);
        let signer = HeadSigner::of(&identity).map_err(lying)?;
        let (sender, sequenced) = watch::channel(sequencer::State::default());
        let parts = sequencer::Parts {
            store: Arc::clone(&store),
            vrf: Arc::clone(&identity.vrf_key),
            log_hash: signer.log_hash(),
            clock: Arc::new(SystemClock),
            rng: Box::new(StdRng::try_from_rng(&mut rand::rngs::SysRng).map_err(lying)?),
        };
        let publisher = Publisher::new(
            publisher::Parts {
                store: Arc::clone(&store),
                published: Arc::clone(&published),
                sequenced,
                signer,
                policy,
                clock: Arc::new(SystemClock),
            },
            publisher::Settings::default(),
        )
        .map_err(lying)?;
        let settings = sequencer::Settings { heartbeat, ..sequencer::Settings::default() };
        let sequencer = Arc::new(Sequencer::start(parts, &settings, sender).map_err(lying)?);
        let log = Log::new(Arc::clone(&store), Arc::clone(&published), None, identity, Limits::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failed::Listen)?;
        let address = listener.local_addr().map_err(Failed::Listen)?;
        let server = Server::plain(listener, log_router(&Arc::new(log))).map_err(Failed::Listen)?;
        let status = publisher.status();
        let mut publishing = JoinSet::new();
        publishing.spawn(publisher.run());
        Ok(Self { store, published, sequencer, status, publishing, server, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The value of a version of a label, as stored.
    ///
    /// # Errors
    /// [`Failed::Lying`] if it is not there.
    pub fn value(&self, label: &[u8], version: u32) -> Result<Vec<u8>, Failed> {
        let snapshot = self.store.snapshot().map_err(lying)?;
        let opened = snapshot.version(label, version).map_err(lying)?.and_then(|record| record.opened);
        opened.map(|opened| opened.value).ok_or_else(|| lying("no such version"))
    }

    /// Makes `value` the next version of `label`, whatever it is, and waits until it is published.
    ///
    /// # Errors
    /// [`Failed::Lying`] if it is not published in time.
    pub async fn insert(&self, label: &[u8], value: Vec<u8>) -> Result<(), Failed> {
        let (sequencer, label) = (Arc::clone(&self.sequencer), label.to_vec());
        let receiver = spawn_blocking(move || {
            let admission = sequencer.admit(&label).map_err(lying)?;
            admission.submit(vec![value]).map_err(lying)
        });
        let sequenced = receiver.await.map_err(lying)??.await.map_err(lying)?;
        let mut published = self.published.watch();
        let there = |head: &Option<Arc<_>>| {
            head.as_ref().is_some_and(|head: &Arc<keyglass_log_server::store::PublishedHead>| {
                head.size > sequenced.position
            })
        };
        tokio::time::timeout(PATIENCE, published.wait_for(there)).await.map_err(lying)?.map_err(lying)?;
        Ok(())
    }

    /// How the witnesses answered, once each of them did, as `name: answer`.
    ///
    /// # Errors
    /// [`Failed::Lying`] if one does not answer in time.
    pub async fn refusals(&self) -> Result<Vec<String>, Failed> {
        let mut status = self.status.clone();
        let all_answered = |status: &Status| {
            let witnesses = &status.witnesses;
            !witnesses.is_empty()
                && witnesses.iter().all(|w| w.failing.is_some() || w.cosigned >= status.target)
        };
        let status = tokio::time::timeout(PATIENCE, status.wait_for(all_answered))
            .await
            .map_err(lying)?
            .map_err(lying)?;
        let answer = |witness: &publisher::WitnessStatus| {
            witness.failing.as_ref().map(|(_, error)| format!("{}: {error}", witness.name))
        };
        Ok(status.witnesses.iter().filter_map(answer).collect())
    }

    /// Ends it, so that its data directory can be opened by another.
    pub async fn stop(mut self) {
        self.server.stop().await;
        self.publishing.shutdown().await;
        let sequencer = Arc::clone(&self.sequencer);
        // The threads end with what is being committed; a panic in them has been reported already.
        let _ = spawn_blocking(move || sequencer.stop()).await;
    }
}

/// Copies a data directory of a log-server that is not running.
///
/// # Errors
/// [`Failed::Lying`] with what the file system says.
pub fn copy_data(from: &Path, to: &Path) -> Result<(), Failed> {
    fn copy(from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir(to)?;
        fs::set_permissions(to, fs::metadata(from)?.permissions())?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                copy(&entry.path(), &target)?;
            } else if kind.is_file() {
                fs::copy(entry.path(), &target)?;
            }
        }
        Ok(())
    }
    copy(from, to).map_err(lying)
}

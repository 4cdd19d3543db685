//! The commands, put together from the parts.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
};

use keyglass_service::{
    key_file::{KeyFileError, Sealing},
    passphrase::PassphraseError,
    server::{self, Limits as Connections, Server},
    tls::{Tls, TlsError},
};
use keyglass_tlog::cosignature::Cosigner;
use serde_json::json;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    alert::{config::AlertConfigError, store::AlertStoreError},
    cli::{Cli, Common, MissingOption, print_line},
    clock::{Clock, SystemClock},
    data_dir::{self, DataError},
    fetch::{AddressError, LogSource},
    follow::{AuditError, SharedRecords},
    followed::Logs,
    gossip::GossipError,
    http::{Metrics, Service},
    plan::Plan,
    progress_shown,
    records::{Records, RecordsError},
    rounds::{Rounds, local, show},
    serve,
    settings::SettingsError,
    trust::TrustError,
    verdict::Verdict,
};

/// The longest policy or configuration file that is read; see [`keyglass_tlog::policy::MAX_POLICY_LEN`].
const MAX_FILE: u64 = 32 * 1024 * 1024 + 1;
/// Why a command ended without a report.
#[derive(Debug, Error)]
pub enum RunError {
    /// The command line.
    #[error(transparent)]
    MissingOption(#[from] MissingOption),
    /// The data directory.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The certificate, or those of authorities.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What is remembered.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// A round.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A file cannot be read.
    #[error("{}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// Policy and configuration.
    #[error("configuration or policy: {0}")]
    Trust(#[from] TrustError),
    /// The configuration file.
    #[error("--config: {0}")]
    Settings(#[from] SettingsError),
    /// The URL of a log or of another auditor.
    #[error("{url}: {error}")]
    LogAddress {
        /// The URL.
        url: String,
        /// What is wrong.
        error: AddressError,
    },
    /// A log is nowhere.
    #[error("a log has no URL")]
    NoUrl,
    /// Two names of the configuration file are one log.
    #[error("the log {0} is another one of the file, too")]
    SameLog(String),
    /// A monitoring prefix is of a witness that the policy does not have.
    #[error("monitoring: the policy has no witness {0}")]
    UnknownWitness(String),
    /// What is wrong with a log of the configuration file.
    #[error("the log {name}: {error}")]
    OfLog {
        /// Its name.
        name: String,
        /// What is wrong.
        error: Box<RunError>,
    },
    /// A witness's URL in the policy.
    #[error("the URL of the witness {name}: {error}")]
    WitnessAddress {
        /// Its name in the policy.
        name: String,
        /// What is wrong.
        error: AddressError,
    },
    /// The TLS library.
    #[error("no HTTP client: {0}")]
    Client(reqwest::Error),
    /// The address cannot be listened on.
    #[error("{address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        error: io::Error,
    },
    /// Gossip.
    #[error(transparent)]
    Gossip(#[from] GossipError),
    /// Who is told of alerts.
    #[error("alerts: {0}")]
    AlertConfig(#[from] AlertConfigError),
    /// The alerts that are retained.
    #[error(transparent)]
    Alerts(#[from] AlertStoreError),
    /// The operating system.
    #[error("{0}")]
    System(io::Error),
}

impl RunError {
    /// The verdict that the process ends with.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::MissingOption(_)
            | Self::File { .. }
            | Self::Trust(_)
            | Self::Passphrase(_)
            | Self::Tls(_)
            | Self::Settings(_)
            | Self::AlertConfig(_)
            | Self::LogAddress { .. }
            | Self::NoUrl
            | Self::SameLog(_)
            | Self::UnknownWitness(_)
            | Self::WitnessAddress { .. } => Verdict::Usage,
            Self::OfLog { error, .. } => error.verdict(),
            Self::Gossip(GossipError::Peers(_)) => Verdict::Usage,
            Self::Data(DataError::Key(error)) if KeyFileError::is_of_passphrase(error) => Verdict::Usage,
            Self::Data(_)
            | Self::Records(_)
            | Self::Alerts(_)
            | Self::Audit(_)
            | Self::Client(_)
            | Self::Listen { .. }
            | Self::Gossip(_)
            | Self::System(_) => Verdict::Failed,
        }
    }

    /// The same, of a log of the configuration file.
    #[must_use]
    pub fn of_log(self, name: &str) -> Self {
        Self::OfLog { name: name.to_owned(), error: Box::new(self) }
    }
}

/// `init`: makes an auditor and prints its vkey.
///
/// # Errors
/// [`RunError`].
pub fn init(cli: &Cli) -> Result<(), RunError> {
    let (data, name) = (cli.data()?, cli.name()?);
    print_vkey(&data_dir::create(&data, name, cli.passphrase.read()?.as_ref())?, cli.json);
    Ok(())
}

/// `vkey`: prints it again.
///
/// # Errors
/// [`RunError`].
pub fn vkey(cli: &Cli) -> Result<(), RunError> {
    print_vkey(&data_dir::open(&cli.data()?, cli.passphrase.read()?.as_ref())?, cli.json);
    Ok(())
}

/// `seal-keys`: puts the key under a passphrase, or under another one.
///
/// # Errors
/// [`RunError`].
pub fn seal_keys(cli: &Cli) -> Result<(), RunError> {
    let (data, (before, passphrase)) = (cli.data()?, cli.passphrase.read_both()?);
    print_line(match data_dir::seal(&data, before.as_ref(), &passphrase)? {
        Sealing::Sealed => "the key is sealed",
        Sealing::Kept => "the key was sealed under this passphrase already",
    });
    Ok(())
}

fn print_vkey(key: &Cosigner, json: bool) {
    let vkey = key.vkey().to_string();
    print_line(&if json { json!({ "vkey": vkey }).to_string() } else { vkey });
}

/// `follow`: one round, or rounds until SIGTERM or SIGINT. Gives the verdict to exit with.
///
/// # Errors
/// [`RunError`].
pub async fn follow(cli: &Cli) -> Result<Verdict, RunError> {
    let (options, json) = (cli.follow()?, cli.json);
    let (roots, tls) = (options.common.roots.load()?, options.common.tls.load()?);
    let key = Arc::new(data_dir::open(&options.data, cli.passphrase.read()?.as_ref())?);
    let plan = Plan::new(&options.log, &[], &options.common, &roots, &key)?;
    let records = Records::open(&options.data, &key.vkey().to_string(), Arc::clone(&plan.trust))?;
    let records = SharedRecords::new(records);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let logs = Arc::new(serve::logs(core::slice::from_ref(&plan), &key, &clock));
    let followed = Arc::clone(logs.only().ok_or(RunError::NoUrl)?);
    followed.opened(records.clone());
    let follower = plan.follower(records, clock, Arc::clone(followed.status().meter()));
    let stop = stop_signal()?;
    if options.once {
        return tokio::select! {
            report = progress_shown::during(follower.round(), &plan.name, followed.status().meter()) => {
                let report = report?;
                if json {
                    show(followed.status().name(), &report, &options.data, json);
                } else {
                    print_line(local(&report, &options.data).in_words().trim_end());
                }
                Ok(report.verdict)
            }
            () = stop => Err(RunError::System(io::ErrorKind::Interrupted.into())),
        };
    }
    let metrics = Arc::new(Metrics::default());
    let Common { listen, rate_limit, .. } = options.common;
    let server = Listening::start(listen, &logs, serve::sources([&plan]), &metrics, rate_limit, tls)?;
    let rounds = Rounds { followed, metrics, interval: plan.interval, json };
    let ended = tokio::select! {
        () = stop => Ok(Verdict::Ok),
        ended = rounds.run(&follower, &options.data) => ended.map(|never| match never {}).map_err(RunError::from),
    };
    server.stop().await;
    ended
}

/// A server, where one is wanted.
pub struct Listening(Option<Server>);

impl Listening {
    /// Serves these logs, and says where on the first line of stdout: nothing is printed before.
    ///
    /// # Errors
    /// [`RunError::Listen`].
    pub fn start(
        address: Option<SocketAddr>,
        logs: &Arc<Logs>,
        sources: HashMap<String, LogSource>,
        metrics: &Arc<Metrics>,
        rate_limit: NonZeroU32,
        tls: Option<Tls>,
    ) -> Result<Self, RunError> {
        let Some(address) = address else { return Ok(Self(None)) };
        let fail = |error| RunError::Listen { address, error };
        let listener = server::bind(address).map_err(fail)?;
        let url = server::url(&listener, tls.as_ref()).map_err(fail)?;
        let router = Service::new(Arc::clone(logs), Arc::clone(metrics)).asking(sources).router(rate_limit);
        let server = Server::start(listener, router, tls, Connections::default(), metrics.connections());
        let server = server.map_err(fail)?;
        print_line(&json!({ "listening": url }).to_string());
        Ok(Self(Some(server)))
    }

    /// Ends it, once answers under way have gone out.
    pub async fn stop(self) {
        if let Some(server) = self.0 {
            server.stop().await;
        }
    }
}

/// Ends when the process is told to, by SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError::System`].
pub fn stop_signal() -> Result<impl Future<Output = ()>, RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::System)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A policy or configuration file.
///
/// # Errors
/// [`RunError::File`].
pub fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| RunError::File { path: path.to_owned(), error })
}

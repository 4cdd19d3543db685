//! The commands, put together from the parts.

use std::{
    fs::File,
    io::{self, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use keyglass_service::{
    key_file::{KeyFileError, Sealing},
    passphrase::PassphraseError,
    server::{self, Limits as Connections, Server},
    tls::TlsError,
};
use keyglass_tlog::cosignature::Cosigner;
use serde_json::json;
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
};

use crate::{
    cli::{Cli, MissingOption, print_line},
    clock::{Clock, SystemClock},
    data_dir::{self, DataError},
    fetch::{AddressError, Http, LogSource, WitnessSource},
    follow::{AuditError, Auditing, Follower, SharedRecords},
    http::{Metrics, Service},
    records::{Records, RecordsError},
    report::Report,
    signing::Signer,
    trust::{Trust, TrustError},
    updates::Limits,
    verdict::Verdict,
};

/// The longest policy or configuration file that is read; see [`keyglass_tlog::policy::MAX_POLICY_LEN`].
const MAX_FILE: u64 = 32 * 1024 * 1024 + 1;
/// The shortest pause between rounds, whatever wakes the auditor.
const MIN_PAUSE: Duration = Duration::from_millis(100);

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
    /// The log's URL.
    #[error("--url: {0}")]
    LogAddress(AddressError),
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
            | Self::LogAddress(_)
            | Self::WitnessAddress { .. } => Verdict::Usage,
            Self::Data(DataError::Key(error)) if KeyFileError::is_of_passphrase(error) => Verdict::Usage,
            Self::Data(_)
            | Self::Records(_)
            | Self::Audit(_)
            | Self::Client(_)
            | Self::Listen { .. }
            | Self::System(_) => Verdict::Failed,
        }
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
    let configuration = read(&options.configuration)?;
    let policy = options.policy.as_deref().map(read).transpose()?;
    let trust = Arc::new(Trust::new(&configuration, policy.as_deref())?);
    if !trust.has_checkpoints() {
        tracing::warn!("a log of suite 0x0002 has no witnesses: only its updates are replayed");
    } else if !trust.asks_for_witnesses() {
        tracing::warn!("the policy says `quorum none`: the log's heads are worth its own word alone");
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tls = options.tls.load()?;
    let http = Http::trusting(options.timeout, &options.roots.load()?).map_err(RunError::Client)?;
    let log = LogSource::new(http.clone(), &options.url).map_err(RunError::LogAddress)?;
    let source = |witness: &keyglass_tlog::policy::Witness| {
        WitnessSource::new(http.clone(), witness, trust.origin())
            .map_err(|error| RunError::WitnessAddress { name: witness.name().to_string(), error })
    };
    let witnesses = trust.policy().witnesses().iter().map(source).collect::<Result<Vec<_>, _>>()?;
    let key = data_dir::open(&options.data, cli.passphrase.read()?.as_ref())?;
    let records = Records::open(&options.data, &key.vkey().to_string(), Arc::clone(&trust))?;
    let records = SharedRecords::new(records);
    let signer = Signer::new(key, &trust).map(Arc::new);
    match (&signer, trust.auditing()) {
        (Some(_), _) => tracing::info!("this is the log's auditor: heads are signed"),
        (None, Some(_)) => tracing::info!("the log's configuration names another auditor: nothing is signed"),
        (None, None) => {}
    }
    let auditing = Auditing {
        patience: options.patience,
        limits: Limits { leaves: options.max_update_leaves },
        signer: signer.clone(),
    };
    let follower =
        Follower::new(Arc::clone(&trust), records.clone(), log, witnesses, Arc::clone(&clock), auditing);

    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::System)?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    if options.once {
        return tokio::select! {
            report = follower.round() => {
                let report = report?;
                if json {
                    show(&report, json);
                } else {
                    print_line(report.in_words().trim_end());
                }
                Ok(report.verdict)
            }
            () = stop => Err(RunError::System(io::ErrorKind::Interrupted.into())),
        };
    }

    let (publish, latest) = watch::channel(None);
    let (metrics, wake) = (Arc::new(Metrics::default()), Arc::new(Notify::new()));
    let service = Service::new(trust, records, clock, latest, Arc::clone(&metrics), Arc::clone(&wake))
        .signing(signer.is_some());
    let server = match options.listen {
        Some(address) => {
            let fail = |error| RunError::Listen { address, error };
            let listener = server::bind(address).map_err(fail)?;
            let url = server::url(&listener, tls.as_ref()).map_err(fail)?;
            let router = service.router(options.rate_limit);
            let server = Server::start(listener, router, tls, Connections::default(), metrics.connections());
            let server = server.map_err(fail)?;
            // The first line on stdout: nothing is printed before.
            print_line(&json!({ "listening": url }).to_string());
            Some(server)
        }
        None => None,
    };
    let rounds = rounds(&follower, options.interval, json, &publish, &metrics, &wake);
    let ended = tokio::select! {
        () = stop => Ok(Verdict::Ok),
        ended = rounds => ended.map(|never| match never {}),
    };
    if let Some(server) = server {
        server.stop().await;
    }
    ended
}

/// Round after round. Pauses vary, so that many auditors do not ask at the same time.
async fn rounds(
    follower: &Follower,
    interval: Duration,
    json: bool,
    publish: &watch::Sender<Option<Arc<Report>>>,
    metrics: &Metrics,
    wake: &Notify,
) -> Result<core::convert::Infallible, RunError> {
    let mut last = None;
    loop {
        let report = Arc::new(follower.round().await?);
        metrics.observe(&report);
        if json || last != Some(report.verdict) {
            show(&report, json);
        }
        last = Some(report.verdict);
        publish.send_replace(Some(report));
        let pause = interval.mul_f64(rand::random_range(0.5..1.5)).max(MIN_PAUSE);
        tokio::time::sleep(MIN_PAUSE).await;
        tokio::select! {
            () = tokio::time::sleep(pause.saturating_sub(MIN_PAUSE)) => {}
            () = wake.notified() => {}
        }
    }
}

/// Shows a report: as a line of JSON on stdout, or in words on stderr.
fn show(report: &Report, json: bool) {
    if json {
        match serde_json::to_string(report) {
            Ok(line) => print_line(&line),
            Err(error) => tracing::error!(%error, "the report has no JSON form"),
        }
        return;
    }
    let (verdict, size) = (report.verdict, report.tree_size);
    if verdict == Verdict::Ok {
        tracing::info!(%verdict, size, head_age_ms = report.head_age_ms, "{}", report.meaning);
    } else {
        tracing::warn!(%verdict, size, head_age_ms = report.head_age_ms, "{}", report.meaning);
    }
    for finding in &report.findings {
        tracing::warn!(kind = finding.kind, "{}", finding.detail);
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| RunError::File { path: path.to_owned(), error })
}

//! `serve`: the log until SIGTERM.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use keyglass_log_server::{
    audit::poll,
    clock::SteadyClock,
    data_dir::{DataDir, Place},
    log::Limits,
    pruning, publisher,
    registration::{Admission, Labels},
    sequencer,
    server::{LogServer, Settings, StartError, service_families},
};
use keyglass_service::server::{bind, url};
use keyglass_tlog::policy::{MAX_POLICY_LEN, Policy};
use reqwest::Certificate;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{CommandError, LabelChoice, ServeOptions, print_line, rate};

/// How long tasks may hold the process up after the server has stopped.
const LAST_GRACE: Duration = Duration::from_millis(500);

/// Runs until SIGTERM or SIGINT, or until the server has to be started anew.
pub(super) fn run(place: Place<'_>, options: &ServeOptions) -> Result<(), CommandError> {
    let listen = options.listen.ok_or(CommandError::MissingOption("serve", "--listen ADDR"))?;
    let policy_file =
        options.policy.as_deref().ok_or(CommandError::MissingOption("serve", "--policy FILE"))?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).with_env_filter(filter).init();

    let policy = read_policy(policy_file)?;
    let directory = DataDir::open(place, &service_families())?;
    // What users forgive the log's timestamps, the log forgives the machine's clock.
    let max_ahead = Duration::from_millis(directory.identity.configuration.max_ahead);
    let clock = Arc::new(SteadyClock::new(max_ahead));
    let labels = match options.labels {
        LabelChoice::Any => Labels::Any,
        LabelChoice::Normalised => Labels::Normalised,
    };
    let by_clock = Arc::<SteadyClock>::clone(&clock);
    let admission = Arc::new(Admission::open(labels, options.registration.clone(), by_clock)?);
    let settings = settings(options, policy, &directory, Arc::clone(&admission))?;
    let (origin, suite) = (directory.identity.origin.clone(), directory.identity.suite);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        // Before anyone is told that it runs, so that no signal to stop goes by unseen.
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let cannot_listen = |source| CommandError::Listen { address: listen, source };
        let listener = bind(listen).map_err(cannot_listen)?;
        let url = url(&listener, settings.tls.as_ref())?;
        let mut server = LogServer::start(directory, listener, settings, clock)
            .map_err(|error| refused(error, policy_file))?;
        tracing::info!(url, %origin, ?suite, "the log is served");
        let first_line = serde_json::json!({ "listening": url, "origin": origin });
        print_line(&first_line.to_string())?;
        let failed = loop {
            tokio::select! {
                _ = terminated.recv() => break None,
                _ = interrupted.recv() => break None,
                failed = server.failed() => break Some(failed),
                Some(()) = hangup.recv() => reload(&admission),
            }
        };
        tracing::info!("stopping");
        server.stop().await;
        failed.map_or(Ok(()), |failed| Err(failed.into()))
    });
    runtime.shutdown_timeout(LAST_GRACE);
    served
}

/// Reads the keys of registration tokens again.
fn reload(admission: &Admission) {
    match admission.reload() {
        Ok(Some(keys)) => tracing::info!(keys, "the keys of registration tokens were read again"),
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "the keys of registration tokens stay as they were"),
    }
}

fn settings(
    options: &ServeOptions,
    policy: Policy,
    directory: &DataDir,
    admission: Arc<Admission>,
) -> Result<Settings, CommandError> {
    let configuration = &directory.identity.configuration;
    let max_behind = configuration.max_behind;
    let heartbeat = options.heartbeat.unwrap_or_else(|| (max_behind / 5).clamp(1, 60_000));
    if heartbeat == 0 || heartbeat >= max_behind {
        return Err(CommandError::Heartbeat { heartbeat, max_behind });
    }
    let roots: Result<Vec<_>, _> =
        options.roots.load()?.iter().map(|root| Certificate::from_der(root)).collect();
    let roots = roots.map_err(|error| CommandError::Start(StartError::Client(error.to_string())))?;
    Ok(Settings {
        policy,
        sequencer: sequencer::Settings {
            window: Duration::from_millis(options.batch_window),
            max_versions: options.batch_size,
            heartbeat: Duration::from_millis(heartbeat),
            ..sequencer::Settings::default()
        },
        publisher: publisher::Settings {
            max_ahead: Duration::from_millis(configuration.max_ahead),
            roots: roots.clone(),
            ..publisher::Settings::default()
        },
        prekeys: options.prekeys.settings(),
        admission,
        limits: Limits::default(),
        pruning: pruning::Settings {
            grace: Duration::from_millis(options.pruning_grace),
            ..pruning::Settings::default()
        },
        auditor: options.auditor.clone().map(|auditor| poll::Settings { roots, ..auditor }),
        tls: options.tls.load()?,
        rate: rate(options.rate_limit),
    })
}

fn refused(error: StartError, policy_file: &Path) -> CommandError {
    match error {
        StartError::Policy(source) => CommandError::PolicyUnusable { path: policy_file.to_owned(), source },
        other => CommandError::Start(other),
    }
}

fn read_policy(path: &Path) -> Result<Policy, CommandError> {
    let failed = |source| CommandError::PolicyFile { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_POLICY_LEN).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    Policy::parse(&bytes).map_err(|source| CommandError::Policy { path: path.to_owned(), source })
}

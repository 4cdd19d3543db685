//! `serve`: the witness until SIGTERM.

use std::{fs::File, io, io::Read as _, path::Path, sync::Arc, time::Duration};

use keyglass_service::{
    passphrase::PassphraseOptions,
    server::{self, Server},
};
use keyglass_tlog::policy::{MAX_POLICY_LEN, Policy};
use keyglass_witness::{
    clock::SystemClock,
    http::{CONNECTIONS, Limits, router},
    key,
    logs::Logs,
    metrics::Metrics,
    service::Witness,
    store::DurableStore,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{CommandError, ServeOptions, print_line};

/// How long tasks may hold the process up after the server has stopped.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(
    data: &Path,
    options: &ServeOptions,
    passphrase: &PassphraseOptions,
) -> Result<(), CommandError> {
    let listen = options.listen.ok_or(CommandError::MissingOption("serve", "--listen ADDR"))?;
    let policy_file =
        options.policy.as_deref().ok_or(CommandError::MissingOption("serve", "--policy FILE"))?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).with_env_filter(filter).init();

    let policy = read_policy(policy_file)?;
    let logs = Logs::of_policy(&policy, options.rate_limit);
    if logs.is_empty() && !options.allow_no_logs {
        return Err(CommandError::NoLogs(policy_file.to_owned()));
    }
    let tls = options.tls.load()?;
    let cosigner = key::load(data, passphrase.read()?.as_ref())?;
    let store = DurableStore::open(data, cosigner.vkey())?;
    let vkey = cosigner.vkey().clone();
    tracing::info!(%vkey, logs = logs.len(), "the state is sound");

    let metrics = Arc::new(Metrics::default());
    let witness = Arc::new(Witness::new(vec![cosigner], logs, store, SystemClock, Arc::clone(&metrics)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        // Before anyone is told that it runs, so that no signal to stop goes by unseen.
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let listener = server::bind(listen);
        let listener = listener.map_err(|source| CommandError::Listen { address: listen, source })?;
        let listening = server::url(&listener, tls.as_ref())?;
        let connections = metrics.connections();
        let router = router(Arc::clone(&witness), metrics, Limits::default());
        let server = Server::start(listener, router, tls, CONNECTIONS, connections)?;
        print_line(&serde_json::json!({ "listening": listening, "vkey": vkey.to_string() }).to_string())?;
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("stopping");
        server.stop().await;
        Ok(())
    });
    runtime.shutdown_timeout(LAST_GRACE);
    // The last owner waits for what is being written.
    drop(witness);
    served
}

fn read_policy(path: &Path) -> Result<Policy, CommandError> {
    let failed = |source| CommandError::PolicyFile { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_POLICY_LEN).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    Policy::parse(&bytes).map_err(|source| CommandError::Policy { path: path.to_owned(), source })
}

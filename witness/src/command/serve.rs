//! `serve`: the witness until SIGTERM.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use keyglass_crypto::sealed::Passphrase;
use keyglass_gossip::{
    book::Book,
    net::{Fetch, Gossip, PEER_DEADLINE, Settings},
    peers,
    trust::Trust,
};
use keyglass_service::server::{self, Server};
use keyglass_witness::{
    clock::SystemClock,
    gossip::Gossiper,
    http::{CONNECTIONS, Limits, Responder as _, router},
    key,
    logs::Logs,
    metrics::Metrics,
    service::Witness,
    store::DurableStore,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{CommandError, options::ServeOptions, policy_file, print_line, vkeys};

/// How long tasks may hold the process up after the server has stopped.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(
    data: &Path,
    listen: SocketAddr,
    policy_path: &Path,
    options: &ServeOptions,
    passphrase: Option<&Passphrase>,
) -> Result<(), CommandError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).with_env_filter(filter).init();

    let policy = policy_file::read_for_serving(policy_path, options.allow_no_logs)?;
    let logs = Logs::of_policy(&policy, options.rate_limit);
    let peers = options.peers.as_deref().map(peers::read).transpose()?;
    let (tls, roots) = (options.tls.load()?, options.roots.load()?);
    let roots: Vec<&[u8]> = roots.iter().map(AsRef::as_ref).collect();
    let fetch = Fetch::new(PEER_DEADLINE, &roots).map_err(|error| CommandError::Client(error.to_string()))?;
    let cosigners = key::load(data, passphrase)?;
    let store = DurableStore::open(data, &vkeys(&cosigners))?;
    let vkeys: Vec<String> = cosigners.iter().map(|cosigner| cosigner.vkey().to_string()).collect();
    let summary = store.summary();
    for cosigner in &cosigners {
        tracing::info!(name = %cosigner.vkey().name(), id = %cosigner.vkey().id(), "a key to cosign with");
    }
    tracing::info!(logs = logs.len(), known = summary.logs, "the state is sound");
    if summary.suspended > 0 || summary.restored {
        let (suspended, restored) = (summary.suspended, summary.restored);
        tracing::warn!(suspended, restored, "logs wait for `keyglass-witness confirm`");
    }

    let metrics = Arc::new(Metrics::default());
    metrics.suspended_at_start(summary.suspended);
    let book = Arc::new(Book::open(data, Trust::of_policy(&policy))?);
    for origin in book.holdings().stopped() {
        tracing::error!(
            origin,
            "the log signed two histories: nothing of it is cosigned until `keyglass-witness resolve`"
        );
    }
    let witness = Witness::new(cosigners, logs, store, SystemClock, Arc::clone(&metrics));
    let witness = Arc::new(witness.with_evidence(Arc::clone(&book)));
    witness.count_evidence();
    if let Some(why) = witness.unready() {
        tracing::warn!(why, "not ready");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        // Before anyone is told that it runs, so that no signal goes by unseen.
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut hung_up = signal(SignalKind::hangup())?;
        let listener = server::bind(listen);
        let listener = listener.map_err(|source| CommandError::Listen { address: listen, source })?;
        let listening = server::url(&listener, tls.as_ref())?;
        let connections = metrics.connections();
        let router = router(Arc::clone(&witness), Arc::clone(&metrics), Limits::default());
        let server = Server::start(listener, router, tls, CONNECTIONS, connections)?;
        let first = serde_json::json!({ "listening": listening, "vkey": vkeys.first(), "vkeys": vkeys });
        print_line(&first.to_string())?;
        let gossip = peers.map(|peers| {
            tracing::info!(peers = peers.len(), "gossip");
            let host = Gossiper::new(Arc::clone(&witness), Arc::clone(&book), Arc::clone(&metrics));
            let period = Duration::from_millis(options.gossip_period);
            Gossip::start(Arc::new(host), fetch, peers, Settings { period, ..Settings::default() })
        });
        loop {
            tokio::select! {
                _ = terminated.recv() => break,
                _ = interrupted.recv() => break,
                _ = hung_up.recv() => {
                    match policy_file::read_for_serving(policy_path, options.allow_no_logs) {
                        Ok(policy) => {
                            // Evidence first, so that no log is cosigned before what is held against it counts.
                            let (trust, book) = (Trust::of_policy(&policy), Arc::clone(&book));
                            let counted = tokio::task::spawn_blocking(move || book.replace_trust(trust)).await;
                            if !matches!(counted, Ok(Ok(()))) {
                                metrics.reloaded(false);
                                tracing::error!("evidence cannot be read; the policy before stays in force");
                                continue;
                            }
                            let change = witness.replace_logs(&policy);
                            witness.count_evidence();
                            metrics.reloaded(true);
                            tracing::info!(added = change.added, removed = change.removed, "a new policy");
                        }
                        Err(error) => {
                            metrics.reloaded(false);
                            tracing::error!(%error, "the policy was refused; the one before stays in force");
                        }
                    }
                    // With a new policy in force, so that heads are judged by it.
                    if let (Some(gossip), Some(path)) = (&gossip, options.peers.as_deref()) {
                        match peers::read(path) {
                            Ok(peers) => {
                                tracing::info!(peers = peers.len(), "the peers were read again");
                                gossip.replace_peers(peers);
                            }
                            Err(error) => {
                                tracing::error!(%error, "the file of peers was refused; those before are asked");
                            }
                        }
                    }
                }
            }
        }
        tracing::info!("stopping");
        if let Some(gossip) = gossip {
            gossip.stop().await;
        }
        server.stop().await;
        Ok(())
    });
    runtime.shutdown_timeout(LAST_GRACE);
    // The last owner waits for what is being written.
    drop(witness);
    served
}

//! `serve`: many logs at once, each in a task of its own. What a log does or fails to do, and whatever is damaged in its
//! directory, changes nothing for the others.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

use keyglass_tlog::cosignature::Cosigner;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    alert::{desk::Desk, store, watch::watch as watch_for_alerts, webhook},
    cli::{Cli, Common},
    clock::{Clock, SystemClock},
    data_dir::{self, Homes},
    fetch::LogSource,
    follow::SharedRecords,
    followed::{Followed, Logs},
    gossip::{self, Running},
    http::Metrics,
    incident::Hysteresis,
    overview::{AuditorOverview, status::LogStatus},
    plan::Plan,
    records::Records,
    rounds::Rounds,
    run::{Listening, RunError, stop_signal},
    settings::Settings,
    verdict::Verdict,
};

/// The pause before a log that failed is tried again, and how far it grows by doubling.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// `serve`: until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`]: of the command line, its files, the key, or the address; not of what belongs to one log.
pub async fn serve(cli: &Cli) -> Result<Verdict, RunError> {
    let (options, json) = (cli.serve()?, cli.json);
    let settings = Settings::read(&options.config)?;
    let (roots, tls) = (options.common.roots.load()?, options.common.tls.load()?);
    let key = Arc::new(data_dir::open(&options.data, cli.passphrase.read()?.as_ref())?);
    let homes = Arc::new(Homes::take(&options.data, &key.vkey().to_string())?);
    let mut origins = BTreeSet::new();
    let mut plans = Vec::new();
    for log in &settings.logs {
        let plan = Plan::new(log, &settings.auditors, &options.common, &roots, &key)
            .map_err(|error| error.of_log(&log.name))?;
        if !origins.insert(plan.trust.origin().to_owned()) {
            return Err(RunError::SameLog(log.name.clone()));
        }
        plans.push(plan);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let book = gossip::open(&options.data, &plans)?;
    let logs = Arc::new(logs(&plans, &key, &clock).passing_on(Arc::clone(&book)));
    let metrics = Arc::new(Metrics::default());
    let directory = options.config.parent().unwrap_or(Path::new(""));
    let receivers = settings.alerts.receivers(directory)?;
    let client = webhook::client(&roots).map_err(RunError::Client)?;
    let (path, hold) = (options.data.join(store::FILE), settings.alerts.hold());
    let desk = Desk::open(path, hold, receivers, client, Arc::clone(&clock), metrics.alerts())?;
    let desk = Arc::new(desk);
    let stop = stop_signal()?;
    let Common { listen, rate_limit, .. } = options.common;
    let start = |peers| Running::start(&logs, &book, peers, options.gossip_period, &roots, metrics.gossip());
    // Before anyone is told that it runs, so that no SIGHUP goes by unseen.
    let gossip = options.peers.map(start).transpose()?;
    let server = Listening::start(listen, &logs, sources(&plans), &metrics, rate_limit, tls)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(watch_for_alerts(Arc::clone(&logs), Arc::clone(&desk)));
    tasks.spawn(async move { desk.run().await });
    for (plan, followed) in plans.into_iter().zip(logs.all()) {
        let keeper = Keeper {
            rounds: Rounds {
                followed: Arc::clone(followed),
                metrics: Arc::clone(&metrics),
                interval: plan.interval,
                json,
            },
            plan,
            homes: Arc::clone(&homes),
            auditor: key.vkey().to_string(),
            clock: Arc::clone(&clock),
        };
        tasks.spawn(keeper.keep());
    }
    stop.await;
    tasks.shutdown().await;
    if let Some(gossip) = gossip {
        gossip.stop().await;
    }
    server.stop().await;
    Ok(Verdict::Ok)
}

/// Where each log of these plans is asked for entries, by its id.
pub fn sources<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> HashMap<String, LogSource> {
    let shows = |plan: &&Plan| plan.trust.has_checkpoints();
    let source = |plan: &Plan| (hex::encode(plan.trust.id()), plan.source().clone());
    plans.into_iter().filter(shows).map(source).collect()
}

/// The logs of these plans, of which nothing is open yet.
#[must_use]
pub fn logs(plans: &[Plan], key: &Cosigner, clock: &Arc<dyn Clock>) -> Logs {
    let changed = Arc::new(watch::channel(0).0);
    let followed = plans.iter().map(|plan| {
        let (name, urls, trust) = (plan.name.clone(), plan.urls.clone(), Arc::clone(&plan.trust));
        let status = LogStatus::new(name, urls, Arc::clone(&trust), Hysteresis::default());
        let signs = plan.signer.is_some();
        Arc::new(Followed::new(status, trust, Arc::clone(clock), signs, Arc::clone(&changed)))
    });
    let vkey = key.vkey();
    let auditor = AuditorOverview {
        name: vkey.name().as_str().to_owned(),
        vkey: vkey.to_string(),
        version: env!("CARGO_PKG_VERSION"),
    };
    Logs::new(auditor, Arc::clone(clock), followed.collect(), Arc::clone(&changed))
}

/// Who keeps one log followed.
struct Keeper {
    plan: Plan,
    rounds: Rounds,
    homes: Arc<Homes>,
    auditor: String,
    clock: Arc<dyn Clock>,
}

impl Keeper {
    /// Follows the log for ever: whatever fails, and be it by a panic, is told and tried again.
    async fn keep(self) {
        let keeper = Arc::new(self);
        let mut pause = PAUSE.0;
        loop {
            let began = tokio::time::Instant::now();
            let following = Arc::clone(&keeper);
            // Dropped with this task, so that nothing outlives it.
            let mut task = JoinSet::new();
            task.spawn(async move { following.follow().await });
            let why = match task.join_next().await {
                Some(Ok(error)) => error.to_string(),
                Some(Err(_)) | None => "a task of this process failed".to_owned(),
            };
            let followed = &keeper.rounds.followed;
            tracing::error!(log = keeper.plan.name, "{why}");
            followed.close();
            keeper.rounds.metrics.failed(keeper.plan.trust.origin());
            followed.fail(why);
            pause = if began.elapsed() > PAUSE.1 { PAUSE.0 } else { pause.saturating_mul(2).min(PAUSE.1) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens the log's directory and does rounds, until something fails.
    async fn follow(&self) -> RunError {
        let (homes, trust, auditor) =
            (Arc::clone(&self.homes), Arc::clone(&self.plan.trust), self.auditor.clone());
        let open = move || -> Result<_, RunError> {
            let home = homes.of(&trust)?;
            let records = Records::open(&home, &auditor, trust)?;
            Ok((SharedRecords::new(records), home))
        };
        let (records, home) = match tokio::task::spawn_blocking(open).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return error,
            Err(_) => return RunError::Audit(crate::follow::AuditError::Task),
        };
        let followed = &self.rounds.followed;
        followed.opened(records.clone());
        let meter = Arc::clone(followed.status().meter());
        let follower = self.plan.follower(records, Arc::clone(&self.clock), meter);
        match self.rounds.run(&follower, &home).await {
            Ok(never) => match never {},
            Err(error) => error.into(),
        }
    }
}

//! Where observations come in and notices go out.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use keyglass_tlog::time::UnixMillis;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::sync::{Notify, watch};

use super::{
    book::Open,
    command,
    config::{Channel, Receiver},
    notice::{Notice, Observation, Severity, Transition},
    outbox::{Delivery, Failed},
    store::{self, AlertStoreError, Kept},
    webhook,
};
use crate::clock::Clock;

/// How long a receiver that has nothing to be told sleeps at most, whatever the clock does.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// The shortest pause between two attempts.
const SHORTEST_SLEEP: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SeverityLabels {
    severity: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransitionLabels {
    transition: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    receiver: String,
    outcome: &'static str,
}

/// What is counted.
#[derive(Debug, Clone, Default)]
pub struct AlertMetrics {
    open: Family<SeverityLabels, Gauge>,
    transitions: Family<TransitionLabels, Counter>,
    deliveries: Family<OutcomeLabels, Counter>,
    waiting: Gauge,
    unkept: Counter,
}

impl AlertMetrics {
    /// Has them shown with the rest.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("alerts_open", "Alerts that are open", self.open.clone());
        let transitions = self.transitions.clone();
        registry.register("alert_transitions", "Alerts that opened and resolved", transitions);
        registry.register(
            "alert_deliveries",
            "Attempts to tell a receiver, by outcome",
            self.deliveries.clone(),
        );
        registry.register(
            "alert_deliveries_waiting",
            "Notices that receivers have not taken yet",
            self.waiting.clone(),
        );
        registry.register(
            "alert_writes_failed",
            "Times that alerts could not be made durable",
            self.unkept.clone(),
        );
    }

    fn show(&self, kept: &Kept) {
        for severity in Severity::ALL {
            let open = kept.book.open().iter().filter(|open| open.what.severity == severity).count();
            let labels = SeverityLabels { severity: severity.name() };
            self.open.get_or_create(&labels).set(i64::try_from(open).unwrap_or(i64::MAX));
        }
        self.waiting.set(i64::try_from(kept.outbox.len()).unwrap_or(i64::MAX));
    }

    fn tried(&self, receiver: &str, outcome: &'static str) {
        self.deliveries.get_or_create(&OutcomeLabels { receiver: receiver.to_owned(), outcome }).inc();
    }
}

/// All alerts of an auditor. Rounds tell it what is wrong, [`Desk::run`] tells the receivers.
pub struct Desk {
    path: PathBuf,
    hold: Duration,
    receivers: Vec<Receiver>,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
    /// Orders writes: the file never goes back to an older state.
    writing: tokio::sync::Mutex<()>,
    posted: Vec<Notify>,
    changed: watch::Sender<u64>,
    metrics: AlertMetrics,
}

impl Desk {
    /// Opens what is retained in `path`.
    ///
    /// # Errors
    /// [`AlertStoreError`].
    pub fn open(
        path: PathBuf,
        hold: Duration,
        receivers: Vec<Receiver>,
        client: reqwest::Client,
        clock: Arc<dyn Clock>,
        metrics: AlertMetrics,
    ) -> Result<Self, AlertStoreError> {
        let mut kept = store::read(&path)?;
        let names: BTreeSet<&str> = receivers.iter().map(|receiver| receiver.name.as_str()).collect();
        let dropped = kept.outbox.retain(&names);
        if dropped > 0 {
            tracing::warn!(dropped, "notices for receivers that are not configured any more were dropped");
        }
        kept.outbox.clamp(clock.now());
        kept.book.number_from(clock.now());
        metrics.show(&kept);
        let posted = receivers.iter().map(|_| Notify::new()).collect();
        let (changed, _) = watch::channel(0);
        let (kept, writing) = (Mutex::new(kept), tokio::sync::Mutex::new(()));
        Ok(Self { path, hold, receivers, client, clock, kept, writing, posted, changed, metrics })
    }

    /// The alerts that are open.
    #[must_use]
    pub fn alerts(&self) -> Vec<Open> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).book.open()
    }

    /// Changes whenever an alert opens or resolves.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes note of everything that is wrong with a log at the end of a round.
    pub async fn observe(&self, log: &str, observations: &[Observation]) {
        let (now, hold) = (self.clock.now(), self.hold);
        self.change(|kept| {
            let notices = kept.book.observe(log, observations, now, hold);
            self.post(kept, notices, now)
        })
        .await;
    }

    /// Resolves what was wrong with logs that are not among these.
    pub async fn follow(&self, logs: &[&str]) {
        let now = self.clock.now();
        self.change(|kept| {
            let notices = kept.book.retain(logs, now);
            self.post(kept, notices, now)
        })
        .await;
    }

    /// Puts notices into the outbox. Says whether there were any.
    fn post(&self, kept: &mut Kept, notices: Vec<Notice>, now: UnixMillis) -> bool {
        let any = !notices.is_empty();
        for notice in notices {
            let (alert, log, key) = (notice.alert, notice.log.as_str(), notice.what.key.as_str());
            let transition = match notice.transition {
                Transition::Opened => {
                    tracing::warn!(
                        alert,
                        log,
                        key,
                        severity = notice.what.severity.name(),
                        "alert: {}",
                        notice.what.detail
                    );
                    "opened"
                }
                Transition::Resolved => {
                    tracing::info!(alert, log, key, "alert resolved");
                    "resolved"
                }
            };
            self.metrics.transitions.get_or_create(&TransitionLabels { transition }).inc();
            for receiver in self.receivers.iter().filter(|to| to.severity <= notice.what.severity) {
                if let Some(given_up) = kept.outbox.post(&receiver.name, notice.clone(), now) {
                    tracing::error!("too many notices wait: the oldest of the least grave ones was given up");
                    self.metrics.tried(&given_up, "given_up");
                }
            }
        }
        any
    }

    /// Changes what is retained, and makes it durable if `change` says so, before anybody is told.
    async fn change(&self, change: impl FnOnce(&mut Kept) -> bool) {
        let _writing = self.writing.lock().await;
        let kept = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let changed = change(&mut kept);
            self.metrics.show(&kept);
            changed.then(|| kept.clone())
        };
        let Some(kept) = kept else { return };
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || store::write(&path, &kept)).await;
        // People are told all the same; after a crash they may be told again.
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "alerts are not durable");
            self.metrics.unkept.inc();
        }
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        self.posted.iter().for_each(Notify::notify_one);
    }

    /// Tells all receivers, until it is dropped.
    pub async fn run(&self) {
        let receivers = self.receivers.iter().zip(&self.posted);
        let mut all: FuturesUnordered<_> =
            receivers.map(|(receiver, posted)| self.serve(receiver, posted)).collect();
        while all.next().await.is_some() {}
        core::future::pending().await
    }

    async fn serve(&self, to: &Receiver, posted: &Notify) {
        loop {
            let now = self.clock.now();
            let (due, next) = {
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.outbox.clamp(now);
                (kept.outbox.due(&to.name, now).cloned(), kept.outbox.next(&to.name))
            };
            match due {
                Some(delivery) => self.tell(to, delivery).await,
                None => {
                    let sleep = next.map_or(LONGEST_SLEEP, |next| next.saturating_since(now));
                    let sleep = sleep.clamp(SHORTEST_SLEEP, LONGEST_SLEEP);
                    tokio::select! {
                        () = tokio::time::sleep(sleep) => {}
                        () = posted.notified() => {}
                    }
                }
            }
        }
    }

    async fn tell(&self, to: &Receiver, delivery: Delivery) {
        let (id, now) = (delivery.notice.id, self.clock.now());
        // A notice is numbers and texts: it has a JSON form.
        let body = serde_json::to_vec(&delivery.notice).unwrap_or_default();
        let told = match &to.channel {
            Channel::Webhook { url, secret } => {
                let post = webhook::post(&self.client, url, secret, (id, body), now.to_seconds(), to.timeout);
                post.await.map_err(|error| error.to_string())
            }
            Channel::Command { program, arguments } => {
                command::run(program, arguments, &body, to.timeout).await.map_err(|error| error.to_string())
            }
        };
        let (name, after) = (to.name.as_str(), self.clock.now());
        match told {
            Ok(()) => {
                self.metrics.tried(name, "delivered");
                self.change(|kept| {
                    kept.outbox.delivered(name, id);
                    true
                })
                .await;
            }
            Err(error) => {
                self.metrics.tried(name, "failed");
                tracing::warn!(receiver = name, notice = id, "not told: {error}");
                self.change(|kept| {
                    let given_up = kept.outbox.failed(name, id, after) == Failed::GivenUp;
                    if given_up {
                        tracing::error!(receiver = name, notice = id, "given up");
                        self.metrics.tried(name, "given_up");
                    }
                    given_up
                })
                .await;
            }
        }
    }
}

//! The task that fetches the auditor's newest head until it covers all that is published.

use std::{sync::Arc, time::Duration};

use keyglass_tlog::time::UnixMillis;
use reqwest::{Certificate, StatusCode, Url};
use thiserror::Error;
use tokio::sync::watch;

use super::heads::{AuditorHeads, HeadRefused, MAX_LEN, decode};
use crate::{
    clock::Clock,
    published::Published,
    publisher::{Backoff, reason},
    store::{Store, StoreError},
};

/// How often the auditor fails between two lines about it in the log.
const FAILURES_PER_LINE: u32 = 60;

/// Where the auditor is, and how it is treated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The prefix below which it serves `/v1/auditor-head`.
    pub url: Url,
    /// How long it may take for one answer.
    pub deadline: Duration,
    /// The first wait after it failed, or had no newer head.
    pub least_backoff: Duration,
    /// The longest wait.
    pub most_backoff: Duration,
    /// Authorities of HTTPS that are trusted beside the system's.
    pub roots: Vec<Certificate>,
}

impl Settings {
    /// The usual treatment of the auditor with this URL.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn new(url: &str) -> Result<Self, BadUrl> {
        let mut url: Url = url.parse().map_err(|_| BadUrl)?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(BadUrl);
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self {
            url,
            deadline: Duration::from_secs(5),
            least_backoff: Duration::from_millis(100),
            most_backoff: Duration::from_secs(5),
            roots: Vec::new(),
        })
    }
}

/// Not a URL that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an http or https URL that paths can be appended to")]
pub struct BadUrl;

/// Why the auditor gave no head.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AskError {
    /// No answer within the deadline.
    #[error("no answer within the deadline")]
    Deadline,
    /// No connection, or one that broke.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// A refusal, with its HTTP status.
    #[error("refused with status {0}")]
    Refused(u16),
    /// The answer is longer than any head.
    #[error("its answer is too long")]
    TooLong,
    /// The answer is no head.
    #[error("its answer is no head")]
    Malformed,
    /// The head is not used.
    #[error("its head is refused: {0}")]
    Head(#[from] HeadRefused),
}

/// How the auditor does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// How often in a row it has failed, and how it failed last.
    pub failing: Option<(u32, AskError)>,
}

/// What the task works with.
pub struct Parts {
    /// The heads that are held.
    pub heads: Arc<AuditorHeads>,
    /// The id by which the auditor knows the log ([`keyglass_keytrans::config::Configuration::log_id`]).
    pub log: keyglass_crypto::hash::Digest,
    /// Where the log is.
    pub store: Arc<dyn Store>,
    /// What is published.
    pub published: Arc<Published>,
    /// The clock that timestamps are compared with.
    pub clock: Arc<dyn Clock>,
}

/// The task, ready to run.
pub struct Poller {
    parts: Parts,
    settings: Settings,
    http: reqwest::Client,
    url: Url,
    status: watch::Sender<Status>,
}

impl Poller {
    /// Prepares to ask.
    ///
    /// # Errors
    /// What the TLS library says.
    pub fn new(parts: Parts, settings: Settings) -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("keyglass-log-server/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.deadline)
            .pool_max_idle_per_host(1)
            .tls_certs_merge(settings.roots.iter().cloned())
            .build()
            .map_err(|error| error.to_string())?;
        let log = hex::encode(parts.log);
        let url =
            settings.url.join(&format!("v1/auditor-head?log={log}")).map_err(|error| error.to_string())?;
        Ok(Self { parts, settings, http, url, status: watch::Sender::new(Status::default()) })
    }

    /// How the auditor does, and every change of it.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Asks whenever the auditor's newest head does not cover what is published. Never returns but with the publisher: drop
    /// it to stop.
    pub async fn run(self) {
        let mut published = self.parts.published.watch();
        let mut backoff = Backoff::new(self.settings.least_backoff, self.settings.most_backoff);
        loop {
            let size = published.borrow_and_update().as_ref().map_or(0, |head| head.size);
            if self.parts.heads.size().unwrap_or_default() >= size {
                if published.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let answer = self.ask().await;
            if answer == Ok(true) {
                backoff.succeeded();
            }
            let failed = answer.is_err();
            self.report(answer.err());
            // Also without a failure: what was published a moment ago is not audited yet.
            let wait = backoff.failed();
            tokio::time::sleep(wait.min(self.settings.least_backoff)).await;
            let rest = wait.saturating_sub(self.settings.least_backoff);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                // Whoever fails is left alone for the whole wait.
                Ok(()) = published.changed(), if !failed => {}
            }
        }
    }

    /// Asks once; says whether there was a newer head.
    async fn ask(&self) -> Result<bool, AskError> {
        let answer = tokio::time::timeout(self.settings.deadline, self.fetch());
        let head = decode(&answer.await.map_err(|_| AskError::Deadline)??).ok_or(AskError::Malformed)?;
        let (store, heads) = (Arc::clone(&self.parts.store), Arc::clone(&self.parts.heads));
        // The store has at least what is published now.
        let Some(published) = self.parts.published.current() else { return Ok(false) };
        let now: UnixMillis = self.parts.clock.now();
        let accept = move || heads.accept(&*store.snapshot()?, &published, head, now);
        let accepted = tokio::task::spawn_blocking(accept).await;
        Ok(accepted.map_err(|error| HeadRefused::Store(StoreError::Backend(error.to_string())))??)
    }

    /// The body of a 200 answer, as long as a head can be.
    async fn fetch(&self) -> Result<Vec<u8>, AskError> {
        let unreachable = |error: reqwest::Error| {
            if error.is_timeout() { AskError::Deadline } else { AskError::Unreachable(reason(&error)) }
        };
        let mut response = self.http.get(self.url.clone()).send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(AskError::Refused(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len().saturating_add(chunk.len()) > MAX_LEN {
                return Err(AskError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn report(&self, error: Option<AskError>) {
        self.status.send_if_modified(|status| {
            let before = status.failing.take();
            let Some(error) = error else {
                if let Some((failures, _)) = &before {
                    tracing::info!(failures, "the auditor answers again");
                }
                return before.is_some();
            };
            let (failures, last) = before.map_or((1, None), |(n, last)| (n.saturating_add(1), Some(last)));
            if last.as_ref() != Some(&error) || failures.is_multiple_of(FAILURES_PER_LINE) {
                tracing::warn!(failures, %error, "no head from the auditor");
            }
            status.failing = Some((failures, error));
            true
        });
    }
}

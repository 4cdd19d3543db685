//! Round after round of one log, until something of this machine fails.

use std::{convert::Infallible, sync::Arc, time::Duration};

use crate::{
    cli::print_line,
    follow::{AuditError, Follower},
    followed::Followed,
    http::Metrics,
    report::Report,
    verdict::Verdict,
};

/// The shortest pause between rounds, whatever wakes the auditor.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// Whom rounds are told.
pub struct Rounds {
    /// The log.
    pub followed: Arc<Followed>,
    /// The auditor's metrics.
    pub metrics: Arc<Metrics>,
    /// The time between rounds, give or take half.
    pub interval: Duration,
    /// Whether every report goes to stdout, as a line of JSON.
    pub json: bool,
}

impl Rounds {
    /// Does rounds. Pauses vary, so that many auditors do not ask at the same time.
    ///
    /// # Errors
    /// [`AuditError`] of the first round that could not be finished.
    pub async fn run(&self, follower: &Follower) -> Result<Infallible, AuditError> {
        let mut last = None;
        loop {
            let report = Arc::new(follower.round().await?);
            if self.json || last != Some(report.verdict) {
                show(self.followed.status().name(), &report, self.json);
            }
            last = Some(report.verdict);
            self.followed.observe(Arc::clone(&report));
            self.metrics.observe(&report, &self.followed.overview());
            let pause = self.interval.mul_f64(rand::random_range(0.5..1.5)).max(MIN_PAUSE);
            tokio::time::sleep(MIN_PAUSE).await;
            tokio::select! {
                () = tokio::time::sleep(pause.saturating_sub(MIN_PAUSE)) => {}
                () = self.followed.woken() => {}
            }
        }
    }
}

/// Shows a report: as a line of JSON on stdout, or in words on stderr.
pub fn show(log: &str, report: &Report, json: bool) {
    if json {
        match serde_json::to_string(report) {
            Ok(line) => print_line(&line),
            Err(error) => tracing::error!(%error, "the report has no JSON form"),
        }
        return;
    }
    let (verdict, size) = (report.verdict, report.tree_size);
    if verdict == Verdict::Ok {
        tracing::info!(log, %verdict, size, head_age_ms = report.head_age_ms, "{}", report.meaning);
    } else {
        tracing::warn!(log, %verdict, size, head_age_ms = report.head_age_ms, "{}", report.meaning);
    }
    for finding in &report.findings {
        tracing::warn!(log, kind = finding.kind, "{}", finding.detail);
    }
}

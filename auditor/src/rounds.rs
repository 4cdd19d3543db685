//! Round after round of one log, until something of this machine fails.

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use crate::{
    cli::print_line,
    data_dir::{EVIDENCE, REFUSED},
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
    /// Does rounds of the log whose directory `home` is. Pauses vary, so that many auditors do not ask at the same time.
    ///
    /// # Errors
    /// [`AuditError`] of the first round that could not be finished.
    pub async fn run(&self, follower: &Follower, home: &Path) -> Result<Infallible, AuditError> {
        let mut last = None;
        loop {
            let report = Arc::new(follower.round().await?);
            if self.json || last != Some(report.verdict) {
                show(self.followed.status().name(), &report, home, self.json);
            }
            last = Some(report.verdict);
            self.followed.observe(Arc::clone(&report)).await?;
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

/// Shows a report to whoever runs the auditor: as a line of JSON on stdout, with the paths of files in the log's directory, or
/// in words on stderr.
pub fn show(log: &str, report: &Report, home: &Path, json: bool) {
    if json {
        match serde_json::to_string(&local(report, home)) {
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

/// The report with the paths of files in the log's directory.
#[must_use]
pub fn local(report: &Report, home: &Path) -> Report {
    report.clone().with_files(&home.join(EVIDENCE), &home.join(REFUSED))
}

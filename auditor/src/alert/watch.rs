//! From what rounds find to what receivers are told.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{
    desk::Desk,
    notice::{Observation, Severity},
};
use crate::{followed::Logs, overview::LogOverview, report::Report, verdict::Verdict};

/// The least time between two looks at all logs.
const PAUSE: Duration = Duration::from_millis(100);

/// How grave an incident of this verdict is.
#[must_use]
pub fn severity(verdict: Verdict) -> Severity {
    match verdict {
        Verdict::Misbehaving | Verdict::BadUpdate => Severity::Critical,
        Verdict::Invalid | Verdict::Unreconciled | Verdict::Unaudited | Verdict::Failed => Severity::Serious,
        Verdict::Ok
        | Verdict::Unreachable
        | Verdict::CatchingUp
        | Verdict::Stale
        | Verdict::Unwitnessed
        | Verdict::Usage => Severity::Warning,
    }
}

/// Everything that is wrong with a log at present.
#[must_use]
pub fn observations(log: &LogOverview) -> Vec<Observation> {
    let incidents = log.incidents.iter().map(|incident| Observation {
        key: incident.key.clone(),
        severity: severity(incident.verdict),
        detail: incident.detail.clone(),
        evidence: incident.evidence.clone(),
    });
    // Each file of evidence is an alert of its own: another one may name further witnesses.
    let evidence = log.evidence.iter().map(|evidence| Observation {
        key: format!("evidence:{}", evidence.file),
        severity: Severity::Critical,
        detail: proven(evidence),
        evidence: Some(evidence.path.clone()),
    });
    let failure = log.failure.iter().map(|failure| Observation {
        key: "auditor_failed".to_owned(),
        severity: Severity::Serious,
        detail: failure.clone(),
        evidence: None,
    });
    // The finding of misbehaviour is told by its evidence.
    let told = |observation: &Observation| log.evidence.is_empty() || observation.key != "misbehaving";
    incidents.filter(told).chain(evidence).chain(failure).collect()
}

fn proven(evidence: &crate::overview::EvidenceOverview) -> String {
    let (a, b) = evidence.sizes;
    let faulty = match evidence.faulty_witnesses.as_slice() {
        [] => String::new(),
        names => format!("; witnesses proven faulty: {}", names.join(", ")),
    };
    format!("the log signed two histories ({}, at {a} and {b} entries){faulty}", evidence.kind)
}

/// Tells the desk of every round of every log, for ever.
pub async fn watch(logs: Arc<Logs>, desk: Arc<Desk>) {
    let origins: Vec<&str> = logs.all().iter().map(|log| log.trust().origin()).collect();
    desk.follow(&origins).await;
    let mut changes = logs.changes();
    let mut seen: HashMap<&str, (Weak<Report>, Option<String>)> = HashMap::new();
    loop {
        for log in logs.all() {
            let (report, failure) = (log.status().report(), log.status().failure());
            let origin = log.trust().origin();
            if report.is_none() && failure.is_none() {
                continue;
            }
            let now = (report.as_ref().map(Arc::downgrade).unwrap_or_default(), failure);
            if seen.get(origin).is_some_and(|before| before.1 == now.1 && before.0.ptr_eq(&now.0)) {
                continue;
            }
            seen.insert(origin, now);
            // Incidents of before a restart are still there.
            desk.observe(origin, &observations(&log.overview())).await;
        }
        if changes.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

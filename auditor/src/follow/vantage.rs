//! What other places show: the log at its other URLs, and other auditors.

use futures::{StreamExt as _, stream};

use super::{AuditError, Follower, WITNESSES_AT_A_TIME, state_of, timed};
use crate::{
    fetch::Seen,
    report::{self, VantageReport, WitnessReport, WitnessState},
};

impl Follower {
    /// Asks them all, and says how long each took.
    pub(super) async fn ask_others(&self) -> Vec<(Seen, u64)> {
        let asking: Vec<_> = self.others.iter().map(|other| timed(other.ask(&self.trust))).collect();
        stream::iter(asking).buffered(WITNESSES_AT_A_TIME).collect().await
    }

    /// Compares what they showed.
    pub(super) async fn see_others(&self, seen: Vec<(Seen, u64)>) -> Result<Vec<VantageReport>, AuditError> {
        let mut reports = Vec::new();
        for (other, (seen, latency)) in self.others.iter().zip(seen) {
            let mut report = WitnessReport {
                name: other.name().to_owned(),
                state: WitnessState::Unreachable,
                tree_size: None,
                root: None,
                cosigned_at: None,
                url: Some(other.url().to_owned()),
                latency_ms: Some(latency),
                detail: None,
            };
            match seen {
                Seen::Nothing => report.state = WitnessState::Never,
                Seen::Failed(error) => {
                    (report.latency_ms, report.detail) = (None, Some(error.to_string()));
                }
                Seen::NoHead(error) => {
                    (report.state, report.detail) = (WitnessState::Invalid, Some(error.to_string()));
                }
                Seen::Head(head) => {
                    (report.tree_size, report.root) = (Some(head.size()), Some(report::root_text(&head)));
                    let (source, now) = (other.source().clone(), self.clock.now());
                    let admit =
                        move |records: &mut crate::records::Records| records.admit(*head, source, now);
                    report.state = state_of(self.records.with(admit).await?);
                }
            }
            reports.push(VantageReport { is_log: other.is_log(), witness: report });
        }
        Ok(reports)
    }
}

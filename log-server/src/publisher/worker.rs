//! The task that keeps one witness up to date.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::{Answer, AskError, Settings, SignedHead, Status, backoff::Backoff, witness::Witness};

/// How often a witness fails between two lines about it in the log.
const FAILURES_PER_LINE: u32 = 60;

pub(super) struct Worker {
    index: usize,
    witness: Witness,
    backoff: Backoff,
    status: watch::Sender<Status>,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        witness: Witness,
        settings: &Settings,
        status: watch::Sender<Status>,
    ) -> Self {
        let backoff = Backoff::new(settings.least_backoff, settings.most_backoff);
        Self { index, witness, backoff, status }
    }

    /// Asks about each newest head until it is cosigned or there is a newer one; ends with the publisher.
    pub(super) async fn run(
        mut self,
        mut targets: watch::Receiver<Option<Arc<SignedHead>>>,
        answers: mpsc::Sender<Answer>,
    ) {
        let mut answered = 0;
        loop {
            let head = targets.borrow_and_update().clone();
            let Some(head) = head.filter(|head| head.size > answered) else {
                if targets.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match self.witness.ask(&head).await {
                Ok(line) => {
                    answered = head.size;
                    self.backoff.succeeded();
                    self.succeeded(head.size);
                    if answers.send((self.witness.policy.name().clone(), head.size, line)).await.is_err() {
                        return;
                    }
                }
                Err(error @ AskError::Newer { .. }) => {
                    tracing::debug!(index = self.index, %error, size = head.size, "the next head is waited for");
                    answered = head.size;
                }
                Err(error) => {
                    let wait = self.backoff.failed();
                    self.failed(error, wait);
                    tokio::time::sleep(wait).await;
                    if answers.is_closed() {
                        return;
                    }
                }
            }
        }
    }

    fn succeeded(&self, size: u64) {
        self.status.send_modify(|status| {
            let Some(witness) = status.witnesses.get_mut(self.index) else { return };
            witness.cosigned = size;
            if let Some((failures, _)) = witness.failing.take() {
                tracing::info!(witness = %witness.name, failures, "the witness cosigns again");
            }
        });
    }

    fn failed(&self, error: AskError, wait: Duration) {
        self.status.send_modify(|status| {
            let Some(witness) = status.witnesses.get_mut(self.index) else { return };
            let (failures, last) = match witness.failing.take() {
                Some((failures, last)) => (failures.saturating_add(1), Some(last)),
                None => (1, None),
            };
            if last.as_ref() != Some(&error) || failures.is_multiple_of(FAILURES_PER_LINE) {
                let alarming = matches!(error, AskError::Ahead { .. } | AskError::Refused(422));
                if alarming {
                    tracing::error!(witness = %witness.name, failures, %error, ?wait, "the witness does not find this log consistent");
                } else {
                    tracing::warn!(witness = %witness.name, failures, %error, ?wait, "no cosignature from the witness");
                }
            }
            witness.failing = Some((failures, error));
        });
    }
}

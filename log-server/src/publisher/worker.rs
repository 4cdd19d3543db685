//! The task that keeps the witnesses at one URL up to date.

use std::{sync::Arc, time::Duration};

use keyglass_tlog::{note::SignatureLine, policy::Name};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    AskError, Meters, Settings, SignedHead, Status,
    backoff::Backoff,
    coordinator::Answer,
    witness::{Cosigned, Witness},
};

/// How often a witness fails between two lines about it in the log.
const FAILURES_PER_LINE: u32 = 60;

pub(super) struct Worker {
    index: usize,
    /// Where in [`Status::witnesses`] each of its keys is.
    places: Vec<usize>,
    witness: Witness,
    backoff: Backoff,
    status: watch::Sender<Status>,
    meters: Meters,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        places: Vec<usize>,
        witness: Witness,
        settings: &Settings,
        status: watch::Sender<Status>,
        meters: Meters,
    ) -> Self {
        let backoff = Backoff::new(settings.least_backoff, settings.most_backoff);
        Self { index, places, witness, backoff, status, meters }
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
            let began = Instant::now();
            let asked = self.witness.ask(&head).await;
            self.meter(&asked, began.elapsed());
            let mut answer = Answer { worker: self.index, size: head.size, lines: Vec::new() };
            let mut wait = None;
            match asked {
                Ok(cosigned) => {
                    answered = head.size;
                    self.backoff.succeeded();
                    answer.lines = self.settle(cosigned, head.size);
                }
                Err(error @ AskError::Newer { .. }) => {
                    tracing::debug!(index = self.index, %error, size = head.size, "the next head is waited for");
                    answered = head.size;
                }
                Err(error) => {
                    let backoff = self.backoff.failed();
                    for place in &self.places {
                        self.failed(*place, error.clone(), Some(backoff));
                    }
                    wait = Some(backoff);
                }
            }
            if answers.send(answer).await.is_err() {
                return;
            }
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
        }
    }

    fn meter(&self, asked: &Result<Vec<Cosigned>, AskError>, took: Duration) {
        for (i, policy) in self.witness.policies.iter().enumerate() {
            let name = policy.name().to_string();
            let error = match asked {
                Ok(cosigned) => cosigned.get(i).and_then(|one| one.as_ref().err()),
                Err(error) => Some(error),
            };
            self.meters.count(&name, error);
            self.meters.time(&name, took);
        }
    }

    /// Takes an answer with at least one good cosignature apart.
    fn settle(&self, cosigned: Vec<Cosigned>, size: u64) -> Vec<(Name, SignatureLine)> {
        let mut lines = Vec::new();
        for ((one, policy), place) in cosigned.into_iter().zip(&self.witness.policies).zip(&self.places) {
            match one {
                Ok(line) => {
                    self.succeeded(*place, size);
                    lines.push((policy.name().clone(), line));
                }
                Err(error) => self.failed(*place, error, None),
            }
        }
        lines
    }

    fn succeeded(&self, place: usize, size: u64) {
        let now = self.witness.clock.now();
        self.status.send_modify(|status| {
            if let Some(failures) = status.cosigned(place, size, Some(now)) {
                let witness = status.witnesses.get(place).map(|witness| witness.name.as_str());
                tracing::info!(witness, failures, "the witness cosigns again");
            }
        });
    }

    fn failed(&self, place: usize, error: AskError, wait: Option<Duration>) {
        self.status.send_modify(|status| {
            let Some((failures, same)) = status.failed(place, error.clone()) else { return };
            if same && !failures.is_multiple_of(FAILURES_PER_LINE) {
                return;
            }
            let witness = status.witnesses.get(place).map(|witness| witness.name.as_str());
            if matches!(error, AskError::Ahead { .. } | AskError::Refused(422)) {
                tracing::error!(witness, failures, %error, ?wait, "the witness does not find this log consistent");
            } else {
                tracing::warn!(witness, failures, %error, ?wait, "no cosignature from the witness");
            }
        });
    }
}

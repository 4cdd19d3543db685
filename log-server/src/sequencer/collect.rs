//! Gathering updates into batches.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender},
    },
    time::Instant,
};

use keyglass_crypto::vrf::VrfSecretKey;
use rand::CryptoRng;

use super::{Settings, Submission, prepare};

/// The thread that gathers and prepares.
pub(super) struct Collector {
    pub(super) vrf: Arc<VrfSecretKey>,
    pub(super) rng: Box<dyn CryptoRng + Send>,
    pub(super) settings: Settings,
}

impl Collector {
    /// Runs until nobody can submit any more, or nobody integrates.
    pub(super) fn run(
        mut self,
        submissions: &Receiver<Submission>,
        batches: &SyncSender<Vec<prepare::Prepared>>,
    ) {
        let mut held = None;
        while let Some(first) = held.take().or_else(|| submissions.recv().ok()) {
            let (batch, next) = self.gather(first, submissions);
            held = next;
            match prepare::prepare(batch, &self.vrf, &mut *self.rng, self.settings.threads) {
                Ok(prepared) => {
                    if batches.send(prepared).is_err() {
                        return;
                    }
                }
                // Dropping the batch tells its submitters that nothing came of it.
                Err(error) => tracing::error!(%error, "a batch has no encoding and was dropped"),
            }
        }
    }

    /// A batch that starts with `first`, and the update that did not fit any more.
    fn gather(
        &self,
        first: Submission,
        submissions: &Receiver<Submission>,
    ) -> (Vec<Submission>, Option<Submission>) {
        let most = self.settings.max_versions.max(super::MAX_VALUES);
        let started = Instant::now();
        let mut versions = first.values.len();
        let mut batch = vec![first];
        while versions < most {
            let Ok(next) = submissions.recv_timeout(self.settings.window.saturating_sub(started.elapsed()))
            else {
                break;
            };
            versions = versions.saturating_add(next.values.len());
            if versions > most {
                return (batch, Some(next));
            }
            batch.push(next);
        }
        (batch, None)
    }
}

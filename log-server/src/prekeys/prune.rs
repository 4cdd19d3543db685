//! Deleting what nobody needs any more.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use keyglass_tlog::time::UnixMillis;

use super::{
    Service,
    store::{Expiring, Write},
};
use crate::store::StoreError;

/// How long things stay after their time, since clocks are sometimes set back a little.
const GRACE_MS: u64 = 60_000;
/// Things deleted in one commit.
const STEP: usize = 1000;

impl Service {
    /// Deletes expired signed prekeys, batches and answers, up to a thousand. Returns how many. It may block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prune(&self) -> Result<usize, StoreError> {
        let until = UnixMillis(self.now().0.saturating_sub(GRACE_MS));
        // A request that is being answered may be replacing an answer that is due.
        let _alone = self.pruning.write().unwrap_or_else(PoisonError::into_inner);
        let due = self.store.due(until, STEP)?;
        let count = due.len();
        let mut writes = Vec::with_capacity(count.saturating_mul(2));
        for (time, what) in due {
            if !self.is_newer(&what, until)? {
                writes.push(Write::Delete(what.clone()));
            }
            writes.push(Write::Unschedule(time, what));
        }
        if count > 0 {
            self.store.commit(&writes)?;
        }
        Ok(count)
    }

    /// Whether the note is about an answer that expired, and another has taken its place since: a request id may be used
    /// again after its time.
    fn is_newer(&self, what: &Expiring, until: UnixMillis) -> Result<bool, StoreError> {
        match what {
            Expiring::Answer(request) => {
                Ok(self.store.answer(request)?.is_some_and(|answer| answer.expires > until))
            }
            Expiring::SignedPreKey(..) | Expiring::Batch(..) => Ok(false),
        }
    }
}

/// Prunes again and again, `every` so often. Never returns: drop it to stop.
pub async fn keep_pruned(service: Arc<Service>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        loop {
            let service = Arc::clone(&service);
            match tokio::task::spawn_blocking(move || service.prune()).await {
                Ok(Ok(STEP)) => {}
                Ok(Ok(_)) => break,
                Ok(Err(error)) => {
                    tracing::error!(%error, "pruning prekeys failed");
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "pruning prekeys panicked");
                    break;
                }
            }
        }
    }
}

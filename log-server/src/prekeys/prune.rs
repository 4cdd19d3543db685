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
/// Pools that are looked at after each pruning: a second's work, or all of 10⁷ pools in eight hours at one pruning a minute.
const CENSUS_STEP: usize = 20_000;

impl Service {
    /// Deletes all that has expired, and looks through the next of the pools.
    fn maintain(&self) -> Result<(), StoreError> {
        while self.prune()? == STEP {}
        self.census(CENSUS_STEP).map(|_| ())
    }

    /// Deletes expired prekeys, batches and answers and what is remembered of pairs, up to a thousand. Returns how many. It may block.
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
            self.meters.prune(count);
        }
        Ok(count)
    }

    /// Whether the note is about something that expired, and another has taken its place since: a request id may be used
    /// again after its time, and an account may come for more keys.
    fn is_newer(&self, what: &Expiring, until: UnixMillis) -> Result<bool, StoreError> {
        match what {
            Expiring::Answer(request) => {
                Ok(self.store.answer(request)?.is_some_and(|answer| answer.expires > until))
            }
            Expiring::Pair(pair) => Ok(self.store.pair(pair)?.is_some_and(|pair| pair.expires > until)),
            Expiring::SignedPreKey(..)
            | Expiring::Batch(..)
            | Expiring::KemBatch(..)
            | Expiring::LastResort(..) => Ok(false),
        }
    }
}

/// Prunes and looks through the pools again and again, `every` so often. Never returns: drop it to stop.
pub async fn keep_pruned(service: Arc<Service>, every: Duration) {
    loop {
        let of_service = Arc::clone(&service);
        match tokio::task::spawn_blocking(move || of_service.maintain()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "maintaining prekeys failed"),
            Err(error) => tracing::error!(%error, "maintaining prekeys panicked"),
        }
        tokio::time::sleep(every).await;
    }
}

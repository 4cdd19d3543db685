//! Deleting what nobody needs any more.

use std::{sync::Arc, time::Duration};

use keyglass_tlog::time::UnixMillis;

use super::{Service, store::Write};
use crate::store::StoreError;

/// How long things stay after their time: a request that began before it may still be using them.
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
        let due = self.store.due(until, STEP)?;
        let count = due.len();
        if count > 0 {
            let writes: Vec<Write> = due
                .into_iter()
                .flat_map(|(time, what)| [Write::Delete(what.clone()), Write::Unschedule(time, what)])
                .collect();
            self.store.commit(&writes)?;
        }
        Ok(count)
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

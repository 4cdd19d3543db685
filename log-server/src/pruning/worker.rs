//! The task that prunes.

use std::sync::Arc;

use tokio::sync::watch;

use super::Pruner;
use crate::store::{PublishedHead, StoreError};

/// Prunes whenever something has been published, and at intervals. Never returns, but after a panic: drop it to stop,
/// which is between two batches.
pub async fn keep_pruned(mut pruner: Pruner, mut heads: watch::Receiver<Option<Arc<PublishedHead>>>) {
    let (grace, every) = (pruner.settings.grace, pruner.settings.every);
    loop {
        let size = heads.borrow_and_update().as_ref().map_or(0, |head| head.size);
        // Whoever began under an older head ends meanwhile.
        tokio::time::sleep(grace).await;
        match round(pruner, size).await {
            Some(same) => pruner = same,
            None => return,
        }
        tokio::select! {
            changed = heads.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Deletes all that has expired under the head of `size` entries.
async fn round(pruner: Pruner, size: u64) -> Option<Pruner> {
    let pause = pruner.settings.pause;
    let (mut pruner, boundary) = blocking(pruner, move |pruner| pruner.boundary(size)).await?;
    let Some(boundary) = boundary else { return Some(pruner) };
    loop {
        let (same, more) = blocking(pruner, move |pruner| pruner.step(boundary)).await?;
        pruner = same;
        if more != Some(true) {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    let (pruner, _) = blocking(pruner, |pruner| pruner.reclaim()).await?;
    Some(pruner)
}

/// Does something where it may block. Gives the result, if it was one; nothing at all after a panic.
async fn blocking<T: Send + 'static>(
    mut pruner: Pruner,
    run: impl FnOnce(&mut Pruner) -> Result<T, StoreError> + Send + 'static,
) -> Option<(Pruner, Option<T>)> {
    let ran = tokio::task::spawn_blocking(move || {
        let result = run(&mut pruner);
        (pruner, result)
    });
    match ran.await {
        Ok((pruner, Ok(done))) => Some((pruner, Some(done))),
        Ok((pruner, Err(error))) => {
            tracing::error!(%error, "pruning failed; it is tried again");
            Some((pruner, None))
        }
        Err(error) => {
            tracing::error!(%error, "pruning panicked; it goes on after a restart");
            None
        }
    }
}

//! The published head: in the store, and in memory for whoever waits for the next.

use std::sync::Arc;

use tokio::sync::watch;

use crate::store::{PublishError, PublishedHead, Store, StoreError};

/// The one place through which a head is published.
///
/// A head is in the store before anybody sees it here, so a restart never takes back what was served.
#[derive(Debug)]
pub struct Published {
    current: watch::Sender<Option<Arc<PublishedHead>>>,
}

impl Published {
    /// What the store has published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(store: &dyn Store) -> Result<Self, StoreError> {
        let head = store.snapshot()?.published()?;
        Ok(Self { current: watch::Sender::new(head.map(Arc::new)) })
    }

    /// The head that is served now; `None` before the first.
    #[must_use]
    pub fn current(&self) -> Option<Arc<PublishedHead>> {
        self.current.borrow().clone()
    }

    /// The head that is served, and every change of it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Arc<PublishedHead>>> {
        self.current.subscribe()
    }

    /// Publishes a head. Blocks on the store.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn publish(&self, store: &dyn Store, head: PublishedHead) -> Result<(), PublishError> {
        store.publish(&head)?;
        self.current.send_replace(Some(Arc::new(head)));
        Ok(())
    }
}

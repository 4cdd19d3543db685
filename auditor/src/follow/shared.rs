//! What is remembered, shared by the round and by those who report heads.

use std::sync::{Arc, Mutex, PoisonError};

use super::AuditError;
use crate::records::{Records, RecordsError, store::Store};

/// The memory of an auditor, one user at a time. Its work waits for the disk, so it is done away from the tasks that
/// wait for the network; once begun it is finished, even if whoever asked for it has gone.
#[derive(Clone)]
pub struct SharedRecords(Arc<Mutex<Records>>);

impl SharedRecords {
    /// Shares records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self(Arc::new(Mutex::new(records)))
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).store())
    }

    /// Works with the records.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Records) -> Result<T, RecordsError> + Send + 'static,
    ) -> Result<T, AuditError> {
        let records = Arc::clone(&self.0);
        // What is in memory is changed after what is on disk, by one insertion: a panic leaves nothing half done.
        let locked = move || work(&mut records.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(tokio::task::spawn_blocking(locked).await.map_err(|_| AuditError::Task)??)
    }
}

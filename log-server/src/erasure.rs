//! Erasing what a version of a label says: its opening and its value. That it was there, and what it is a commitment
//! to for whoever still has both, stays in the log for ever.
//!
//! No hash changes, so owners and contacts go on monitoring the label, and every proof that was given still holds. A
//! search for the version is answered [`Problem::ErasedVersion`]; so is an owner who asks for its value. While a label's
//! greatest version is erased, its account has no devices as far as the services beside the log are concerned: an
//! older record does not come back into force.

use std::sync::Arc;

use keyglass_account::{label, problem::Problem};

use crate::{accounts::PublishedAccounts, http::failure::Failure, log::Log, store::Store};

/// Erases a published version, or makes sure that an erasure which was cut off leaves nothing on the disk. When this
/// returns `Ok`, neither the store's files nor this process's memory of accounts hold what was erased.
///
/// # Errors
/// [`Problem::UnknownLabel`] or [`Problem::UnknownVersion`] if nothing of that name is published,
/// [`Problem::NotPublished`]; [`Problem::Internal`] if the store failed, after which it is to be repeated.
pub async fn erase(
    log: &Arc<Log>,
    accounts: &Arc<PublishedAccounts>,
    label: Vec<u8>,
    version: u32,
) -> Result<(), Failure> {
    label::check(&label).map_err(|error| Failure::new(error.into()).because(error))?;
    let published = log.head()?.size;
    let (store, accounts) = (Arc::clone(log.store()), Arc::clone(accounts));
    // It waits for readers, so it takes none of their places.
    let erased = tokio::task::spawn_blocking(move || {
        check_published(&*store, published, &label, version)?;
        store.erase(&label, version)?;
        // The store has waited for whoever could still put the record there.
        accounts.forget(&label);
        Ok(())
    });
    erased.await.map_err(|error| {
        tracing::error!(%error, "an erasure panicked");
        Failure::new(Problem::Internal)
    })?
}

fn check_published(store: &dyn Store, published: u64, label: &[u8], version: u32) -> Result<(), Failure> {
    let greatest = store.snapshot()?.greatest_below(label, published)?.ok_or(Problem::UnknownLabel)?;
    if version > greatest {
        let detail = format!("the label's greatest published version is {greatest}");
        return Err(Failure::new(Problem::UnknownVersion).because(detail));
    }
    Ok(())
}

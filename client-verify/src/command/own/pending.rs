//! What became of a version that was sent, when no answer came: the log knows.

use keyglass_account::record::AccountRecord;

use super::super::{context::Context, outcome::Failure};
use crate::{state::OwnAccount, verdict::Verdict};

/// Settles the pending version of an account if the log has it, and drops it if the log has another in its place. Says
/// whether it is still open: then the log has neither. A version that the server declined and the log has all the same is
/// settled too.
///
/// # Errors
/// The verdicts of a look-up.
pub async fn find_out(context: &mut Context, account: &mut OwnAccount) -> Result<bool, Failure> {
    if find_pending(context, account).await? {
        return Ok(true);
    }
    if !account.declined.is_empty() {
        let newest = context.search(account.label.as_bytes(), None).await?.value;
        if account.take_up(newest.version(), newest.bytes()) {
            settle(context, account)?;
        }
    }
    Ok(false)
}

/// The same, of the pending version alone.
async fn find_pending(context: &mut Context, account: &mut OwnAccount) -> Result<bool, Failure> {
    let Some(pending) = &account.pending else { return Ok(false) };
    let (label, version) = (account.label.clone(), pending.version);
    let newest = context.search(label.as_bytes(), None).await?;
    if newest.value.version() < version {
        return Ok(true);
    }
    let there = if newest.value.version() == version {
        newest
    } else {
        match context.search(label.as_bytes(), Some(version)).await {
            // What the log no longer holds, nobody can compare; it is not taken for one's own.
            Err(failure) if matches!(failure.reason, "erased_version" | "expired_version") => {
                return drop_it(context, account);
            }
            found => found?,
        }
    };
    if there.value.bytes() != pending.record {
        return drop_it(context, account);
    }
    settle(context, account)?;
    Ok(false)
}

/// The log has the pending version: everything that it brings counts from now on, in one durable step.
///
/// # Errors
/// [`Verdict::Failed`].
pub fn settle(context: &Context, account: &mut OwnAccount) -> Result<(), Failure> {
    let Some(pending) = &account.pending else { return Ok(()) };
    let record = AccountRecord::decode(&pending.record)
        .map_err(|error| Failure::new(Verdict::Failed, "home_damaged", error))?;
    account.settle_pending(|device| record.device(device).is_some());
    Ok(context.home.store_account(account)?)
}

fn drop_it(context: &Context, account: &mut OwnAccount) -> Result<bool, Failure> {
    account.pending = None;
    context.home.store_account(account)?;
    Ok(false)
}

//! `keyglass lock` and `keyglass unlock`: whether others are to refuse a reset of one's own account.

use super::{
    context::Context,
    outcome::{Failure, Outcome},
    own::{self, Authority, Change},
};
use crate::verdict::Verdict;

/// Runs the command.
///
/// # Errors
/// The verdicts of a look-up and of a request.
pub async fn run(context: &mut Context, from: Option<&str>, lockdown: bool) -> Result<Outcome, Failure> {
    let mut account = own::account(context, from)?;
    own::identity(&account)?;
    own::find_out_pending(context, &mut account).await?;
    let standing = own::learn(context, &mut account).await?;
    let record = standing.account.valid().record();
    let has_recovery = record.recovery.is_some();
    let mut outcome = if record.flags.lockdown == lockdown && account.pending.is_none() {
        let mut outcome = Outcome::new(Verdict::Verified);
        outcome.line(format!("{}: nothing to do, version {} says so already", account.label, record.version));
        outcome.field("label", &account.label);
        outcome.field("version", record.version);
        outcome
    } else {
        let published = own::change(context, &mut account, &Authority::Identity, |draft, _, account| {
            Change::of(draft.set_lockdown(lockdown).sign(&own::identity(account)?))
        })
        .await?;
        let mut outcome = own::outcome(&account.label, published);
        let done = if lockdown { "locked down" } else { "lockdown lifted" };
        outcome.line(format!("{}: {done}, version {}", account.label, published.version));
        outcome
    };
    if lockdown {
        outcome.line("  everybody who checks now refuses a reset of this account by its provider");
        if !has_recovery {
            outcome.note(
                "  THE ACCOUNT HAS NO RECOVERY KEY: if you lose your identity key, nobody can ever give you this label \
                 back. `keyglass recovery create` makes one",
            );
        }
    }
    outcome.field("lockdown", lockdown);
    Ok(outcome)
}

//! `keyglass receive`: every text once, each from a sender who was proven first. A text that several devices of the
//! home received is one text.
//!
//! The session, the erased one-time secret and the text enter the home in one durable step; only then is the message
//! acknowledged, and the text leaves the home when it was printed. What fails for good is acknowledged and reported;
//! what may succeed later stays in the mailbox.

mod inbox;
mod report;

use inbox::Inbox;
use report::{Problem, report};

use super::{
    context::Context,
    outbox::Resent,
    outcome::{Failure, Outcome},
    own::find_out_pending,
};
use crate::{
    state::{OutgoingText, OwnAccount, Step},
    verdict::Verdict,
};

/// Runs the command. The texts are in the outcome; [`shown`] removes them from the home once they were printed.
///
/// # Errors
/// [`Verdict::Usage`] if there is no account, and the verdicts of a request.
pub async fn run(context: &mut Context) -> Result<Outcome, Failure> {
    let accounts = context.home.accounts()?;
    let accounts: Vec<OwnAccount> =
        accounts.into_iter().filter(|account| account.published.is_some()).collect();
    if accounts.is_empty() {
        let message = "this home has no published account; make one with register";
        return Err(Failure::new(Verdict::Usage, "no_account", message));
    }
    let mut inbox = Inbox::default();
    for (from, failure) in context.settle().await? {
        inbox.problems.push(Problem::about_a_head(from, failure));
    }
    let mut texts = Vec::new();
    let mut resent = Resent::default();
    for mut account in accounts {
        settle_pending(context, &mut account).await?;
        for index in 0..account.devices.len() {
            inbox.collect(context, &mut account, index).await?;
        }
        context.resend(&mut account, &mut resent).await?;
        texts.extend(account.unread.iter().cloned().map(|text| (account.label.clone(), text)));
    }
    inbox.forget_strangers(context)?;
    Ok(report(&texts, inbox, resent))
}

/// Takes over a version of an earlier run that the log has by now: what others address to its keys could not be opened.
///
/// # Errors
/// [`Verdict::Failed`]. Whatever else keeps this from being known keeps no message from being read.
async fn settle_pending(context: &mut Context, account: &mut OwnAccount) -> Result<(), Failure> {
    match find_out_pending(context, account).await {
        Err(failure) if failure.verdict == Verdict::Failed => Err(failure),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Forgets the texts of every account, which have been printed, and what was given up.
///
/// # Errors
/// [`Verdict::Failed`].
pub fn shown(context: &Context) -> Result<(), Failure> {
    for mut account in context.home.accounts()? {
        let given_up = |text: &OutgoingText| {
            text.devices.iter().any(|entry| matches!(entry.step, Step::Abandoned { .. }))
        };
        if !account.unread.is_empty() || account.outbox.iter().any(given_up) {
            account.mark_shown();
            context.home.store_account(&account)?;
        }
    }
    Ok(())
}

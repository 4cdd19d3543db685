//! `keyglass send`: one handshake and one first message for every device of each proven account, and for no other.

use std::collections::BTreeMap;

use keyglass_account::label::normalise;
use serde_json::{Value, json};

use super::{
    context::Context,
    fan_out::Recipient,
    lookup::{several, suite_name, usable},
    outcome::{Failure, Outcome},
    own::find_out_pending,
    random,
    resolve::Resolved,
    service::Service,
};
use crate::{messaging::Started, proven::Identity, state::OwnAccount, verdict::Verdict, x3dh::MAX_TEXT};

/// Runs the command.
///
/// # Errors
/// The verdicts of a look-up and of a request. With several recipients, what fails for one is in the outcome, and so are
/// devices that fail one by one.
pub async fn run(
    context: &mut Context,
    to: &[String],
    text: &str,
    from: Option<&str>,
    accept_change: bool,
) -> Result<Outcome, Failure> {
    let mut own = own_account(context, from)?;
    // Whoever has other keys in the log than here would write in a name that nobody knows any more.
    find_out_pending(context, &mut own).await?;
    if text.len() > MAX_TEXT {
        let message = format!("a text has at most {MAX_TEXT} bytes");
        return Err(Failure::new(Verdict::Usage, "text_too_long", message));
    }
    let mut recipients = Vec::new();
    let mut unproven = Vec::new();
    for (label, resolved) in to.iter().zip(context.resolve_many(to).await?) {
        match recipient(context, &mut own, label, resolved, text, accept_change) {
            Ok(recipient) => recipients.push(recipient),
            Err(failure) if to.len() == 1 => return Err(failure),
            Err(failure) => unproven.push((label.clone(), failure)),
        }
    }
    if !recipients.is_empty() {
        let view = context.view().await?;
        let device = own.devices.first().ok_or_else(|| no_account("the account has no device here"))?;
        let server = context.server.clone();
        let service = Service::new(&server, &own, device).authorize().await?;
        context.fan_out(&service, &mut own, 0, &mut recipients, &view).await?;
    }
    if let ([only], true) = (recipients.as_slice(), unproven.is_empty()) {
        return Ok(report(&own, only));
    }
    let mut outcomes: Vec<(String, Result<Outcome, Failure>)> = Vec::new();
    for recipient in &recipients {
        outcomes.push((recipient.label.clone(), Ok(report(&own, recipient))));
    }
    outcomes.extend(unproven.into_iter().map(|(label, failure)| (label, Err(failure))));
    let mut outcome = several(outcomes, "recipients");
    outcome.field("from", &own.label);
    Ok(outcome)
}

/// An account that was proven, and the plan to send to every device of it.
fn recipient(
    context: &mut Context,
    own: &mut OwnAccount,
    label: &str,
    resolved: Result<Resolved, Failure>,
    text: &str,
    accept_change: bool,
) -> Result<Recipient, Failure> {
    let mut resolved = resolved?;
    let account = usable(&mut resolved, accept_change)?.clone();
    context.remember_changes(label, &resolved)?;
    let mut recipient = Recipient {
        label: label.to_owned(),
        account,
        id: random::bytes()?,
        text: text.to_owned(),
        to_all: true,
        devices: Vec::new(),
        results: BTreeMap::new(),
        accept_change,
    };
    recipient.plan(own);
    if recipient.devices.is_empty() {
        let message = format!("{label} has no device to send to");
        return Err(Failure::new(Verdict::Refused, "no_devices", message));
    }
    Ok(recipient)
}

/// One verdict for several: that of all of them if they agree.
fn combined(verdicts: impl Iterator<Item = Verdict> + Clone) -> Verdict {
    match verdicts.clone().next() {
        Some(first) if verdicts.clone().all(|verdict| verdict == first) => first,
        Some(_) => Verdict::Partial,
        None => Verdict::Verified,
    }
}

fn report(own: &OwnAccount, recipient: &Recipient) -> Outcome {
    let (to, results) = (&recipient.label, &recipient.results);
    let failures = results.values().filter_map(|result| result.as_ref().err());
    let failed = failures.clone().count();
    let verdict = match failures.clone().next() {
        None => Verdict::Verified,
        // If no device was reached for one and the same kind of reason, that reason is the verdict.
        Some(_) if failed == results.len() => combined(failures.map(|failure| failure.verdict)),
        Some(_) => Verdict::Partial,
    };
    let mut outcome = Outcome::new(verdict);
    let reached = results.len().saturating_sub(failed);
    outcome.line(format!("{to}: sent to {reached} of {} devices, as {}", results.len(), own.label));
    let mut devices: Vec<Value> = Vec::new();
    for (device, result) in results {
        match result {
            Ok(Started { one_time, suite, one_time_kem }) => {
                let note = if *one_time || *one_time_kem {
                    ""
                } else {
                    ", WITHOUT a one-time prekey: the pool was empty"
                };
                let suite = suite_name(suite.0);
                outcome.line(format!("  device {device}: sent, {suite}{note}"));
                devices.push(json!({
                    "id": device,
                    "sent": true,
                    "suite": suite,
                    "one_time_prekey": one_time,
                    "one_time_kem_prekey": one_time_kem,
                }));
            }
            Err(failure) => {
                let name = failure.verdict.name();
                outcome.line(format!("  device {device}: NOT SENT, {name}: {}", failure.message));
                let mut entry = failure.fields.clone();
                entry.insert("id".into(), json!(device));
                entry.insert("sent".into(), json!(false));
                entry.insert("verdict".into(), json!(name));
                entry.insert("reason".into(), json!(failure.reason));
                entry.insert("message".into(), json!(failure.message));
                devices.push(Value::Object(entry));
            }
        }
    }
    outcome.field("label", to);
    outcome.field("from", &own.label);
    outcome.field("version", recipient.account.valid().version());
    outcome.field("devices", devices);
    outcome.field("identity_changed", recipient.account.identity() != Identity::Continuous);
    outcome
}

/// The account that sends: the one named, or the only one there is.
pub(super) fn own_account(context: &Context, from: Option<&str>) -> Result<OwnAccount, Failure> {
    let published = |account: OwnAccount| match account.published {
        Some(_) => Ok(account),
        None => Err(no_account(&format!("{} is not published yet; run register again", account.label))),
    };
    if let Some(from) = from {
        let account = match (context.home.account(from)?, normalise(from)) {
            (None, Ok(label)) => context.home.account(label.as_str())?,
            (account, _) => account,
        };
        return published(account.ok_or_else(|| no_account(&format!("this home has no account {from}")))?);
    }
    let mut accounts = context.home.accounts()?;
    match (accounts.pop(), accounts.is_empty()) {
        (None, _) => Err(no_account("this home has no account; make one with register")),
        (Some(only), true) => published(only),
        (Some(_), false) => Err(no_account("this home has several accounts; say which with --from")),
    }
}

fn no_account(message: &str) -> Failure {
    Failure::new(Verdict::Usage, "no_account", message)
}

//! `keyglass send`: one handshake and one first message for every device of the proven account, and for no other.

use keyglass_account::{
    api::{Base64, BundleResult, Id128, SendMessage, Target, TargetBundle},
    prekey::PreKeyBundle,
};
use serde_json::{Value, json};

use super::{
    context::{Context, now},
    lookup::usable,
    outcome::{Failure, Outcome},
    random,
    service::{Authorized, Service},
};
use crate::{
    http::printable,
    messaging::{self, Answer, Post, Randomness, StartError, Started, WrittenText},
    proven::{Identity, ProvenAccount, Unverified},
    state::OwnAccount,
    verdict::Verdict,
    x3dh::{InitiateError, MAX_TEXT},
};

/// Runs the command.
///
/// # Errors
/// The verdicts of a look-up and of a request. Devices that fail one by one are in the outcome.
pub async fn run(
    context: &mut Context,
    to: &str,
    text: &str,
    from: Option<&str>,
    accept_change: bool,
) -> Result<Outcome, Failure> {
    let mut own = own_account(context, from)?;
    let mut resolved = context.resolve(to).await?;
    let account = usable(&mut resolved, accept_change)?.clone();
    context.remember(to, &account)?;

    if text.len() > MAX_TEXT {
        return Err(Failure::new(
            Verdict::Usage,
            "text_too_long",
            format!("a text has at most {MAX_TEXT} bytes"),
        ));
    }
    let view = context.view().await?;
    let device = own.devices.first().ok_or_else(|| no_account("the account has no device here"))?;
    let service = Service::new(&context.server, &own, device).authorize().await?;
    let text = WrittenText { id: random::bytes()?, text, view: &view, now: now() };
    let devices = messaging::plan(&mut own, text.id, &account);
    if devices.is_empty() {
        return Err(Failure::new(Verdict::Refused, "no_devices", format!("{to} has no device to send to")));
    }
    let mut results = Vec::new();
    for chunk in devices.chunks(keyglass_account::api::MAX_TARGETS) {
        let targets = chunk.iter().map(|device| target(to, *device)).collect::<Result<Vec<_>, _>>()?;
        for bundle in service.bundles(Id128(random::bytes()?), targets).await? {
            let device = bundle.target.device;
            results.push((device, start(&mut own, &account, bundle, &text)));
        }
    }
    context.home.store_account(&own)?;
    for post in messaging::unsent(&own).into_iter().filter(|post| post.text == text.id) {
        let sent = deliver(&service, &mut own, &post).await;
        let result = results.iter_mut().find(|(device, _)| *device == post.device);
        if let (Err(failure), Some((_, result))) = (sent, result) {
            *result = Err(failure);
        }
    }
    context.home.store_account(&own)?;
    let mut outcome = report(to, &own, &results)?;
    if account.identity() == Identity::Succeeded {
        outcome.note(format!(
            "  {to}'s identity key has changed since you met, with the authorisation of the one you knew"
        ));
    }
    outcome.field("identity_changed", account.identity() != Identity::Continuous);
    Ok(outcome)
}

/// Starts the handshake with one device.
fn start(
    own: &mut OwnAccount,
    account: &ProvenAccount,
    bundle: TargetBundle,
    text: &WrittenText<'_>,
) -> Result<Started, Failure> {
    let bytes = match bundle.result {
        BundleResult::Bundle(bytes) => bytes.into_bytes(),
        BundleResult::Problem(problem) => {
            let title = printable(problem.title.unwrap_or_else(|| problem.kind.clone()));
            return Err(
                Failure::new(Verdict::Declined, "no_bundle", title).with("problem", printable(problem.kind))
            );
        }
    };
    let decoded = PreKeyBundle::decode(&bytes)
        .map_err(|error| Failure::new(Verdict::Refused, "bundle_malformed", error))?;
    let randomness = Randomness {
        ephemeral: random::secret()?,
        encapsulation: random::secret()?,
        message: random::bytes()?,
    };
    let decoded = Unverified::from_wire(decoded);
    Ok(messaging::start(own, 0, account, bundle.target.device, decoded, text, randomness)?)
}

/// Posts a message that is stored, and takes in what came of it. What was not taken and may be later stays in the home.
///
/// # Errors
/// The verdicts of a request.
pub(super) async fn deliver(
    service: &Authorized<'_>,
    own: &mut OwnAccount,
    post: &Post,
) -> Result<(), Failure> {
    let body = Base64::new(post.body.clone())
        .map_err(|error| Failure::new(Verdict::Usage, "text_too_long", error))?;
    let version = Some(post.version);
    let message = SendMessage { target: target(&post.to, post.device)?, id: Id128(post.id), body, version };
    let error = match service.send(&message).await {
        Ok(()) => {
            messaging::posted(own, post, Answer::Taken);
            return Ok(());
        }
        Err(error) => error,
    };
    let answer = error.known_problem().map_or(Answer::Later, Answer::of);
    messaging::posted(own, post, answer);
    let mut failure = Failure::from(error).with("waits", answer == Answer::Later);
    if answer == Answer::Later {
        failure.message.push_str("; the message waits here, and `keyglass receive` sends it");
    }
    Err(failure)
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Bundle(error) => error.into(),
            StartError::Payload(error) => Self::new(Verdict::Usage, "text_too_long", error),
            StartError::Initiate(InitiateError::TooLong) => Self::new(Verdict::Usage, "text_too_long", error),
            StartError::Initiate(_) => Self::new(Verdict::Refused, "handshake", error),
            StartError::NoOwnDevice => no_account("the account has no device here"),
            StartError::OtherLog => Self::new(Verdict::Refused, "other_log", error),
            StartError::OutboxFull => Self::new(Verdict::Failed, "outbox_full", error),
            StartError::OnItsWay | StartError::Exhausted => Self::new(Verdict::Failed, "outbox", error),
        }
    }
}

fn report(
    to: &str,
    own: &OwnAccount,
    results: &[(u32, Result<Started, Failure>)],
) -> Result<Outcome, Failure> {
    let failed: Vec<&(u32, Result<Started, Failure>)> =
        results.iter().filter(|(_, result)| result.is_err()).collect();
    let verdict = match failed.first() {
        None => Verdict::Verified,
        // If no device was reached for one and the same kind of reason, that reason is the verdict.
        Some((_, Err(first)))
            if failed.len() == results.len()
                && failed.iter().all(|(_, r)| r.as_ref().is_err_and(|f| f.verdict == first.verdict)) =>
        {
            first.verdict
        }
        Some(_) => Verdict::Partial,
    };
    let mut outcome = Outcome::new(verdict);
    let reached = results.len().saturating_sub(failed.len());
    outcome.line(format!("{to}: sent to {reached} of {} devices, as {}", results.len(), own.label));
    let mut devices: Vec<Value> = Vec::new();
    for (device, result) in results {
        match result {
            Ok(sent) => {
                let note = if sent.one_time { "" } else { ", WITHOUT a one-time prekey: the pool was empty" };
                outcome.line(format!("  device {device}: sent{note}"));
                devices.push(json!({ "id": device, "sent": true, "one_time_prekey": sent.one_time }));
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
    outcome.field("devices", devices);
    Ok(outcome)
}

/// The account that sends: the one named, or the only one there is.
pub(super) fn own_account(context: &Context, from: Option<&str>) -> Result<OwnAccount, Failure> {
    let published = |account: OwnAccount| match account.published {
        Some(_) => Ok(account),
        None => Err(no_account(&format!("{} is not published yet; run register again", account.label))),
    };
    if let Some(from) = from {
        let account = context.home.account(from)?;
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

/// A device as the service names it.
///
/// # Errors
/// [`Verdict::Usage`] for a label that none can have.
fn target(label: &str, device: u32) -> Result<Target, Failure> {
    let label = Base64::new(label.as_bytes().to_vec());
    let label = label.map_err(|error| Failure::new(Verdict::Usage, "label", error))?;
    Ok(Target { label, device })
}

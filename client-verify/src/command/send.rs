//! `keyglass send`: one handshake and one first message for every device of the proven account, and for no other.

use keyglass_account::{
    api::{Base64, BundleResult, Id128, SendMessage, Target, TargetBundle},
    prekey::PreKeyBundle,
    time::UnixMillis,
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
    proven::{Identity, ProvenAccount, ProvenBundle, Unverified},
    state::{OwnAccount, StoredSession},
    verdict::Verdict,
    x3dh::{self, FirstMessage, OwnDevice},
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

    let heads: Vec<_> = context.recent_heads().await?.recent().iter().map(|head| head.root).collect();
    let checkpoint = context.retained_note().map(|note| note.to_string()).unwrap_or_default();
    let payload = FirstMessage { id: random::bytes()?, checkpoint, heads, text: text.to_owned() }
        .encode()
        .map_err(|error| Failure::new(Verdict::Usage, "text_too_long", error))?;

    let device = own.devices.first().ok_or_else(|| no_account("the account has no device here"))?;
    let service = Service::new(&context.server, &own, device).authorize().await?;
    let record = account.valid().record();
    if record.devices.is_empty() {
        return Err(Failure::new(Verdict::Refused, "no_devices", format!("{to} has no device to send to")));
    }
    let mut results = Vec::new();
    for chunk in record.devices.chunks(keyglass_account::api::MAX_TARGETS) {
        let targets = chunk.iter().map(|device| target(to, device.id)).collect::<Result<Vec<_>, _>>()?;
        let bundles = service.bundles(Id128(random::bytes()?), targets).await?;
        for bundle in bundles {
            let device = bundle.target.device;
            let sent = deliver(context, &mut own, &service, &account, bundle, &payload).await;
            results.push((device, sent));
        }
    }
    let mut outcome = report(to, &own, &results)?;
    if account.identity() == Identity::Succeeded {
        outcome.note(format!(
            "  {to}'s identity key has changed since you met, with the authorisation of the one you knew"
        ));
    }
    outcome.field("identity_changed", account.identity() != Identity::Continuous);
    Ok(outcome)
}

/// What was sent to a device.
struct Sent {
    one_time: bool,
}

/// The handshake with one device: the bundle is proven, the session stored, the message sent, in this order.
async fn deliver(
    context: &Context,
    own: &mut OwnAccount,
    service: &Authorized<'_>,
    account: &ProvenAccount,
    bundle: TargetBundle,
    payload: &[u8],
) -> Result<Sent, Failure> {
    let bytes = match bundle.result {
        BundleResult::Bundle(bytes) => bytes.into_bytes(),
        BundleResult::Problem(problem) => {
            let title = printable(problem.title.unwrap_or_else(|| problem.kind.clone()));
            return Err(
                Failure::new(Verdict::Declined, "no_bundle", title).with("problem", printable(problem.kind))
            );
        }
    };
    let proven = prove(account, bundle.target.device, &bytes, now())?;
    let one_time = proven.has_one_time();
    let initiated = {
        let device = own.devices.first().ok_or_else(|| no_account("the account has no device here"))?;
        let (party, dh_secret) = (own.party(device), device.dh_key());
        let version = own.published.unwrap_or(0);
        let own = OwnDevice { party: &party, dh_secret: &dh_secret, version };
        x3dh::initiate(own, proven, random::secret()?, payload)
            .map_err(|error| Failure::new(Verdict::Refused, "handshake", error))?
    };
    if let Some(device) = own.devices.first_mut() {
        device.sessions.push(StoredSession::from(&initiated.session));
    }
    context.home.store_account(own)?;
    let body = Base64::new(initiated.message.encode())
        .map_err(|error| Failure::new(Verdict::Usage, "text_too_long", error))?;
    service.send(&SendMessage { target: bundle.target, id: Id128(random::bytes()?), body }).await?;
    Ok(Sent { one_time })
}

fn prove(
    account: &ProvenAccount,
    device: u32,
    bytes: &[u8],
    now: UnixMillis,
) -> Result<ProvenBundle, Failure> {
    let bundle = PreKeyBundle::decode(bytes)
        .map_err(|error| Failure::new(Verdict::Refused, "bundle_malformed", error))?;
    Ok(account.prove_bundle(device, Unverified::from_wire(bundle), now)?)
}

fn report(to: &str, own: &OwnAccount, results: &[(u32, Result<Sent, Failure>)]) -> Result<Outcome, Failure> {
    let failed: Vec<&(u32, Result<Sent, Failure>)> =
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

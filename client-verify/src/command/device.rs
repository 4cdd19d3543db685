//! `keyglass device`: which devices belong to one's own account, and who joins and leaves. See also [`super::upgrade`].

use std::io::Read as _;

use keyglass_account::{author::Draft, link::LinkOffer, record::AccountRecord};

use super::{
    args::DeviceCommand,
    context::Context,
    outcome::{Failure, Outcome},
    own::{self, Authority, Change},
    shown, upgrade,
};
use crate::{http::printable, state::OwnAccount, verdict::Verdict};

/// The longest code that is read from standard input.
const MAX_CODE: u64 = 8192;

/// Runs the command.
///
/// # Errors
/// The verdicts of a look-up and of a request.
pub async fn run(context: &mut Context, command: &DeviceCommand) -> Result<Outcome, Failure> {
    match command {
        DeviceCommand::List { from } => list(context, from.as_deref()).await,
        DeviceCommand::Add { code, digits } => add(context, code, digits.as_deref()).await,
        DeviceCommand::Upgrade { from } => upgrade::run(context, from.as_deref()).await,
        DeviceCommand::Remove { id, from } => remove(context, *id, from.as_deref()).await,
    }
}

async fn list(context: &mut Context, from: Option<&str>) -> Result<Outcome, Failure> {
    let mut account = own::account(context, from)?;
    own::find_out_pending(context, &mut account).await?;
    let standing = own::learn(context, &mut account).await?;
    let record = standing.account.valid().record();
    let mut outcome = Outcome::new(Verdict::Verified);
    outcome.line(format!("{}: version {}, {}", account.label, record.version, counted(record)));
    let mut listed = Vec::new();
    for device in &record.devices {
        let here = account.devices.iter().any(|own| own.id == device.id);
        let place = if here { ", in this home" } else { "" };
        let behind = upgrade::is_behind(device);
        let reached = if behind { ", reached by X3DH alone: see `keyglass device upgrade`" } else { "" };
        outcome.line(format!(
            "  device {}: added {}{place}{reached}",
            device.id,
            shown::millis(device.added)
        ));
        listed.push(serde_json::json!({
            "id": device.id, "added": device.added.0, "here": here, "pqxdh": !behind
        }));
    }
    let held = account.identity.signing_key().is_some();
    outcome.line(if held {
        "  the identity key is in this home"
    } else {
        "  the identity key is on another device: this home can neither add nor remove devices"
    });
    outcome.field("label", &account.label);
    outcome.field("version", record.version);
    outcome.field("devices", listed);
    outcome.field("identity_here", held);
    Ok(outcome)
}

async fn add(context: &mut Context, code: &str, digits: Option<&str>) -> Result<Outcome, Failure> {
    let offer = LinkOffer::from_text(&text(code)?)
        .and_then(|offer| offer.verify(&context.origin).map(|()| offer))
        .map_err(|error| Failure::new(Verdict::Usage, "link_code", error))?;
    let label = std::str::from_utf8(offer.label())
        .map_err(|error| Failure::new(Verdict::Usage, "link_code", error))?
        .to_owned();
    let mut account = own::account(context, Some(&label))?;
    own::identity(&account)?;
    if digits.is_some_and(|digits| !same_digits(digits, &offer.digits())) {
        return Err(other_digits(&offer));
    }
    own::find_out_pending(context, &mut account).await?;
    own::learn(context, &mut account).await?;
    if offer.identity_key() != account.identity_key() {
        return Err(shown_another_identity(&label));
    }
    let id = offer.device().id;
    let is_there = |record: &AccountRecord| record.device(id) == Some(offer.device());
    if is_there(own::known(context, &account)?.record()) {
        let mut outcome = Outcome::new(Verdict::Verified);
        outcome.line(format!("device {id} belongs to {label} already"));
        describe(&mut outcome, &account, &offer);
        outcome.field("version", account.published);
        return Ok(outcome);
    }
    let published = own::change(context, &mut account, &Authority::Identity, |draft, _, account| {
        if draft.next_device_id() != id {
            return Err(stale(id, draft.next_device_id()));
        }
        Change::of(draft.add_device(offer.device().clone()).sign(&own::identity(account)?))
    })
    .await?;
    let mut outcome = own::outcome(&label, published);
    outcome.line(format!("{label}: device {id} added, version {}", published.version));
    describe(&mut outcome, &account, &offer);
    outcome.line("  on the new device: `keyglass link finish`");
    Ok(outcome)
}

fn describe(outcome: &mut Outcome, account: &OwnAccount, offer: &LinkOffer) {
    let (digits, identity) = (offer.digits(), own::identity_digits(&account.label, &account.identity_key()));
    outcome.line(format!("  the offer:    {digits}"));
    outcome.line(format!("  the identity: {identity}"));
    outcome.line("  the new device must show the same; if it does not, remove the device again");
    outcome.field("label", &account.label);
    outcome.field("device", offer.device().id);
    outcome.field("offer_digits", digits);
    outcome.field("identity_digits", identity);
}

async fn remove(context: &mut Context, id: u32, from: Option<&str>) -> Result<Outcome, Failure> {
    let mut account = own::account(context, from)?;
    own::identity(&account)?;
    let here = account.devices.iter().any(|device| device.id == id);
    let published =
        own::change(context, &mut account, &Authority::Identity, |draft: Draft<'_>, before, account| {
            if before.device(id).is_none() {
                let message = format!("the account has no device {id}");
                return Err(Failure::new(Verdict::Usage, "no_such_device", message));
            }
            Change::of(draft.remove_device(id).sign(&own::identity(account)?))
        })
        .await?;
    let mut outcome = own::outcome(&account.label, published);
    outcome.line(format!("{}: device {id} removed, version {}", account.label, published.version));
    outcome.line(if here {
        "  its keys were erased from this home: what was sent to it and not received is lost"
    } else {
        "  nobody who checks sends to it any more; what it has received already it keeps"
    });
    outcome.field("device", id);
    Ok(outcome)
}

fn counted(record: &AccountRecord) -> String {
    shown::counted(record.devices.len(), "device", "devices")
}

/// The code as given, or from standard input.
fn text(code: &str) -> Result<String, Failure> {
    if code != "-" {
        return Ok(code.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_CODE)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(Verdict::Usage, "link_code", error))?;
    Ok(text)
}

fn same_digits(typed: &str, shown: &str) -> bool {
    let digits = |text: &str| text.split_ascii_whitespace().collect::<String>();
    digits(typed) == digits(shown)
}

fn other_digits(offer: &LinkOffer) -> Failure {
    let message = format!(
        "the code's digits are {}, not those that you read on the new device: somebody has replaced the code on its way. \
         Nothing was published",
        offer.digits()
    );
    Failure::new(Verdict::Disputed, "link_digits_differ", message).with("offer_digits", offer.digits())
}

fn shown_another_identity(label: &str) -> Failure {
    let message = format!(
        "the log shows the new device another identity of {} than this home's: nothing was published. Compare the \
         log's heads on both devices with `keyglass heads`",
        printable(label.to_owned())
    );
    Failure::new(Verdict::Disputed, "link_identity_differs", message)
}

fn stale(id: u32, next: u32) -> Failure {
    let message = format!(
        "the code is for device {id}, and the account's next device is {next}: another one was added since. Make a new \
         code on the new device"
    );
    Failure::new(Verdict::Usage, "link_code_stale", message).with("device", id).with("next_device", next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_compared_however_they_are_grouped() {
        assert!(same_digits("12345 67890", "1234567890"));
        assert!(!same_digits("12345 67891", "12345 67890"));
    }
}

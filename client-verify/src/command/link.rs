//! `keyglass link`: a new device joins an account that another device of the person holds.
//!
//! The new device makes its own keys and offers the public ones; the holder of the identity publishes a record that has it.
//! No secret leaves either of them, and the new device never holds the identity's.

use keyglass_account::{device::Device, link::LinkOffer, record::AccountRecord, verify::ValidRecord};
use keyglass_crypto::sign::VerifyingKey;
use qrcode::{QrCode, render::unicode::Dense1x2};

use super::{
    args::{Common, LinkCommand},
    context::Context,
    label::{meant, meant_if_any},
    outcome::{Failure, Outcome},
    own, random,
};
use crate::{
    proven::Identity,
    state::{LinkDocument, OwnAccount, OwnIdentity},
    verdict::Verdict,
};

/// Runs the command.
///
/// # Errors
/// The verdicts of a look-up and of a request.
pub async fn run(context: &mut Context, common: &Common, command: &LinkCommand) -> Result<Outcome, Failure> {
    match command {
        LinkCommand::Offer { label, accept_change } => {
            let label = meant(context, common, label)?;
            offer(context, &label, *accept_change).await
        }
        LinkCommand::Finish { label } => {
            let label = meant_if_any(context, common, label.clone())?;
            finish(context, label).await
        }
    }
}

async fn offer(context: &mut Context, label: &str, accept_change: bool) -> Result<Outcome, Failure> {
    if context.home.account(label)?.is_some() {
        let message = format!("this home has an account {label} already");
        return Err(Failure::new(Verdict::Usage, "account_exists", message));
    }
    let earlier = context.home.link(label)?;
    let known = match &earlier {
        Some(link) => Some(known(context, link)?),
        None => None,
    };
    let standing = own::last_valid(context, label, known.as_ref()).await?;
    if standing.account.identity() != Identity::Continuous && !accept_change {
        return Err(changed(label));
    }
    let record = standing.account.valid().record();
    let id = record.next_device_id;
    // The same offer again, as long as it can still be taken.
    let kept = earlier.and_then(|link| LinkOffer::decode(&link.offer).ok()).filter(|offer| {
        (offer.device().id == id || record.device(offer.device().id) == Some(offer.device()))
            && offer.identity_key() == record.identity_key
    });
    let offer = match kept {
        Some(offer) => offer,
        None => make(context, label, record)?,
    };
    let text = offer.to_text();
    let mut outcome = Outcome::new(Verdict::Verified);
    outcome.line(format!("{label}: where the account's identity is, scan this or paste the text:"));
    outcome.line("");
    // A code too long for its format cannot arise; were it to, the text is there.
    if let Ok(code) = QrCode::new(&text) {
        outcome.line(code.render::<Dense1x2>().build());
    }
    outcome.line(format!("    keyglass device add {text}"));
    outcome.line("");
    describe(&mut outcome, label, offer.device().id, &offer, &record.identity_key);
    outcome.line("  both must be what the other device shows. Then, here: `keyglass link finish`");
    outcome.field("code", text);
    Ok(outcome)
}

fn make(context: &Context, label: &str, record: &AccountRecord) -> Result<LinkOffer, Failure> {
    let origin = context.origin.as_str();
    let (state, device) = own::device::new(origin, label.as_bytes(), record.next_device_id)?;
    let offer = LinkOffer::sign(
        origin,
        label.as_bytes(),
        record.identity_key,
        device,
        &state.signing_key(),
        random::bytes()?,
    );
    let proven = (record.version, record.encode());
    let link = LinkDocument::new(origin.to_owned(), label.to_owned(), state, offer.encode(), proven);
    context.home.store_link(&link)?;
    Ok(offer)
}

fn describe(outcome: &mut Outcome, label: &str, device: u32, offer: &LinkOffer, identity: &VerifyingKey) {
    let (digits, identity) = (offer.digits(), own::identity_digits(label, identity));
    outcome.line(format!("  the offer:    {digits}"));
    outcome.line(format!("  the identity: {identity}"));
    outcome.field("label", label);
    outcome.field("device", device);
    outcome.field("offer_digits", digits);
    outcome.field("identity_digits", identity);
}

async fn finish(context: &mut Context, label: Option<String>) -> Result<Outcome, Failure> {
    let label = match label {
        Some(label) => label,
        None => only(context)?,
    };
    let linked = context.home.account(&label)?;
    let link = match (context.home.link(&label)?, linked) {
        // An earlier run went this far.
        (_, Some(account)) => {
            context.home.remove_link(&label)?;
            return supply(context, account).await;
        }
        (Some(link), None) => link,
        (None, None) => return Err(none(&format!("no device of this home waits to be linked to {label}"))),
    };
    let offer = LinkOffer::decode(&link.offer)
        .map_err(|error| Failure::new(Verdict::Failed, "home_damaged", error))?;
    let known = known(context, &link)?;
    let standing = own::last_valid(context, &label, Some(&known)).await?;
    let record = standing.account.valid().record();
    // An identity that the one of the offer, or its recovery key, has put in its place since is the account's all the same.
    if standing.account.identity() == Identity::Broken {
        return Err(changed(&label));
    }
    check_device(record, offer.device(), &label)?;
    own::owned(context, label.as_bytes(), standing.greatest).await?;
    let identity = OwnIdentity::Elsewhere { key: record.identity_key };
    let mut account =
        OwnAccount::new(context.origin.clone(), label.clone(), identity, record.encode(), vec![link.device]);
    account.published = Some(record.version);
    context.home.store_account(&account)?;
    context.home.remove_link(&label)?;
    supply(context, account).await
}

/// The device must be in the account exactly as it was offered.
fn check_device(record: &AccountRecord, device: &Device, label: &str) -> Result<(), Failure> {
    match record.device(device.id) {
        Some(there) if there == device => Ok(()),
        None if record.next_device_id <= device.id => {
            let message = format!("{label} does not have this device yet: `keyglass device add` adds it");
            Err(Failure::new(Verdict::NotFound, "not_linked_yet", message).with("device", device.id))
        }
        _ => {
            let message = format!(
                "device {} of {label} is not the one that was offered here: somebody replaced the code on its way, or another \
                 device was added meanwhile. Remove what should not be there, and make a new offer",
                device.id
            );
            Err(Failure::new(Verdict::Refused, "another_device", message).with("device", device.id))
        }
    }
}

async fn supply(context: &mut Context, mut account: OwnAccount) -> Result<Outcome, Failure> {
    for index in 0..account.devices.len() {
        context.supply_prekeys(&mut account, index).await?;
    }
    let devices: Vec<u32> = account.devices.iter().map(|device| device.id).collect();
    let digits = own::identity_digits(&account.label, &account.identity_key());
    let mut outcome = Outcome::new(Verdict::Verified);
    let ids: Vec<String> = devices.iter().map(u32::to_string).collect();
    outcome.line(format!(
        "{}: this home is device {}, and can send and receive",
        account.label,
        ids.join(", ")
    ));
    outcome.line(format!("  the identity: {digits}"));
    outcome.line("  compare these digits with the device that holds the identity");
    outcome.field("label", &account.label);
    outcome.field("version", account.published);
    outcome.field("devices", devices);
    outcome.field("identity_digits", digits);
    Ok(outcome)
}

/// The account as it was proven when the offer was made.
fn known(context: &Context, link: &LinkDocument) -> Result<ValidRecord, Failure> {
    ValidRecord::restore(&context.origin, link.label.as_bytes(), link.version, &link.record)
        .map_err(|error| Failure::new(Verdict::Failed, "home_damaged", format!("{}: {error}", link.label)))
}

/// The account that the only waiting device of this home is for.
fn only(context: &Context) -> Result<String, Failure> {
    let mut labels = context.home.links()?;
    match (labels.pop(), labels.is_empty()) {
        (Some(label), true) => Ok(label),
        (None, _) => {
            Err(none("no device of this home waits to be linked; begin with `keyglass link offer LABEL`"))
        }
        (Some(_), false) => Err(none("several devices of this home wait to be linked; say for which LABEL")),
    }
}

fn none(message: &str) -> Failure {
    Failure::new(Verdict::Usage, "no_link", message)
}

fn changed(label: &str) -> Failure {
    let message = format!(
        "the identity of {label} was reset or replaced, or its history is withheld: compare what the other device shows \
         before you link this one to it; `keyglass link offer {label} --accept-change` begins anew"
    );
    Failure::new(Verdict::Changed, "identity_changed", message)
}

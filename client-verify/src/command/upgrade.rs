//! `keyglass device upgrade`: devices from before PQXDH begin to announce it.
//!
//! Once a record announces PQXDH for a device, nobody who checks runs X3DH with it: a bundle without a KEM prekey is refused.
//! So the KEM prekeys come first, and the record after the server has them. A crash in between leaves a device with KEM prekeys
//! that nobody is told of; they are looked after, and the next run goes on.
//!
//! Records are signed where the identity key is. Devices in other homes leave their KEM prekeys by the same command there; the
//! home with the identity announces PQXDH for those whose signed KEM prekey the server hands out.

use std::collections::BTreeSet;

use keyglass_account::{
    api::{Base64, BundleResult, Id128, Target},
    device::{Device, Suite},
    prekey::PreKeyBundle,
    record::AccountRecord,
};

use super::{
    context::{Context, now},
    outcome::{Failure, Outcome},
    own::{self, Authority, Change},
    random,
    service::Service,
};
use crate::{state::OwnAccount, verdict::Verdict, x3dh::SUITES};

/// Runs the command.
///
/// # Errors
/// The verdicts of a look-up and of a request.
pub async fn run(context: &mut Context, from: Option<&str>) -> Result<Outcome, Failure> {
    let mut account = own::account(context, from)?;
    own::settle_open(context, &mut account).await?;
    let standing = own::learn(context, &mut account).await?;
    let record = standing.account.valid().record();
    let ready = ready(context, &mut account, record).await?;
    let published = if account.identity.signing_key().is_none() || ready.is_empty() {
        None
    } else {
        let change = own::change(context, &mut account, &Authority::Identity, |draft, before, account| {
            let behind = before.devices.iter().filter(|device| is_behind(device));
            let raised = behind.filter(|device| ready.contains(&device.id));
            let draft =
                raised.fold(draft, |draft, device| draft.set_suites(device.id, &raise(&device.suites)));
            Change::of(draft.sign(&own::identity(account)?))
        });
        Some(change.await?)
    };
    let mut outcome = match published {
        Some(published) => own::outcome(&account.label, published),
        None => Outcome::new(Verdict::Verified),
    };
    let valid = own::known(context, &account)?;
    describe(&mut outcome, &account, valid.record(), &ready);
    Ok(outcome)
}

/// Whether a device is from before PQXDH.
pub fn is_behind(device: &Device) -> bool {
    !device.accepts(Suite::PQXDH)
}

/// The suites that a device announces, and all that are run here.
fn raise(suites: &[Suite]) -> Vec<Suite> {
    let all: BTreeSet<Suite> = suites.iter().copied().chain(SUITES).collect();
    all.into_iter().collect()
}

/// The devices from before PQXDH whose KEM prekeys the server has; those in this home leave theirs first.
async fn ready(
    context: &Context,
    account: &mut OwnAccount,
    record: &AccountRecord,
) -> Result<BTreeSet<u32>, Failure> {
    let mut ready = BTreeSet::new();
    let mut elsewhere: Vec<&Device> = Vec::new();
    for device in record.devices.iter().filter(|device| is_behind(device)) {
        let Some(index) = account.devices.iter().position(|own| own.id == device.id) else {
            elsewhere.push(device);
            continue;
        };
        if context.begin_kem(account, index).await?.status.last_resort.is_some() {
            ready.insert(device.id);
        }
    }
    if account.identity.signing_key().is_some() && !elsewhere.is_empty() {
        ready.extend(with_kem_prekeys(context, account, &elsewhere).await?);
    }
    Ok(ready)
}

/// Which of these devices, that are in other homes, have signed a KEM prekey which the server hands out. A server that says so
/// of none holds the upgrade up, and nothing else.
async fn with_kem_prekeys(
    context: &Context,
    account: &OwnAccount,
    devices: &[&Device],
) -> Result<Vec<u32>, Failure> {
    let Some(asks) = account.devices.first() else { return Ok(Vec::new()) };
    let label = account.label.as_bytes();
    let target = |device: &&Device| Ok(Target { label: Base64::new(label.to_vec())?, device: device.id });
    let targets: Result<Vec<Target>, keyglass_account::api::BinaryError> =
        devices.iter().map(target).collect();
    let targets = targets.map_err(|error| Failure::new(Verdict::Failed, "home_damaged", error))?;
    let service = Service::new(&context.server, account, asks).authorize().await?;
    let bundles = service.bundles(Id128(random::bytes()?), targets).await?;
    let has_kem = |(device, result): &(&&Device, BundleResult)| {
        let BundleResult::Bundle(bundle) = result else { return false };
        PreKeyBundle::decode(bundle.as_bytes())
            .and_then(|bundle| bundle.verify(&context.origin, label, device, now()))
            .is_ok_and(|bundle| bundle.kem().is_some())
    };
    let answered = devices.iter().zip(bundles.into_iter().map(|bundle| bundle.result));
    Ok(answered.filter(has_kem).map(|(device, _)| device.id).collect())
}

fn describe(outcome: &mut Outcome, account: &OwnAccount, record: &AccountRecord, ready: &BTreeSet<u32>) {
    outcome.line(format!("{}: version {}", account.label, record.version));
    let mut devices = Vec::new();
    for device in &record.devices {
        let says = match (is_behind(device), ready.contains(&device.id)) {
            (false, _) => "is reached by PQXDH",
            (true, true) => {
                "has left its KEM prekeys: now `keyglass device upgrade` where the identity key is"
            }
            (true, false) => "is reached by X3DH alone: `keyglass device upgrade` in its home comes first",
        };
        outcome.line(format!("  device {}: {says}", device.id));
        devices.push(serde_json::json!({ "id": device.id, "pqxdh": !is_behind(device) }));
    }
    outcome.field("label", &account.label);
    outcome.field("version", record.version);
    outcome.field("devices", devices);
}

//! `keyglass prekeys`, and what registering and keeping watch do for prekeys: compare, repair, make, upload.
//!
//! Secrets are stored before their public keys are uploaded, and what was uploaded is marked after the server said so. In
//! between, a crash leaves prekeys of which it is not known whether the server has them; the server's numbers tell.

mod make;

use std::time::Duration;

use keyglass_account::{
    api::{Base64, PreKeyStatus, UploadPreKeys},
    device::Suite,
    record::AccountRecord,
    time::UnixMillis,
};
use make::{Maker, own_fault};
use serde_json::json;

use super::{
    args::PrekeysOptions,
    context::{Context, now},
    outcome::{Failure, Outcome},
    random,
    service::Service,
};
use crate::{
    prekeys::{
        Difference, Due, Needs, REFILL_BELOW, RETENTION, ROTATION, adopt, differences, due, forget_future,
        next, settle,
    },
    state::{OwnAccount, OwnDeviceState},
    verdict::Verdict,
};

/// What looking after a device's prekeys came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintained {
    /// How the server's idea of the pool differed, before it was repaired.
    pub differences: Vec<Difference>,
    /// Whether anything was uploaded.
    pub uploaded: bool,
    /// What the server holds now.
    pub status: PreKeyStatus,
}

/// Runs the command.
///
/// # Errors
/// The verdicts of a request; [`Verdict::Usage`] if the home has no such account.
pub async fn run(context: &mut Context, options: &PrekeysOptions) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::new(Verdict::Verified);
    let mut devices = Vec::new();
    let accounts = context.home.accounts()?.into_iter().filter(|account| account.published.is_some());
    let wanted = |account: &OwnAccount| options.label.as_ref().is_none_or(|label| *label == account.label);
    for mut account in accounts.filter(wanted) {
        for index in 0..account.devices.len() {
            let maintained = if options.refill {
                context.maintain_prekeys(&mut account, index).await?
            } else {
                context.look_at_prekeys(&account, index).await?
            };
            let id = account.devices.get(index).map_or(0, |device| device.id);
            describe(&mut outcome, &account.label, id, &maintained, options.refill);
            devices.push(json!({
                "label": account.label,
                "device": id,
                "differences": maintained.differences,
                "uploaded": maintained.uploaded,
                "status": maintained.status,
            }));
        }
    }
    if devices.is_empty() {
        return Err(Failure::new(Verdict::Usage, "no_account", "this home has no such published account"));
    }
    outcome.field("devices", devices);
    Ok(outcome)
}

fn describe(outcome: &mut Outcome, label: &str, device: u32, found: &Maintained, refill: bool) {
    let PreKeyStatus { one_time, one_time_kem, low_water, low_water_mark, .. } = found.status;
    let low =
        if low_water { format!(", below the server's mark of {low_water_mark}") } else { String::new() };
    outcome.line(format!(
        "{label}, device {device}: {one_time} X25519 and {one_time_kem} ML-KEM one-time prekeys{low}"
    ));
    for difference in &found.differences {
        outcome.line(format!("  {difference}{}", if refill { ": repaired" } else { "" }));
    }
    if found.uploaded {
        outcome.line("  new prekeys were uploaded");
    }
    if !refill && !found.differences.is_empty() {
        outcome
            .note("keyglass watch repairs this at a time of its own; keyglass prekeys --refill does it now");
    }
}

impl Context {
    /// Has the server hold what a new device needs. Says whether anything was uploaded.
    ///
    /// # Errors
    /// The verdicts of a request; [`Verdict::Failed`].
    pub async fn supply_prekeys(&self, account: &mut OwnAccount, index: usize) -> Result<bool, Failure> {
        let device = account.devices.get(index).ok_or_else(no_device)?;
        if has_been_supplied(device, now()) {
            return Ok(false);
        }
        Ok(self.maintain_prekeys(account, index).await?.uploaded)
    }

    /// Looks after the prekeys of all own devices for which it is time, and plans the next time. Whatever the state of a pool
    /// is, it changes nothing about when that is: see [`crate::prekeys::schedule`].
    ///
    /// # Errors
    /// The verdicts of a request; [`Verdict::Failed`].
    pub(super) async fn maintain_due(
        &self,
        account: &mut OwnAccount,
    ) -> Result<Vec<(u32, Maintained)>, Failure> {
        let mut maintained = Vec::new();
        for index in 0..account.devices.len() {
            let Some(device) = account.devices.get_mut(index) else { break };
            let random = u64::from_be_bytes(random::bytes()?);
            match due(device.maintain_at.map(UnixMillis), now(), random) {
                Due::Now => {
                    let id = device.id;
                    maintained.push((id, self.maintain_prekeys(account, index).await?));
                }
                Due::At(time) if device.maintain_at != Some(time.0) => {
                    device.maintain_at = Some(time.0);
                    self.home.store_account(account)?;
                }
                Due::At(_) => {}
            }
        }
        Ok(maintained)
    }

    /// Compares, and changes nothing.
    async fn look_at_prekeys(&self, account: &OwnAccount, index: usize) -> Result<Maintained, Failure> {
        let device = account.devices.get(index).ok_or_else(no_device)?;
        let status = Service::new(&self.server, account, device).authorize().await?.status().await?;
        let differences = differences(&account.origin, account.label.as_bytes(), device, &status);
        Ok(Maintained { differences, uploaded: false, status })
    }

    /// Compares a device's pool with the server's, repairs what differs, makes what is lacking and uploads it.
    ///
    /// # Errors
    /// The verdicts of a request; [`Verdict::Failed`]; [`Verdict::Invalid`] if the pools differ even then.
    pub(super) async fn maintain_prekeys(
        &self,
        account: &mut OwnAccount,
        index: usize,
    ) -> Result<Maintained, Failure> {
        self.maintain(account, index, false).await
    }

    /// The same for a device that is to announce PQXDH: it gets KEM prekeys although its record does not say so yet. A device
    /// that has them keeps them.
    ///
    /// # Errors
    /// As [`Self::maintain_prekeys`].
    pub(super) async fn begin_kem(
        &self,
        account: &mut OwnAccount,
        index: usize,
    ) -> Result<Maintained, Failure> {
        self.maintain(account, index, true).await
    }

    async fn maintain(
        &self,
        account: &mut OwnAccount,
        index: usize,
        begins_kem: bool,
    ) -> Result<Maintained, Failure> {
        let device = account.devices.get(index).ok_or_else(no_device)?;
        let service = Service::new(&self.server, account, device);
        let status = service.authorize().await?.status().await?;
        let (origin, label) = (account.origin.clone(), account.label.clone().into_bytes());
        let announces_kem = AccountRecord::decode(&account.record)
            .ok()
            .is_some_and(|record| record.device(device.id).is_some_and(|entry| entry.accepts(Suite::PQXDH)));
        let has_kem = !device.kem.last_resorts.is_empty();
        let device = account.devices.get_mut(index).ok_or_else(no_device)?;
        let maker = Maker { origin: &origin, label: &label, now: now() };
        device.erase_expired(maker.now.0, millis(RETENTION));
        settle(device, &status);
        forget_future(device, maker.now);
        let found = differences(&origin, &label, device, &status);
        let kem = begins_kem || announces_kem || has_kem;
        // Where there is a newer signed prekey already, the oldest goes with the handshakes that filled the memory.
        device.make_room();
        let needs = if adopt(device, &status, &found) {
            Needs::everything(kem)
        } else {
            Needs::of(device, &status, maker.now, kem, REFILL_BELOW)
        };
        maker.make(device, needs)?;
        device.maintain_at = Some(next(maker.now, u64::from_be_bytes(random::bytes()?)).0);
        let upload = waiting(&maker, device)?;
        self.home.store_account(account)?;
        if upload == UploadPreKeys::default() {
            return Ok(Maintained { differences: found, uploaded: false, status });
        }
        let status = service.upload(&upload).await?;
        let device = account.devices.get_mut(index).ok_or_else(no_device)?;
        settle(device, &status);
        let remaining = differences(&origin, &label, device, &status);
        self.home.store_account(account)?;
        match remaining.first() {
            None => Ok(Maintained { differences: found, uploaded: true, status }),
            Some(difference) => Err(Failure::new(Verdict::Invalid, "prekeys_differ", difference)
                .with("differences", remaining.clone())),
        }
    }
}

/// Whether everything that was made is confirmed and the signed prekey is not due. How full the pool is, only looking tells.
fn has_been_supplied(device: &OwnDeviceState, now: UnixMillis) -> bool {
    let signed = device.signed_prekeys.last();
    signed.is_some_and(|key| UnixMillis(key.created).saturating_add(ROTATION) > now)
        && device.signed_prekeys.iter().all(|key| key.uploaded)
        && device.kem.last_resorts.iter().all(|key| key.uploaded)
        && device.batches.iter().all(|batch| batch.uploaded)
        && device.kem.batches.iter().all(|batch| batch.uploaded)
}

/// What the server has not confirmed yet.
fn waiting(maker: &Maker<'_>, device: &OwnDeviceState) -> Result<UploadPreKeys, Failure> {
    let damaged = |error| Failure::new(Verdict::Failed, "home_damaged", error);
    let signed = device.signed_prekeys.last().filter(|key| !key.uploaded);
    let last_resort = device.kem.last_resorts.last().filter(|key| !key.uploaded);
    let batches = device.batches.iter().filter(|batch| !batch.uploaded);
    let mut upload = UploadPreKeys {
        signed_prekey: signed.map(|key| Base64::new(key.signed.clone())).transpose().map_err(damaged)?,
        last_resort: last_resort.map(|key| Base64::new(key.signed.clone())).transpose().map_err(damaged)?,
        batches: batches
            .map(|batch| Base64::new(batch.signed.clone()))
            .collect::<Result<_, _>>()
            .map_err(damaged)?,
        kem_batches: Vec::new(),
    };
    for batch in device.kem.batches.iter().filter(|batch| !batch.uploaded) {
        let key = device.signing_key();
        let batch = batch.sign(maker.origin, maker.label, &key, device.id).map_err(own_fault)?;
        upload.kem_batches.push(Base64::new(batch.encode()).map_err(damaged)?);
    }
    Ok(upload)
}

fn no_device() -> Failure {
    Failure::new(Verdict::Failed, "home_damaged", "the account has no such device")
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

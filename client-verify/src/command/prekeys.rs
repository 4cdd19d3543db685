//! Making a device's prekeys, and having the server hold them.

use std::time::Duration;

use keyglass_account::{
    api::{Base64, PreKeyStatus, UploadPreKeys},
    device::Suite,
    prekey::{LastResortPreKey, OneTimePreKey, PreKeyBatch, PreKeyError, SignedPreKey},
    problem::Problem,
    record::AccountRecord,
    time::UnixMillis,
};
use keyglass_crypto::{dh::DhSecretKey, kem::KemSecretKey};

use super::{context::Context, outcome::Failure, random, service::Service};
use crate::{
    state::{
        BatchState, KemBatchState, LastResortState, OneTimeState, OwnAccount, OwnDeviceState,
        SignedPreKeyState,
    },
    verdict::Verdict,
};

/// One-time prekeys in a batch, of either type.
const BATCH: u32 = 100;

/// A new batch is made when fewer one-time prekeys of its type are left than this.
const LOW_WATER: usize = 20;

/// How long a signed or last-resort prekey may be used by others.
const SIGNED_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long before its end a signed or last-resort prekey is replaced.
const SIGNED_RENEWAL: Duration = Duration::from_secs(15 * 24 * 3600);

/// How long one-time prekeys may be used by others.
const BATCH_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// For how long after its end a prekey's secret is kept, so that messages which were delayed can still be opened.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// Makes the prekeys that a device lacks. The caller stores the account before they are uploaded.
///
/// # Errors
/// [`Verdict::Failed`].
fn prepare(account: &mut OwnAccount, index: usize) -> Result<(), Failure> {
    let now = super::context::now();
    let has_kem = announces_pqxdh(account, index)?;
    let (origin, label) = (&account.origin, account.label.as_bytes());
    let Some(device) = account.devices.get_mut(index) else {
        return Ok(());
    };
    device.erase_expired(now.0, millis(RETENTION));
    let lasts = |expires: u64| UnixMillis(expires) > now.saturating_add(SIGNED_RENEWAL);
    if !device.signed_prekeys.last().is_some_and(|key| lasts(key.expires)) {
        let key = make_signed(origin, label, device, now)?;
        device.add_signed_prekey(key);
    }
    if device.live_one_time(now.0) < LOW_WATER {
        let batch = make_batch(origin, label, device, now)?;
        device.add_batch(batch);
    }
    if !has_kem {
        return Ok(());
    }
    if !device.kem.last_resorts.last().is_some_and(|key| lasts(key.expires)) {
        let key = make_last_resort(origin, label, device, now)?;
        device.add_last_resort(key);
    }
    if device.kem.live_one_time(now.0) < LOW_WATER {
        let batch = make_kem_batch(origin, label, device, now)?;
        device.add_kem_batch(batch);
    }
    Ok(())
}

/// Whether the device needs KEM prekeys: not if the account's record announces X3DH alone for it.
fn announces_pqxdh(account: &OwnAccount, index: usize) -> Result<bool, Failure> {
    let damaged = |error| Failure::new(Verdict::Failed, "home_damaged", error);
    let record = AccountRecord::decode(&account.record).map_err(damaged)?;
    let id = account.devices.get(index).map(|device| device.id);
    let device = id.and_then(|id| record.device(id));
    Ok(device.is_none_or(|device| device.accepts(Suite::PQXDH)))
}

fn make_last_resort(
    origin: &str,
    label: &[u8],
    device: &OwnDeviceState,
    now: UnixMillis,
) -> Result<LastResortState, Failure> {
    let (id, seed) = (device.counters.signed_prekey, random::secret()?);
    let expires = now.saturating_add(SIGNED_LIFETIME);
    let signed = LastResortPreKey::sign(
        origin,
        label,
        &device.signing_key(),
        device.id,
        id,
        KemSecretKey::from_seed(seed.expose()).public_key().clone(),
        now,
        expires,
        device.floor(),
    )
    .map_err(own_fault)?;
    let (created, expires) = (now.0, expires.0);
    Ok(LastResortState { id, seed, created, expires, signed: signed.encode(), uploaded: false })
}

fn make_kem_batch(
    origin: &str,
    label: &[u8],
    device: &OwnDeviceState,
    now: UnixMillis,
) -> Result<KemBatchState, Failure> {
    let seeds = (0..BATCH).map(|_| random::secret()).collect::<Result<Vec<_>, _>>()?;
    let expires = now.saturating_add(BATCH_LIFETIME).0;
    let (number, first) = (device.counters.batch, device.counters.one_time);
    KemBatchState::new(origin, label, &device.signing_key(), device.id, number, expires, first, seeds)
        .map_err(own_fault)
}

fn make_signed(
    origin: &str,
    label: &[u8],
    device: &OwnDeviceState,
    now: UnixMillis,
) -> Result<SignedPreKeyState, Failure> {
    let id = device.counters.signed_prekey;
    let secret = random::secret()?;
    let expires = now.saturating_add(SIGNED_LIFETIME);
    let signed = SignedPreKey::sign(
        origin,
        label,
        &device.signing_key(),
        device.id,
        id,
        DhSecretKey::from_bytes(secret.expose()).public_key(),
        now,
        expires,
        device.floor(),
    )
    .map_err(own_fault)?;
    Ok(SignedPreKeyState {
        id,
        secret,
        created: now.0,
        expires: expires.0,
        signed: signed.encode(),
        uploaded: false,
    })
}

fn make_batch(
    origin: &str,
    label: &[u8],
    device: &OwnDeviceState,
    now: UnixMillis,
) -> Result<BatchState, Failure> {
    let first = device.counters.one_time;
    let expires = now.saturating_add(BATCH_LIFETIME);
    let mut keys = Vec::new();
    let mut prekeys = Vec::new();
    for id in first..first.saturating_add(BATCH) {
        let secret = random::secret()?;
        let key = DhSecretKey::from_bytes(secret.expose()).public_key();
        prekeys.push(OneTimePreKey { id, key });
        keys.push(OneTimeState { id, secret: Some(secret), used_by: None });
    }
    let signed = PreKeyBatch::sign(
        origin,
        label,
        &device.signing_key(),
        device.id,
        device.counters.batch,
        expires,
        prekeys,
    )
    .map_err(own_fault)?;
    let number = device.counters.batch;
    Ok(BatchState { number, expires: expires.0, signed: signed.encode(), uploaded: false, keys })
}

/// What is made here from a sound state is sound; a damaged home is the only way to this.
fn own_fault(error: PreKeyError) -> Failure {
    Failure::new(Verdict::Failed, "home_damaged", error)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Context {
    /// Makes the prekeys that a device lacks, stores them, and has the server hold them. Says whether anything was done.
    ///
    /// # Errors
    /// The verdicts of a request; [`Verdict::Failed`].
    pub async fn supply_prekeys(&self, account: &mut OwnAccount, index: usize) -> Result<bool, Failure> {
        prepare(account, index)?;
        self.home.store_account(account)?;
        let Some(device) = account.devices.get(index) else {
            return Ok(false);
        };
        let upload = waiting(account, device)?;
        if upload == UploadPreKeys::default() {
            return Ok(false);
        }
        let service = Service::new(&self.server, account, device);
        match service.upload(&upload).await {
            Ok(_) => {}
            Err(failure) if is_reuse(&failure) => {
                // An earlier run uploaded them and did not live to note it.
                let status = service.authorize().await?.status().await?;
                if !holds(&status, device) {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
        if let Some(device) = account.devices.get_mut(index) {
            device.signed_prekeys.iter_mut().for_each(|key| key.uploaded = true);
            device.batches.iter_mut().for_each(|batch| batch.uploaded = true);
            device.kem.last_resorts.iter_mut().for_each(|key| key.uploaded = true);
            device.kem.batches.iter_mut().for_each(|batch| batch.uploaded = true);
        }
        self.home.store_account(account)?;
        Ok(true)
    }
}

/// What the server has not confirmed yet.
fn waiting(account: &OwnAccount, device: &OwnDeviceState) -> Result<UploadPreKeys, Failure> {
    let damaged = |error| Failure::new(Verdict::Failed, "home_damaged", error);
    let signed_prekey = device
        .signed_prekeys
        .last()
        .filter(|key| !key.uploaded)
        .map(|key| Base64::new(key.signed.clone()))
        .transpose()
        .map_err(damaged)?;
    let batches = device.batches.iter().filter(|batch| !batch.uploaded);
    let batches =
        batches.map(|batch| Base64::new(batch.signed.clone())).collect::<Result<_, _>>().map_err(damaged)?;
    let last_resort = device
        .kem
        .last_resorts
        .last()
        .filter(|key| !key.uploaded)
        .map(|key| Base64::new(key.signed.clone()))
        .transpose()
        .map_err(damaged)?;
    let (key, label) = (device.signing_key(), account.label.as_bytes());
    let mut kem_batches = Vec::new();
    for batch in device.kem.batches.iter().filter(|batch| !batch.uploaded) {
        let signed = batch.sign(&account.origin, label, &key, device.id).map_err(own_fault)?;
        kem_batches.push(Base64::new(signed.encode()).map_err(damaged)?);
    }
    Ok(UploadPreKeys { signed_prekey, batches, last_resort, kem_batches })
}

fn is_reuse(failure: &Failure) -> bool {
    failure.fields.get("problem").is_some_and(|problem| problem == Problem::PreKeyIdReused.uri())
}

/// Whether the server holds, or has handed out, everything that the device has made.
fn holds(status: &PreKeyStatus, device: &OwnDeviceState) -> bool {
    let signed = device.signed_prekeys.last().map(|key| key.id);
    let last_resort = device.kem.last_resorts.last().map(|key| key.id);
    status.signed_prekey.as_ref().map(|held| held.id) == signed
        && status.last_resort.as_ref().map(|held| held.id) == last_resort
        && status.next_batch >= device.counters.batch
        && status.next_id >= device.counters.one_time
}

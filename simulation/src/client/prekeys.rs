//! Making a device's prekeys, and having the server hold them; and starting anew where the two disagree.

use keyglass_account::{
    api::{Base64, UploadPreKeys},
    device::Suite,
    prekey::{LastResortPreKey, OneTimePreKey, PreKeyBatch, SignedPreKey},
    problem::Problem,
    record::AccountRecord,
    time::UnixMillis,
};
use keyglass_client_verify::{
    state::{BatchState, KemBatchState, LastResortState, OneTimeState, OwnDeviceState, SignedPreKeyState},
    verdict::Verdict,
};
use keyglass_crypto::{dh::DhSecretKey, hash::sha256, kem::KemSecretKey, secret::Secret};

use super::{Client, Finding, Step, Stop, lookup::unreachable_now};
use crate::{
    clock::DAY,
    env::{Env, NoAnswer},
    oracle::PreKeyName,
    setting::setting,
};

/// One-time prekeys in a batch: few, so that pools run empty.
const BATCH: u32 = 3;
/// One-time KEM prekeys in a batch.
const KEM_BATCH: usize = 2;
/// A new batch is made when fewer are left.
const LOW_WATER: usize = 2;
/// How long a signed prekey may be used by others.
pub const SIGNED_LIFETIME: u64 = 30 * DAY;
/// How long before its end it is replaced.
const SIGNED_RENEWAL: u64 = 15 * DAY;
/// How long one-time prekeys may be used.
const BATCH_LIFETIME: u64 = 90 * DAY;
/// For how long after its end a prekey's secret is kept.
pub const RETENTION: u64 = 30 * DAY;

impl Client {
    /// Makes the prekeys that the devices lack, stores them, and has the server hold them.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn supply_prekeys(&mut self, env: &mut Env) -> Step<()> {
        self.account()?;
        for index in 0..self.account_mut().devices.len() {
            if !self.supply(env, index)? && !self.supply(env, index)? {
                return Err(Stop::Failed(Finding::new(Verdict::Declined, "prekeys")));
            }
        }
        Ok(())
    }

    /// Says whether the server holds what the device has made; if not, the device is ready to start anew.
    fn supply(&mut self, env: &mut Env, index: usize) -> Step<bool> {
        let (label, now) = (self.label.clone(), self.now().0);
        let id = self.account_mut().devices[index].id;
        let post_quantum = self.announces_kem(id);
        let device = &mut self.account_mut().devices[index];
        device.erase_expired(now, RETENTION);
        // One that was made while the clock was ahead is of no use: the server does not take it.
        let lasts =
            |key: &SignedPreKeyState| key.expires > now + SIGNED_RENEWAL && key.created <= now + DAY / 2;
        if !device.signed_prekeys.last().is_some_and(lasts) {
            let floor = device.floor();
            make_signed(env, &label, device, now, floor);
            if post_quantum {
                make_last_resort(env, &label, device, now, floor);
            }
        }
        if device.live_one_time(now) < LOW_WATER {
            make_batch(env, &label, device, now);
        }
        let live =
            device.kem.batches.iter().filter(|batch| batch.expires > now).flat_map(|batch| &batch.keys);
        if post_quantum && live.filter(|key| key.seed.is_some()).count() == 0 {
            make_kem_batch(env, &label, device, now);
        }
        let upload = waiting(&label, device);
        self.store_account(&[])?;
        if upload == UploadPreKeys::default() {
            return Ok(true);
        }
        match self.signer(id).and_then(|signer| env.upload(&signer, &upload)) {
            Ok(_) => {}
            Err(NoAnswer::Declined(
                Problem::PreKeyIdReused
                | Problem::FloorLowered
                | Problem::BelowFloor
                | Problem::NoSignedPreKey,
            )) => {
                if !self.repair(env, index)? {
                    return Ok(false);
                }
            }
            Err(NoAnswer::Declined(problem)) if problem.status() < 500 => {
                return Err(Stop::Failed(Finding::new(Verdict::Declined, problem.uri())));
            }
            Err(_) => return Err(unreachable_now()),
        }
        confirmed(&mut self.account_mut().devices[index]);
        self.store_account(&[])?;
        Ok(true)
    }

    /// Whether one's own device announces PQXDH.
    fn announces_kem(&mut self, id: u32) -> bool {
        let record = AccountRecord::decode(&self.account_mut().record).unwrap();
        record.device(id).is_some_and(|device| device.accepts(Suite::PQXDH))
    }

    /// Says whether the server holds what was made here, because an answer was lost. If it holds something else, this state is
    /// older than another that the device had: it goes on above every number that was used, with a floor that forbids all
    /// before.
    fn repair(&mut self, env: &mut Env, index: usize) -> Step<bool> {
        let (label, now) = (self.label.clone(), self.now().0);
        let id = self.account_mut().devices[index].id;
        let post_quantum = self.announces_kem(id);
        let status = match self.token(env, id).and_then(|token| env.status(&token)) {
            Ok(status) => status,
            Err(_) => return Err(unreachable_now()),
        };
        let device = &mut self.account_mut().devices[index];
        let held = status.signed_prekey.as_ref().map_or(0, |held| held.id);
        let newest = device.signed_prekeys.last().map_or(0, |key| key.id);
        if held == newest
            && status.next_batch == device.counters.batch
            && status.next_id == device.counters.one_time
        {
            return Ok(true);
        }
        env.note(format!("      {label}/{id} starts its prekeys anew"));
        device.counters.signed_prekey = device.counters.signed_prekey.max(held + 4);
        device.counters.batch = device.counters.batch.max(status.next_batch);
        device.counters.one_time = device.counters.one_time.max(status.next_id);
        confirmed(device);
        let floor = device.counters.batch;
        make_signed(env, &label, device, now, floor);
        make_batch(env, &label, device, now);
        if post_quantum {
            make_last_resort(env, &label, device, now, floor);
            make_kem_batch(env, &label, device, now);
        }
        self.store_account(&[])?;
        Ok(false)
    }
}

fn make_signed(env: &mut Env, label: &str, device: &mut OwnDeviceState, now: u64, floor: u32) {
    let id = device.counters.signed_prekey;
    let secret: Secret<32> = env.dice.secret();
    let key = DhSecretKey::from_bytes(secret.expose()).public_key();
    let expires = now + SIGNED_LIFETIME;
    let signed = SignedPreKey::sign(
        &setting().origin,
        label.as_bytes(),
        &device.signing_key(),
        device.id,
        id,
        key,
        UnixMillis(now),
        UnixMillis(expires),
        floor,
    )
    .unwrap();
    env.oracle.made(PreKeyName::Signed(label.to_owned(), device.id, id), key.to_bytes());
    let signed = signed.encode();
    device.add_signed_prekey(SignedPreKeyState {
        id,
        secret,
        created: now,
        expires,
        signed,
        uploaded: false,
    });
}

fn make_batch(env: &mut Env, label: &str, device: &mut OwnDeviceState, now: u64) {
    let (first, number) = (device.counters.one_time, device.counters.batch);
    let expires = now + BATCH_LIFETIME;
    let (mut keys, mut prekeys) = (Vec::new(), Vec::new());
    for id in first..first + BATCH {
        let secret: Secret<32> = env.dice.secret();
        let key = DhSecretKey::from_bytes(secret.expose()).public_key();
        let name = PreKeyName::OneTime(label.to_owned(), device.id, number, id);
        env.oracle.made(name, key.to_bytes());
        prekeys.push(OneTimePreKey { id, key });
        keys.push(OneTimeState { id, secret: Some(secret), used_by: None });
    }
    let signed = PreKeyBatch::sign(
        &setting().origin,
        label.as_bytes(),
        &device.signing_key(),
        device.id,
        number,
        UnixMillis(expires),
        prekeys,
    )
    .unwrap();
    device.add_batch(BatchState { number, expires, signed: signed.encode(), uploaded: false, keys });
}

fn make_last_resort(env: &mut Env, label: &str, device: &mut OwnDeviceState, now: u64, floor: u32) {
    let id = device.counters.signed_prekey;
    let seed = Secret::new(env.dice.bytes());
    let key = KemSecretKey::from_seed(seed.expose()).public_key().clone();
    env.oracle.made(PreKeyName::LastResort(label.to_owned(), device.id, id), sha256(&[key.as_bytes()]));
    let expires = now + SIGNED_LIFETIME;
    let (origin, signer) = (&setting().origin, device.signing_key());
    let (created, until) = (UnixMillis(now), UnixMillis(expires));
    let signed =
        LastResortPreKey::sign(origin, label.as_bytes(), &signer, device.id, id, key, created, until, floor);
    let signed = signed.unwrap().encode();
    device.add_last_resort(LastResortState { id, seed, created: now, expires, signed, uploaded: false });
}

fn make_kem_batch(env: &mut Env, label: &str, device: &mut OwnDeviceState, now: u64) {
    let (first, number) = (device.counters.one_time, device.counters.batch);
    let seeds: Vec<Secret<64>> = (0..KEM_BATCH).map(|_| Secret::new(env.dice.bytes())).collect();
    for (id, seed) in (first..).zip(&seeds) {
        let key = sha256(&[KemSecretKey::from_seed(seed.expose()).public_key().as_bytes()]);
        env.oracle.made(PreKeyName::Kem(label.to_owned(), device.id, number, id), key);
    }
    let expires = now + BATCH_LIFETIME;
    let (origin, signer) = (&setting().origin, device.signing_key());
    let batch =
        KemBatchState::new(origin, label.as_bytes(), &signer, device.id, number, expires, first, seeds);
    device.add_kem_batch(batch.unwrap());
}

/// The server holds everything that was made, or will never be asked to.
fn confirmed(device: &mut OwnDeviceState) {
    device.signed_prekeys.iter_mut().for_each(|key| key.uploaded = true);
    device.batches.iter_mut().for_each(|batch| batch.uploaded = true);
    device.kem.last_resorts.iter_mut().for_each(|key| key.uploaded = true);
    device.kem.batches.iter_mut().for_each(|batch| batch.uploaded = true);
}

/// What the server has not confirmed yet.
fn waiting(label: &str, device: &OwnDeviceState) -> UploadPreKeys {
    let signed = device.signed_prekeys.last().filter(|key| !key.uploaded);
    let last_resort = device.kem.last_resorts.last().filter(|key| !key.uploaded);
    let batches = device.batches.iter().filter(|batch| !batch.uploaded);
    let kem_batches = device.kem.batches.iter().filter(|batch| !batch.uploaded).filter_map(|batch| {
        let (origin, signer) = (&setting().origin, device.signing_key());
        // Of a batch whose keys were used the server has everything.
        batch.sign(origin, label.as_bytes(), &signer, device.id).ok()
    });
    UploadPreKeys {
        signed_prekey: signed.map(|key| Base64::new(key.signed.clone()).unwrap()),
        batches: batches.map(|batch| Base64::new(batch.signed.clone()).unwrap()).collect(),
        last_resort: last_resort.map(|key| Base64::new(key.signed.clone()).unwrap()),
        kem_batches: kem_batches.map(|batch| Base64::new(batch.encode()).unwrap()).collect(),
    }
}

//! Prekeys of the actors.

use keyglass_account::{
    api::{Base64, UploadPreKeys},
    prekey::{KemPreKeyBatch, LastResortPreKey, OneTimeKemPreKey, OneTimePreKey, PreKeyBatch, SignedPreKey},
    time::UnixMillis,
};
use keyglass_crypto::{
    dh::{DhPublicKey, DhSecretKey},
    hash::sha256,
    kem::{KemPublicKey, KemSecretKey},
};

use crate::tokens::{
    Caller,
    tests::cast::{Actor, DAY, ORIGIN, START},
};

pub(crate) fn caller(actor: &Actor) -> Caller {
    Caller { name: actor.name.clone(), device: actor.device() }
}

pub(crate) fn request_id(id: u32) -> [u8; 16] {
    u128::from(id).to_be_bytes()
}

fn key(purpose: &str, id: u32) -> DhPublicKey {
    DhSecretKey::from_bytes(&sha256(&[purpose.as_bytes(), &id.to_be_bytes()])).public_key()
}

pub(crate) fn signed_prekey(actor: &Actor, id: u32, floor: u32) -> SignedPreKey {
    signed_prekey_living(actor, id, floor, START, UnixMillis(START.0 + 30 * DAY))
}

pub(crate) fn signed_prekey_living(
    actor: &Actor,
    id: u32,
    floor: u32,
    created: UnixMillis,
    expires: UnixMillis,
) -> SignedPreKey {
    let (label, device) = (&actor.name.label, actor.name.device);
    SignedPreKey::sign(ORIGIN, label, &actor.key(), device, id, key("signed", id), created, expires, floor)
        .unwrap()
}

/// A batch of `count` keys whose ids start at `first_id`.
pub(crate) fn batch(actor: &Actor, number: u32, first_id: u32, count: u16) -> PreKeyBatch {
    batch_living(actor, number, first_id, count, UnixMillis(START.0 + 60 * DAY))
}

pub(crate) fn batch_living(
    actor: &Actor,
    number: u32,
    first_id: u32,
    count: u16,
    expires: UnixMillis,
) -> PreKeyBatch {
    let prekeys =
        (0..u32::from(count)).map(|i| OneTimePreKey { id: first_id + i, key: key("one-time", first_id + i) });
    let (label, device) = (&actor.name.label, actor.name.device);
    PreKeyBatch::sign(ORIGIN, label, &actor.key(), device, number, expires, prekeys.collect()).unwrap()
}

pub(crate) fn upload(signed_prekey: Option<&SignedPreKey>, batches: &[&PreKeyBatch]) -> UploadPreKeys {
    UploadPreKeys {
        signed_prekey: signed_prekey.map(|prekey| Base64::new(prekey.encode()).unwrap()),
        batches: batches.iter().map(|batch| Base64::new(batch.encode()).unwrap()).collect(),
        ..UploadPreKeys::default()
    }
}

fn kem_key(purpose: &str, id: u32) -> KemPublicKey {
    let half = |half: &[u8]| sha256(&[purpose.as_bytes(), half, &id.to_be_bytes()]);
    let seed = [half(b"d"), half(b"z")].concat().try_into().unwrap();
    KemSecretKey::from_seed(&seed).public_key().clone()
}

pub(crate) fn last_resort_living(
    actor: &Actor,
    id: u32,
    floor: u32,
    expires: UnixMillis,
) -> LastResortPreKey {
    let (label, device) = (&actor.name.label, actor.name.device);
    let key = kem_key("last resort", id);
    LastResortPreKey::sign(ORIGIN, label, &actor.key(), device, id, key, START, expires, floor).unwrap()
}

/// A last-resort prekey with this id, and a batch of `count` KEM keys whose ids start at `first_id`.
pub(crate) fn kem_upload(
    actor: &Actor,
    last_resort: u32,
    number: u32,
    first_id: u32,
    count: u16,
) -> UploadPreKeys {
    let lives = (START, UnixMillis(START.0 + 60 * DAY));
    let last = last_resort_living(actor, last_resort, 0, UnixMillis(START.0 + 30 * DAY));
    UploadPreKeys {
        last_resort: Some(Base64::new(last.encode()).unwrap()),
        ..kem_upload_living(actor, (last_resort, 0), (number, first_id, count), lives)
    }
}

/// A last-resort prekey with this id and floor, and a batch: its number, first id and count. Both live from and until then.
pub(crate) fn kem_upload_living(
    actor: &Actor,
    (last_resort, floor): (u32, u32),
    (number, first_id, count): (u32, u32, u16),
    (created, expires): (UnixMillis, UnixMillis),
) -> UploadPreKeys {
    let (label, device, signing_key) = (&actor.name.label, actor.name.device, actor.key());
    let prekeys = (0..u32::from(count))
        .map(|i| OneTimeKemPreKey { id: first_id + i, key: kem_key("one-time", first_id + i) })
        .collect();
    let batch = KemPreKeyBatch::sign(ORIGIN, label, &signing_key, device, number, expires, prekeys).unwrap();
    let key = kem_key("last resort", last_resort);
    let last = LastResortPreKey::sign(
        ORIGIN,
        label,
        &signing_key,
        device,
        last_resort,
        key,
        created,
        expires,
        floor,
    );
    UploadPreKeys {
        last_resort: Some(Base64::new(last.unwrap().encode()).unwrap()),
        kem_batches: vec![Base64::new(batch.encode()).unwrap()],
        ..UploadPreKeys::default()
    }
}

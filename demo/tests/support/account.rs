//! Accounts and prekeys made from keys that the test holds.

use std::time::Duration;

use keyglass_account::{
    api::{Base64, UploadPreKeys},
    author::Draft,
    device::{self, Suite},
    prekey::{OneTimePreKey, PreKeyBatch, SignedPreKey},
    record::AccountRecord,
    time::UnixMillis,
    verify::ValidRecord,
};
use keyglass_crypto::{
    dh::{DhPublicKey, DhSecretKey},
    sign::SigningKey,
};
use keyglass_keytrans::wire::{LabelValue, UpdateRequest, Wire as _};

use super::now;

/// How long prekeys live.
pub const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// An account.
#[derive(Debug)]
pub struct Account {
    pub origin: String,
    pub label: Vec<u8>,
    pub identity: SigningKey,
    pub devices: Vec<Device>,
    /// The encoded records, by version.
    pub records: Vec<Vec<u8>>,
}

/// A device of an account.
#[derive(Debug)]
pub struct Device {
    pub origin: String,
    pub label: Vec<u8>,
    pub id: u32,
    pub signing_key: SigningKey,
}

pub fn random_dh_key() -> DhPublicKey {
    DhSecretKey::from_bytes(&rand::random()).public_key()
}

impl Account {
    /// A new account with so many devices and its record for version 0.
    pub fn new(origin: &str, label: &str, devices: u32) -> Self {
        let mut account = Self {
            origin: origin.to_owned(),
            label: label.as_bytes().to_vec(),
            identity: SigningKey::from_seed(&rand::random()),
            devices: Vec::new(),
            records: Vec::new(),
        };
        let mut draft = Draft::new(origin, label.as_bytes(), 0);
        for id in 1..=devices {
            let (device, entry) = account.new_device(id);
            draft = draft.add_device(entry);
            account.devices.push(device);
        }
        let record = draft.sign_genesis(&account.identity).unwrap();
        account.records.push(record.encode());
        account
    }

    /// Keys of a device with this id, and its entry in a record. The account does not have it yet.
    pub fn new_device(&self, id: u32) -> (Device, device::Device) {
        let signing_key = SigningKey::from_seed(&rand::random());
        let suites = vec![Suite::X3DH];
        let entry =
            device::Device::sign(&self.origin, &self.label, id, &signing_key, random_dh_key(), suites, now());
        let device = Device { origin: self.origin.clone(), label: self.label.clone(), id, signing_key };
        (device, entry)
    }

    /// The newest record.
    pub fn record(&self) -> AccountRecord {
        AccountRecord::decode(self.records.last().unwrap()).unwrap()
    }

    /// The greatest version.
    pub fn version(&self) -> u32 {
        u32::try_from(self.records.len() - 1).unwrap()
    }

    /// The newest record, as one that follows it sees it.
    pub fn valid(&self) -> ValidRecord {
        ValidRecord::restore(&self.origin, &self.label, self.version(), self.records.last().unwrap()).unwrap()
    }

    /// Makes the record of the next version, in which the lockdown is switched.
    pub fn advance(&mut self) {
        let valid = self.valid();
        let lockdown = !valid.record().flags.lockdown;
        let draft =
            Draft::after(&self.origin, &self.label, &valid, self.version() + 1).set_lockdown(lockdown);
        let record = draft.sign(&self.identity).unwrap().encode();
        self.records.push(record);
    }

    /// The request to store the newest record as the version that it is.
    pub fn update(&self) -> Vec<u8> {
        update(&self.label, self.version().checked_sub(1), &[self.records.last().unwrap()])
    }
}

/// A request to store values.
pub fn update(label: &[u8], greatest_version: Option<u32>, values: &[&[u8]]) -> Vec<u8> {
    let values = values.iter().map(|value| LabelValue { value: value.to_vec() }).collect();
    UpdateRequest { last: None, label: label.to_vec(), greatest_version, values }.encode().unwrap()
}

impl Device {
    /// A signed prekey that lives a month.
    pub fn signed_prekey(&self, id: u32, floor: u32) -> SignedPreKey {
        self.signed_prekey_until(id, floor, now(), now().saturating_add(MONTH))
    }

    pub fn signed_prekey_until(
        &self,
        id: u32,
        floor: u32,
        created: UnixMillis,
        expires: UnixMillis,
    ) -> SignedPreKey {
        let (origin, label, key) = (&self.origin, &self.label, random_dh_key());
        SignedPreKey::sign(origin, label, &self.signing_key, self.id, id, key, created, expires, floor)
            .unwrap()
    }

    /// A batch of one-time prekeys with ascending ids that lives a month.
    pub fn batch(&self, number: u32, first_id: u32, count: u32) -> PreKeyBatch {
        self.batch_until(number, first_id, count, now().saturating_add(MONTH))
    }

    pub fn batch_until(&self, number: u32, first_id: u32, count: u32, expires: UnixMillis) -> PreKeyBatch {
        let ids: Vec<u32> = (first_id..first_id + count).collect();
        self.batch_of(number, &ids, expires)
    }

    /// A batch of keys with these ids.
    pub fn batch_of(&self, number: u32, ids: &[u32], expires: UnixMillis) -> PreKeyBatch {
        let prekeys = ids.iter().map(|id| OneTimePreKey { id: *id, key: random_dh_key() }).collect();
        let (origin, label) = (&self.origin, &self.label);
        PreKeyBatch::sign(origin, label, &self.signing_key, self.id, number, expires, prekeys).unwrap()
    }
}

/// An upload.
pub fn upload(signed_prekey: Option<&SignedPreKey>, batches: &[&PreKeyBatch]) -> UploadPreKeys {
    UploadPreKeys {
        signed_prekey: signed_prekey.map(|prekey| Base64::new(prekey.encode()).unwrap()),
        batches: batches.iter().map(|batch| Base64::new(batch.encode()).unwrap()).collect(),
        ..UploadPreKeys::default()
    }
}

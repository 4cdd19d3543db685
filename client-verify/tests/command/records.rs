//! Bob's account, version by version, and what somebody else would make of it.

use keyglass_account::{
    author::{self, Draft},
    device::{Device, Suite},
    record::AccountRecord,
    time::UnixMillis,
    verify::ValidRecord,
};
use keyglass_crypto::{dh::DhSecretKey, sign::SigningKey};

use crate::{Person, log::TestLog, server::Server};

pub const BOB: &[u8] = b"bob";

pub fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub fn device(id: u8) -> Device {
    let dh = DhSecretKey::from_bytes(&[20 + id; 32]).public_key();
    Device::sign(&TestLog::origin(), BOB, id.into(), &signing(10 + id), dh, vec![Suite::X3DH], UnixMillis(1))
}

pub fn genesis() -> AccountRecord {
    Draft::new(&TestLog::origin(), BOB, 0).add_device(device(1)).sign_genesis(&signing(1)).unwrap()
}

pub fn valid(record: &AccountRecord) -> ValidRecord {
    ValidRecord::restore(&TestLog::origin(), BOB, record.version, &record.encode()).unwrap()
}

pub fn publish(server: &Server, record: &AccountRecord) {
    server.world().log.append(&[(BOB, record.encode())]);
}

/// The second version, with a second device.
pub fn linked() -> AccountRecord {
    let before = valid(&genesis());
    Draft::after(&TestLog::origin(), BOB, &before, 1).add_device(device(2)).sign(&signing(1)).unwrap()
}

pub fn rotation() -> AccountRecord {
    let before = valid(&genesis());
    Draft::after(&TestLog::origin(), BOB, &before, 1).sign_rotation(&signing(1), &signing(2)).unwrap()
}

pub fn reset() -> AccountRecord {
    let before = valid(&genesis());
    let origin = TestLog::origin();
    let draft = Draft::after(&origin, BOB, &before, 1).remove_device(1).add_device(device(4));
    draft.sign_reset(&signing(6)).unwrap()
}

/// A device that Bob never added, in a record that Bob's identity has not signed.
pub fn forgery() -> AccountRecord {
    let before = valid(&genesis());
    let origin = TestLog::origin();
    let draft = Draft::after(&origin, BOB, &before, 1).add_device(device(2));
    let mut record = draft.sign(&signing(1)).unwrap();
    author::sign(&TestLog::origin(), BOB, &mut record, &signing(66), None);
    record
}

/// What the home holds, all of it.
pub fn contents(person: &Person) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut pending = vec![person.home()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// A version of Bob's account as it stands in the log.
pub fn published(world: &crate::server::World, version: u32) -> ValidRecord {
    ValidRecord::restore(&TestLog::origin(), BOB, version, world.log.value(BOB, version)).unwrap()
}

/// The encoding of a version after `before` that another key than Bob's has signed.
pub fn forgery_after(before: &ValidRecord, version: u32) -> Vec<u8> {
    let mut record = before.record().clone();
    record.version = version;
    record.flags.lockdown = !record.flags.lockdown;
    author::sign(&TestLog::origin(), BOB, &mut record, &signing(66), None);
    record.encode()
}

//! The encodings are final: records live in logs for ever. If one of these tests fails, old records no longer verify.

use keyglass_account::{
    auth::{Credential, Request, Token},
    prekey::{OneTimePreKey, PreKeyBatch, PreKeyBundle, SignedPreKey},
    time::UnixMillis,
};
use keyglass_crypto::{hash::sha256, secret::Secret};

use crate::cast::*;

fn digest(bytes: &[u8]) -> String {
    hex::encode(sha256(&[bytes]))
}

#[test]
fn a_genesis_is_laid_out_as_documented() {
    let genesis = genesis();
    let record = genesis.record();
    let mut expected = vec![1, 0, 0, 0, 0, 0, 0];
    expected.extend(record.identity_key.to_bytes());
    expected.extend([0, 0, 0, 0, 3, 2]);
    for device in &record.devices {
        expected.extend(device.id.to_be_bytes());
        expected.extend(device.signing_key.to_bytes());
        expected.extend(device.dh_key.to_bytes());
        expected.extend([1, 0, 1]);
        expected.extend(device.added.0.to_be_bytes());
        expected.extend(device.signature.0);
    }
    let grant = record.recovery.unwrap();
    expected.push(1);
    expected.extend(grant.key.to_bytes());
    expected.extend([0, 0, 0, 0]);
    expected.extend(grant.signature.0);
    expected.extend([0, 0, 0, 0, 0, 0]);
    expected.extend(record.signature.0);
    expected.push(0);
    assert_eq!(hex::encode(record.encode()), hex::encode(expected));
}

#[test]
fn records_and_what_they_sign_stay_as_they_are() {
    let zero = genesis();
    let one =
        valid(&after(&zero).remove_device(2).sign_rotation(&identity(1), &identity(2)).unwrap(), Some(&zero));
    let two = valid(&after(&one).sign_recovery(&recovery(1), &identity(3)).unwrap(), Some(&one));
    let three = valid(&after(&two).set_lockdown(true).sign(&identity(3)).unwrap(), Some(&two));
    let four = valid(&after(&three).set_lockdown(false).sign(&identity(3)).unwrap(), Some(&three));
    let five = valid(&after(&four).remove_device(1).sign_reset(&identity(4)).unwrap(), Some(&four));
    let digests = [&zero, &one, &two, &three, &five].map(|record| digest(&record.record().encode()));
    assert_eq!(digests, RECORDS);
    assert_eq!(hex::encode(five.hash()), HASH);
}

#[test]
fn prekeys_and_credentials_stay_as_they_are() {
    let (created, expires) = (UnixMillis(1_700_000_000_000), UnixMillis(1_800_000_000_000));
    let key = device_key(1);
    let signed_prekey =
        SignedPreKey::sign(ORIGIN, LABEL, &key, 1, 7, dh(1).public_key(), created, expires, 3).unwrap();
    let prekeys = (2..8).map(|id| OneTimePreKey { id: u32::from(id), key: dh(id).public_key() }).collect();
    let batch = PreKeyBatch::sign(ORIGIN, LABEL, &key, 1, 3, expires, prekeys).unwrap();
    let bundle = PreKeyBundle { signed_prekey, one_time: batch.entry(4), kem: None };
    assert_eq!(digest(&batch.encode()), BATCH);
    assert_eq!(digest(&bundle.encode()), BUNDLE);
    let request = Request { origin: ORIGIN, method: "PUT", path: "/v1/prekeys", body: b"{}" };
    let credential = Credential::sign(&request, LABEL, 1, &key, created, [9; 16]);
    assert_eq!(digest(credential.to_header().as_bytes()), CREDENTIAL);
    let token = Token { label: LABEL.to_vec(), device: 1, expires };
    assert_eq!(digest(token.to_header(&Secret::new([5; 32]), ORIGIN).as_bytes()), TOKEN);
}

const RECORDS: [&str; 5] = [
    "02f791c1fe396d18dc4b1e54851d5f4cc26f1a133f47e1d515ea459c8be07d1d",
    "016b423f1d56e02be1f92621f50d414c675642e02ff977f719686112b6edae9a",
    "0efae766f4f83cb298293ad51cc9b4c3ddb82c2c534fc9c1787533914f459acc",
    "28203aa95c000e3d130f7115d4cfb803909765dcb8bdeb8082a61646197c01f9",
    "e4d643e4f0ac4b62fe360b775bbef9777dde8aa831e2e6242110a69a3de97045",
];
const HASH: &str = "84c6365f4940bbc8eb17c6afbac244065f3343b9d2d9fdccd01d63ea1ccfda7b";
const BATCH: &str = "08724d945adce4fb2e184405370d7c07888364722a741397450a36fddcceed4a";
const BUNDLE: &str = "0edaec1d9d03613e77e1c7977a6036b22945a404e15bc7d5f14b6833e54acc95";
const CREDENTIAL: &str = "8c3a11ea2ee511af570bdccd720cd4adc06b1fee9df20cff7baa446b78ce7abf";
const TOKEN: &str = "d41cbd45e3ec5db6045e24dbedc9b64cc43d2a4bb0a56fc8b27ffce587a503fc";

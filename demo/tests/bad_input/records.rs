//! Values that are no valid account records.

use keyglass_account::{
    author::{self, Draft},
    device::{self, Suite},
    problem::Problem,
    record::{AccountRecord, MAX_RECORD_LEN},
    verify::ValidRecord,
};
use keyglass_crypto::sign::SigningKey;
use rand::random;

use crate::{
    bench::Bench,
    support::{
        account::{Account, random_dh_key, update},
        api::Call,
        now,
    },
};

/// y = p + 3, while y = 3 is a point: an encoding that RFC 8032 refuses.
fn non_canonical_point() -> [u8; 32] {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (0xed + 3, 0x7f);
    bytes
}

/// The identity of edwards25519, of order 1; and the u-coordinate 0, of order 2.
const IDENTITY: [u8; 32] =
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const ZERO: [u8; 32] = [0; 32];

/// Replaces a key wherever it stands in an encoding; it must stand there.
fn replace(encoded: &[u8], old: &[u8; 32], new: &[u8; 32]) -> Vec<u8> {
    let at = encoded.windows(32).position(|window| window == old).unwrap();
    [&encoded[..at], new, &encoded[at + 32..]].concat()
}

/// A record of this account as `change` makes it, signed as it then stands.
fn altered(account: &Account, change: impl FnOnce(&mut AccountRecord)) -> Vec<u8> {
    let mut record = account.record();
    change(&mut record);
    author::sign(&account.origin, &account.label, &mut record, &account.identity, None);
    record.encode()
}

/// Whether values for version 0 of a fresh label are refused, and the label stays unknown.
async fn refused(bench: &Bench, what: &str, account: &Account, values: &[&[u8]], problem: Problem) {
    let call = Call::operation("/v1/update", update(&account.label, None, values));
    bench.refuses(what, call, problem).await;
    let call = Call::operation("/v1/update", update(&account.label, None, &[]));
    bench.answers(&format!("after {what}: the label is unknown"), call, Problem::UnknownLabel).await;
}

#[tokio::test]
async fn records_with_bad_devices_are_refused() {
    let bench = Bench::start().await;
    let account = Account::new(&bench.api.origin, "devices", 2);
    let twice = |record: &mut AccountRecord| record.devices[1] = record.devices[0].clone();
    refused(&bench, "a device twice", &account, &[&altered(&account, twice)], Problem::DuplicateDevice).await;
    let (_, other) = account.new_device(1);
    let same_id = |record: &mut AccountRecord| record.devices[1] = other;
    refused(
        &bench,
        "two devices of one id",
        &account,
        &[&altered(&account, same_id)],
        Problem::DuplicateDevice,
    )
    .await;
    let descending = |record: &mut AccountRecord| record.devices.swap(0, 1);
    refused(&bench, "descending ids", &account, &[&altered(&account, descending)], Problem::DuplicateDevice)
        .await;

    let (_, zero) = account.new_device(0);
    let zeroth = |record: &mut AccountRecord| record.devices[0] = zero;
    refused(&bench, "the device id 0", &account, &[&altered(&account, zeroth)], Problem::DeviceId).await;
    let beyond = |record: &mut AccountRecord| record.next_device_id = 2;
    refused(&bench, "a device id in the future", &account, &[&altered(&account, beyond)], Problem::DeviceId)
        .await;

    let key = SigningKey::from_seed(&random());
    let entry = |id| {
        device::Device::sign(
            &account.origin,
            &account.label,
            id,
            &key,
            random_dh_key(),
            vec![Suite::X3DH],
            now(),
        )
    };
    let (one, two) = (entry(1), entry(2));
    let shared = |record: &mut AccountRecord| record.devices = vec![one, two];
    refused(&bench, "one key for two devices", &account, &[&altered(&account, shared)], Problem::KeyReused)
        .await;
    let identity = |record: &mut AccountRecord| record.devices[0].signing_key = record.identity_key;
    refused(
        &bench,
        "a device with the identity key",
        &account,
        &[&altered(&account, identity)],
        Problem::KeyReused,
    )
    .await;

    let unsigned = |record: &mut AccountRecord| record.devices[0].signature.0[5] ^= 1;
    let encoded = altered(&account, unsigned);
    refused(&bench, "a device that has not signed", &account, &[&encoded], Problem::BadSignature).await;
    let stranger = Account::new(&bench.api.origin, "stranger", 1).record().devices[0].clone();
    let foreign = |record: &mut AccountRecord| record.devices[0] = stranger;
    refused(
        &bench,
        "another account's device",
        &account,
        &[&altered(&account, foreign)],
        Problem::BadSignature,
    )
    .await;
    let suites = |record: &mut AccountRecord| record.devices[0].suites = vec![Suite::PQXDH, Suite::X3DH];
    refused(&bench, "suites that descend", &account, &[&altered(&account, suites)], Problem::RecordMalformed)
        .await;
    bench.finish("devices", 20);
}

#[tokio::test]
async fn records_with_bad_keys_are_refused() {
    let bench = Bench::start().await;
    let account = Account::new(&bench.api.origin, "keys", 1);
    let (encoded, record) = (account.records[0].clone(), account.record());
    let signing =
        [("identity", record.identity_key.to_bytes()), ("device", record.devices[0].signing_key.to_bytes())];
    for (role, key) in signing {
        let low = replace(&encoded, &key, &IDENTITY);
        refused(&bench, &format!("a low-order {role} key"), &account, &[&low], Problem::LowOrderKey).await;
        let other = replace(&encoded, &key, &non_canonical_point());
        refused(
            &bench,
            &format!("a non-canonical {role} key"),
            &account,
            &[&other],
            Problem::NonCanonicalKey,
        )
        .await;
    }
    let dh = record.devices[0].dh_key.to_bytes();
    for low in [ZERO, IDENTITY] {
        let low = replace(&encoded, &dh, &low);
        refused(&bench, "a low-order X25519 key", &account, &[&low], Problem::LowOrderKey).await;
    }
    let other = replace(&encoded, &dh, &non_canonical_point());
    refused(&bench, "a non-canonical X25519 key", &account, &[&other], Problem::NonCanonicalKey).await;
    let mut high = dh;
    high[31] |= 0x80;
    let high = replace(&encoded, &dh, &high);
    refused(&bench, "an X25519 key with the top bit", &account, &[&high], Problem::NonCanonicalKey).await;
    bench.finish("keys", 16);
}

#[tokio::test]
async fn records_that_do_not_decode_are_refused() {
    let bench = Bench::start().await;
    let account = Account::new(&bench.api.origin, "encoding", 1);
    let encoded = account.records[0].clone();
    let malformed = Problem::RecordMalformed;
    refused(&bench, "no bytes", &account, &[&[]], malformed).await;
    refused(&bench, "half a record", &account, &[&encoded[..encoded.len() / 2]], malformed).await;
    refused(&bench, "a record without its last byte", &account, &[&encoded[..encoded.len() - 1]], malformed)
        .await;
    refused(&bench, "a record and a byte", &account, &[&[&encoded[..], b"\0"].concat()], malformed).await;
    refused(&bench, "another format", &account, &[&[&[2], &encoded[1..]].concat()], malformed).await;
    refused(&bench, "too long a record", &account, &[&vec![1; MAX_RECORD_LEN + 1]], malformed).await;
    // Vectors beyond their bounds, all of whose elements are there.
    let (_, entry) = account.new_device(1);
    let many = |record: &mut AccountRecord| record.devices = vec![entry; 65];
    refused(&bench, "65 devices", &account, &[&altered(&account, many)], malformed).await;
    let suites = |record: &mut AccountRecord| record.devices[0].suites = (1..=17).map(Suite).collect();
    refused(&bench, "17 suites", &account, &[&altered(&account, suites)], malformed).await;
    let retired = |record: &mut AccountRecord| record.retired = (0..4097).collect();
    refused(&bench, "4,097 retired keys", &account, &[&altered(&account, retired)], malformed).await;
    bench.finish("encodings", 18);
}

#[tokio::test]
async fn records_that_nobody_authorised_are_refused() {
    let bench = Bench::start().await;
    let account = Account::new(&bench.api.origin, "authorised", 1);
    let other_log = Account::new("another.example/log", "authorised", 1);
    refused(&bench, "a record of another log", &account, &[&other_log.records[0]], Problem::BadSignature)
        .await;
    let other = Account::new(&bench.api.origin, "other", 1);
    refused(&bench, "another label's record", &account, &[&other.records[0]], Problem::BadSignature).await;
    let mut unsigned = account.record();
    unsigned.signature.0[9] ^= 1;
    refused(&bench, "a flipped signature", &account, &[&unsigned.encode()], Problem::BadSignature).await;
    unsigned = account.record();
    unsigned.flags.lockdown = true;
    refused(&bench, "a flipped flag", &account, &[&unsigned.encode()], Problem::BadSignature).await;
    let good = &account.records[0][..];
    refused(&bench, "a good record and a bad one", &account, &[good, good], Problem::WrongPredecessor).await;

    // The next version of a label that is there.
    let (label, origin) = (&bench.account.label, &bench.api.origin);
    let next = |record: &[u8]| Call::operation("/v1/update", update(label, Some(1), &[record]));
    let again = bench.account.records[1].clone();
    bench.refuses("the last version again", next(&again), Problem::WrongPredecessor).await;
    let genesis = bench.account.records[0].clone();
    bench.refuses("the first version again", next(&genesis), Problem::WrongPredecessor).await;
    let first = ValidRecord::restore(origin, label, 0, &genesis).unwrap();
    let skipping = Draft::after(origin, label, &first, 2).sign(&bench.account.identity).unwrap();
    bench
        .refuses("a version that passes one over", next(&skipping.encode()), Problem::WrongPredecessor)
        .await;
    let newest = bench.account.valid();
    let thief = SigningKey::from_seed(&random());
    let mut stolen = bench.account.record();
    stolen.version = 2;
    stolen.predecessor = Some(newest.as_predecessor());
    author::sign(origin, label, &mut stolen, &thief, None);
    bench.refuses("a version signed by another key", next(&stolen.encode()), Problem::BadSignature).await;
    bench.finish("authorisations", 14);
}

#[tokio::test]
async fn resets_over_the_network_are_refused() {
    let bench = Bench::start().await;
    let mut account = Account::new(&bench.api.origin, "reset", 1);
    crate::bench::publish(&bench.api, &account).await;
    let thief = SigningKey::from_seed(&random());
    let (origin, label, valid) = (account.origin.clone(), account.label.clone(), account.valid());
    let reset = Draft::after(&origin, &label, &valid, 1).sign_reset(&thief).unwrap().encode();
    let call = Call::operation("/v1/update", update(&label, Some(0), &[&reset]));
    bench.refuses("a reset", call, Problem::ResetNotAllowed).await;
    // Under lockdown nobody can make one that is valid; this one is as if there had been no lockdown.
    account.advance();
    crate::bench::publish(&bench.api, &account).await;
    let call = Call::operation("/v1/update", update(&label, Some(1), &[&reset]));
    bench.refuses("a reset of a version that is past", call, Problem::WrongPredecessor).await;
    bench.finish("resets", 2);
}

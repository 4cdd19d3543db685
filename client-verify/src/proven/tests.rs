//! The gate with real records and real prekeys.

use keyglass_account::{
    author::Draft,
    device::{Device, Suite},
    prekey::{
        KemPreKey, KemPreKeyBatch, LastResortPreKey, OneTimeKemPreKey, OneTimePreKey, PreKeyBatch,
        PreKeyBundle, PreKeyError, SignedPreKey,
    },
    record::{AccountRecord, RecordError},
    time::UnixMillis,
    verify::ValidRecord,
};
use keyglass_crypto::{
    dh::DhSecretKey,
    kem::{KemPublicKey, KemSecretKey},
    sign::SigningKey,
};
use keyglass_keytrans::client::{UserState, VerifiedHead, Verifier};

use super::*;

const ORIGIN: &str = "log.example/origin";
const LABEL: &[u8] = b"bob";
const NOW: UnixMillis = UnixMillis(1_000_000);

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn dh(seed: u8) -> DhSecretKey {
    DhSecretKey::from_bytes(&[seed; 32])
}

/// Device `id` has the signing key of seed 10 + id and the X25519 key of seed 20 + id.
fn device(id: u8, suites: Vec<Suite>) -> Device {
    Device::sign(ORIGIN, LABEL, id.into(), &signing(10 + id), dh(20 + id).public_key(), suites, UnixMillis(1))
}

fn genesis() -> AccountRecord {
    Draft::new(ORIGIN, LABEL, 0)
        .add_device(device(1, vec![Suite::X3DH]))
        .add_device(device(2, vec![Suite::X3DH, Suite::PQXDH]))
        .add_device(device(3, vec![Suite(99)]))
        .sign_genesis(&signing(1))
        .unwrap()
}

fn value(record: &AccountRecord) -> ProvenValue {
    ProvenValue::for_tests(ORIGIN, LABEL, record.version, record.encode())
}

fn done(proving: Proving) -> ProvenAccount {
    match proving {
        Proving::Done(account) => *account,
        Proving::NeedsVersion(pending) => panic!("wants version {}", pending.wanted()),
    }
}

fn pending(proving: Proving) -> PendingAccount {
    match proving {
        Proving::NeedsVersion(pending) => *pending,
        Proving::Done(account) => panic!("done with {:?}", account.root()),
    }
}

fn proven(record: &AccountRecord, known: Option<&ValidRecord>) -> ProvenAccount {
    done(prove(value(record), known).unwrap())
}

struct Prekeys {
    signed: SignedPreKey,
    batch: PreKeyBatch,
}

fn prekeys(id: u8, signer: u8, floor: u32) -> Prekeys {
    let key = dh(30 + id).public_key();
    let (created, expires) = (UnixMillis(1), UnixMillis(2_000_000));
    let signed =
        SignedPreKey::sign(ORIGIN, LABEL, &signing(signer), id.into(), 7, key, created, expires, floor)
            .unwrap();
    let keys = (0..5u8).map(|n| OneTimePreKey { id: n.into(), key: dh(40 + n).public_key() }).collect();
    let batch = PreKeyBatch::sign(ORIGIN, LABEL, &signing(signer), id.into(), 3, expires, keys).unwrap();
    Prekeys { signed, batch }
}

fn bundle(id: u8, signer: u8, floor: u32) -> PreKeyBundle {
    let Prekeys { signed, batch } = prekeys(id, signer, floor);
    PreKeyBundle { signed_prekey: signed, one_time: batch.entry(4), kem: None }
}

fn prove_bundle(account: &ProvenAccount, id: u32, bundle: PreKeyBundle) -> Result<ProvenBundle, BundleError> {
    account.prove_bundle(id, Unverified::from_wire(bundle), NOW)
}

#[test]
fn a_device_of_a_proven_record_gives_a_proven_bundle() {
    let account = proven(&genesis(), None);
    assert_eq!(account.identity(), Identity::Continuous);
    assert_eq!(account.devices().count(), 3);
    let with = prove_bundle(&account, 1, bundle(1, 11, 0)).unwrap();
    assert!(with.has_one_time());
    assert_eq!(with.device().party().dh_key, dh(21).public_key());
    assert_eq!(with.device().origin(), ORIGIN);
    assert_eq!((with.device().version(), with.device().suites()), (0, &[Suite::X3DH][..]));
    let without = PreKeyBundle { one_time: None, ..bundle(1, 11, 0) };
    assert!(!prove_bundle(&account, 1, without).unwrap().has_one_time());
}

#[test]
fn a_bundle_of_other_keys_is_refused() {
    let account = proven(&genesis(), None);
    // Signed by a key that is nobody's, by the other device, by the account's identity.
    for signer in [99, 12, 1] {
        let error = prove_bundle(&account, 1, bundle(1, signer, 0)).unwrap_err();
        assert_eq!(error, BundleError::PreKey(PreKeyError::BadSignature));
    }
    // Another device's bundle, genuine as it is.
    let error = prove_bundle(&account, 1, bundle(2, 12, 0)).unwrap_err();
    assert_eq!(error, BundleError::PreKey(PreKeyError::WrongDevice { found: 2, expected: 1 }));
    // A device that the record does not have.
    assert_eq!(prove_bundle(&account, 4, bundle(4, 14, 0)).unwrap_err(), BundleError::NoSuchDevice(4));
    // A one-time prekey from a batch that somebody else signed.
    let mixed = PreKeyBundle { one_time: bundle(1, 99, 0).one_time, ..bundle(1, 11, 0) };
    let error = prove_bundle(&account, 1, mixed).unwrap_err();
    assert_eq!(error, BundleError::PreKey(PreKeyError::BadBatchSignature));
}

#[test]
fn expired_and_resurrected_prekeys_are_refused() {
    let account = proven(&genesis(), None);
    let late = Unverified::from_wire(bundle(1, 11, 0));
    let error = account.prove_bundle(1, late, UnixMillis(2_000_000)).unwrap_err();
    assert_eq!(error, BundleError::PreKey(PreKeyError::Expired));
    let error = prove_bundle(&account, 1, bundle(1, 11, 4)).unwrap_err();
    assert_eq!(error, BundleError::PreKey(PreKeyError::BelowFloor { batch: 3, floor: 4 }));
}

fn kem_key(seed: u8) -> KemPublicKey {
    KemSecretKey::from_seed(&[seed; 64]).public_key().clone()
}

/// Of device 2, whose batch 4 these are.
fn one_time_kem(signer: u8) -> KemPreKey {
    let keys = vec![OneTimeKemPreKey { id: 50, key: kem_key(1) }];
    let expires = UnixMillis(2_000_000);
    let batch = KemPreKeyBatch::sign(ORIGIN, LABEL, &signing(signer), 2, 4, expires, keys).unwrap();
    KemPreKey::OneTime(batch.entry(0).unwrap())
}

fn last_resort(signer: u8, expires: u64) -> KemPreKey {
    let (created, expires) = (UnixMillis(1), UnixMillis(expires));
    let key = LastResortPreKey::sign(ORIGIN, LABEL, &signing(signer), 2, 8, kem_key(2), created, expires, 0);
    KemPreKey::LastResort(key.unwrap())
}

/// The server may leave things out; it cannot bring a device that announces PQXDH down to X3DH.
#[test]
fn no_bundle_without_an_acceptable_kem_key_serves_a_device_that_announces_pqxdh() {
    let account = proven(&genesis(), None);
    let with = |kem| prove_bundle(&account, 2, PreKeyBundle { kem, ..bundle(2, 12, 0) });
    assert_eq!(with(None).unwrap_err(), BundleError::NoKemPreKey(2));
    let refused = |kem, error| assert_eq!(with(Some(kem)).unwrap_err(), BundleError::PreKey(error));
    refused(last_resort(12, 1_000_000), PreKeyError::Expired);
    // By a key that is nobody's, by another device's, by the account's identity.
    for signer in [99, 11, 1] {
        refused(last_resort(signer, 2_000_000), PreKeyError::BadSignature);
        refused(one_time_kem(signer), PreKeyError::BadBatchSignature);
    }
    let below = PreKeyBundle { one_time: None, kem: Some(one_time_kem(12)), ..bundle(2, 12, 5) };
    let error = prove_bundle(&account, 2, below).unwrap_err();
    assert_eq!(error, BundleError::PreKey(PreKeyError::BelowFloor { batch: 4, floor: 5 }));

    let good = with(Some(one_time_kem(12))).unwrap();
    assert!(good.suite() == Suite::PQXDH && good.has_one_time_kem() && good.has_one_time());
    let good = with(Some(last_resort(12, 2_000_000))).unwrap();
    assert!(good.suite() == Suite::PQXDH && !good.has_one_time_kem() && good.has_one_time());
}

#[test]
fn the_suite_is_one_that_the_device_announces() {
    let account = proven(&genesis(), None);
    // A device that does not announce PQXDH is not made to run it.
    let kem = Some(last_resort(12, 2_000_000));
    let error = prove_bundle(&account, 1, PreKeyBundle { kem, ..bundle(1, 11, 0) }).unwrap_err();
    assert_eq!(error, BundleError::PreKey(PreKeyError::WrongDevice { found: 2, expected: 1 }));
    assert_eq!(prove_bundle(&account, 1, bundle(1, 11, 0)).unwrap().suite(), Suite::X3DH);
    assert_eq!(prove_bundle(&account, 3, bundle(3, 13, 0)).unwrap_err(), BundleError::NoCommonSuite(3));
}

/// Every single bit of a bundle's encoding, flipped.
#[test]
fn no_flipped_bit_of_a_bundle_is_accepted() {
    let account = proven(&genesis(), None);
    let bytes = bundle(1, 11, 0).encode();
    assert!(prove_bundle(&account, 1, PreKeyBundle::decode(&bytes).unwrap()).is_ok());
    for index in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[index / 8] ^= 1 << (index % 8);
        if let Ok(bundle) = PreKeyBundle::decode(&bytes) {
            assert!(prove_bundle(&account, 1, bundle).is_err(), "bit {index}");
        }
    }
}

#[test]
fn a_version_that_its_identity_did_not_sign_is_refused() {
    let first = proven(&genesis(), None);
    // The provider adds a device to Bob's account and signs with a key of its own.
    let forged = Draft::after(ORIGIN, LABEL, first.valid(), 1).add_device(device(4, vec![Suite::X3DH]));
    let mut record = forged.sign(&signing(1)).unwrap();
    keyglass_account::author::sign(ORIGIN, LABEL, &mut record, &signing(66), None);
    for known in [None, Some(first.valid())] {
        let error = prove(value(&record), known).unwrap_err();
        let expected = ProveError::NotVouchedFor { version: 1, error: RecordError::BadIdentitySignature };
        assert_eq!(error, expected);
    }
    let garbage = ProvenValue::for_tests(ORIGIN, LABEL, 1, b"garbage".to_vec());
    assert!(matches!(prove(garbage, Some(first.valid())), Err(ProveError::NotVouchedFor { version: 1, .. })));
}

#[test]
fn a_record_of_another_label_log_or_version_is_refused() {
    let record = genesis();
    for value in [
        ProvenValue::for_tests(ORIGIN, b"eve", 0, record.encode()),
        ProvenValue::for_tests("log.example/other", LABEL, 0, record.encode()),
        ProvenValue::for_tests(ORIGIN, LABEL, 1, record.encode()),
    ] {
        assert!(matches!(prove(value, None), Err(ProveError::NotVouchedFor { .. })));
    }
}

#[test]
fn a_rotation_succeeds_the_identity_known_before() {
    let first = proven(&genesis(), None);
    let rotated =
        Draft::after(ORIGIN, LABEL, first.valid(), 1).sign_rotation(&signing(1), &signing(2)).unwrap();
    let account = proven(&rotated, Some(first.valid()));
    assert_eq!(account.identity(), Identity::Succeeded);
    assert_eq!(account.device(2).unwrap().version(), 1);
    assert_eq!(account.device(2).unwrap().suites(), [Suite::X3DH, Suite::PQXDH]);
    assert!(account.is_usable());
    assert!(prove_bundle(&account, 1, bundle(1, 11, 0)).is_ok());
}

#[test]
fn at_first_contact_the_root_is_searched_for() {
    let first = proven(&genesis(), None);
    let rotated =
        Draft::after(ORIGIN, LABEL, first.valid(), 1).sign_rotation(&signing(1), &signing(2)).unwrap();

    let search = || pending(prove(value(&rotated), None).unwrap());
    assert_eq!((search().label(), search().wanted()), (LABEL, 0));

    let account = done(search().supply(History::Value(value(&genesis()))).unwrap());
    assert_eq!(account.identity(), Identity::Continuous);
    assert!(account.is_usable());

    let other = ProvenValue::for_tests(ORIGIN, b"eve", 0, genesis().encode());
    assert_eq!(search().supply(History::Value(other)).unwrap_err(), ProveError::NotWanted);
    assert_eq!(search().supply(History::Value(value(&rotated))).unwrap_err(), ProveError::NotWanted);

    let impostor = Draft::new(ORIGIN, LABEL, 0).sign_genesis(&signing(5)).unwrap();
    assert!(matches!(
        search().supply(History::Value(value(&impostor))),
        Err(ProveError::NotVouchedFor { version: 1, .. })
    ));

    for history in [History::Withheld, History::Erased, History::Expired] {
        let account = done(search().supply(history).unwrap());
        assert_eq!(account.identity(), Identity::Broken);
        let error = prove_bundle(&account, 1, bundle(1, 11, 0)).unwrap_err();
        assert_eq!(error, BundleError::IdentityNotAccepted);
    }
}

#[test]
fn a_reset_needs_a_persons_consent() {
    let first = proven(&genesis(), None);
    let reset = Draft::after(ORIGIN, LABEL, first.valid(), 1)
        .remove_device(1)
        .remove_device(2)
        .remove_device(3)
        .add_device(device(4, vec![Suite::X3DH]))
        .sign_reset(&signing(6))
        .unwrap();
    let account = proven(&reset, Some(first.valid()));
    assert_eq!(account.identity(), Identity::Broken);
    assert!(account.change().is_reset());
    assert_eq!(prove_bundle(&account, 4, bundle(4, 14, 0)).unwrap_err(), BundleError::IdentityNotAccepted);
    let account = account.accept_broken_identity();
    assert!(prove_bundle(&account, 4, bundle(4, 14, 0)).is_ok());
    // Consent is to this identity, and brings no other device's keys with it.
    assert_eq!(prove_bundle(&account, 1, bundle(1, 11, 0)).unwrap_err(), BundleError::NoSuchDevice(1));
}

#[test]
fn a_version_below_the_known_one_is_refused() {
    let first = proven(&genesis(), None);
    let rotated =
        Draft::after(ORIGIN, LABEL, first.valid(), 1).sign_rotation(&signing(1), &signing(2)).unwrap();
    let account = proven(&rotated, Some(first.valid()));
    assert!(matches!(
        prove(value(&genesis()), Some(account.valid())),
        Err(ProveError::NotVouchedFor { version: 0, error: RecordError::VersionBelowKnown { known: 1 } })
    ));
}

/// Every search of the vectors: what becomes of it here is what keytrans verified, bound to its log, and of the kind that
/// its head allows.
#[test]
fn vector_searches_are_bound_to_their_log() {
    let directory = std::env::var("KEYGLASS_TESTVECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../testvectors").to_owned());
    let text = std::fs::read(std::path::Path::new(&directory).join("search.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
    let (mut witnessed, mut unwitnessed) = (0, 0);
    for session in file["sessions"].as_array().unwrap() {
        let policy = session["policy"].as_str().map(str::as_bytes);
        let verifier = Verifier::new(&bytes(&session["config"]), policy).unwrap();
        let step = &session["steps"][0];
        let honest =
            step["responses"].as_array().unwrap().iter().find(|response| response["name"] == "honest");
        let (Some("search"), Some(honest)) = (step["op"].as_str(), honest) else { continue };
        let label = bytes(&step["params"]["label"]);
        let version = step["params"]["version"].as_u64().map(|version| u32::try_from(version).unwrap());
        let request = verifier.search_request(&UserState::default(), &label, version);
        let response = Unverified::from_wire(bytes(&honest["response"]));
        let now = keyglass_tlog::time::UnixMillis(honest["now"].as_u64().unwrap());
        let found = search(&verifier, &UserState::default(), &request, &response, now).unwrap();
        let value = match found.value {
            Witnessing::Witnessed(value) => {
                witnessed += 1;
                assert!(matches!(value.head(), VerifiedHead::Witnessed(_)));
                value
            }
            Witnessing::Unwitnessed(value) => {
                unwitnessed += 1;
                value.trust_the_log_alone()
            }
        };
        assert_eq!(u64::from(value.version()), honest["result"]["version"].as_u64().unwrap());
        assert_eq!(value.bytes(), bytes(&honest["result"]["value"]));
        let origin = match verifier.origin() {
            Some(origin) => origin.to_owned(),
            None => keyglass_account::origin::of_configuration(&bytes(&session["config"])),
        };
        assert_eq!((value.origin.as_str(), value.label.as_slice()), (origin.as_str(), label.as_slice()));
        assert_eq!(found.update.tree.tree_size(), value.head().tree_size());
        assert!(
            value.head().root() == found.head.root() && found.watch_pending == found.update.label.is_some()
        );
    }
    println!("search.json: {witnessed} witnessed and {unwitnessed} unwitnessed searches");
    assert!(witnessed > 0 && unwitnessed > 0);
}

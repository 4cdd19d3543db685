//! Each difference from a server or a device that has lost state, and that one repair ends them all.

use keyglass_account::{
    api::{Base64, BatchStatus, SignedPreKeyStatus},
    prekey::{OneTimePreKey, SignedPreKey},
    time::UnixMillis,
};
use keyglass_crypto::{dh::DhSecretKey, secret::Secret};
use proptest::prelude::*;

use super::*;
use crate::state::{BatchState, OneTimeState, SignedPreKeyState};

const ORIGIN: &str = "log.example/x";
const BOB: &[u8] = b"bob";
const EXPIRES: u64 = 1_000_000;

/// A device, and the server's pool as an honest server keeps it.
#[derive(Clone)]
struct Server {
    signed: Option<SignedPreKey>,
    next_batch: u32,
    next_id: u32,
    /// Batches with how many were handed out.
    batches: Vec<(PreKeyBatch, u16)>,
}

impl Server {
    fn new() -> Self {
        Self { signed: None, next_batch: 0, next_id: 0, batches: Vec::new() }
    }

    /// Takes what the device has not had confirmed, by the rules of the log-server.
    fn upload(&mut self, device: &OwnDeviceState) {
        if let Some(key) = device.signed_prekeys.last().filter(|key| !key.uploaded) {
            let signed = SignedPreKey::decode(&key.signed).unwrap();
            if self.signed != Some(signed) {
                assert!(
                    self.signed.is_none_or(|before| before.id < signed.id && before.floor <= signed.floor)
                );
                self.signed = Some(signed);
            }
            self.batches.retain(|(batch, _)| batch.header().batch >= signed.floor);
        }
        for own in device.batches.iter().filter(|batch| !batch.uploaded) {
            let batch = PreKeyBatch::decode(&own.signed).unwrap();
            let header = batch.header();
            assert!(header.batch >= self.next_batch && header.batch >= self.signed.unwrap().floor);
            assert!(batch.prekeys()[0].id >= self.next_id);
            self.next_batch = header.batch + 1;
            self.next_id = batch.prekeys().last().unwrap().id + 1;
            self.batches.push((batch, 0));
        }
    }

    /// Hands out a key: its batch and id.
    fn pop(&mut self) -> Option<(u32, u32)> {
        let (batch, handed_out) =
            self.batches.iter_mut().find(|(batch, out)| *out < batch.header().leaf_count)?;
        let prekey = &batch.prekeys()[usize::from(*handed_out)];
        *handed_out += 1;
        Some((batch.header().batch, prekey.id))
    }

    fn status(&self) -> PreKeyStatus {
        let live = self.batches.iter().filter(|(batch, out)| *out < batch.header().leaf_count);
        let live: Vec<_> = live.collect();
        let state = PoolState {
            next_batch: self.next_batch,
            next_id: self.next_id,
            signed_prekey: encoding_hash(self.signed.map(|signed| signed.encode()).as_deref()),
            last_resort: encoding_hash(None),
            batches: live
                .iter()
                .map(|(batch, handed_out)| PoolBatch {
                    key_type: KeyType::X25519,
                    batch: batch.header().batch,
                    leaf_count: batch.header().leaf_count,
                    handed_out: *handed_out,
                    root: batch.header().root,
                })
                .collect(),
        };
        PreKeyStatus {
            signed_prekey: self.signed.map(|signed| SignedPreKeyStatus {
                id: signed.id,
                expires: signed.expires.0,
                floor: signed.floor,
            }),
            next_batch: self.next_batch,
            next_id: self.next_id,
            batches: live
                .iter()
                .map(|(batch, handed_out)| BatchStatus {
                    batch: batch.header().batch,
                    leaf_count: batch.header().leaf_count,
                    handed_out: *handed_out,
                    expires: EXPIRES,
                })
                .collect(),
            digest: Some(Base64::new(state.digest(ORIGIN, BOB, 1).to_vec()).unwrap()),
            ..PreKeyStatus::default()
        }
    }
}

fn device() -> OwnDeviceState {
    OwnDeviceState::new(1, Secret::new([1; 32]), Secret::new([2; 32]))
}

/// A copy, as a backup of the home is.
fn copy(device: &OwnDeviceState) -> OwnDeviceState {
    serde_json::from_str(&serde_json::to_string(device).unwrap()).unwrap()
}

/// Makes a signed prekey and a batch; `mark` tells the keys of one run from those of another.
fn make(device: &mut OwnDeviceState, mark: u8) {
    let (id, number, first) =
        (device.counters.signed_prekey, device.counters.batch, device.counters.one_time);
    let public = |n: u32| {
        let mut seed = [mark; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        DhSecretKey::from_bytes(&seed).public_key()
    };
    let (key, expires) = (device.signing_key(), UnixMillis(EXPIRES));
    let floor = device.floor();
    let signed =
        SignedPreKey::sign(ORIGIN, BOB, &key, 1, id, public(0), UnixMillis(1), expires, floor).unwrap();
    device.add_signed_prekey(SignedPreKeyState {
        id,
        secret: Secret::new([mark; 32]),
        created: 1,
        expires: EXPIRES,
        signed: signed.encode(),
        uploaded: false,
    });
    let prekeys = (first..first + 4).map(|id| OneTimePreKey { id, key: public(id) }).collect();
    let signed = PreKeyBatch::sign(ORIGIN, BOB, &key, 1, number, expires, prekeys).unwrap();
    let keys = (first..first + 4)
        .map(|id| OneTimeState { id, secret: Some(Secret::new([mark; 32])), used_by: None })
        .collect();
    let batch = BatchState { number, expires: EXPIRES, signed: signed.encode(), uploaded: false, keys };
    device.add_batch(batch);
}

fn consume(device: &mut OwnDeviceState, (batch, id): (u32, u32)) {
    let keys = device.batches.iter_mut().filter(|own| own.number == batch).flat_map(|own| &mut own.keys);
    keys.filter(|key| key.id == id).for_each(|key| key.secret = None);
}

fn supplied() -> (OwnDeviceState, Server) {
    let (mut device, mut server) = (device(), Server::new());
    make(&mut device, 1);
    server.upload(&device);
    settle(&mut device, &server.status());
    (device, server)
}

fn found(device: &OwnDeviceState, server: &Server) -> Vec<Difference> {
    differences(ORIGIN, BOB, device, &server.status())
}

/// Repairs as the command does; afterwards nothing may differ, and a key that was used is never handed out again.
fn repair(device: &mut OwnDeviceState, server: &mut Server, mark: u8) -> Vec<Difference> {
    settle(device, &server.status());
    let before = found(device, server);
    if adopt(device, &server.status(), &before) {
        make(device, mark);
    }
    server.upload(device);
    settle(device, &server.status());
    assert_eq!(found(device, server), [], "after {before:?}");
    before
}

#[test]
fn nothing_differs_where_nobody_lost_anything() {
    let (mut device, mut server) = supplied();
    assert_eq!(found(&device, &server), []);
    let used = server.pop().unwrap();
    assert_eq!(found(&device, &server), [], "handed out, and its message is on its way");
    consume(&mut device, used);
    assert_eq!(found(&device, &server), []);
    while server.pop().is_some() {}
    assert_eq!(found(&device, &server), [], "a batch that is used up");
    make(&mut device, 1);
    assert_eq!(found(&device, &server), [], "what was not uploaded yet");
    server.upload(&device);
    assert_eq!(found(&device, &server), [], "what was uploaded, and the answer was lost");
    settle(&mut device, &server.status());
    assert!(device.batches.iter().all(|batch| batch.uploaded));
}

#[test]
fn a_server_that_lost_everything() {
    let (mut device, _) = supplied();
    let mut server = Server::new();
    let differences = repair(&mut device, &mut server, 2);
    assert_eq!(differences, [Difference::SignedPreKeyLost { id: 1 }, Difference::BatchLost { batch: 1 }]);
    // Some keys of batch 1 may have been handed out before: it is not uploaded again.
    assert_eq!(server.batches.iter().map(|(batch, _)| batch.header().batch).collect::<Vec<_>>(), [2]);
    assert_eq!(server.signed.unwrap().floor, 2);
}

#[test]
fn a_server_that_was_set_back() {
    let (mut device, server) = supplied();
    let mut backup = server.clone();
    let mut server = server;
    let used = server.pop().unwrap();
    consume(&mut device, used);
    let differences = repair(&mut device, &mut backup, 2);
    assert_eq!(differences, [Difference::HandedOutAgain { batch: 1 }]);
    assert_ne!(backup.pop().unwrap(), used);
}

#[test]
fn a_device_that_was_set_back() {
    let (mut device, mut server) = supplied();
    let mut backup = copy(&device);
    make(&mut device, 2);
    server.upload(&device);
    let differences = repair(&mut backup, &mut server, 3);
    let unknown = Difference::SignedPreKeyUnknown { id: 2 };
    assert_eq!(differences, [unknown, Difference::BatchUnknown { batch: 2 }, Difference::NumbersAhead]);
    assert_eq!((server.signed.unwrap().id, server.signed.unwrap().floor), (3, 3));
}

#[test]
fn a_device_that_was_set_back_and_went_on() {
    let (mut device, mut server) = supplied();
    let mut backup = copy(&device);
    make(&mut device, 2);
    server.upload(&device);
    // The same numbers, other keys, and a crash before the upload.
    make(&mut backup, 3);
    assert_eq!(repair(&mut backup, &mut server, 4), [Difference::Contents]);
    assert_eq!(server.batches.len(), 1);
}

#[test]
fn a_new_device_state_under_an_old_name() {
    let (_, mut server) = supplied();
    let mut fresh = device();
    assert_ne!(repair(&mut fresh, &mut server, 5), []);
    assert_eq!(server.signed.unwrap().floor, 2);
}

#[test]
fn a_lost_signed_prekey_alone_is_uploaded_again() {
    let (mut device, mut server) = supplied();
    server.signed = None;
    assert_eq!(repair(&mut device, &mut server, 2), [Difference::SignedPreKeyLost { id: 1 }]);
    assert_eq!((server.signed.unwrap().id, device.signed_prekeys.len()), (1, 1));
}

#[derive(Debug, Clone)]
enum Step {
    Make,
    Pop { consumed: bool },
    BackUpServer,
    BackUpDevice,
    RestoreServer,
    RestoreDevice,
    ResetServer,
    CrashAfterMaking,
    CrashAfterUpload,
    Maintain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Make),
        6 => any::<bool>().prop_map(|consumed| Step::Pop { consumed }),
        1 => Just(Step::BackUpServer),
        1 => Just(Step::BackUpDevice),
        1 => Just(Step::RestoreServer),
        1 => Just(Step::RestoreDevice),
        1 => Just(Step::ResetServer),
        1 => Just(Step::CrashAfterMaking),
        1 => Just(Step::CrashAfterUpload),
        3 => Just(Step::Maintain),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whoever loses state, and whenever: after one round nothing differs, the device has the secret of every key that is
    /// handed out from then on, and none of them was used before.
    #[test]
    fn one_round_repairs_every_history(steps in steps()) {
        let (mut device, mut server) = (device(), Server::new());
        let (mut server_backup, mut device_backup) = (server.clone(), copy(&device));
        let mut mark = 0_u8;
        for step in steps {
            mark = mark.wrapping_add(1);
            match step {
                Step::Make | Step::CrashAfterMaking | Step::CrashAfterUpload => {
                    repair(&mut device, &mut server, mark);
                    mark = mark.wrapping_add(1);
                    make(&mut device, mark);
                    if !matches!(step, Step::CrashAfterMaking) {
                        server.upload(&device);
                    }
                    if matches!(step, Step::Make) {
                        settle(&mut device, &server.status());
                    }
                }
                Step::Pop { consumed } => {
                    if let Some(used) = server.pop().filter(|_| consumed) {
                        consume(&mut device, used);
                    }
                }
                Step::BackUpServer => server_backup = server.clone(),
                Step::BackUpDevice => device_backup = copy(&device),
                Step::RestoreServer => server = server_backup.clone(),
                Step::RestoreDevice => device = copy(&device_backup),
                Step::ResetServer => server = Server::new(),
                Step::Maintain => {
                    repair(&mut device, &mut server, mark);
                    let mut later = server.clone();
                    while let Some((batch, id)) = later.pop() {
                        let keys = device.batches.iter().filter(|own| own.number == batch).flat_map(|own| &own.keys);
                        let secret = keys.filter(|key| key.id == id).find_map(|key| key.secret.as_ref());
                        prop_assert!(secret.is_some(), "batch {batch}, key {id}");
                    }
                }
            }
        }
    }
}

/// Numbers are the server's word. One that claims the last of them must not leave the device without any.
#[test]
fn a_lying_server_does_not_use_up_the_numbers() {
    let mut device = device();
    make(&mut device, 1);
    let last = SignedPreKeyStatus { id: u32::MAX, expires: EXPIRES, floor: u32::MAX };
    let lie = PreKeyStatus {
        signed_prekey: Some(last),
        next_batch: u32::MAX,
        next_id: u32::MAX,
        ..PreKeyStatus::default()
    };
    let mut numbers = std::collections::BTreeSet::new();
    for round in 0..1000 {
        let found = differences(ORIGIN, BOB, &device, &lie);
        assert!(found.contains(&Difference::NumbersAhead) && adopt(&mut device, &lie, &found));
        make(&mut device, 2);
        let (signed, batch) =
            (device.signed_prekeys.last().unwrap().id, device.batches.last().unwrap().number);
        assert!(numbers.insert((signed, batch)), "{round}");
        assert!(device.counters.one_time < u32::MAX - 1000 && signed < u32::MAX - 1000, "{round}");
    }
}

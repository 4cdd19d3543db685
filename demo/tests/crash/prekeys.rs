//! Prekeys and mailboxes of a few devices, used by a few others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use keyglass_account::{
    api::{
        BUNDLES, Base64, BundleResult, Bundles, FetchBundles, Id128, MESSAGES, PREKEYS, PreKeyStatus,
        SendMessage, TOKENS, Target, TokenIssued,
    },
    device,
    prekey::PreKeyBundle,
};
use rand::{RngExt as _, rngs::StdRng};
use reqwest::Method;
use tokio::sync::watch;

use crate::{
    load,
    support::{
        account::{Account, Device, upload},
        api::{Call, to_json},
        now,
    },
    world::World,
};

/// Accounts whose devices are fetched, and devices of each.
const ACCOUNTS: u32 = 3;
const DEVICES: u32 = 2;
/// One-time prekeys in a batch.
const BATCH: u32 = 40;
/// A batch is uploaded when fewer are left.
const LOW_WATER: u64 = 60;
/// Batches of one device at most; the server remembers the signed requests of a device for a while.
const MAX_BATCHES: u32 = 150;
/// Messages that one fetcher sends at most: a mailbox holds 1,000.
const MAX_MESSAGES: usize = 600;
const LETTERS: usize = 200;

/// A device that is fetched.
pub struct TargetDevice {
    pub index: usize,
    pub device: Device,
    pub entry: device::Device,
    pub token: String,
    /// One-time prekeys that the server has acknowledged.
    pub uploaded: watch::Sender<u64>,
}

impl TargetDevice {
    pub fn name(&self) -> Target {
        Target { label: Base64::new(self.device.label.clone()).unwrap(), device: self.device.id }
    }
}

/// A fetch: who asked, and with which request id.
type Request = (u32, Id128);

/// For which request each one-time prekey was handed out.
#[derive(Debug, Default)]
pub struct HandedOut {
    by_device: Mutex<BTreeMap<usize, BTreeMap<u32, Request>>>,
    changed: watch::Sender<u64>,
}

impl HandedOut {
    /// Notes a bundle.
    fn saw(&self, target: usize, request: Request, bundle: &PreKeyBundle) {
        let Some(entry) = &bundle.one_time else { return };
        let mut by_device = self.by_device.lock().unwrap();
        let before = *by_device.entry(target).or_default().entry(entry.prekey.id).or_insert(request);
        assert_eq!(
            before, request,
            "one-time prekey {} of device {target} was handed out twice",
            entry.prekey.id
        );
        drop(by_device);
        self.changed.send_modify(|changed| *changed += 1);
    }

    /// How many of a device are gone.
    pub fn count(&self, target: usize) -> u64 {
        self.by_device.lock().unwrap().get(&target).map_or(0, BTreeMap::len).try_into().unwrap()
    }
}

/// Publishes an account and gets a token for each of its devices.
async fn account(world: &World, label: &str, devices: u32) -> (Account, Vec<String>) {
    let account = Account::new(&world.api.origin, label, devices);
    load::publish(world, &account).await;
    let mut tokens = Vec::new();
    for device in &account.devices {
        let issued = world.until_answered(Call::signed(Method::POST, TOKENS, device, Vec::new())).await;
        assert_eq!(issued.status, 200, "{}", issued.text());
        tokens.push(issued.json::<TokenIssued>().authorization);
    }
    (account, tokens)
}

/// The devices that are fetched, each with a signed prekey and a first batch.
pub async fn targets(world: &Arc<World>) -> Vec<Arc<TargetDevice>> {
    let mut targets = Vec::new();
    for n in 0..ACCOUNTS {
        let (account, tokens) = account(world, &format!("{n}-target"), DEVICES).await;
        let record = account.record();
        for (device, token) in account.devices.into_iter().zip(tokens) {
            let entry = record.device(device.id).unwrap().clone();
            let uploaded = watch::Sender::new(0);
            targets.push(Arc::new(TargetDevice { index: targets.len(), device, entry, token, uploaded }));
        }
    }
    for target in &targets {
        supply_batch(world, target, 0).await;
    }
    targets
}

/// Uploads a batch; with every fourth a new signed prekey. The same again, if the answer was lost.
async fn supply_batch(world: &World, target: &TargetDevice, number: u32) {
    let signed_prekey = number.is_multiple_of(4).then(|| target.device.signed_prekey(number, 0));
    let batch = target.device.batch(number, number * BATCH, BATCH);
    let body = to_json(&upload(signed_prekey.as_ref(), &[&batch]));
    let answer = world.until_answered(Call::signed(Method::PUT, PREKEYS, &target.device, body)).await;
    assert_eq!(answer.status, 200, "batch {number} of device {}: {}", target.index, answer.text());
    assert_eq!(answer.json::<PreKeyStatus>().next_batch, number + 1);
    target.uploaded.send_modify(|uploaded| *uploaded += u64::from(BATCH));
}

/// Keeps a device supplied.
pub async fn supply(world: Arc<World>, target: Arc<TargetDevice>) {
    for number in 1..MAX_BATCHES {
        let is_low = |_: &u64| *target.uploaded.borrow() < world.handed_out.count(target.index) + LOW_WATER;
        let mut changed = world.handed_out.changed.subscribe();
        tokio::select! {
            low = changed.wait_for(is_low) => drop(low.unwrap()),
            () = world.stopped() => return,
        }
        supply_batch(&world, &target, number).await;
    }
    world.stopped().await;
}

/// Fetches bundles, some of them again, and leaves a message for each.
pub async fn fetch(world: Arc<World>, targets: Vec<Arc<TargetDevice>>, n: u32, mut rng: StdRng) {
    let (_, tokens) = account(&world, &format!("{n}-fetcher"), 1).await;
    let mut fetched: Vec<(usize, Id128, PreKeyBundle)> = Vec::new();
    let mut sent = 0;
    while !world.is_stopped() {
        let target = &targets[rng.random_range(0..targets.len())];
        let id = Id128(rng.random());
        let bundle = bundle(&world, &tokens[0], target, (n, id)).await;
        world.counts.fetches.add(1);
        fetched.push((target.index, id, bundle));
        for again in [fetched.len() - 1, rng.random_range(0..fetched.len())] {
            if rng.random_bool(0.4) {
                let (target, id, before) = &fetched[again];
                let bundle = self::bundle(&world, &tokens[0], &targets[*target], (n, *id)).await;
                assert_eq!(&bundle, before, "a repeated request got another bundle");
                world.counts.repeated.add(1);
            }
        }
        if sent < MAX_MESSAGES {
            send(&world, &tokens[0], target, &mut rng).await;
            sent += 1;
        }
    }
}

async fn bundle(world: &World, token: &str, target: &TargetDevice, request: Request) -> PreKeyBundle {
    let body =
        to_json(&FetchBundles { request_id: request.1, targets: vec![target.name()], accounts: Vec::new() });
    let answer = world.until_answered(Call::with_token(Method::POST, BUNDLES, token, body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let [answered] = answer.json::<Bundles>().bundles.try_into().unwrap();
    assert_eq!(answered.target, target.name());
    let BundleResult::Bundle(encoded) = answered.result else { panic!("no bundle: {:?}", answered.result) };
    let bundle = PreKeyBundle::decode(encoded.as_bytes()).unwrap();
    let device = &target.device;
    bundle.clone().verify(&device.origin, &device.label, &target.entry, now()).unwrap();
    world.handed_out.saw(target.index, request, &bundle);
    bundle
}

async fn send(world: &World, token: &str, target: &TargetDevice, rng: &mut StdRng) {
    let (id, letter) =
        (Id128(rng.random()), (0..rng.random_range(1..LETTERS)).map(|_| rng.random()).collect());
    let message =
        SendMessage { target: target.name(), id, body: Base64::new(letter).unwrap(), version: None };
    let body = to_json(&message);
    let answer = world.until_answered(Call::with_token(Method::POST, MESSAGES, token, body)).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    world.messages.lock().unwrap().insert((target.index, id), message.body.into_bytes());
}

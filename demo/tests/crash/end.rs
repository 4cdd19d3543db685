//! After the last restart: everything that was acknowledged is there, once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use keyglass_account::api::{AckMessages, Id128, MESSAGES, MESSAGES_ACK, Messages, PREKEYS, PreKeyStatus};
use reqwest::Method;
use tokio::task::JoinSet;

use crate::{
    KILLS, load,
    prekeys::TargetDevice,
    support::{
        api::{Call, to_json},
        user::User,
    },
    world::World,
};

/// Checks everything.
pub async fn check(world: &Arc<World>, targets: &[Arc<TargetDevice>], returning: Vec<User>) {
    check_versions(world, returning).await;
    for target in targets {
        check_pool(world, target).await;
        check_mailbox(world, target).await;
    }
    check_words(world);
}

/// Every acknowledged version is found, by users who were here before and by one who was not.
async fn check_versions(world: &Arc<World>, returning: Vec<User>) {
    let acknowledged = world.acknowledged.lock().unwrap().clone();
    let mut wanted = VecDeque::new();
    for (label, versions) in acknowledged {
        // All versions up to the greatest were acknowledged, so that the greatest search says that none is missing.
        assert!(versions.keys().copied().eq(0..u32::try_from(versions.len()).unwrap()));
        let greatest = *versions.keys().next_back().unwrap();
        wanted.push_back((label.clone(), None, greatest));
        wanted.extend(versions.keys().map(|version| (label.clone(), Some(*version), greatest)));
    }
    let wanted = Arc::new(Mutex::new(wanted));
    let mut searching = JoinSet::new();
    for mut user in returning.into_iter().chain([User::new(&world.verifier)]) {
        let (world, wanted) = (Arc::clone(world), Arc::clone(&wanted));
        searching.spawn(async move {
            let next = || wanted.lock().unwrap().pop_front();
            while let Some((label, version, greatest)) = next() {
                load::find(&world, &mut user, &label, version, greatest).await;
            }
        });
    }
    searching.join_all().await;
}

/// What is left of a device's one-time prekeys, and what was handed out, is what it uploaded.
async fn check_pool(world: &World, target: &TargetDevice) {
    let status: PreKeyStatus =
        world.until_answered(Call::with_token(Method::GET, PREKEYS, &target.token, Vec::new())).await.json();
    let (left, gone) = (u64::from(status.one_time), world.handed_out.count(target.index));
    assert_eq!(left + gone, *target.uploaded.borrow(), "device {}: {left} left, {gone} gone", target.index);
}

/// Every acknowledged message is there once, and nothing else.
async fn check_mailbox(world: &World, target: &TargetDevice) {
    let mut expected: BTreeMap<Id128, Vec<u8>> = BTreeMap::new();
    for ((index, id), body) in world.messages.lock().unwrap().iter() {
        if *index == target.index {
            expected.insert(*id, body.clone());
        }
    }
    loop {
        let answer: Messages = world
            .until_answered(Call::with_token(Method::GET, MESSAGES, &target.token, Vec::new()))
            .await
            .json();
        for message in &answer.messages {
            assert_eq!(
                expected.remove(&message.id).as_deref(),
                Some(message.body.as_bytes()),
                "twice, or another"
            );
        }
        let body = to_json(&AckMessages { ids: answer.messages.iter().map(|message| message.id).collect() });
        let acknowledge = Call::with_token(Method::POST, MESSAGES_ACK, &target.token, body);
        assert_eq!(world.until_answered(acknowledge).await.status, 204);
        if !answer.more {
            break;
        }
    }
    assert!(expected.is_empty(), "{} messages are lost", expected.len());
}

/// The log-server never had to say that something is wrong with its own log, or with itself.
fn check_words(world: &World) {
    let words = std::fs::read_to_string(&world.log_of_server).unwrap();
    let alarming: Vec<&str> =
        words.lines().filter(|line| line.contains("ERROR") || line.contains("panicked")).collect();
    assert!(
        alarming.is_empty(),
        "{} alarming lines in the log-server's log, first {:?}",
        alarming.len(),
        alarming.first()
    );
}

/// Prints what was done, and checks that it was enough to mean something.
pub fn report(world: &World, kills_of_log: u32, kills_of_witness: u32) {
    let counts = &world.counts;
    let versions: usize = world.acknowledged.lock().unwrap().values().map(BTreeMap::len).sum();
    let labels = world.acknowledged.lock().unwrap().len();
    let messages = world.messages.lock().unwrap().len();
    let one_time: u64 = (0..6).map(|target| world.handed_out.count(target)).sum();
    println!("kills: log-server {kills_of_log} and once more at the end, witness {kills_of_witness}");
    println!("       and {} while they started", counts.killed_while_starting.get());
    println!(
        "requests: {} begun, {} broken, {} not ready",
        *world.begun.borrow(),
        counts.broken.get(),
        counts.not_ready.get()
    );
    println!(
        "log: {versions} versions of {labels} labels acknowledged, {} of them by owners",
        counts.owned.get()
    );
    println!(
        "     {} searches verified, {} sizes with one root each",
        counts.searches.get(),
        world.heads.sizes()
    );
    println!(
        "     {} checkpoints seen, {} cosigned by the killed witness",
        counts.checkpoints.get(),
        world.heads.cosigned(0)
    );
    println!(
        "prekeys: {} fetches, {} repeated, {one_time} one-time prekeys",
        counts.fetches.get(),
        counts.repeated.get()
    );
    println!("mailboxes: {messages} messages");
    assert!(kills_of_log >= KILLS && kills_of_witness >= KILLS);
    assert!(counts.broken.get() >= u64::from(KILLS), "kills that interrupted nothing show nothing");
    assert!(versions >= 200 && counts.owned.get() >= 20 && counts.searches.get() >= 500);
    assert!(world.heads.sizes() >= 50 && world.heads.cosigned(0) >= 25);
    assert!(
        counts.fetches.get() >= 200 && counts.repeated.get() >= 100 && one_time >= 150 && messages >= 200
    );
}

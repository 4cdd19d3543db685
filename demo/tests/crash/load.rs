//! Updates and searches.

use std::sync::Arc;

use keyglass_keytrans::{client::decode_update_responses, wire::Wire as _};
use rand::{RngExt as _, rngs::StdRng};

use crate::{
    support::{account::Account, api::Call, user::User},
    world::World,
};

/// Labels that one task registers at most.
const MAX_LABELS: u32 = 1500;
/// Versions that an owner makes at most.
const MAX_VERSIONS: u32 = 200;

/// Registers fresh labels, and makes a second version of every third.
pub async fn register(world: Arc<World>, n: u32) {
    for i in 0..MAX_LABELS {
        if world.is_stopped() {
            return;
        }
        let mut account = Account::new(&world.api.origin, &format!("{n}-user-{i}"), 1);
        publish(&world, &account).await;
        if i.is_multiple_of(3) {
            account.advance();
            publish(&world, &account).await;
        }
    }
    world.stopped().await;
}

/// Has the log store an account's newest record.
pub async fn publish(world: &World, account: &Account) {
    let request = account.update();
    let answer = world.until_answered(Call::operation("/v1/update", request)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = account.records.last().unwrap();
    let responses = decode_update_responses(&answer.body, world.verifier.response_context()).unwrap();
    let [response] = responses.as_slice() else { panic!("{} log entries for one version", responses.len()) };
    // An answer that was lost is given again as one about a version that exists, with its value.
    let values: Vec<&Vec<u8>> = response.values.iter().map(|value| &value.value).collect();
    assert!(values.is_empty() || values == [record], "the label has another value");
    world.acknowledge(&account.label, account.version(), record);
}

/// Owns a label and updates it, with one state for the whole run.
pub async fn own(world: Arc<World>, n: u32) {
    let mut user = User::new(&world.verifier);
    let mut account = Account::new(&world.api.origin, &format!("{n}-owner"), 1);
    let request = user.owner_init_request(&account.label);
    let encoded = request.encode().unwrap();
    let answer = world.until_answered(Call::operation("/v1/owner-init", encoded)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    world.heads.saw_verified(&user.owns(&request, &answer.body).unwrap());
    while account.version() < MAX_VERSIONS {
        let record = account.records.last().unwrap().clone();
        let request = user.update_request(&account.label, record.clone());
        let encoded = request.encode().unwrap();
        let answer = world.until_answered(Call::operation("/v1/update", encoded)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let created = user.updated(&request, &answer.body).unwrap();
        let [(created, head)] = created.as_slice() else { panic!("more than one log entry: {created:?}") };
        assert_eq!(created.versions, [(account.version(), Some(record.clone()))]);
        world.heads.saw_verified(head);
        world.acknowledge(&account.label, account.version(), &record);
        world.counts.owned.add(1);
        if world.is_stopped() {
            return;
        }
        account.advance();
    }
    world.stopped().await;
}

/// Looks acknowledged labels up, with one state for the whole run, and gives the user back.
pub async fn search(world: Arc<World>, mut rng: StdRng) -> User {
    let mut user = User::new(&world.verifier);
    while !world.is_stopped() {
        let place = format!("{}-user-{}", rng.random_range(0..3), rng.random_range(0..100));
        match world.some_label(place.as_bytes()) {
            Some((label, greatest)) => {
                let version = rng.random_bool(0.3).then(|| rng.random_range(0..=greatest));
                find(&world, &mut user, &label, version, greatest).await;
            }
            // Nothing is acknowledged yet: an event of the load will change that.
            None => tokio::task::yield_now().await,
        }
    }
    user
}

/// Searches for a version, or for the greatest, of which `acknowledged` is known; verifies and compares the value.
pub async fn find(world: &World, user: &mut User, label: &[u8], version: Option<u32>, acknowledged: u32) {
    let request = user.search_request(label, version);
    let encoded = request.encode().unwrap();
    let answer = world.until_answered(Call::operation("/v1/search", encoded)).await;
    let name = String::from_utf8_lossy(label).into_owned();
    assert_eq!(answer.status, 200, "{name}, which was acknowledged: {}", answer.text());
    let found = user.searched(&request, &answer.body);
    let (found, head) = found.unwrap_or_else(|error| panic!("{name}: {error} ({error:?})"));
    assert!(found.version >= version.unwrap_or(acknowledged), "{name}: version {acknowledged} is lost");
    world.compare(label, found.version, &found.value);
    world.heads.saw_verified(&head);
    world.counts.searches.add(1);
}

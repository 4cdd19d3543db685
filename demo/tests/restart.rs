//! Ending, restarting, and going on without witnesses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

#[allow(dead_code, reason = "each test program uses another part")]
mod support;

use std::time::Duration;

use keyglass_account::{api::PREKEYS, problem::Problem};
use keyglass_demo::{
    daemon::Daemon,
    system::{System, Timing},
};
use keyglass_keytrans::wire::Wire as _;
use keyglass_tlog::{checkpoint::Checkpoint, note::SignedNote};
use reqwest::Method;
use serde_json::Value;

use crate::support::{
    account::{Account, upload},
    api::{Answer, Api, Call, to_json},
    programs::{QUIET, WitnessPlace, api, new_user},
};

/// The longest that a program may take to end on SIGTERM.
const ENDING: Duration = Duration::from_secs(5);

/// How often, and with which pause, something is asked for that comes by itself.
const ATTEMPTS: u32 = 1200;
const PAUSE: Duration = Duration::from_millis(50);

/// Repeats a request until its answer is as wanted.
async fn until(api: &Api, call: Call<'_>, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let answer = api.call(call.clone()).await;
        if wanted(&answer) {
            return answer;
        }
        last = Some(answer);
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{} {} does not come: {last:?}", call.method, call.path)
}

async fn publish(api: &Api, account: &Account) {
    let answer =
        until(api, Call::operation("/v1/update", account.update()), |answer| answer.status != 503).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The published head, without its cosignatures.
async fn head(api: &Api) -> Checkpoint {
    let answer = until(api, Call::get("/checkpoint"), |answer| answer.status == 200).await;
    Checkpoint::from_note(&SignedNote::parse(&answer.body).unwrap()).unwrap()
}

async fn report(api: &Api, path: &str) -> (u16, Value) {
    let answer = api.call(Call::get(path)).await;
    (answer.status, answer.json())
}

/// Looks a label up as a user who has seen nothing, and verifies.
async fn finds(system: &System, api: &Api, account: &Account) {
    let mut user = new_user(system);
    let request = user.search_request(&account.label, None);
    let answer = api.call(Call::operation("/v1/search", request.encode().unwrap())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (found, _) = user.searched(&request, &answer.body).unwrap();
    assert_eq!((found.version, Some(&found.value)), (account.version(), account.records.last()));
}

async fn ends(name: &str, daemon: Daemon) {
    let ended = tokio::time::timeout(ENDING, daemon.stop()).await;
    ended.unwrap_or_else(|_| panic!("{name} has not ended after {ENDING:?}")).unwrap();
}

/// A system's witnesses, by place.
struct Witnesses(Vec<(WitnessPlace, Option<Daemon>)>);

impl Witnesses {
    fn of(system: &mut System) -> Self {
        let places: Vec<WitnessPlace> = (0..3).map(|index| WitnessPlace::of(system, index)).collect();
        Self(places.into_iter().zip(system.witnesses.drain(..).map(Some)).collect())
    }

    async fn kill(&mut self, count: usize) {
        for (_, witness) in self.0.iter_mut().take(count) {
            witness.take().unwrap().kill().await.unwrap();
        }
    }

    async fn start(&mut self) {
        for (place, witness) in self.0.iter_mut().filter(|(_, witness)| witness.is_none()) {
            let started = place.start().await;
            assert_eq!(started.address(), place.address, "another port than asked for");
            *witness = Some(started);
        }
    }
}

#[tokio::test]
async fn sigterm_ends_every_program_in_time_and_with_success() {
    let mut system = System::start(Timing::default()).await.unwrap();
    let api = api(&system);
    let account = Account::new(&api.origin, "before-the-end", 1);
    publish(&api, &account).await;
    system.start_auditor().await.unwrap();
    ends("the auditor", system.auditor.take().unwrap()).await;
    for (n, witness) in system.witnesses.drain(..).enumerate() {
        ends(&format!("witness {n}"), witness).await;
    }
    // An update that cannot be published any more is under way, and connections are open.
    let waiting = Account::new(&api.origin, "under-way", 1);
    let (call, asking) = (waiting.update(), api.clone());
    let under_way = tokio::spawn(async move { asking.attempt(&Call::operation("/v1/update", call)).await });
    let sequenced = |answer: &Answer| {
        answer.json::<Value>()["sequenced"].as_u64() > answer.json::<Value>()["published"].as_u64()
    };
    until(&api, Call::get("/readyz"), sequenced).await;
    ends("the log-server", system.server.take().unwrap()).await;
    // Whoever waits is told, or sees the connection end; nobody is left hanging.
    if let Ok(answer) = under_way.await.unwrap() {
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
}

#[tokio::test]
async fn killed_programs_start_again_at_once_where_they_were() {
    let mut system = System::start(QUIET).await.unwrap();
    let api = api(&system);
    let mut account = Account::new(&api.origin, "survivor", 1);
    publish(&api, &account).await;
    let body = to_json(&upload(
        Some(&account.devices[0].signed_prekey(1, 0)),
        &[&account.devices[0].batch(0, 0, 10)],
    ));
    let upload = Call::signed(Method::PUT, PREKEYS, &account.devices[0], body);
    assert_eq!(api.call(upload).await.status, 200);
    let mut witnesses = Witnesses::of(&mut system);
    for life in 0..3 {
        let before = head(&api).await;
        let address = system.server.as_ref().unwrap().address().to_owned();
        system.server.take().unwrap().kill().await.unwrap();
        system.start_log(&address).await.unwrap();
        assert_eq!(system.url().unwrap(), api.base, "another port than asked for");
        let after = head(&api).await;
        assert!(before.is_same_tree(&after) || after.tree_size() > before.tree_size(), "{before} {after}");
        finds(&system, &api, &account).await;
        witnesses.kill(3).await;
        witnesses.start().await;
        account.advance();
        publish(&api, &account).await;
        assert_eq!(account.version(), life + 1);
    }
    finds(&system, &api, &account).await;
}

#[tokio::test]
async fn without_a_quorum_the_last_head_is_served_and_what_waits_is_published_later() {
    let mut system = System::start(Timing { max_behind: 3_600_000, heartbeat: 500 }).await.unwrap();
    let api = api(&system);
    let old = Account::new(&api.origin, "old", 1);
    publish(&api, &old).await;
    assert_eq!(report(&api, "/readyz").await.0, 200);

    let mut witnesses = Witnesses::of(&mut system);
    witnesses.kill(2).await;
    let new = Account::new(&api.origin, "new", 1);
    let answer = api.call(Call::operation("/v1/update", new.update())).await;
    assert_eq!(answer.problem(), Some(Problem::UpdatePending), "{}", answer.text());
    assert!(answer.retry_after.is_some_and(|seconds| seconds > 0));
    // At once, this time: the label is known to be under way.
    let again = api.call(Call::operation("/v1/update", new.update())).await;
    assert_eq!((again.problem(), again.retry_after.is_some()), (Some(Problem::UpdatePending), true));
    let before = head(&api).await;
    finds(&system, &api, &old).await;
    let mut user = new_user(&system);
    let request = user.search_request(&new.label, None).encode().unwrap();
    let unknown = api.call(Call::operation("/v1/search", request)).await;
    assert_eq!(unknown.problem(), Some(Problem::UnknownLabel), "what is not witnessed is not served");

    let not_ready = until(&api, Call::get("/readyz"), |answer| answer.status == 503).await.json::<Value>();
    assert_eq!(not_ready["status"], "degraded");
    assert!(not_ready["problems"].to_string().contains("no quorum"), "{not_ready}");
    assert!(not_ready["sequenced"].as_u64() > not_ready["published"].as_u64(), "{not_ready}");
    assert_eq!(report(&api, "/healthz").await.0, 200, "a restart would not help");
    assert!(before.is_same_tree(&head(&api).await));

    witnesses.start().await;
    publish(&api, &new).await;
    finds(&system, &api, &new).await;
    until(&api, Call::get("/readyz"), |answer| answer.status == 200).await;
    assert!(head(&api).await.tree_size() > before.tree_size());
    user = new_user(&system);
    let request = user.search_request(&old.label, Some(0));
    let answer = api.call(Call::operation("/v1/search", request.encode().unwrap())).await;
    user.searched(&request, &answer.body).unwrap();
}

#[tokio::test]
async fn a_log_server_starts_while_all_witnesses_are_down() {
    let mut system = System::start(QUIET).await.unwrap();
    let api = api(&system);
    let old = Account::new(&api.origin, "old", 1);
    publish(&api, &old).await;
    let before = head(&api).await;
    let address = system.stop_log().await.unwrap();
    let mut witnesses = Witnesses::of(&mut system);
    witnesses.kill(3).await;
    system.start_log(&address).await.unwrap();
    assert!(before.is_same_tree(&head(&api).await), "the last published head is served");
    finds(&system, &api, &old).await;
    let new = Account::new(&api.origin, "new", 1);
    let answer = api.call(Call::operation("/v1/update", new.update())).await;
    assert_eq!(answer.problem(), Some(Problem::UpdatePending), "{}", answer.text());
    assert!(answer.retry_after.is_some());
    // What waits survives a kill, too.
    system.server.take().unwrap().kill().await.unwrap();
    system.start_log(&address).await.unwrap();
    until(&api, Call::get("/readyz"), |answer| answer.status == 503).await;
    witnesses.start().await;
    publish(&api, &new).await;
    finds(&system, &api, &new).await;
}

#[tokio::test]
async fn a_new_log_that_no_witness_has_seen_says_so() {
    let mut system = System::start(QUIET).await.unwrap();
    system.stop_log().await.unwrap();
    Witnesses::of(&mut system).kill(3).await;
    let fresh = keyglass_demo::system::Log::init(system.directory(), "fresh", QUIET).await.unwrap();
    let policy = std::fs::read_to_string(&system.policy).unwrap().replace(&system.log.vkey, &fresh.vkey);
    let file = system.directory().join("fresh.policy");
    std::fs::write(&file, policy).unwrap();
    let server = fresh.serve("127.0.0.1:0", &file, QUIET).await.unwrap();
    let api = Api::new(server.url(), &fresh.origin);
    let checkpoint = api.call(Call::get("/checkpoint")).await;
    assert_eq!(checkpoint.problem(), Some(Problem::NotPublished), "{}", checkpoint.text());
    assert!(checkpoint.retry_after.is_some());
    let account = Account::new(&api.origin, "early", 1);
    let answer = api.call(Call::operation("/v1/update", account.update())).await;
    assert_eq!((answer.problem(), answer.retry_after.is_some()), (Some(Problem::NotPublished), true));
    assert_eq!(report(&api, "/readyz").await.0, 503);
    assert_eq!(report(&api, "/healthz").await.0, 200);
    ends("the log-server", server).await;
}

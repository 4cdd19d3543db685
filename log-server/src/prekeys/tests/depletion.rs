//! Depletion as an attack: what strangers cannot drain, and what survives a restart.

use keyglass_account::time::UnixMillis;

use super::{material::*, reserve::Grant, rocksdb::RocksPreKeys, *};

/// A stage whose Bob has a pool of 100 keys.
fn stocked(settings: Settings) -> Stage {
    let stage = Stage::with(Arc::new(MemoryPreKeys::default()), settings);
    stage.stock(100);
    stage
}

/// An account that was first published so many days before the start.
fn account(stage: &Stage, name: &str, days: u64) -> Actor {
    let actor = Actor::new(name, 1);
    stage.world.accounts.first_seen(&actor.name.label, UnixMillis(START.0 - days * DAY));
    actor
}

fn has_key(stage: &Stage, requester: &Actor, id: u32) -> bool {
    stage.fetch_as(requester, id).unwrap().one_time.is_some()
}

fn left(stage: &Stage) -> u32 {
    stage.service.status(&stage.world.bob.name).unwrap().one_time
}

/// No target quota, so that only the reserve limits what strangers get.
fn only_the_reserve() -> Settings {
    let quota = Quota { count: u32::MAX, period: Duration::from_millis(1) };
    Settings { per_target: quota, per_pair: quota, per_requester: quota, ..Settings::default() }
}

/// Ten thousand fetches by five hundred young accounts within a day and a half, as fast as the quotas of each allow.
#[test]
fn ten_thousand_fetches_by_many_accounts_leave_keys_for_others() {
    let stage = stocked(Settings::default());
    let carol = Actor::new("carol", 1);
    let carols = stage.world.accounts.clone();
    carols.publish(&carol);
    let upload = material::upload(Some(&signed_prekey(&carol, 1, 0)), &[&batch(&carol, 1, 1, 100)]);
    stage.service.upload(&caller(&carol), &upload).unwrap();

    let sybils: Vec<Actor> = (0..500).map(|n| account(&stage, &format!("sybil {n}"), 6)).collect();
    let mut drained = 0;
    for round in 0..20 {
        for sybil in &sybils {
            // Never refused: whoever drains a pool does not cut the device off.
            drained += u32::from(has_key(&stage, sybil, round));
        }
        stage.world.clock.advance(HOUR);
    }
    assert_eq!((drained, left(&stage)), (75, 25), "all but the reserve is gone, and the reserve is whole");
    let meters = stage.service.meters();
    assert_eq!(meters.bundles(Grant::Common), 75);
    assert_eq!(meters.bundles(Grant::TargetQuota) + meters.bundles(Grant::NotEstablished), 10_000 - 75);
    assert_eq!(meters.bundles(Grant::Reserve), 0);

    // An established account gets a key all the same, each of its devices too few to drain anything.
    let alice = account(&stage, "alice", 400);
    assert!(has_key(&stage, &alice, 1));
    assert!(!has_key(&stage, &alice, 2) && !has_key(&stage, &Actor::new("alice", 2), 3));
    assert!((0..24).all(|n| has_key(&stage, &account(&stage, &format!("friend {n}"), 30), 1)));
    assert_eq!((left(&stage), meters.bundles(Grant::ReserveTaken)), (0, 2));
    // Other devices notice nothing.
    let bundle = stage.service.fetch(&alice.name, &carol.name, &request_id(9)).unwrap();
    assert!(bundle.one_time.is_some());
    // A refill serves strangers again, beyond a new reserve.
    let bob = &stage.world.bob;
    let more = material::upload(None, &[&batch(bob, 2, 101, 100)]);
    stage.service.upload(&caller(bob), &more).unwrap();
    stage.world.clock.advance(HOUR);
    assert!(has_key(&stage, &sybils[0], 100));
}

#[test]
fn the_last_quarter_is_for_established_accounts_once_each() {
    let stage = stocked(only_the_reserve());
    let young = account(&stage, "young", 6);
    assert_eq!((0..200).filter(|id| has_key(&stage, &young, *id)).count(), 75);
    let old = account(&stage, "old", 7);
    assert!(has_key(&stage, &old, 1));
    assert!(!has_key(&stage, &old, 2), "one");
    stage.world.clock.advance(DAY);
    assert!(has_key(&stage, &young, 1000), "it has come of age");
    assert_eq!(left(&stage), 23);
    // The device's own account is no stranger to it, however young.
    stage.world.accounts.first_seen(b"bob", START);
    assert!(has_key(&stage, &Actor::new("bob", 2), 1));
    let status = stage.service.status(&stage.world.bob.name).unwrap();
    assert_eq!((status.one_time, status.low_water), (22, true));
}

#[test]
fn an_account_waits_for_its_next_key_of_a_reserve() {
    let settings = Settings { reserve_percent: 100, ..only_the_reserve() };
    let stage = stocked(settings);
    let bob = &stage.world.bob;
    let at = START;
    let lasting = signed_prekey_living(bob, 2, 0, at, UnixMillis(at.0 + 100 * DAY));
    stage.service.upload(&caller(bob), &upload(Some(&lasting), &[])).unwrap();
    let old = account(&stage, "old", 400);
    assert!(has_key(&stage, &old, 1));
    stage.world.clock.advance(30 * DAY - 1);
    assert!(!has_key(&stage, &old, 2));
    // What is remembered of the pair outlives every pruning until then.
    while stage.service.prune().unwrap() > 0 {}
    assert!(!has_key(&stage, &old, 3));
    stage.world.clock.advance(1);
    assert!(has_key(&stage, &old, 4) && !has_key(&stage, &old, 5));
    // A clock that was far ahead bars nobody for longer.
    stage.world.clock.rewind(29 * DAY);
    assert!(has_key(&stage, &old, 6));
}

#[test]
fn an_unpublished_requester_is_not_established() {
    let stage = stocked(Settings { reserve_percent: 100, ..only_the_reserve() });
    let new = account(&stage, "new", 0);
    stage.world.clock.advance(7 * DAY - 1);
    assert!(!has_key(&stage, &new, 1));
    stage.world.clock.advance(1);
    assert!(has_key(&stage, &new, 2));
}

#[test]
fn the_target_quota_spares_one_key_for_each_established_account() {
    let hour = Duration::from_secs(3600);
    let settings = Settings { per_target: Quota { count: 10, period: hour }, ..Settings::default() };
    let stage = stocked(settings);
    let young: Vec<Actor> = (0..20).map(|n| account(&stage, &format!("young {n}"), 1)).collect();
    assert_eq!(young.iter().filter(|actor| has_key(&stage, actor, 1)).count(), 10);
    let old = account(&stage, "old", 100);
    assert!(has_key(&stage, &old, 1) && !has_key(&stage, &old, 2));
    assert_eq!(stage.service.meters().bundles(Grant::TargetQuota), 10 + 1);
    // The one beyond the quota did not count in it.
    stage.world.clock.advance(HOUR / 10);
    assert!(has_key(&stage, &young[19], 2) && !has_key(&stage, &young[18], 2));
}

/// What an attacker has used up stays used up, whatever makes the server start anew.
#[test]
fn a_restart_forgives_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let hour = Duration::from_secs(3600);
    let settings = Settings {
        per_pair: Quota { count: 5, period: hour },
        per_target: Quota { count: 20, period: hour },
        ..Settings::default()
    };
    let open = || Arc::new(RocksPreKeys::new(open_db(directory.path())));
    let mut stage = Stage::with(open(), settings.clone());
    stage.stock(100);
    let restart = |stage: &mut Stage| {
        // The database must be closed before it is opened again.
        stage.service = Arc::new(serve(&stage.world, Arc::new(MemoryPreKeys::default()), settings.clone()));
        stage.service = Arc::new(serve(&stage.world, open(), settings.clone()));
    };
    let (one, two) = (account(&stage, "one", 1), account(&stage, "two", 1));
    let old = account(&stage, "old", 100);
    let mut next_id = 0;
    let mut count = |stage: &Stage, actor: &Actor, tries: u32| {
        let ids = next_id..next_id + tries;
        next_id += tries;
        ids.filter(|id| has_key(stage, actor, *id)).count()
    };
    assert_eq!(count(&stage, &one, 10), 5);
    restart(&mut stage);
    assert_eq!(count(&stage, &one, 10), 0, "the pair quota");
    for n in 0..3 {
        assert_eq!(count(&stage, &account(&stage, &format!("more {n}"), 1), 10), 5);
        restart(&mut stage);
    }
    assert_eq!(count(&stage, &two, 10), 0, "the target quota");
    assert_eq!(count(&stage, &old, 10), 1);
    restart(&mut stage);
    assert_eq!(count(&stage, &old, 10), 0, "the key from the reserve");
    stage.world.clock.advance(HOUR);
    assert_eq!(count(&stage, &one, 10), 5);
}

/// The attack against storage: what is remembered of pairs goes when it says nothing any more.
#[test]
fn pairs_are_forgotten_when_their_counts_are_back() {
    let stage = stocked(Settings::default());
    for n in 0..50 {
        assert!(has_key(&stage, &account(&stage, &format!("young {n}"), 1), 1));
    }
    let notes = || {
        let due = stage.service.store.due(UnixMillis(u64::MAX), 1000).unwrap();
        due.into_iter().filter(|(_, what)| matches!(what, store::Expiring::Pair(_))).count()
    };
    assert_eq!(notes(), 50);
    let again = account(&stage, "young 0", 1);
    assert!(has_key(&stage, &again, 2));
    assert_eq!(notes(), 50, "one note for each pair, however often it comes");
    stage.world.clock.advance(HOUR + 120_000);
    while stage.service.prune().unwrap() > 0 {}
    assert_eq!(notes(), 0);
    let pair = reserve::PairKey::new(&again.name, &stage.world.bob.name);
    assert_eq!(stage.service.store.pair(&pair).unwrap(), None);
}

#[test]
fn a_pool_that_was_never_large_keeps_no_reserve_of_nothing() {
    let stage = Stage::with(Arc::new(MemoryPreKeys::default()), only_the_reserve());
    stage.stock(3);
    let young = account(&stage, "young", 1);
    assert_eq!((0..10).filter(|id| has_key(&stage, &young, *id)).count(), 3);
    assert_eq!(stage.service.meters().bundles(Grant::Empty), 7);
}

//! Many at once, and crashes: no one-time prekey is handed out twice.

use std::{collections::BTreeSet, fs, path::Path};

use super::{material::*, rocksdb::RocksPreKeys, *};

/// The keys that all requesters got, each asking `each` times, all at once.
fn fetch_all(stage: &Stage, requesters: u32, each: u32) -> Vec<Option<u32>> {
    std::thread::scope(|scope| {
        let fetchers: Vec<_> = (0..requesters)
            .map(|requester| {
                scope.spawn(move || {
                    let actor = Actor::new(&format!("requester {requester}"), 1);
                    let fetch = |id| {
                        let bundle = stage.fetch_as(&actor, id).unwrap();
                        // The same again, at once.
                        assert_eq!(stage.fetch_as(&actor, id).unwrap(), bundle);
                        bundle.one_time.map(|entry| entry.prekey.id)
                    };
                    (0..each).map(fetch).collect::<Vec<_>>()
                })
            })
            .collect();
        fetchers.into_iter().flat_map(|fetcher| fetcher.join().unwrap()).collect()
    })
}

fn each_at_most_once(stage: &Stage) {
    stage.stock(100);
    let keys = fetch_all(stage, 16, 10);
    let handed_out: Vec<u32> = keys.iter().flatten().copied().collect();
    assert_eq!(handed_out.len(), 100);
    assert_eq!(handed_out.iter().copied().collect::<BTreeSet<_>>(), (1..=100).collect());
    assert_eq!(keys.len(), 160);
    assert_eq!(stage.service.status(&stage.world.bob.name).unwrap().one_time, 0);
}

#[test]
fn each_key_is_handed_out_at_most_once_from_memory() {
    each_at_most_once(&Stage::with(Arc::new(MemoryPreKeys::default()), unlimited()));
}

#[test]
fn each_key_is_handed_out_at_most_once_from_rocksdb() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(RocksPreKeys::new(open_db(directory.path())));
    each_at_most_once(&Stage::with(store, unlimited()));
}

#[test]
fn the_same_request_at_once_burns_one_key() {
    let stage = Stage::with(Arc::new(MemoryPreKeys::default()), unlimited());
    stage.stock(10);
    let bundles: BTreeSet<Vec<u8>> = std::thread::scope(|scope| {
        let fetchers: Vec<_> = (0..8).map(|_| scope.spawn(|| stage.fetch(1).unwrap().encode())).collect();
        fetchers.into_iter().map(|fetcher| fetcher.join().unwrap()).collect()
    });
    assert_eq!(bundles.len(), 1);
    assert_eq!(stage.service.status(&stage.world.bob.name).unwrap().one_time, 9);
}

#[test]
fn uploads_and_fetches_at_once_lose_nothing() {
    let stage = Stage::with(Arc::new(MemoryPreKeys::default()), unlimited());
    stage.stock(10);
    let bob = &stage.world.bob;
    let keys = std::thread::scope(|scope| {
        let uploader = scope.spawn(|| {
            for number in 2..=20_u32 {
                let more = batch(bob, number, (number - 1) * 10 + 1, 10);
                stage.service.upload(&caller(bob), &upload(None, &[&more])).unwrap();
            }
        });
        let keys = fetch_all(&stage, 8, 20);
        uploader.join().unwrap();
        keys
    });
    let handed_out: Vec<u32> = keys.into_iter().flatten().collect();
    assert_eq!(handed_out.iter().collect::<BTreeSet<_>>().len(), handed_out.len());
    let left = stage.service.status(&bob.name).unwrap().one_time;
    assert_eq!(handed_out.len() + usize::try_from(left).unwrap(), 200);
}

/// What the disk holds at this moment: what would be there after the process was killed.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn what_was_answered_is_on_the_disk_before_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("db");
    let store = Arc::new(RocksPreKeys::new(open_db(&database)));
    let stage = Stage::with(store, unlimited());
    stage.stock(20);
    let mut answered = Vec::new();
    for id in 0..20 {
        answered.push(stage.fetch(id).unwrap());
        let killed = directory.path().join(format!("killed after {id}"));
        copy(&database, &killed);
        let survivor = Arc::new(RocksPreKeys::new(open_db(&killed)));
        let restarted =
            Stage { service: Arc::new(serve(&stage.world, survivor, unlimited())), world: World::new() };
        // What was answered is answered the same way, and nothing of it to anybody else.
        for (old, bundle) in (0..).zip(&answered) {
            assert_eq!(restarted.fetch(old).unwrap(), *bundle);
        }
        let next = restarted.fetch(1000).unwrap().one_time.map(|entry| entry.prekey.id);
        assert_eq!(next, if id < 19 { Some(id + 2) } else { None });
    }
}

#[test]
fn a_restart_resumes_where_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    for start in 0..5 {
        let store = Arc::new(RocksPreKeys::new(open_db(directory.path())));
        let stage = Stage::with(store, unlimited());
        if start == 0 {
            stage.stock(50);
        }
        keys.extend(fetch_all(&stage, 4, 3));
    }
    let handed_out: BTreeSet<u32> = keys.iter().flatten().copied().collect();
    // Requests of an earlier start are repeated, not served anew.
    assert_eq!((keys.len(), handed_out.len()), (60, 12));
}

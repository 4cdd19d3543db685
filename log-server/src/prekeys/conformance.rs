//! What every store of prekeys must do.

use std::collections::BTreeSet;

use keyglass_account::codec::Writer;
use keyglass_tlog::time::UnixMillis;

use super::{
    memory::MemoryPreKeys,
    pool::{LastResort, LiveBatch, Place, Pool, Stock},
    reserve::{Pair, PairKey},
    rocksdb::RocksPreKeys,
    store::{Answer, Expiring, PreKeyStore, RequestKey, Write},
    tests::material,
};
use crate::tokens::{
    DeviceName,
    tests::cast::{Actor, START, open_db},
};

fn name(label: &str, device: u32) -> DeviceName {
    DeviceName { label: label.as_bytes().to_vec(), device }
}

fn pool(next_batch: u32) -> Pool {
    let live = LiveBatch {
        batch: 1,
        leaf_count: 100,
        handed_out: 99,
        expires: UnixMillis(u64::MAX),
        root: [9; 32],
        answered: START,
    };
    let signed_prekey = material::signed_prekey(&Actor::new("bob", 1), 1, 3);
    Pool {
        signed_prekey: Some(signed_prekey),
        last_resort: Some(LastResort { id: 4, expires: START, floor: 3, hash: [8; 32] }),
        next_batch,
        next_id: u32::MAX,
        x25519: Stock { stocked: 300, batches: vec![live, live] },
        kem: Stock { stocked: 30, batches: vec![live] },
        target_back: 77,
        absent_since: Some(START),
    }
}

fn answer(index: u16) -> Answer {
    Answer {
        signed_prekey: 7,
        one_time: Some(Place { batch: 5, index }),
        kem: Some(Place { batch: 6, index: 1 }),
        last_resort: Some(3),
        expires: START,
    }
}

/// Names that would collide if their parts ran into each other.
fn names() -> Vec<DeviceName> {
    vec![
        name("bob", 1),
        name("bob", 2),
        name("bo", 1),
        name("bob\0", 1),
        name("", 1),
        name(&"x".repeat(255), 1),
    ]
}

fn starts_empty(store: &dyn PreKeyStore) {
    assert_eq!(store.pool(&name("bob", 1)).unwrap(), None);
    assert_eq!(store.signed_prekey(&name("bob", 1), 0).unwrap(), None);
    assert_eq!(store.batch(&name("bob", 1), 0).unwrap(), None);
    assert_eq!(store.answer(&RequestKey([0; 32])).unwrap(), None);
    assert_eq!(store.due(UnixMillis(u64::MAX), 10).unwrap(), []);
    store.commit(&[]).unwrap();
}

fn keeps_names_apart(store: &dyn PreKeyStore) {
    let mut writes = Vec::new();
    for (number, device) in (0_u32..).zip(names()) {
        writes.push(Write::Pool(device.clone(), Box::new(pool(number))));
        writes.push(Write::SignedPreKey(device.clone(), 1, number.to_be_bytes().to_vec()));
        writes.push(Write::Batch(device.clone(), 1, number.to_le_bytes().to_vec()));
    }
    store.commit(&writes).unwrap();
    for (number, device) in (0_u32..).zip(names()) {
        assert_eq!(store.pool(&device).unwrap(), Some(pool(number)));
        assert_eq!(store.signed_prekey(&device, 1).unwrap(), Some(number.to_be_bytes().to_vec()));
        assert_eq!(store.batch(&device, 1).unwrap(), Some(number.to_le_bytes().to_vec()));
        assert_eq!(store.batch(&device, 2).unwrap(), None);
    }
}

fn replaces_and_deletes(store: &dyn PreKeyStore) {
    let (device, request) = (name("bob", 1), RequestKey([1; 32]));
    store
        .commit(&[Write::Pool(device.clone(), Box::new(pool(8))), Write::Answer(request, answer(3))])
        .unwrap();
    store.commit(&[Write::Pool(device.clone(), Box::default())]).unwrap();
    assert_eq!(store.pool(&device).unwrap(), Some(Pool::default()));
    assert_eq!(store.answer(&request).unwrap(), Some(answer(3)));
    let without = Answer { one_time: None, kem: None, last_resort: None, ..answer(0) };
    store.commit(&[Write::Answer(RequestKey([2; 32]), without)]).unwrap();
    assert_eq!(store.answer(&RequestKey([2; 32])).unwrap(), Some(without));

    store
        .commit(&[
            Write::Delete(Expiring::Answer(request)),
            Write::Delete(Expiring::Batch(device.clone(), 1)),
            Write::Delete(Expiring::SignedPreKey(device.clone(), 1)),
            Write::Delete(Expiring::Batch(device.clone(), 77)),
        ])
        .unwrap();
    assert_eq!(store.answer(&request).unwrap(), None);
    assert_eq!(store.batch(&device, 1).unwrap(), None);
    assert_eq!(store.signed_prekey(&device, 1).unwrap(), None);
    assert!(store.batch(&name("bob", 2), 1).unwrap().is_some(), "of another device");
}

fn keeps_pairs_and_last_resorts(store: &dyn PreKeyStore) {
    let (device, key) = (name("bob", 1), PairKey([5; 32]));
    let pair = Pair { back: u64::MAX, reserve: Some(START), expires: UnixMillis(7) };
    assert_eq!(store.pair(&key).unwrap(), None);
    assert_eq!(store.last_resort(&device, 1).unwrap(), None);
    store.commit(&[Write::Pair(key, pair), Write::LastResort(device.clone(), 1, vec![7; 1278])]).unwrap();
    assert_eq!(store.pair(&key).unwrap(), Some(pair));
    assert_eq!(store.pair(&PairKey([6; 32])).unwrap(), None);
    assert_eq!(store.last_resort(&device, 1).unwrap(), Some(vec![7; 1278]));
    assert_eq!(store.last_resort(&device, 2).unwrap(), None);
    let without = Pair { reserve: None, ..pair };
    store.commit(&[Write::Pair(key, without)]).unwrap();
    assert_eq!(store.pair(&key).unwrap(), Some(without));
    store
        .commit(&[Write::Delete(Expiring::Pair(key)), Write::Delete(Expiring::LastResort(device.clone(), 1))])
        .unwrap();
    assert_eq!((store.pair(&key).unwrap(), store.last_resort(&device, 1).unwrap()), (None, None));
}

fn keeps_kem_entries(store: &dyn PreKeyStore) {
    let entries = |mark: u8| (0..128).map(|index| vec![mark, index]).collect::<Vec<_>>();
    for (mark, device) in (0..).zip(names()) {
        store.commit(&[Write::KemBatch(device.clone(), 1, entries(mark))]).unwrap();
        store.commit(&[Write::KemBatch(device, 2, entries(mark)[..1].to_vec())]).unwrap();
    }
    let entry = |device: &DeviceName, batch, index| store.kem_entry(device, Place { batch, index }).unwrap();
    for (mark, device) in (0..).zip(names()) {
        assert_eq!(entry(&device, 1, 127), Some(vec![mark, 127]));
        assert_eq!((entry(&device, 1, 128), entry(&device, 2, 1), entry(&device, 3, 0)), (None, None, None));
    }
    let [first, second, ..] = &names()[..] else { panic!() };
    store.commit(&[Write::Delete(Expiring::KemBatch(first.clone(), 1))]).unwrap();
    assert!((0..128).all(|index| entry(first, 1, index).is_none()));
    assert!(entry(first, 2, 0).is_some() && entry(second, 1, 0).is_some());
}

fn lists_pools(store: &dyn PreKeyStore) {
    let all = store.pools(None, 100).unwrap();
    assert_eq!(all.iter().collect::<BTreeSet<_>>(), names().iter().collect());
    for step in 1..=all.len() {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let next = store.pools(after.as_ref(), step).unwrap();
            after = next.last().cloned();
            found.extend(next.iter().cloned());
            if next.len() < step {
                break;
            }
        }
        assert_eq!(found, all, "{step} at a time");
    }
    let gone = name("gone", 1);
    store.commit(&[Write::Pool(gone.clone(), Box::new(pool(1)))]).unwrap();
    assert_eq!(store.pools(None, 100).unwrap().len(), all.len() + 1);
    store.commit(&[Write::DeletePool(gone.clone())]).unwrap();
    assert_eq!(store.pool(&gone).unwrap(), None);
    assert_eq!(store.pools(None, 100).unwrap(), all);
}

fn orders_what_is_due(store: &dyn PreKeyStore) {
    let notes = [
        (UnixMillis(3), Expiring::Answer(RequestKey([9; 32]))),
        (UnixMillis(1), Expiring::Batch(name("bob", 1), 4)),
        (UnixMillis(256), Expiring::SignedPreKey(name("bob", 1), 4)),
        (UnixMillis(2), Expiring::SignedPreKey(name("bo", 1), 4)),
        (UnixMillis(257), Expiring::LastResort(name("bo", 1), 4)),
        (UnixMillis(259), Expiring::KemBatch(name("bob", 1), 4)),
        (UnixMillis(258), Expiring::Pair(PairKey([3; 32]))),
    ];
    let schedule: Vec<Write> =
        notes.iter().cloned().map(|(time, what)| Write::Schedule(time, what)).collect();
    store.commit(&schedule).unwrap();
    let times = |until, limit| -> Vec<u64> {
        store.due(UnixMillis(until), limit).unwrap().iter().map(|(time, _)| time.0).collect()
    };
    assert_eq!(times(u64::MAX, 10), [1, 2, 3, 256, 257, 258, 259]);
    assert_eq!(times(2, 10), [1, 2]);
    assert_eq!(times(u64::MAX, 3), [1, 2, 3]);
    assert_eq!(times(0, 10), [0; 0]);
    let due = store.due(UnixMillis(u64::MAX), 10).unwrap();
    assert!(notes.iter().all(|note| due.contains(note)), "names come back as they were");
    store.commit(&[Write::Unschedule(notes[1].0, notes[1].1.clone())]).unwrap();
    assert_eq!(times(u64::MAX, 10), [2, 3, 256, 257, 258, 259]);
}

fn takes_writes_in_order(store: &dyn PreKeyStore) {
    let device = name("order", 1);
    store
        .commit(&[
            Write::Batch(device.clone(), 1, vec![1]),
            Write::Delete(Expiring::Batch(device.clone(), 1)),
            Write::Batch(device.clone(), 2, vec![1]),
            Write::Batch(device.clone(), 2, vec![2]),
        ])
        .unwrap();
    assert_eq!(store.batch(&device, 1).unwrap(), None);
    assert_eq!(store.batch(&device, 2).unwrap(), Some(vec![2]));
}

fn conforms(store: &dyn PreKeyStore) {
    starts_empty(store);
    keeps_names_apart(store);
    lists_pools(store);
    keeps_kem_entries(store);
    keeps_pairs_and_last_resorts(store);
    replaces_and_deletes(store);
    orders_what_is_due(store);
    takes_writes_in_order(store);
}

#[test]
fn memory_conforms() {
    conforms(&MemoryPreKeys::default());
}

#[test]
fn rocksdb_conforms_and_remembers() {
    let directory = tempfile::tempdir().unwrap();
    conforms(&RocksPreKeys::new(open_db(directory.path())));
    let reopened = RocksPreKeys::new(open_db(directory.path()));
    assert_eq!(reopened.pool(&name("bob", 2)).unwrap(), Some(pool(1)));
    assert_eq!(reopened.due(UnixMillis(u64::MAX), 10).unwrap().len(), 6);
    assert_eq!(
        reopened.answer(&RequestKey([2; 32])).unwrap(),
        Some(Answer { one_time: None, kem: None, last_resort: None, ..answer(0) })
    );
}

#[test]
fn damaged_values_are_corrupt_not_absent() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_db(directory.path());
    let store = RocksPreKeys::new(db.clone());
    store.commit(&[Write::Pool(name("bob", 1), Box::new(pool(1)))]).unwrap();
    store.commit(&[Write::Answer(RequestKey([1; 32]), answer(1))]).unwrap();
    let pools = db.cf_handle("prekeys.pools").unwrap();
    let key = name("bob", 1).to_key();
    let value = db.get_cf(pools, &key).unwrap().unwrap();
    for len in 0..value.len() {
        db.put_cf(pools, &key, &value[..len]).unwrap();
        assert!(store.pool(&name("bob", 1)).is_err(), "{len} bytes");
    }
    let answers = db.cf_handle("prekeys.answers").unwrap();
    db.put_cf(answers, [1; 32], [0; 3]).unwrap();
    assert!(store.answer(&RequestKey([1; 32])).is_err());
    let notes = db.cf_handle("prekeys.notes").unwrap();
    db.put_cf(notes, [0; 9], []).unwrap();
    assert!(store.due(START, 1).is_err());
}

#[test]
fn what_an_earlier_version_stored_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_db(directory.path());
    let store = RocksPreKeys::new(db.clone());
    let bob = Actor::new("bob", 1);
    let batch = material::batch(&bob, 4, 1, 100);
    store.commit(&[Write::Batch(bob.name.clone(), 4, batch.encode())]).unwrap();
    let mut old = Writer::new();
    old.u8(1).u32(5).u32(101).u8(0).count16(1).u32(4).u16(100).u16(30).u64(START.0 + 1);
    db.put_cf(db.cf_handle("prekeys.pools").unwrap(), bob.name.to_key(), old.finish()).unwrap();
    let read = store.pool(&bob.name).unwrap().unwrap();
    assert_eq!((read.next_batch, read.next_id, read.x25519.left()), (5, 101, 70));
    assert_eq!(read.x25519.batches[0].root, batch.header().root);
    store.commit(&[Write::Pool(bob.name.clone(), Box::new(read.clone()))]).unwrap();
    assert_eq!(store.pool(&bob.name).unwrap(), Some(read));

    let mut old = Writer::new();
    old.u32(7).u64(START.0).u8(1).u32(4).u16(29);
    db.put_cf(db.cf_handle("prekeys.answers").unwrap(), [4; 32], old.finish()).unwrap();
    let one_time = Some(Place { batch: 4, index: 29 });
    let expected = Answer { signed_prekey: 7, one_time, kem: None, last_resort: None, expires: START };
    assert_eq!(store.answer(&RequestKey([4; 32])).unwrap(), Some(expected));
}

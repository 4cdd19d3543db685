//! What every store of prekeys must do.

use keyglass_tlog::time::UnixMillis;

use super::{
    memory::MemoryPreKeys,
    pool::{LiveBatch, Place, Pool},
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
    let live = LiveBatch { batch: 1, leaf_count: 100, handed_out: 99, expires: UnixMillis(u64::MAX) };
    let signed_prekey = material::signed_prekey(&Actor::new("bob", 1), 1, 3);
    Pool { signed_prekey: Some(signed_prekey), next_batch, next_id: u32::MAX, batches: vec![live, live] }
}

fn answer(index: u16) -> Answer {
    Answer { signed_prekey: 7, one_time: Some(Place { batch: 5, index }), expires: START }
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
        writes.push(Write::Pool(device.clone(), pool(number)));
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
    store.commit(&[Write::Pool(device.clone(), pool(8)), Write::Answer(request, answer(3))]).unwrap();
    store.commit(&[Write::Pool(device.clone(), Pool::default())]).unwrap();
    assert_eq!(store.pool(&device).unwrap(), Some(Pool::default()));
    assert_eq!(store.answer(&request).unwrap(), Some(answer(3)));
    let without = Answer { one_time: None, ..answer(0) };
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

fn orders_what_is_due(store: &dyn PreKeyStore) {
    let notes = [
        (UnixMillis(3), Expiring::Answer(RequestKey([9; 32]))),
        (UnixMillis(1), Expiring::Batch(name("bob", 1), 4)),
        (UnixMillis(256), Expiring::SignedPreKey(name("bob", 1), 4)),
        (UnixMillis(2), Expiring::SignedPreKey(name("bo", 1), 4)),
    ];
    let schedule: Vec<Write> =
        notes.iter().cloned().map(|(time, what)| Write::Schedule(time, what)).collect();
    store.commit(&schedule).unwrap();
    let times = |until, limit| -> Vec<u64> {
        store.due(UnixMillis(until), limit).unwrap().iter().map(|(time, _)| time.0).collect()
    };
    assert_eq!(times(u64::MAX, 10), [1, 2, 3, 256]);
    assert_eq!(times(2, 10), [1, 2]);
    assert_eq!(times(u64::MAX, 3), [1, 2, 3]);
    assert_eq!(times(0, 10), [0; 0]);
    let due = store.due(UnixMillis(u64::MAX), 10).unwrap();
    assert!(notes.iter().all(|note| due.contains(note)), "names come back as they were");
    store.commit(&[Write::Unschedule(notes[1].0, notes[1].1.clone())]).unwrap();
    assert_eq!(times(u64::MAX, 10), [2, 3, 256]);
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
    assert_eq!(reopened.due(UnixMillis(u64::MAX), 10).unwrap().len(), 3);
    assert_eq!(reopened.answer(&RequestKey([2; 32])).unwrap(), Some(Answer { one_time: None, ..answer(0) }));
}

#[test]
fn damaged_values_are_corrupt_not_absent() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_db(directory.path());
    let store = RocksPreKeys::new(db.clone());
    store.commit(&[Write::Pool(name("bob", 1), pool(1))]).unwrap();
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

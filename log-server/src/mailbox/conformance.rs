//! What every store of messages must do.

use std::sync::Arc;

use keyglass_account::api::Id128;
use keyglass_tlog::time::UnixMillis;

use super::{
    memory::MemoryMailbox,
    rocksdb::RocksMailbox,
    store::{MailboxStore, Place, Queue, StoredMessage},
};
use crate::tokens::{DeviceName, tests::cast::open_db};

fn name(label: &str, device: u32) -> DeviceName {
    DeviceName { label: label.as_bytes().to_vec(), device }
}

fn message(byte: u8, len: usize) -> StoredMessage {
    StoredMessage { id: Id128([byte; 16]), received: UnixMillis(u64::from(byte)), body: vec![byte; len] }
}

fn place(sequence: u64) -> Place {
    Place { sequence, hash: [7; 32] }
}

fn starts_empty(store: &dyn MailboxStore) {
    let bob = name("bob", 1);
    assert_eq!(store.queue(&bob).unwrap(), Queue::default());
    assert_eq!(store.find(&bob, Id128([1; 16])).unwrap(), None);
    assert_eq!(store.oldest(&bob, None, 10, 1000).unwrap(), []);
    assert!(store.body_len(&bob, 0).is_err());
}

fn keeps_order_and_bounds(store: &dyn MailboxStore) {
    let bob = name("bob", 1);
    // Numbers whose order as text is another.
    for (byte, sequence) in [(1, 0), (2, 9), (3, 10), (4, 255), (5, 256), (6, u64::MAX - 1)] {
        let queue = Queue { next: sequence + 1, messages: u32::from(byte), bytes: 10 };
        store.add(&bob, &queue, place(sequence), &message(byte, 10)).unwrap();
        assert_eq!(store.queue(&bob).unwrap(), queue);
        assert_eq!(store.find(&bob, Id128([byte; 16])).unwrap(), Some(place(sequence)));
        assert_eq!(store.body_len(&bob, sequence).unwrap(), 10);
    }
    let ids = |after, limit, bytes| -> Vec<u8> {
        store.oldest(&bob, after, limit, bytes).unwrap().iter().map(|message| message.id.0[0]).collect()
    };
    assert_eq!(ids(None, 100, 1000), [1, 2, 3, 4, 5, 6]);
    assert_eq!(ids(None, 2, 1000), [1, 2]);
    assert_eq!(ids(None, 100, 20), [1, 2, 3], "up to the one that exceeds the bytes");
    assert_eq!(ids(None, 100, 0), [1, 2], "and the second in any case");
    assert_eq!(ids(None, 1, 0), [1]);
    assert_eq!(ids(Some(9), 100, 1000), [3, 4, 5, 6]);
    assert_eq!(ids(Some(100), 2, 1000), [4, 5], "where there is none with this number, too");
    assert_eq!(ids(Some(u64::MAX - 1), 100, 1000), [0; 0]);
    assert_eq!(ids(Some(u64::MAX), 100, 1000), [0; 0]);
    assert_eq!(store.oldest(&bob, None, 1, 1000).unwrap(), [message(1, 10)]);
}

fn keeps_names_apart(store: &dyn MailboxStore) {
    for other in [name("bob", 2), name("bo", 1), name("bob\0", 1), name("", 1)] {
        assert_eq!(store.oldest(&other, None, 10, 1000).unwrap(), [], "{other:?}");
        assert_eq!(store.queue(&other).unwrap(), Queue::default());
        assert_eq!(store.find(&other, Id128([1; 16])).unwrap(), None);
        let queue = Queue { next: 1, messages: 1, bytes: 3 };
        store.add(&other, &queue, place(0), &message(9, 3)).unwrap();
    }
    assert_eq!(store.oldest(&name("bob", 1), None, 10, 1000).unwrap().len(), 6);
    assert_eq!(store.oldest(&name("bob", 2), None, 10, 1000).unwrap(), [message(9, 3)]);
}

fn removes(store: &dyn MailboxStore) {
    let bob = name("bob", 1);
    let queue = Queue { next: 300, messages: 4, bytes: 40 };
    store.remove(&bob, &queue, &[(Id128([2; 16]), 9), (Id128([5; 16]), 256), (Id128([8; 16]), 77)]).unwrap();
    assert_eq!(store.queue(&bob).unwrap(), queue);
    assert_eq!(store.find(&bob, Id128([2; 16])).unwrap(), None);
    let left: Vec<u8> =
        store.oldest(&bob, None, 10, 1000).unwrap().iter().map(|message| message.id.0[0]).collect();
    assert_eq!(left, [1, 3, 4, 6]);
    assert_eq!(store.oldest(&name("bob", 2), None, 10, 1000).unwrap().len(), 1);
}

fn conforms(store: &dyn MailboxStore) {
    starts_empty(store);
    keeps_order_and_bounds(store);
    keeps_names_apart(store);
    removes(store);
}

#[test]
fn memory_conforms() {
    conforms(&MemoryMailbox::default());
}

#[test]
fn rocksdb_conforms_and_remembers() {
    let directory = tempfile::tempdir().unwrap();
    conforms(&RocksMailbox::new(open_db(directory.path())));
    let db = open_db(directory.path());
    let reopened = RocksMailbox::new(Arc::clone(&db));
    assert_eq!(reopened.oldest(&name("bob", 1), None, 10, 1000).unwrap().len(), 4);
    conforms(&RocksMailbox::receipts(db));
    assert_eq!(reopened.queue(&name("bob", 1)).unwrap().next, 300);
    assert_eq!(reopened.find(&name("bob", 1), Id128([3; 16])).unwrap(), Some(place(10)));
}

#[test]
fn damaged_values_are_corrupt_not_absent() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_db(directory.path());
    let store = RocksMailbox::new(db.clone());
    let bob = name("bob", 1);
    store.add(&bob, &Queue::default(), place(0), &message(1, 5)).unwrap();
    let mut id_key = bob.to_key();
    id_key.extend_from_slice(&[1; 16]);
    let mut sequence_key = bob.to_key();
    sequence_key.extend_from_slice(&[0; 8]);
    for (family, key) in
        [("mailbox.queues", bob.to_key()), ("mailbox.places", id_key), ("mailbox.messages", sequence_key)]
    {
        db.put_cf(db.cf_handle(family).unwrap(), key, [1; 3]).unwrap();
    }
    assert!(store.queue(&bob).is_err());
    assert!(store.find(&bob, Id128([1; 16])).is_err());
    assert!(store.oldest(&bob, None, 1, 1).is_err());
    assert!(store.body_len(&bob, 0).is_err());
}

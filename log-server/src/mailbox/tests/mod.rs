//! The mailbox, over memory and over RocksDB.

use std::{sync::Mutex, time::Duration};

use proptest::prelude::*;

use super::{memory::MemoryMailbox, receipts as receipts_of, rocksdb::RocksMailbox, *};
use crate::{prekeys::quota::Quota, tokens::tests::cast::*};

mod http;
mod receipts;

struct Stage {
    world: World,
    service: Arc<Service>,
}

impl Stage {
    fn new() -> Self {
        Self::with(Arc::new(MemoryMailbox::default()), Settings::default())
    }

    fn with(store: Arc<dyn MailboxStore>, settings: Settings) -> Self {
        let world = World::new();
        let service = Arc::new(Service::new(store, world.accounts.clone(), world.clock.clone(), settings));
        Self { world, service }
    }

    /// Receipts that are kept in memory.
    fn receipts(&self) -> Arc<Receipts> {
        let (accounts, clock) = (self.world.accounts.clone(), self.world.clock.clone());
        let store = Arc::new(MemoryMailbox::default());
        Arc::new(Receipts::new(store, accounts, clock, receipts_of::HandshakeFailures::default()))
    }

    fn send(&self, id: u8, body: &[u8]) -> Result<(), SendError> {
        self.send_as(&self.world.alice.name, id, body)
    }

    fn send_as(&self, from: &DeviceName, id: u8, body: &[u8]) -> Result<(), SendError> {
        self.service.send(from, &self.world.bob.name, Id128([id; 16]), body.to_vec())
    }

    /// The first bytes of the ids that wait for Bob.
    fn waiting(&self) -> Vec<u8> {
        self.service
            .read(&self.world.bob.name, None)
            .unwrap()
            .0
            .iter()
            .map(|message| message.id.0[0])
            .collect()
    }

    fn ack(&self, ids: &[u8]) {
        let ids: Vec<Id128> = ids.iter().map(|id| Id128([*id; 16])).collect();
        self.service.acknowledge(&self.world.bob.name, &ids).unwrap();
    }
}

#[test]
fn messages_wait_until_they_are_acknowledged() {
    let stage = Stage::new();
    stage.send(3, b"first").unwrap();
    stage.world.clock.advance(5);
    stage.send(1, b"second").unwrap();
    for _ in 0..2 {
        let (messages, more) = stage.service.read(&stage.world.bob.name, None).unwrap();
        assert_eq!(
            messages.iter().map(|message| &message.body[..]).collect::<Vec<_>>(),
            [&b"first"[..], b"second"]
        );
        assert_eq!((messages[1].received.0, more), (START.0 + 5, false));
    }
    stage.ack(&[3]);
    assert_eq!(stage.waiting(), [1]);
    stage.ack(&[1, 1, 3, 9]);
    assert_eq!(stage.waiting(), [0; 0]);
    let queue = stage.service.store.queue(&stage.world.bob.name).unwrap();
    assert_eq!((queue.messages, queue.bytes), (0, 0));
    assert_eq!(stage.service.read(&stage.world.alice.name, None).unwrap().0, []);
}

#[test]
fn sending_again_changes_nothing_while_the_message_waits() {
    let stage = Stage::new();
    stage.send(1, b"hello").unwrap();
    stage.world.clock.advance(5);
    stage.send(1, b"hello").unwrap();
    let (messages, _) = stage.service.read(&stage.world.bob.name, None).unwrap();
    assert_eq!((messages.len(), messages[0].received), (1, START));
    assert_eq!(stage.send(1, b"other"), Err(SendError::IdReused));
    assert_eq!(stage.service.read(&stage.world.bob.name, None).unwrap().0, messages);
    // After it was acknowledged, it is delivered again: the receiver tells.
    stage.ack(&[1]);
    stage.send(1, b"hello").unwrap();
    assert_eq!(stage.waiting(), [1]);
}

#[test]
fn nobody_else_can_acknowledge() {
    let stage = Stage::new();
    stage.send(1, b"hello").unwrap();
    stage.service.acknowledge(&stage.world.alice.name, &[Id128([1; 16])]).unwrap();
    assert_eq!(stage.waiting(), [1]);
}

#[test]
fn unknown_devices_get_nothing() {
    let stage = Stage::new();
    stage.world.accounts.remove(&stage.world.bob);
    assert_eq!(stage.send(1, b"hello"), Err(SendError::UnknownDevice));
    stage.world.accounts.publish(&stage.world.bob);
    assert_eq!(stage.waiting(), [0; 0]);
}

#[test]
fn a_message_has_1_to_65536_bytes() {
    let stage = Stage::new();
    assert_eq!(stage.send(1, b""), Err(SendError::Length(0)));
    assert_eq!(stage.send(1, &vec![0; 65537]), Err(SendError::Length(65537)));
    assert_eq!(stage.waiting(), [0; 0]);
    stage.send(1, &vec![0; 65536]).unwrap();
}

#[test]
fn a_flood_ends_at_the_quota() {
    let settings = Settings { max_messages: 3, ..Settings::default() };
    let stage = Stage::with(Arc::new(MemoryMailbox::default()), settings);
    for id in 0..3 {
        stage.send(id, b"flood").unwrap();
    }
    assert_eq!(stage.send(3, b"flood"), Err(SendError::Full));
    assert_eq!(stage.send(2, b"flood"), Ok(()), "it waits already");
    let alice = &stage.world.alice.name;
    assert_eq!(stage.service.send(alice, alice, Id128([1; 16]), vec![1]), Ok(()), "another mailbox");
    stage.ack(&[0]);
    stage.send(3, b"flood").unwrap();
    assert_eq!(stage.waiting(), [1, 2, 3]);
}

#[test]
fn what_has_waited_too_long_is_gone_and_makes_room() {
    let hour = 3_600_000;
    let settings = Settings { max_messages: 3, kept: Duration::from_secs(10 * 3600), ..Settings::default() };
    let stage = Stage::with(Arc::new(MemoryMailbox::default()), settings);
    for id in 1..=3 {
        stage.send(id, b"text").unwrap();
        stage.world.clock.advance(hour);
    }
    assert_eq!(stage.send(4, b"text"), Err(SendError::Full));
    stage.world.clock.advance(7 * hour);
    assert_eq!(stage.send(4, b"text"), Ok(()), "the first has waited ten hours");
    assert_eq!(stage.send(5, b"text"), Err(SendError::Full));
    assert_eq!(stage.waiting(), [2, 3, 4]);
    stage.world.clock.advance(2 * hour);
    assert_eq!(stage.waiting(), [4]);
    stage.world.clock.advance(100 * hour);
    assert_eq!(stage.waiting(), [0; 0]);
    let queue = stage.service.store.queue(&stage.world.bob.name).unwrap();
    assert_eq!((queue.messages, queue.bytes), (0, 0));
}

#[test]
fn bytes_have_a_quota_too() {
    let settings = Settings { max_bytes: 10, ..Settings::default() };
    let stage = Stage::with(Arc::new(MemoryMailbox::default()), settings);
    stage.send(1, &[0; 6]).unwrap();
    assert_eq!(stage.send(2, &[0; 5]), Err(SendError::Full));
    stage.send(3, &[0; 4]).unwrap();
    stage.ack(&[1]);
    stage.send(2, &[0; 6]).unwrap();
    assert_eq!(stage.waiting(), [3, 2]);
}

#[test]
fn an_answer_is_bounded_and_says_that_there_is_more() {
    let settings = Settings { max_answer_bytes: 10, ..Settings::default() };
    let stage = Stage::with(Arc::new(MemoryMailbox::default()), settings);
    let read = || {
        let (messages, more) = stage.service.read(&stage.world.bob.name, None).unwrap();
        (messages.len(), more)
    };
    stage.send(1, &[0; 4]).unwrap();
    stage.send(2, &[0; 6]).unwrap();
    assert_eq!(read(), (2, false));
    stage.send(3, &[0; 1]).unwrap();
    assert_eq!(read(), (2, true));
    stage.ack(&[1, 2, 3]);
    // One that is longer than an answer still comes.
    stage.send(4, &[0; 11]).unwrap();
    assert_eq!(read(), (1, false));
    stage.send(5, &[0; 1]).unwrap();
    assert_eq!(read(), (1, true));
}

/// What stays in the mailbox, because it may be opened later, must not hide what came after it.
#[test]
fn whoever_keeps_messages_reads_on_after_them() {
    let settings = Settings { max_answer_bytes: 10, ..Settings::default() };
    let stage = Stage::with(Arc::new(MemoryMailbox::default()), settings);
    (1..=7).for_each(|id| stage.send(id, &[0; 4]).unwrap());
    let read = |after: Option<u8>| {
        let after = after.map(|id| Id128([id; 16]));
        let (messages, more) = stage.service.read(&stage.world.bob.name, after).unwrap();
        (messages.iter().map(|message| message.id.0[0]).collect::<Vec<_>>(), more)
    };
    assert_eq!(read(None), (vec![1, 2], true));
    assert_eq!(read(Some(2)), (vec![3, 4], true));
    assert_eq!(read(Some(5)), (vec![6, 7], false));
    assert_eq!(read(Some(7)), (vec![], false));
    stage.ack(&[4, 5]);
    assert_eq!(read(Some(2)), (vec![3, 6], true));
    assert_eq!(read(Some(5)), (vec![1, 2], true), "what is gone says nothing: from the beginning");
    let alice = &stage.world.alice.name;
    assert_eq!(stage.service.read(alice, Some(Id128([1; 16]))).unwrap().0, [], "another's message");
}

/// Limits that nobody reaches.
fn unlimited() -> Limits {
    let quota = Quota { count: u32::MAX, period: Duration::from_millis(1) };
    Limits { per_sender: quota, per_pair: quota, per_pair_crowded: quota }
}

#[test]
fn one_account_cannot_fill_a_mailbox() {
    let stage = Stage::new();
    let (bob, alice) = (&stage.world.bob.name, &stage.world.alice.name);
    let (hour, mut left, mut number) = (3_600_000, 0_u32, 0_u32);
    for _ in 0..30 * 24 {
        for _ in 0..130 {
            number += 1;
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            // Another device of the account is no other account.
            let from = DeviceName { device: number % 7, ..alice.clone() };
            match stage.service.send(&from, bob, Id128(id), b"flood".to_vec()) {
                Ok(()) => left += 1,
                Err(error) => {
                    assert_eq!(error, SendError::TooMany);
                    break;
                }
            }
        }
        stage.world.clock.advance(hour);
    }
    assert!((500..1000).contains(&left), "{left}");
    let carol = DeviceName { label: b"carol".to_vec(), device: 1 };
    assert_eq!(stage.send_as(&carol, 255, b"hello"), Ok(()), "another account finds room");
    assert_eq!(stage.send_as(&carol, 255, b"hello"), Ok(()), "and what is there is not counted again");
}

#[test]
fn one_account_is_bounded_over_all_devices_and_a_failed_write_counts_nothing() {
    let quota = |count| Quota { count, period: Duration::from_secs(3600) };
    let limits = Limits { per_sender: quota(3), per_pair: quota(2), per_pair_crowded: quota(1) };
    let settings = Settings { max_messages: 4, limits, ..Settings::default() };
    let store = Arc::new(Faulty::default());
    let stage = Stage::with(store.clone(), settings);
    let (bob, alice) = (&stage.world.bob.name, &stage.world.alice.name);
    for done in [false, true, false] {
        *store.next.lock().unwrap() = Some(done);
        assert!(matches!(stage.send(1, b"hello"), Err(SendError::Store(_)) | Ok(())));
        *store.next.lock().unwrap() = None;
        stage.send(1, b"hello").unwrap();
    }
    stage.send(2, b"hello").unwrap();
    assert_eq!(stage.send(3, b"hello"), Err(SendError::TooMany), "for Bob");
    stage.service.send(alice, alice, Id128([1; 16]), vec![1]).unwrap();
    assert_eq!(stage.service.send(alice, alice, Id128([2; 16]), vec![1]), Err(SendError::TooMany), "at all");
    // Half of the places are taken: others get one each.
    let from = |label: &str| DeviceName { label: label.as_bytes().to_vec(), device: 1 };
    assert_eq!(stage.send_as(&from("carol"), 4, b"hello"), Ok(()));
    assert_eq!(stage.send_as(&from("carol"), 5, b"hello"), Err(SendError::TooMany));
    assert_eq!(stage.send_as(&from("dave"), 5, b"hello"), Ok(()));
    assert_eq!(stage.send_as(&from("erin"), 6, b"hello"), Err(SendError::Full));
    assert_eq!(store.queue(bob).unwrap().messages, 4);
}

#[test]
fn no_more_than_a_hundred_come_at_once() {
    let stage = Stage::new();
    for id in 0..101 {
        stage.send(id, b"x").unwrap();
    }
    let (messages, more) = stage.service.read(&stage.world.bob.name, None).unwrap();
    assert_eq!((messages.len(), more), (100, true));
    stage.ack(&[0]);
    let (messages, more) = stage.service.read(&stage.world.bob.name, None).unwrap();
    assert_eq!((messages.len(), more), (100, false));
}

#[test]
fn many_senders_at_once_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(RocksMailbox::new(open_db(directory.path())));
    let stage = Stage::with(store, Settings::default());
    std::thread::scope(|scope| {
        for sender in 0..8_u8 {
            let stage = &stage;
            scope.spawn(move || {
                for number in 0..10 {
                    stage.send(sender * 10 + number, &[sender; 20]).unwrap();
                    stage.send(sender * 10 + number, &[sender; 20]).unwrap();
                }
            });
        }
    });
    let mut waiting = stage.waiting();
    waiting.sort_unstable();
    assert_eq!(waiting, (0..80).collect::<Vec<u8>>());
    let queue = stage.service.store.queue(&stage.world.bob.name).unwrap();
    assert_eq!((queue.messages, queue.bytes, queue.next), (80, 1600, 80));
}

#[test]
fn what_was_taken_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Stage::with(Arc::new(RocksMailbox::new(open_db(directory.path()))), Settings::default());
    open().send(1, b"hello").unwrap();
    let stage = open();
    assert_eq!(stage.waiting(), [1]);
    stage.send(2, b"there").unwrap();
    stage.ack(&[1]);
    drop(stage);
    assert_eq!(open().waiting(), [2]);
}

/// A store whose next change fails, before or after it is done.
#[derive(Default)]
struct Faulty {
    inner: MemoryMailbox,
    next: Mutex<Option<bool>>,
}

impl Faulty {
    fn change(&self, change: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let fault = self.next.lock().unwrap().take();
        if fault != Some(false) {
            change()?;
        }
        fault.map_or(Ok(()), |_| Err(StoreError::Backend("planned fault".to_owned())))
    }
}

impl MailboxStore for Faulty {
    fn queue(&self, device: &DeviceName) -> Result<Queue, StoreError> {
        self.inner.queue(device)
    }
    fn find(&self, device: &DeviceName, id: Id128) -> Result<Option<store::Place>, StoreError> {
        self.inner.find(device, id)
    }
    fn body_len(&self, device: &DeviceName, sequence: u64) -> Result<u64, StoreError> {
        self.inner.body_len(device, sequence)
    }
    fn oldest(
        &self,
        device: &DeviceName,
        after: Option<u64>,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.inner.oldest(device, after, limit, bytes)
    }
    fn add(
        &self,
        device: &DeviceName,
        queue: &Queue,
        place: store::Place,
        message: &StoredMessage,
    ) -> Result<(), StoreError> {
        self.change(|| self.inner.add(device, queue, place, message))
    }
    fn remove(&self, device: &DeviceName, queue: &Queue, gone: &[(Id128, u64)]) -> Result<(), StoreError> {
        self.change(|| self.inner.remove(device, queue, gone))
    }
}

#[test]
fn a_failed_change_can_be_repeated() {
    for done in [false, true] {
        let store = Arc::new(Faulty::default());
        let stage = Stage::with(store.clone(), Settings::default());
        *store.next.lock().unwrap() = Some(done);
        assert!(matches!(stage.send(1, b"hello"), Err(SendError::Store(_))));
        stage.send(1, b"hello").unwrap();
        assert_eq!(stage.waiting(), [1]);
        *store.next.lock().unwrap() = Some(done);
        assert!(stage.service.acknowledge(&stage.world.bob.name, &[Id128([1; 16])]).is_err());
        stage.ack(&[1]);
        assert_eq!(stage.waiting(), [0; 0]);
        assert_eq!(store.queue(&stage.world.bob.name).unwrap().messages, 0);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(u8, u8),
    Ack(Vec<u8>),
    Read,
}

proptest! {
    #[test]
    fn the_mailbox_is_a_list(
        steps in prop::collection::vec(
            prop_oneof![
                4 => (0..10_u8, 1..4_u8).prop_map(|(id, len)| Step::Send(id, len)),
                2 => prop::collection::vec(0..10_u8, 0..4).prop_map(Step::Ack),
                1 => Just(Step::Read),
            ],
            1..80,
        ),
    ) {
        let settings = Settings { max_messages: 6, max_bytes: 12, limits: unlimited(), ..Settings::default() };
        let stage = Stage::with(Arc::new(MemoryMailbox::default()), settings);
        let mut model: Vec<(u8, u8)> = Vec::new();
        for step in steps {
            match step {
                Step::Send(id, len) => {
                    let bytes: u8 = model.iter().map(|(_, len)| len).sum();
                    let expected = match model.iter().find(|(other, _)| *other == id) {
                        Some((_, same)) if *same == len => Ok(()),
                        Some(_) => Err(SendError::IdReused),
                        None if model.len() >= 6 || bytes + len > 12 => Err(SendError::Full),
                        None => {
                            model.push((id, len));
                            Ok(())
                        }
                    };
                    prop_assert_eq!(stage.send(id, &vec![id; usize::from(len)]), expected);
                }
                Step::Ack(ids) => {
                    stage.ack(&ids);
                    model.retain(|(id, _)| !ids.contains(id));
                }
                Step::Read => {}
            }
            prop_assert_eq!(stage.waiting(), model.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        }
    }
}

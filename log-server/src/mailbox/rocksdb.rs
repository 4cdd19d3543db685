//! Messages in RocksDB.
//!
//! | Family | Key | Value |
//! |---|---|---|
//! | `mailbox.queues` | device | next sequence number (8 bytes), messages (4), bytes (8) |
//! | `mailbox.places` | device, message id (16) | sequence number (8), SHA-256 of the body (32) |
//! | `mailbox.messages` | device, sequence number (8) | message id (16), time (8), body |
//!
//! Receipts are kept likewise, in `receipts.queues`, `receipts.places` and `receipts.messages`.
//!
//! A device is the length of its label, the label and its id. Integers are big-endian.

use std::sync::Arc;

use keyglass_account::api::Id128;
use keyglass_tlog::time::UnixMillis;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, WriteBatch, WriteOptions};

use super::store::{MailboxStore, Place, Queue, StoredMessage};
use crate::{store::StoreError, tokens::DeviceName};

/// The families of one kind of contents.
#[derive(Debug, Clone, Copy)]
struct Names {
    queues: &'static str,
    places: &'static str,
    messages: &'static str,
}

const MAILBOX: Names =
    Names { queues: "mailbox.queues", places: "mailbox.places", messages: "mailbox.messages" };

const RECEIPTS: Names =
    Names { queues: "receipts.queues", places: "receipts.places", messages: "receipts.messages" };

/// Bytes of a message's value before its body.
const HEAD: usize = 24;

/// The column families of this service.
pub const FAMILIES: &[&str] =
    &[MAILBOX.queues, MAILBOX.places, MAILBOX.messages, RECEIPTS.queues, RECEIPTS.places, RECEIPTS.messages];

/// Messages in RocksDB.
pub struct RocksMailbox {
    db: Arc<DB>,
    names: Names,
}

impl RocksMailbox {
    /// The mailboxes in a database that was opened with [`FAMILIES`].
    #[must_use]
    pub fn new(db: Arc<DB>) -> Self {
        Self { db, names: MAILBOX }
    }

    /// The receipts in such a database.
    #[must_use]
    pub fn receipts(db: Arc<DB>) -> Self {
        Self { db, names: RECEIPTS }
    }

    fn family(&self, name: &'static str) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(name).ok_or(StoreError::Corrupt("a column family of the mailbox is missing"))
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(failed)
    }
}

fn failed(error: rocksdb::Error) -> StoreError {
    StoreError::Backend(error.into_string())
}

fn by_id(device: &DeviceName, id: Id128) -> Vec<u8> {
    let mut key = device.to_key();
    key.extend_from_slice(&id.0);
    key
}

fn by_sequence(device: &DeviceName, sequence: u64) -> Vec<u8> {
    let mut key = device.to_key();
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

fn encode_queue(queue: &Queue) -> Vec<u8> {
    [&queue.next.to_be_bytes()[..], &queue.messages.to_be_bytes(), &queue.bytes.to_be_bytes()].concat()
}

fn decode_queue(bytes: &[u8]) -> Option<Queue> {
    let (next, rest) = bytes.split_first_chunk()?;
    let (messages, rest) = rest.split_first_chunk()?;
    Some(Queue {
        next: u64::from_be_bytes(*next),
        messages: u32::from_be_bytes(*messages),
        bytes: u64::from_be_bytes(rest.try_into().ok()?),
    })
}

fn encode_message(message: &StoredMessage) -> Vec<u8> {
    [&message.id.0[..], &message.received.0.to_be_bytes(), &message.body].concat()
}

fn decode_message(bytes: &[u8]) -> Option<StoredMessage> {
    let (id, rest) = bytes.split_first_chunk()?;
    let (received, body) = rest.split_first_chunk()?;
    let received = UnixMillis(u64::from_be_bytes(*received));
    Some(StoredMessage { id: Id128(*id), received, body: body.to_vec() })
}

fn decode_place(bytes: &[u8]) -> Option<Place> {
    let (sequence, hash) = bytes.split_first_chunk()?;
    Some(Place { sequence: u64::from_be_bytes(*sequence), hash: hash.try_into().ok()? })
}

impl MailboxStore for RocksMailbox {
    fn queue(&self, device: &DeviceName) -> Result<Queue, StoreError> {
        match self.db.get_cf(self.family(self.names.queues)?, device.to_key()).map_err(failed)? {
            None => Ok(Queue::default()),
            Some(bytes) => decode_queue(&bytes).ok_or(StoreError::Corrupt("a mailbox's queue")),
        }
    }

    fn find(&self, device: &DeviceName, id: Id128) -> Result<Option<Place>, StoreError> {
        let found = self.db.get_cf(self.family(self.names.places)?, by_id(device, id)).map_err(failed)?;
        let corrupt = StoreError::Corrupt("the place of a message");
        found.map(|bytes| decode_place(&bytes).ok_or(corrupt)).transpose()
    }

    fn body_len(&self, device: &DeviceName, sequence: u64) -> Result<u64, StoreError> {
        let found = self
            .db
            .get_pinned_cf(self.family(self.names.messages)?, by_sequence(device, sequence))
            .map_err(failed)?;
        let len =
            found.and_then(|bytes| bytes.len().checked_sub(HEAD)).and_then(|len| u64::try_from(len).ok());
        len.ok_or(StoreError::Corrupt("a message is missing"))
    }

    fn oldest(
        &self,
        device: &DeviceName,
        after: Option<u64>,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let prefix = device.to_key();
        let first = match after.map(|after| after.checked_add(1)) {
            None => 0,
            Some(Some(first)) => first,
            Some(None) => return Ok(Vec::new()),
        };
        let first = by_sequence(device, first);
        let start = IteratorMode::From(&first, Direction::Forward);
        let mut taken = Vec::new();
        let mut sum = 0_usize;
        for item in self.db.iterator_cf(self.family(self.names.messages)?, start) {
            let (key, value) = item.map_err(failed)?;
            if taken.len() >= limit || !key.starts_with(&prefix) {
                break;
            }
            let message = decode_message(&value).ok_or(StoreError::Corrupt("a message"))?;
            sum = sum.saturating_add(message.body.len());
            taken.push(message);
            if sum > bytes && taken.len() > 1 {
                break;
            }
        }
        Ok(taken)
    }

    fn add(
        &self,
        device: &DeviceName,
        queue: &Queue,
        place: Place,
        message: &StoredMessage,
    ) -> Result<(), StoreError> {
        let place_value = [&place.sequence.to_be_bytes()[..], &place.hash].concat();
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(self.names.queues)?, device.to_key(), encode_queue(queue));
        batch.put_cf(self.family(self.names.places)?, by_id(device, message.id), place_value);
        batch.put_cf(
            self.family(self.names.messages)?,
            by_sequence(device, place.sequence),
            encode_message(message),
        );
        self.write(batch)
    }

    fn remove(&self, device: &DeviceName, queue: &Queue, gone: &[(Id128, u64)]) -> Result<(), StoreError> {
        let (places, messages) = (self.family(self.names.places)?, self.family(self.names.messages)?);
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(self.names.queues)?, device.to_key(), encode_queue(queue));
        for (id, sequence) in gone {
            batch.delete_cf(places, by_id(device, *id));
            batch.delete_cf(messages, by_sequence(device, *sequence));
        }
        self.write(batch)
    }
}

//! What the mailbox keeps, in its own words.
//!
//! Each change is atomic and durable when it returns. The service serialises changes of one device's mailbox; changes of
//! different ones may come at once.

use keyglass_account::api::Id128;
use keyglass_crypto::hash::Digest;
use keyglass_tlog::time::UnixMillis;

use crate::{store::StoreError, tokens::DeviceName};

/// What is known of a device's messages together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// The sequence number of the next message. It never goes back, so that order is the order of arrival.
    pub next: u64,
    /// Messages that wait.
    pub messages: u32,
    /// Their bytes.
    pub bytes: u64,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its sequence number.
    pub sequence: u64,
    /// The SHA-256 of its body.
    pub hash: Digest,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// As chosen by the sender.
    pub id: Id128,
    /// When it came.
    pub received: UnixMillis,
    /// The message.
    pub body: Vec<u8>,
}

/// Where messages wait. Calls may block.
pub trait MailboxStore: Send + Sync + 'static {
    /// A device's queue; an empty one if nothing ever came.
    ///
    /// # Errors
    /// [`StoreError`].
    fn queue(&self, device: &DeviceName) -> Result<Queue, StoreError>;

    /// Where the message with this id waits, if it does.
    ///
    /// # Errors
    /// [`StoreError`].
    fn find(&self, device: &DeviceName, id: Id128) -> Result<Option<Place>, StoreError>;

    /// Bytes of the message at `sequence`.
    ///
    /// # Errors
    /// [`StoreError`]; it is corrupt if there is none.
    fn body_len(&self, device: &DeviceName, sequence: u64) -> Result<u64, StoreError>;

    /// The oldest messages whose sequence number is above `after`, up to `limit`, and none after the one with which they
    /// have more than `bytes` together, but for the second: it shows whether the first, however long, is the only one.
    ///
    /// # Errors
    /// [`StoreError`].
    fn oldest(
        &self,
        device: &DeviceName,
        after: Option<u64>,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<StoredMessage>, StoreError>;

    /// Adds a message and replaces the queue.
    ///
    /// # Errors
    /// [`StoreError`]: both were done or neither.
    fn add(
        &self,
        device: &DeviceName,
        queue: &Queue,
        place: Place,
        message: &StoredMessage,
    ) -> Result<(), StoreError>;

    /// Removes messages, by id and sequence number, and replaces the queue.
    ///
    /// # Errors
    /// [`StoreError`]: both were done or neither.
    fn remove(&self, device: &DeviceName, queue: &Queue, gone: &[(Id128, u64)]) -> Result<(), StoreError>;
}

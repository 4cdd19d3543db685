//! The mailbox: messages wait for devices.
//!
//! A message is durable before its sender is told so, and stays until its receiver acknowledges it or [`Settings::kept`] is
//! over. Messages are opaque; who sent one is not kept.

use std::{sync::Arc, time::Duration};

use keyglass_account::api::{Id128, MAX_MESSAGE_LEN, MAX_MESSAGES};
use keyglass_crypto::hash::sha256;
use thiserror::Error;

use crate::{
    clock::Clock,
    prekeys::stripes::Stripes,
    store::StoreError,
    tokens::{Accounts, DeviceName},
};

pub mod http;
pub mod memory;
pub mod receipts;
pub mod rocksdb;
pub mod shares;
pub mod store;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

pub use receipts::Receipts;
pub use shares::Limits;
pub use store::{MailboxStore, Queue, StoredMessage};

use shares::Shares;
use store::Place;

/// How long messages wait.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Bounds of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Messages that may wait for one device.
    pub max_messages: u32,
    /// Bytes of messages that may wait for one device.
    pub max_bytes: u64,
    /// Bytes of messages in one answer, unless its first is longer.
    pub max_answer_bytes: usize,
    /// How long a message waits. Devices keep the secrets of expired prekeys a day longer, so that none comes too late for
    /// them. What is older is never handed out, and deleted when its device asks or its place is needed.
    pub kept: Duration,
    /// How much one account may leave.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::MESSAGES;
        Self { max_messages: 1000, max_bytes: 16 << 20, max_answer_bytes: 1 << 20, kept: KEPT, limits }
    }
}

/// Why a message is not taken. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// No published record names the device.
    #[error("no published record names this device")]
    UnknownDevice,
    /// The message is empty or longer than the server accepts.
    #[error("a message has 1 to {MAX_MESSAGE_LEN} bytes, this one has {0}")]
    Length(usize),
    /// As many messages wait for the device as the server keeps.
    #[error("the mailbox of the device is full")]
    Full,
    /// The sender's account leaves too many.
    #[error("the sender leaves too many messages")]
    TooMany,
    /// A message with this id and another body waits.
    #[error("the message id was used for another message")]
    IdReused,
    /// A later version of the receiver's record is published than the one that the sender names.
    #[error("version {0} of the receiver's record is published")]
    StaleRecord(u32),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The mailboxes of one log's devices.
pub struct Service {
    store: Arc<dyn MailboxStore>,
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    shares: Shares,
    /// Held, for a device, from reading its queue to having written it.
    stripes: Stripes,
}

impl Service {
    /// Mailboxes for the devices of `accounts`.
    #[must_use]
    pub fn new(
        store: Arc<dyn MailboxStore>,
        accounts: Arc<dyn Accounts>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let shares = Shares::new(settings.limits);
        Self { store, accounts, clock, settings, shares, stripes: Stripes::default() }
    }

    /// Leaves a message of `from` for `target`. The same again, while it waits, changes nothing. It may block.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(
        &self,
        from: &DeviceName,
        target: &DeviceName,
        id: Id128,
        body: Vec<u8>,
    ) -> Result<(), SendError> {
        self.leave(from, target, id, body).map(|_| ())
    }

    /// Leaves a message of `from` for `target`, whose device the sender found in version `proven` of the record. It may block.
    ///
    /// A version that is published between the check and the message is as one that is published after the message.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send_to_version(
        &self,
        from: &DeviceName,
        target: &DeviceName,
        proven: u32,
        id: Id128,
        body: Vec<u8>,
    ) -> Result<(), SendError> {
        match self.accounts.version(&target.label)? {
            Some(published) if published > proven => Err(SendError::StaleRecord(published)),
            _ => self.send(from, target, id, body),
        }
    }

    /// Leaves a message of `from` for `target`. Says whether it was not there before.
    fn leave(
        &self,
        from: &DeviceName,
        target: &DeviceName,
        id: Id128,
        body: Vec<u8>,
    ) -> Result<bool, SendError> {
        if body.is_empty() || body.len() > MAX_MESSAGE_LEN {
            return Err(SendError::Length(body.len()));
        }
        if self.accounts.device(&target.label, target.device)?.is_none() {
            return Err(SendError::UnknownDevice);
        }
        let hash = sha256(&[&body]);
        if !self.has_room(&self.store.queue(target)?, body.len()) {
            self.expire(target)?;
        }
        let _one_at_a_time = self.stripes.lock(target);
        if let Some(place) = self.store.find(target, id)? {
            return if place.hash == hash { Ok(false) } else { Err(SendError::IdReused) };
        }
        let mut queue = self.store.queue(target)?;
        if !self.has_room(&queue, body.len()) {
            return Err(SendError::Full);
        }
        let (is_crowded, now) = (self.is_crowded(&queue), self.clock.now());
        if !self.shares.take(from, target, is_crowded, now) {
            return Err(SendError::TooMany);
        }
        let sequence = queue.next;
        queue.next = sequence.checked_add(1).ok_or(StoreError::Corrupt("a queue's sequence"))?;
        queue.messages = queue.messages.saturating_add(1);
        queue.bytes = with(&queue, body.len());
        let message = StoredMessage { id, received: now, body };
        let added = self.store.add(target, &queue, Place { sequence, hash }, &message);
        added.inspect_err(|_| self.shares.give_back(from, target, is_crowded))?;
        Ok(true)
    }

    /// Whether so much waits that what is left is to be shared out.
    fn is_crowded(&self, queue: &Queue) -> bool {
        queue.messages >= self.settings.max_messages / 2 || queue.bytes >= self.settings.max_bytes / 2
    }

    fn has_room(&self, queue: &Queue, len: usize) -> bool {
        queue.messages < self.settings.max_messages && with(queue, len) <= self.settings.max_bytes
    }

    /// Deletes the messages of a device that have waited too long.
    fn expire(&self, device: &DeviceName) -> Result<(), StoreError> {
        let kept = u64::try_from(self.settings.kept.as_millis()).unwrap_or(u64::MAX);
        let now = self.clock.now().0;
        // One step takes a whole answer's worth, of which there are no more than messages.
        for _ in 0..self.settings.max_messages {
            let oldest = self.store.oldest(device, None, MAX_MESSAGES, self.settings.max_answer_bytes)?;
            let is_over = |message: &&StoredMessage| message.received.0.saturating_add(kept) <= now;
            let over: Vec<Id128> = oldest.iter().take_while(is_over).map(|message| message.id).collect();
            if over.is_empty() {
                break;
            }
            self.acknowledge(device, &over)?;
        }
        Ok(())
    }

    /// The messages of `device` that came after the one with the id `after`, the oldest first, as many as fit an answer; and
    /// whether more wait. All of them, if there is no such message. It may block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(
        &self,
        device: &DeviceName,
        after: Option<Id128>,
    ) -> Result<(Vec<StoredMessage>, bool), StoreError> {
        self.expire(device)?;
        let after = after.map(|id| self.store.find(device, id)).transpose()?.flatten();
        let after = after.map(|place| place.sequence);
        // One more than is given, which shows that there is more.
        let limit = MAX_MESSAGES.saturating_add(1);
        let mut messages = self.store.oldest(device, after, limit, self.settings.max_answer_bytes)?;
        let mut bytes = 0_usize;
        let fit = messages.iter().take_while(|message| {
            bytes = bytes.saturating_add(message.body.len());
            bytes <= self.settings.max_answer_bytes
        });
        let fit = fit.count().max(1).min(messages.len()).min(MAX_MESSAGES);
        let more = messages.len() > fit;
        messages.truncate(fit);
        Ok((messages, more))
    }

    /// Deletes messages of `device`. Ids that are not there are passed over. It may block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn acknowledge(&self, device: &DeviceName, ids: &[Id128]) -> Result<(), StoreError> {
        let _one_at_a_time = self.stripes.lock(device);
        let mut queue = self.store.queue(device)?;
        let mut gone: Vec<(Id128, u64)> = Vec::new();
        for id in ids {
            // An id may be named twice.
            if gone.iter().any(|(other, _)| other == id) {
                continue;
            }
            if let Some(place) = self.store.find(device, *id)? {
                let len = self.store.body_len(device, place.sequence)?;
                queue.messages = queue.messages.saturating_sub(1);
                queue.bytes = queue.bytes.saturating_sub(len);
                gone.push((*id, place.sequence));
            }
        }
        if gone.is_empty() { Ok(()) } else { self.store.remove(device, &queue, &gone) }
    }
}

/// The bytes of a queue with one message more.
fn with(queue: &Queue, len: usize) -> u64 {
    queue.bytes.saturating_add(u64::try_from(len).unwrap_or(u64::MAX))
}

//! Messages in memory, for tests: they do not survive the process.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use keyglass_account::api::Id128;

use super::store::{MailboxStore, Place, Queue, StoredMessage};
use crate::{store::StoreError, tokens::DeviceName};

#[derive(Debug, Default)]
struct Mailbox {
    queue: Queue,
    places: HashMap<Id128, Place>,
    messages: BTreeMap<u64, StoredMessage>,
}

/// Messages in memory.
#[derive(Debug, Default)]
pub struct MemoryMailbox {
    mailboxes: Mutex<HashMap<DeviceName, Mailbox>>,
}

impl MemoryMailbox {
    fn mailboxes(&self) -> MutexGuard<'_, HashMap<DeviceName, Mailbox>> {
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MailboxStore for MemoryMailbox {
    fn queue(&self, device: &DeviceName) -> Result<Queue, StoreError> {
        Ok(self.mailboxes().get(device).map(|mailbox| mailbox.queue).unwrap_or_default())
    }

    fn find(&self, device: &DeviceName, id: Id128) -> Result<Option<Place>, StoreError> {
        Ok(self.mailboxes().get(device).and_then(|mailbox| mailbox.places.get(&id).copied()))
    }

    fn body_len(&self, device: &DeviceName, sequence: u64) -> Result<u64, StoreError> {
        let mailboxes = self.mailboxes();
        let message = mailboxes.get(device).and_then(|mailbox| mailbox.messages.get(&sequence));
        let len = message.and_then(|message| u64::try_from(message.body.len()).ok());
        len.ok_or(StoreError::Corrupt("a message is missing"))
    }

    fn oldest(
        &self,
        device: &DeviceName,
        after: Option<u64>,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let mailboxes = self.mailboxes();
        let Some(mailbox) = mailboxes.get(device) else { return Ok(Vec::new()) };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut taken = Vec::new();
        let mut sum = 0_usize;
        for (_, message) in mailbox.messages.range((start, Bound::Unbounded)).take(limit) {
            taken.push(message.clone());
            sum = sum.saturating_add(message.body.len());
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
        let mut mailboxes = self.mailboxes();
        let mailbox = mailboxes.entry(device.clone()).or_default();
        mailbox.queue = *queue;
        mailbox.places.insert(message.id, place);
        mailbox.messages.insert(place.sequence, message.clone());
        Ok(())
    }

    fn remove(&self, device: &DeviceName, queue: &Queue, gone: &[(Id128, u64)]) -> Result<(), StoreError> {
        let mut mailboxes = self.mailboxes();
        let mailbox = mailboxes.entry(device.clone()).or_default();
        mailbox.queue = *queue;
        for (id, sequence) in gone {
            mailbox.places.remove(id);
            mailbox.messages.remove(sequence);
        }
        Ok(())
    }
}

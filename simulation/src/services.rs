//! The services beside the log: the real tokens, prekeys, mailboxes and receipts over stores in memory, which survive crashes.

use std::{sync::Arc, time::Duration};

use keyglass_account::api::Id128;
use keyglass_crypto::secret::Secret;
use keyglass_log_server::{
    accounts::PublishedAccounts,
    clock::Clock,
    mailbox::{self, memory::MemoryMailbox},
    prekeys::{self, memory::MemoryPreKeys},
    tokens::{self, Accounts, DeviceName, memory::MemoryNonces},
};

use crate::{branch::Branch, clock::DAY, setting::setting};

/// What survives a crash of the server.
#[derive(Clone, Default)]
struct Stores {
    nonces: Arc<MemoryNonces>,
    prekeys: Arc<MemoryPreKeys>,
    messages: Arc<MemoryMailbox>,
    receipts: Arc<MemoryMailbox>,
}

/// What devices ask a server for beside the log.
pub struct Services {
    stores: Stores,
    clock: Arc<dyn Clock>,
    /// Who asks.
    pub tokens: tokens::Service,
    /// The accounts as the log has published them.
    pub accounts: Arc<dyn Accounts>,
    /// Prekeys.
    pub prekeys: prekeys::Service,
    /// Messages.
    pub mailbox: mailbox::Service,
    /// What devices say of messages that they could not open.
    pub receipts: mailbox::Receipts,
}

impl Services {
    /// Services with empty stores.
    #[must_use]
    pub fn new(branch: &Branch, clock: Arc<dyn Clock>) -> Self {
        Self::over(branch, Stores::default(), clock)
    }

    /// The same after a crash: what is stored is still there, and what is in memory is not.
    pub fn restart(&mut self, branch: &Branch) {
        *self = Self::over(branch, self.stores.clone(), Arc::clone(&self.clock));
    }

    fn over(branch: &Branch, stores: Stores, clock: Arc<dyn Clock>) -> Self {
        let origin = setting().origin.clone();
        let store: Arc<dyn keyglass_log_server::store::Store> = Arc::clone(branch.store()) as _;
        let accounts: Arc<dyn Accounts> =
            Arc::new(PublishedAccounts::new(store, Arc::clone(branch.published()), origin.clone()));
        let tokens = tokens::Service::new(
            origin.clone(),
            Secret::new([3; 32]),
            Arc::clone(&accounts),
            Arc::clone(&stores.nonces) as _,
            Arc::clone(&clock),
            // Clocks are off by days here, and a server that minds would only keep such clients from trying everything else.
            tokens::Settings { window: Duration::from_millis(5 * DAY), ..tokens::Settings::default() },
        );
        let prekeys = prekeys::Service::new(
            origin,
            Arc::clone(&stores.prekeys) as _,
            Arc::clone(&accounts),
            Arc::clone(&clock),
            prekeys::Settings::default(),
        );
        let mailbox = mailbox::Service::new(
            Arc::clone(&stores.messages) as _,
            Arc::clone(&accounts),
            Arc::clone(&clock),
            // Messages may come later here than from a real mailbox: what a device then says is tried as well.
            mailbox::Settings { kept: Duration::MAX, ..mailbox::Settings::default() },
        );
        let receipts = mailbox::Receipts::new(
            Arc::clone(&stores.receipts) as _,
            Arc::clone(&accounts),
            Arc::clone(&clock),
            mailbox::receipts::HandshakeFailures::default(),
        );
        Self { stores, clock, tokens: tokens.unwrap(), accounts, prekeys, mailbox, receipts }
    }
}

/// A device by its name.
#[must_use]
pub fn device(label: &str, device: u32) -> DeviceName {
    DeviceName { label: label.as_bytes().to_vec(), device }
}

/// A message on its way to a mailbox.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// When it arrives, by the true time.
    pub at: u64,
    /// From where.
    pub from: DeviceName,
    /// Where.
    pub to: DeviceName,
    /// Its id.
    pub id: Id128,
    /// What it is.
    pub body: Vec<u8>,
    /// The text that it carries.
    pub text: [u8; 16],
}

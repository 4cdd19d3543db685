//! The services beside the log: the real prekey service and mailbox over stores in memory, which survive crashes.

use std::{sync::Arc, time::Duration};

use keyglass_account::api::Id128;
use keyglass_log_server::{
    accounts::PublishedAccounts,
    clock::Clock,
    mailbox::{self, memory::MemoryMailbox},
    prekeys::{self, memory::MemoryPreKeys},
    tokens::{Accounts, DeviceName},
};

use crate::{branch::Branch, setting::setting};

/// The prekey service and the mailbox.
pub struct Services {
    prekey_store: Arc<MemoryPreKeys>,
    mailbox_store: Arc<MemoryMailbox>,
    clock: Arc<dyn Clock>,
    /// The accounts as the log has published them.
    pub accounts: Arc<dyn Accounts>,
    /// Prekeys.
    pub prekeys: prekeys::Service,
    /// Messages.
    pub mailbox: mailbox::Service,
}

impl Services {
    /// Services with empty stores.
    #[must_use]
    pub fn new(branch: &Branch, clock: Arc<dyn Clock>) -> Self {
        Self::over(branch, Arc::default(), Arc::default(), clock)
    }

    /// The same after a crash: what is stored is still there, and what is in memory is not.
    pub fn restart(&mut self, branch: &Branch) {
        let (prekeys, mailbox) = (Arc::clone(&self.prekey_store), Arc::clone(&self.mailbox_store));
        *self = Self::over(branch, prekeys, mailbox, Arc::clone(&self.clock));
    }

    fn over(
        branch: &Branch,
        prekey_store: Arc<MemoryPreKeys>,
        mailbox_store: Arc<MemoryMailbox>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let origin = setting().origin.clone();
        let store: Arc<dyn keyglass_log_server::store::Store> = Arc::clone(branch.store()) as _;
        let accounts: Arc<dyn Accounts> =
            Arc::new(PublishedAccounts::new(store, Arc::clone(branch.published()), origin.clone()));
        let prekeys = prekeys::Service::new(
            origin,
            Arc::clone(&prekey_store) as _,
            Arc::clone(&accounts),
            Arc::clone(&clock),
            prekeys::Settings::default(),
        );
        let mailbox = mailbox::Service::new(
            Arc::clone(&mailbox_store) as _,
            Arc::clone(&accounts),
            Arc::clone(&clock),
            // Messages may come later here than from a real mailbox: what a device then says is tried as well.
            mailbox::Settings { kept: Duration::MAX, ..mailbox::Settings::default() },
        );
        Self { prekey_store, mailbox_store, clock, accounts, prekeys, mailbox }
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
    /// Where.
    pub to: DeviceName,
    /// Its id.
    pub id: Id128,
    /// What it is.
    pub body: Vec<u8>,
    /// The text that it carries.
    pub text: [u8; 16],
}

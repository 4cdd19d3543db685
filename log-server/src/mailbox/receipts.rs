//! Failure receipts: what a device says to the sender of a message that it could not open.
//!
//! They wait apart from messages, with bounds of their own, so that neither can crowd out the other. The server learns the
//! reason, and counts it for whoever is on call.
//!
//! ```text
//! struct {
//!   uint8 format = 1;
//!   opaque from_label<1..255>;
//!   uint32 from_device;
//!   uint8 handshake[32];
//!   opaque reason<1..255>;      the name of a FailureReason
//! } StoredReceipt;
//! ```

use std::sync::Arc;

use keyglass_account::{
    api::{Base64, Id128, Receipt, Target},
    codec::{Reader, Writer},
    label::MAX_LABEL_LEN,
    receipt::FailureReason,
};
use keyglass_crypto::hash::sha256;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{KEPT, Limits, MailboxStore, SendError, Service, Settings, StoredMessage};
use crate::{
    clock::Clock,
    store::StoreError,
    tokens::{Accounts, DeviceName},
};

const FORMAT: u8 = 1;

/// Bounds of receipts: as many as may have to be told of one burst of messages, and no more.
const SETTINGS: Settings = Settings {
    max_messages: 256,
    max_bytes: 256 * 1024,
    max_answer_bytes: 256 * 1024,
    kept: KEPT,
    limits: Limits::RECEIPTS,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// Handshakes that failed, by reason, as receivers report them; clones count together.
#[derive(Debug, Clone, Default)]
pub struct HandshakeFailures(Family<ReasonLabels, Counter>);

impl HandshakeFailures {
    /// Makes them part of what is scraped. Every reason is shown from the start.
    pub fn register(&self, registry: &mut Registry) {
        for reason in FailureReason::ALL {
            let _ = self.0.get_or_create(&ReasonLabels { reason: reason.name() });
        }
        registry.register(
            "handshake_failures",
            "First messages that receivers could not open, by reason",
            self.0.clone(),
        );
    }

    fn count(&self, reason: FailureReason) {
        self.0.get_or_create(&ReasonLabels { reason: reason.name() }).inc();
    }

    /// How many were counted for a reason.
    #[must_use]
    pub fn of(&self, reason: FailureReason) -> u64 {
        self.0.get_or_create(&ReasonLabels { reason: reason.name() }).get()
    }
}

/// The receipts for one log's devices.
pub struct Receipts {
    queues: Service,
    failures: HandshakeFailures,
}

impl Receipts {
    /// Receipts for the devices of `accounts`.
    #[must_use]
    pub fn new(
        store: Arc<dyn MailboxStore>,
        accounts: Arc<dyn Accounts>,
        clock: Arc<dyn Clock>,
        failures: HandshakeFailures,
    ) -> Self {
        Self { queues: Service::new(store, accounts, clock, SETTINGS), failures }
    }

    /// What has been counted.
    #[must_use]
    pub fn failures(&self) -> HandshakeFailures {
        self.failures.clone()
    }

    /// Leaves word for `target` that its handshake with `from` failed. The same handshake again changes nothing while the
    /// first waits, whatever the reason. It may block.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn leave(
        &self,
        from: &DeviceName,
        target: &DeviceName,
        handshake: &[u8; 32],
        reason: FailureReason,
    ) -> Result<(), SendError> {
        let digest = sha256(&[b"keyglass receipt", &from.to_key(), handshake]);
        let id = digest.first_chunk().copied().map_or(Id128([0; 16]), Id128);
        match self.queues.leave(from, target, id, encode(from, handshake, reason)) {
            Ok(true) => self.failures.count(reason),
            Ok(false) | Err(SendError::IdReused) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The receipts for `device`, the oldest first, as many as fit an answer; and whether more wait. It may block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(&self, device: &DeviceName) -> Result<(Vec<Receipt>, bool), StoreError> {
        let (stored, more) = self.queues.read(device, None)?;
        let receipts: Option<Vec<Receipt>> = stored.iter().map(decode).collect();
        Ok((receipts.ok_or(StoreError::Corrupt("a receipt"))?, more))
    }

    /// Deletes receipts for `device`. Ids that are not there are passed over. It may block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn acknowledge(&self, device: &DeviceName, ids: &[Id128]) -> Result<(), StoreError> {
        self.queues.acknowledge(device, ids)
    }
}

fn encode(from: &DeviceName, handshake: &[u8; 32], reason: FailureReason) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(FORMAT).opaque8(&from.label).u32(from.device).bytes(handshake).opaque8(reason.name().as_bytes());
    out.finish()
}

fn decode(stored: &StoredMessage) -> Option<Receipt> {
    let mut reader = Reader::new(&stored.body);
    reader.format(FORMAT).ok()?;
    let label = reader.opaque8(1, MAX_LABEL_LEN).ok()?.to_vec();
    let device = reader.u32().ok()?;
    let handshake: [u8; 32] = reader.array().ok()?;
    let reason = reader.opaque8(1, 255).ok()?.to_vec();
    reader.end().ok()?;
    Some(Receipt {
        id: stored.id,
        received: stored.received.0,
        from: Target { label: Base64::new(label).ok()?, device },
        handshake: Base64::new(handshake.to_vec()).ok()?,
        reason: String::from_utf8(reason).ok()?,
    })
}

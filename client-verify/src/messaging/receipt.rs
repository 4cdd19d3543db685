//! What a device says that could not open a message, and what becomes of it.

use keyglass_account::receipt::FailureReason;

use super::outgoing::MAX_ATTEMPTS;
use crate::{
    state::{OwnAccount, OwnDeviceState, Step},
    x3dh::{AcceptError, HandshakeId, KemId},
};

/// A failure receipt, to be left in the mailbox of the device that sent the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The label that the message was from.
    pub to: Vec<u8>,
    /// The device that the message was from.
    pub device: u32,
    /// The handshake.
    pub handshake: HandshakeId,
    /// Why.
    pub reason: FailureReason,
}

/// What a receipt means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptEffect {
    /// Another handshake is due.
    Due,
    /// No further handshake is started: enough were, or none can help.
    Abandoned,
    /// It is about a handshake that is not the last for its text, that was never started here, or whose text is not kept
    /// any more. Nothing has changed.
    Nothing,
}

/// Takes in that the device `device` of the account `from` could not open the message of `handshake`. The server says so, and
/// nobody else: see [`keyglass_account::receipt`].
pub fn take_receipt(
    own: &mut OwnAccount,
    from: &[u8],
    device: u32,
    handshake: &HandshakeId,
    reason: FailureReason,
) -> ReceiptEffect {
    let texts = own.outbox.iter_mut().filter(|text| text.to.as_bytes() == from);
    let entry = texts
        .flat_map(|text| text.devices.iter_mut())
        .find(|entry| entry.device == device && entry.handshake == handshake.0);
    let Some(entry) = entry.filter(|entry| matches!(entry.step, Step::Sent | Step::Unsent { .. })) else {
        return ReceiptEffect::Nothing;
    };
    let reason_given = Some(reason);
    if reason.is_worth_a_retry() && entry.attempts < MAX_ATTEMPTS {
        entry.step = Step::Due { reason: reason_given };
        ReceiptEffect::Due
    } else {
        entry.step = Step::Abandoned { reason: reason_given };
        ReceiptEffect::Abandoned
    }
}

/// The reason in a receipt for a message that `device` did not open; `None` for what is the device's own trouble.
#[must_use]
pub fn reason_of(error: &AcceptError, device: &OwnDeviceState) -> Option<FailureReason> {
    Some(match error {
        AcceptError::Suite(_) => FailureReason::SuiteRefused,
        AcceptError::SenderNotProven => FailureReason::KeyNotProven,
        // Signed and last-resort prekeys share their numbers: this one is of the other type.
        AcceptError::SignedPreKeyUnknown(id) if device.kem.last_resorts.iter().any(|key| key.id == *id) => {
            FailureReason::SignedPreKeyUnknown
        }
        // Numbers are given out once and in order, and their counters are never set back but by losing the state.
        AcceptError::SignedPreKeyUnknown(id) if *id >= device.counters.signed_prekey => {
            FailureReason::StateLost
        }
        AcceptError::SignedPreKeyUnknown(_) => FailureReason::SignedPreKeyExpired,
        AcceptError::OneTimePreKeyUnknown(id) if id.batch >= device.counters.batch => {
            FailureReason::StateLost
        }
        AcceptError::OneTimePreKeyUnknown(_) => FailureReason::OneTimePreKeyMissing,
        AcceptError::OneTimePreKeyReused(_) => FailureReason::OneTimePreKeyReused,
        AcceptError::KemPreKeyUnknown(KemId::LastResort(id)) if *id >= device.counters.signed_prekey => {
            FailureReason::StateLost
        }
        AcceptError::KemPreKeyUnknown(KemId::OneTime(id)) if id.batch >= device.counters.batch => {
            FailureReason::StateLost
        }
        AcceptError::KemPreKeyUnknown(_) => FailureReason::KemPreKeyMissing,
        AcceptError::KemPreKeyReused(_) => FailureReason::KemPreKeyReused,
        AcceptError::NotAuthentic | AcceptError::Dh(_) => FailureReason::NotAuthentic,
        _ => return None,
    })
}

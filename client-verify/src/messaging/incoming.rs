//! From bytes in the mailbox to a text from a proven sender, once for each handshake.

use keyglass_account::receipt::FailureReason;
use thiserror::Error;

use super::{
    View,
    receipt::{Receipt, reason_of},
};
use crate::{
    proven::{ProvenAccount, ProvenDevice},
    state::{OwnAccount, OwnDeviceState, TextKey, UnreadText},
    x3dh::{
        self, AcceptError, Accepted, FirstMessage, InitialMessage, Memory as _, MessageError, OwnDevice,
        PayloadError,
    },
};

/// What becomes of a message in the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done with: acknowledge it.
    Acknowledge,
    /// It may be opened later: leave it there.
    Keep,
}

/// Why a message was not opened, or its contents not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Cause {
    /// It is no initial message.
    #[error(transparent)]
    Malformed(#[from] MessageError),
    /// The sender's label is not one that can be looked up.
    #[error("the sender's label is not one that can be looked up")]
    SenderLabel,
    /// The log has no such sender.
    #[error("the log knows no such sender")]
    SenderUnknown,
    /// The sender could not be proven this time.
    #[error("the sender could not be proven")]
    SenderNotProven,
    /// The message claims keys or a device that the sender's proven record does not have.
    #[error("the sender's device is not in the sender's proven record")]
    DeviceNotProven,
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] AcceptError),
    /// As many handshakes are remembered as can be, and this one could not be told from a replay later. A new signed prekey
    /// makes room.
    #[error("too many handshakes without a one-time prekey are remembered; a new signed prekey makes room")]
    MemoryFull,
    /// The message was opened, and is not one that this version understands.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// A message that was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub cause: Cause,
    /// What becomes of it.
    pub fate: Fate,
    /// What to tell the sender's device before the message is acknowledged, unless the message turns out to be a
    /// [copy](is_copy) of another that is opened after it.
    pub receipt: Option<Receipt>,
}

impl Refusal {
    fn new(cause: impl Into<Cause>, fate: Fate) -> Self {
        Self { cause: cause.into(), fate, receipt: None }
    }
}

/// What a message is, before anything is proven.
#[derive(Debug)]
#[must_use]
pub enum Opening {
    /// Its handshake was accepted before: acknowledge it.
    Seen,
    /// It cannot be opened.
    Refused(Refusal),
    /// It may be opened once its sender is proven.
    NeedsSender(Box<PendingMessage>),
}

/// A message whose sender is to be looked up.
#[derive(Debug)]
pub struct PendingMessage {
    initial: InitialMessage,
    device: usize,
    label: String,
}

/// What looking the sender up came to.
#[derive(Debug, Clone, Copy)]
pub enum Sender<'a> {
    /// The account, proven by the newest version in some head.
    Proven {
        /// The account.
        account: &'a ProvenAccount,
        /// Whether that head is not older than the message. A server that lags behind its log may not know yet of the version
        /// that the message is from.
        is_current: bool,
    },
    /// The log says that there is no such label, in a head that is not older than the message. A server that lags behind its
    /// log may not know of a sender who is new: while that is possible, the sender is [`NotProven`](Self::NotProven).
    Unknown,
    /// It could not be proven this time, or a person has to decide about it.
    NotProven,
}

/// What became of a message.
#[derive(Debug)]
#[must_use]
pub enum Delivery {
    /// Its handshake was accepted before, or it is an altered [copy](is_copy) of a message that was: acknowledge it.
    Seen,
    /// It was opened. The session, the erased one-time secret and the text are in the account: store it, then
    /// acknowledge the message.
    Opened(Box<Opened>),
    /// It was not opened, and the account is as before, but for a message with contents that this version does not understand:
    /// store it in any case.
    Refused(Refusal),
}

/// A message that was opened.
#[derive(Debug)]
pub struct Opened {
    /// Who sent it.
    pub sender: ProvenDevice,
    /// What the sender says of the log.
    pub view: View,
    /// How the record that the sender sent to relates to one's own; [`None`] if the sender does not say.
    pub record: Option<Recipient>,
}

/// How the record that a sender sent to relates to one's own as it is known here. Only the sender's word says which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// It is the same.
    Same,
    /// It is older: devices that were added since did not get the text.
    Older {
        /// The version that the sender sent to.
        sent_to: u32,
        /// One's own.
        own: u32,
    },
    /// It is newer than what is known here: another device has published it, or somebody else has.
    Newer {
        /// The version that the sender sent to.
        sent_to: u32,
        /// One's own.
        own: u32,
    },
}

impl Recipient {
    fn of(sent_to: u32, own: u32) -> Self {
        match sent_to.cmp(&own) {
            core::cmp::Ordering::Less => Self::Older { sent_to, own },
            core::cmp::Ordering::Equal => Self::Same,
            core::cmp::Ordering::Greater => Self::Newer { sent_to, own },
        }
    }
}

/// Looks at a message in the mailbox of one's own device at index `device`. Nothing is proven and nothing changes.
pub fn open(own: &OwnAccount, device: usize, body: &[u8]) -> Opening {
    let initial = match InitialMessage::decode(body) {
        Ok(initial) => initial,
        Err(error) => return Opening::Refused(Refusal::new(error, Fate::Acknowledge)),
    };
    let Some(state) = own.devices.get(device) else {
        return Opening::Refused(Refusal::new(Cause::SenderNotProven, Fate::Keep));
    };
    let (party, dh_secret) = (own.party(state), state.dh_key());
    let receiver = OwnDevice { party: &party, dh_secret: &dh_secret, version: own.published.unwrap_or(0) };
    if state.secrets().has_seen(&x3dh::handshake_of(receiver, &initial)) {
        return Opening::Seen;
    }
    match core::str::from_utf8(&initial.claimed_sender().label) {
        Ok(label) => {
            let label = label.to_owned();
            Opening::NeedsSender(Box::new(PendingMessage { initial, device, label }))
        }
        Err(_) => Opening::Refused(Refusal::new(Cause::SenderLabel, Fate::Acknowledge)),
    }
}

/// Whether a message that cannot be opened is an altered copy of one that was: whoever alters copies must not have the sender
/// encrypt its text again and again. It is known as long as the session of that message is kept.
#[must_use]
pub fn is_copy(own: &OwnAccount, device: usize, body: &[u8]) -> bool {
    let initial = InitialMessage::decode(body).ok();
    own.devices.get(device).zip(initial).is_some_and(|(state, initial)| is_copy_of_accepted(state, &initial))
}

fn is_copy_of_accepted(state: &OwnDeviceState, initial: &InitialMessage) -> bool {
    state.has_accepted(&initial.claimed_sender().dh_key, initial.ephemeral())
}

impl PendingMessage {
    /// The label to look up. It is the message's claim.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Opens the message with what looking its sender up came to.
    pub fn supply(self, own: &mut OwnAccount, sender: Sender<'_>) -> Delivery {
        let refused = |cause: Cause, fate| Delivery::Refused(Refusal::new(cause, fate));
        let (account, is_current) = match sender {
            Sender::Proven { account, is_current } if account.is_usable() => (account, is_current),
            Sender::Proven { .. } | Sender::NotProven => return refused(Cause::SenderNotProven, Fate::Keep),
            Sender::Unknown => return refused(Cause::SenderUnknown, Fate::Acknowledge),
        };
        let claimed = self.initial.claimed_sender();
        let Some(sender) = account.device(claimed.device_id).filter(|device| device.party() == claimed)
        else {
            let newer = self.initial.claimed_version() > account.valid().version();
            if newer && !is_current {
                return refused(Cause::DeviceNotProven, Fate::Keep);
            }
            // A device that was removed may have fallen into other hands, so that its older versions do not help it. But a
            // device that does not know yet that its account's identity was rotated speaks under the one before.
            let receipt = account.device(claimed.device_id).and_then(|device| {
                self.receipt(
                    own,
                    &device.party().label,
                    device.party().device_id,
                    FailureReason::KeyNotProven,
                )
            });
            let refusal = Refusal::new(Cause::DeviceNotProven, Fate::Acknowledge);
            return Delivery::Refused(Refusal { receipt, ..refusal });
        };
        self.accept(own, sender)
    }

    /// What to tell the device that this message says it is from.
    fn receipt(&self, own: &OwnAccount, to: &[u8], device: u32, reason: FailureReason) -> Option<Receipt> {
        let state = own.devices.get(self.device)?;
        let (party, dh_secret) = (own.party(state), state.dh_key());
        let receiver =
            OwnDevice { party: &party, dh_secret: &dh_secret, version: own.published.unwrap_or(0) };
        let handshake = x3dh::handshake_of(receiver, &self.initial);
        Some(Receipt { to: to.to_vec(), device, handshake, reason })
    }

    fn accept(self, own: &mut OwnAccount, sender: ProvenDevice) -> Delivery {
        let Some(state) = own.devices.get(self.device) else {
            return Delivery::Refused(Refusal::new(Cause::SenderNotProven, Fate::Keep));
        };
        let (party, dh_secret) = (own.party(state), state.dh_key());
        let receiver =
            OwnDevice { party: &party, dh_secret: &dh_secret, version: own.published.unwrap_or(0) };
        let received = match x3dh::accept(receiver, &sender, &state.secrets(), &self.initial) {
            Ok(Accepted::Seen(_)) => return Delivery::Seen,
            Ok(Accepted::New(received)) => received,
            Err(_) if is_copy_of_accepted(state, &self.initial) => return Delivery::Seen,
            Err(error) => {
                let (to, id) = (&sender.party().label, sender.party().device_id);
                let receipt = reason_of(&error, state).and_then(|reason| self.receipt(own, to, id, reason));
                return Delivery::Refused(Refusal { receipt, ..Refusal::new(error, Fate::Acknowledge) });
            }
        };
        let Self { initial, device, .. } = self;
        let content = FirstMessage::decode(&received.plaintext);
        let Some(state) = own.devices.get_mut(device) else {
            return Delivery::Refused(Refusal::new(Cause::SenderNotProven, Fate::Keep));
        };
        if !received.used_one_time() && !state.make_room() {
            return Delivery::Refused(Refusal::new(Cause::MemoryFull, Fate::Keep));
        }
        state.absorb(&received, initial.prekeys().signed);
        let device = state.id;
        let content = match content {
            Ok(content) => content,
            Err(error) => return Delivery::Refused(Refusal::new(error, Fate::Acknowledge)),
        };
        let from = sender.party();
        own.take_text(UnreadText {
            key: TextKey::new(&from.label, &content.id, &content.text),
            devices: vec![device],
            from: from.label.clone(),
            from_device: from.device_id,
            from_version: sender.version(),
            text: content.text,
        });
        let view = View { checkpoint: content.checkpoint, heads: content.heads };
        let own_version = own.published.unwrap_or(0);
        let record = content.recipient_version.map(|sent_to| Recipient::of(sent_to, own_version));
        Delivery::Opened(Box::new(Opened { sender, view, record }))
    }
}

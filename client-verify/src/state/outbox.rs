//! Texts on their way: what was written, and how far it has come with each device.
//!
//! A text is kept until no device can say any more that it could not open it. What is waiting to be sent is stored before it
//! leaves, so that a crash sends it again under the same id and never another time.

use keyglass_account::receipt::FailureReason;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use super::text;

/// A text that was written here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutgoingText {
    /// Random, the same for every device and every attempt: whoever reads it twice shows it once.
    #[serde(with = "text::id")]
    pub id: [u8; 16],
    /// The recipient's label.
    pub to: String,
    /// The number of one's own device that sends it.
    pub from_device: u32,
    /// When it was written, milliseconds since the Unix epoch.
    pub written: u64,
    /// The text.
    pub text: String,
    /// The recipient's devices that a handshake was started with, in the order of their first.
    pub devices: Vec<OutgoingDevice>,
}

/// How far a text has come with one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutgoingDevice {
    /// The device's number.
    pub device: u32,
    /// Handshakes that were started for this text with this device.
    pub attempts: u32,
    /// The last of them.
    #[serde(with = "text::array")]
    pub handshake: [u8; 32],
    /// The version of the recipient's label that proved the device then.
    pub version: u32,
    /// How far it is.
    pub step: Step,
}

/// How far a text has come with one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The server has not confirmed that it took the message.
    Unsent {
        /// The message's id in the mailbox.
        #[serde(with = "text::id")]
        id: [u8; 16],
        /// The message.
        #[serde(with = "text::bytes")]
        body: Vec<u8>,
    },
    /// The server took it. The device may still say that it could not open it.
    Sent,
    /// The device could not open it, and another handshake is to be started.
    Due {
        /// Why; `None` if the server said that the record had changed.
        reason: Option<FailureReason>,
    },
    /// No further handshake is started. It is forgotten once the person was told.
    Abandoned {
        /// What the device said last; `None` if the time was over or the server said that the record had changed.
        reason: Option<FailureReason>,
    },
}

impl OutgoingText {
    /// The entry of a device.
    #[must_use]
    pub fn device(&self, device: u32) -> Option<&OutgoingDevice> {
        self.devices.iter().find(|entry| entry.device == device)
    }

    /// Whether nothing is left to do for it but to wait for what devices say.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.devices.iter().all(|entry| entry.step == Step::Sent)
    }
}

impl Drop for OutgoingText {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

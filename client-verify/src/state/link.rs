//! A device that this home has offered to an account, until the account has it.

use serde::{Deserialize, Serialize};

use super::{OwnDeviceState, format::Format, text};

/// An offer of a new device, with the device's secrets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkDocument {
    format: Format<1>,
    /// The log that the account is in.
    pub origin: String,
    /// The label.
    pub label: String,
    /// The device.
    pub device: OwnDeviceState,
    /// The encoded [`LinkOffer`](keyglass_account::link::LinkOffer).
    #[serde(with = "text::bytes")]
    pub offer: Vec<u8>,
    /// The version of the account that was proven when the offer was made.
    pub version: u32,
    /// Its record.
    #[serde(with = "text::bytes")]
    pub record: Vec<u8>,
}

impl LinkDocument {
    /// An offer that was just made, of an account that was proven at `version` as `record`.
    #[must_use]
    pub fn new(
        origin: String,
        label: String,
        device: OwnDeviceState,
        offer: Vec<u8>,
        (version, record): (u32, Vec<u8>),
    ) -> Self {
        Self { format: Format, origin, label, device, offer, version, record }
    }
}

//! One's own account: the identity, the devices, their prekeys, and what they received.
//!
//! An account is one document, so that everything that must change together does: a one-time secret is erased in the
//! very write that stores the session which used it.

use keyglass_crypto::{hash::sha256, sign::VerifyingKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    device::OwnDeviceState,
    format::Format,
    identity::OwnIdentity,
    outbox::{OutgoingText, Step},
    pending::PendingVersion,
    text,
};
use crate::x3dh::Party;

/// One's own account under one label of one log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnAccount {
    format: Format<1>,
    /// The log that the account is in.
    pub origin: String,
    /// The label.
    pub label: String,
    /// The identity key, or its public half where another device holds it.
    #[serde(rename = "identity_seed")]
    pub identity: OwnIdentity,
    /// The record to publish, or the last that was: its encoding.
    #[serde(with = "text::bytes")]
    pub record: Vec<u8>,
    /// The version that the log has published of it; `None` while it has not.
    pub published: Option<u32>,
    /// The next version, from before it is sent until it is known what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingVersion>,
    /// Versions that the server declined, with the secrets that they bring, until the log has others in their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declined: Vec<PendingVersion>,
    /// The version of this home before those that were made elsewhere with the identity key and are built upon here, until the
    /// person was told of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_upon_since: Option<u32>,
    /// The devices whose secrets are here.
    pub devices: Vec<OwnDeviceState>,
    /// Texts that were received and not yet shown.
    pub unread: Vec<UnreadText>,
    /// The keys of texts that were shown, the latest last, so that further devices' copies are not.
    shown: Vec<TextKey>,
    /// Texts that were written here and may have to be sent again, oldest first.
    #[serde(default)]
    pub outbox: Vec<OutgoingText>,
}

/// Why bytes are not an account's document, or why there is none of an account.
#[derive(Debug, Error)]
#[error("not an account's document of this version: {0}")]
pub struct DocumentError(#[from] serde_json::Error);

/// The most texts that are remembered as shown.
const MAX_SHOWN: usize = 4096;

/// Identifies a text: a hash of its sender, its id and itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextKey(#[serde(with = "text::array")] [u8; 32]);

impl TextKey {
    /// The key of what `from` wrote. Another text is another key, whatever id it bears.
    #[must_use]
    pub fn new(from: &[u8], id: &[u8; 16], text: &str) -> Self {
        Self(sha256(&[&sha256(&[from]), id, text.as_bytes()]))
    }
}

/// A text on its way to the person.
///
/// It is stored with its session and removed once it was printed, so that a crash in between loses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnreadText {
    /// What tells it from others.
    pub key: TextKey,
    /// The devices that received it.
    pub devices: Vec<u32>,
    /// The sender's label.
    #[serde(with = "text::bytes")]
    pub from: Vec<u8>,
    /// The sender's device.
    pub from_device: u32,
    /// The version of the sender's label that proves the device.
    pub from_version: u32,
    /// The text.
    pub text: String,
}

impl Drop for UnreadText {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl OwnAccount {
    /// An account that is not published yet.
    #[must_use]
    pub fn new(
        origin: String,
        label: String,
        identity: OwnIdentity,
        record: Vec<u8>,
        devices: Vec<OwnDeviceState>,
    ) -> Self {
        Self {
            format: Format,
            origin,
            label,
            identity,
            record,
            published: None,
            pending: None,
            declined: Vec::new(),
            built_upon_since: None,
            devices,
            unread: Vec::new(),
            shown: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// The document, as it is stored.
    ///
    /// # Errors
    /// Never for an account that was made or decoded here; the type is the encoder's.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, DocumentError> {
        let mut bytes = Zeroizing::new(Vec::new());
        serde_json::to_writer_pretty(&mut *bytes, self)?;
        Ok(bytes)
    }

    /// Reads a document, all of `bytes`.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DocumentError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Takes a text in, to be shown once for all devices that receive it.
    pub fn take_text(&mut self, text: UnreadText) {
        if let Some(waiting) = self.unread.iter_mut().find(|waiting| waiting.key == text.key) {
            waiting.devices.extend_from_slice(&text.devices);
        } else if !self.shown.contains(&text.key) {
            self.unread.push(text);
        }
    }

    /// Remembers that all waiting texts were shown, and forgets their contents. Likewise what was given up of the texts that
    /// were written here.
    pub fn mark_shown(&mut self) {
        for text in &mut self.outbox {
            text.devices.retain(|entry| !matches!(entry.step, Step::Abandoned { .. }));
        }
        self.outbox.retain(|text| !text.devices.is_empty());
        self.shown.extend(self.unread.iter().map(|text| text.key));
        self.unread.clear();
        let excess = self.shown.len().saturating_sub(MAX_SHOWN);
        self.shown.drain(..excess);
    }

    /// The identity key.
    #[must_use]
    pub fn identity_key(&self) -> VerifyingKey {
        self.identity.key()
    }

    /// The public values of the device at `index`.
    #[must_use]
    pub fn party(&self, device: &OwnDeviceState) -> Party {
        Party {
            label: self.label.as_bytes().to_vec(),
            identity_key: self.identity_key(),
            device_id: device.id,
            signing_key: device.signing_key().verifying_key(),
            dh_key: device.dh_key().public_key(),
        }
    }
}

//! The initial message on the wire.
//!
//! ```text
//! struct {
//!   uint8 format = 1;
//!   uint16 suite;
//!   opaque sender_label<1..255>;
//!   uint32 sender_version;            version of the label in which the sender found itself proven
//!   uint8 sender_identity_key[32];
//!   uint32 sender_device_id;
//!   uint8 sender_signing_key[32];
//!   uint8 sender_dh_key[32];          IK of the initiator
//!   uint8 ephemeral_key[32];          EK
//!   uint32 signed_prekey_id;
//!   optional<OneTimeId> one_time;     { uint32 batch; uint32 id; }
//!   opaque ciphertext<16..65126>;
//! } InitialMessage;
//! ```
//!
//! Everything before the ciphertext is authenticated with it. What the message says of its sender is a claim, to be
//! proven from the log before the message is opened.

use keyglass_account::{
    api::MAX_MESSAGE_LEN,
    codec::{CodecError, Reader, Writer},
    device::Suite,
    label::MAX_LABEL_LEN,
};
use keyglass_crypto::{
    dh::{DhError, DhPublicKey},
    sign::{SignError, VerifyingKey},
};
use thiserror::Error;

use super::transcript::{OneTimeId, Party, PreKeyIds};

/// The format that this code reads and writes.
const FORMAT: u8 = 1;

/// Bytes of an authentication tag.
const TAG: usize = 16;

/// The most bytes of an initial message: as many as a mailbox takes.
pub const MAX_MESSAGE: usize = MAX_MESSAGE_LEN;

/// The most bytes of everything before the ciphertext, and of its length.
const MAX_HEADER: usize = 1 + 2 + 256 + 4 + 32 + 4 + 32 * 3 + 4 + 9 + 2;

/// The most bytes of a ciphertext, its tag included.
pub const MAX_CIPHERTEXT: usize = MAX_MESSAGE - MAX_HEADER;

/// The most bytes of a plaintext.
pub const MAX_PLAINTEXT: usize = MAX_CIPHERTEXT - TAG;

/// Why bytes are not an initial message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MessageError {
    /// They are not the encoding of one.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// An Ed25519 key of the sender cannot be used.
    #[error("a signing key of the sender: {0}")]
    SigningKey(#[from] SignError),
    /// An X25519 key of the sender cannot be used.
    #[error("an X25519 key of the sender: {0}")]
    DhKey(#[from] DhError),
}

/// An initial message that has been decoded and not yet opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialMessage {
    pub(super) header: Header,
    pub(super) ciphertext: Vec<u8>,
}

/// Everything of an initial message but its ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub suite: Suite,
    pub sender_version: u32,
    pub sender: Party,
    pub ephemeral: DhPublicKey,
    pub prekeys: PreKeyIds,
}

impl Header {
    fn write(&self, out: &mut Writer) {
        let Self { suite, sender_version, sender, ephemeral, prekeys } = self;
        out.u8(FORMAT).u16(suite.0).opaque8(&sender.label).u32(*sender_version);
        out.bytes(&sender.identity_key.to_bytes()).u32(sender.device_id);
        out.bytes(&sender.signing_key.to_bytes()).bytes(&sender.dh_key.to_bytes());
        out.bytes(&ephemeral.to_bytes()).u32(prekeys.signed);
        out.optional(prekeys.one_time.as_ref(), |out, id| {
            out.u32(id.batch).u32(id.id);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.format(FORMAT)?;
        let suite = Suite(reader.u16()?);
        let label = reader.opaque8(1, MAX_LABEL_LEN)?.to_vec();
        let sender_version = reader.u32()?;
        let identity_key = VerifyingKey::from_bytes(&reader.array()?)?;
        let device_id = reader.u32()?;
        let signing_key = VerifyingKey::from_bytes(&reader.array()?)?;
        let dh_key = DhPublicKey::from_bytes(&reader.array()?)?;
        let ephemeral = DhPublicKey::from_bytes(&reader.array()?)?;
        let signed = reader.u32()?;
        let one_time = reader
            .optional(|reader| Ok::<_, CodecError>(OneTimeId { batch: reader.u32()?, id: reader.u32()? }))?;
        Ok(Self {
            suite,
            sender_version,
            sender: Party { label, identity_key, device_id, signing_key, dh_key },
            ephemeral,
            prekeys: PreKeyIds { signed, one_time },
        })
    }

    /// What the ciphertext authenticates: the session's associated data and this header.
    pub(super) fn authenticated(&self, associated_data: &[u8]) -> Vec<u8> {
        let mut out = Writer::new();
        out.opaque16(associated_data);
        self.write(&mut out);
        out.finish()
    }
}

impl InitialMessage {
    /// Decodes a message, all of `bytes`.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes);
        let header = Header::read(&mut reader)?;
        let length = reader.count16(TAG, MAX_CIPHERTEXT)?;
        let ciphertext = reader.bytes(length)?.to_vec();
        reader.end()?;
        Ok(Self { header, ciphertext })
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.header.write(&mut out);
        out.opaque16(&self.ciphertext);
        out.finish()
    }

    /// Who the message claims to be from.
    #[must_use]
    pub fn claimed_sender(&self) -> &Party {
        &self.header.sender
    }

    /// The version of the sender's label in which the sender says it is proven.
    #[must_use]
    pub fn claimed_version(&self) -> u32 {
        self.header.sender_version
    }

    /// The prekeys that it uses.
    #[must_use]
    pub fn prekeys(&self) -> PreKeyIds {
        self.header.prekeys
    }
}

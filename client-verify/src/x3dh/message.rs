//! The initial message on the wire.
//!
//! ```text
//! struct {
//!   uint8 format;                     1 without ML-KEM, 2 with it
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
//!   if (format == 2)
//!     KemKind kind;                   one_time(1), last_resort(2)
//!     select (kind) { one_time: OneTimeId;  last_resort: uint32 id; }
//!     opaque kem_ciphertext[1088];
//!   opaque ciphertext<16..max>;       max is 65126 in format 1, 64029 in format 2
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
    kem::{self, KemCiphertext},
    sign::{SignError, VerifyingKey},
};
use thiserror::Error;

use super::transcript::{KEM_LAST_RESORT, KEM_ONE_TIME, KemId, OneTimeId, Party, PreKeyIds};

/// The format of messages without ML-KEM.
const FORMAT: u8 = 1;

/// The format of messages with it.
const FORMAT_KEM: u8 = 2;

/// Bytes of an authentication tag.
const TAG: usize = 16;

/// The most bytes of an initial message: as many as a mailbox takes.
pub const MAX_MESSAGE: usize = MAX_MESSAGE_LEN;

/// The most bytes of everything before the ciphertext, and of its length, without ML-KEM.
const MAX_HEADER: usize = 1 + 2 + 256 + 4 + 32 + 4 + 32 * 3 + 4 + 9 + 2;

/// The most bytes that ML-KEM adds to a header.
const MAX_KEM: usize = 1 + 8 + kem::CIPHERTEXT_LEN;

/// The most bytes of a ciphertext in format 1, its tag included.
const MAX_CIPHERTEXT: usize = MAX_MESSAGE - MAX_HEADER;

/// The most bytes of a ciphertext in format 2, its tag included.
const MAX_CIPHERTEXT_KEM: usize = MAX_CIPHERTEXT - MAX_KEM;

/// The most bytes of a plaintext, whatever the suite.
pub const MAX_PLAINTEXT: usize = MAX_CIPHERTEXT_KEM - TAG;

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
    /// There if and only if `prekeys` names an ML-KEM prekey.
    pub kem_ciphertext: Option<KemCiphertext>,
}

impl Header {
    fn write(&self, out: &mut Writer) {
        let Self { suite, sender_version, sender, ephemeral, prekeys, kem_ciphertext } = self;
        out.u8(if prekeys.kem.is_some() { FORMAT_KEM } else { FORMAT })
            .u16(suite.0)
            .opaque8(&sender.label)
            .u32(*sender_version);
        out.bytes(&sender.identity_key.to_bytes()).u32(sender.device_id);
        out.bytes(&sender.signing_key.to_bytes()).bytes(&sender.dh_key.to_bytes());
        out.bytes(&ephemeral.to_bytes());
        prekeys.write(out);
        if let Some(ciphertext) = kem_ciphertext {
            out.bytes(ciphertext.as_bytes());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        let format = reader.u8()?;
        if !matches!(format, FORMAT | FORMAT_KEM) {
            return Err(CodecError::UnknownFormat(format).into());
        }
        let suite = Suite(reader.u16()?);
        let label = reader.opaque8(1, MAX_LABEL_LEN)?.to_vec();
        let sender_version = reader.u32()?;
        let identity_key = VerifyingKey::from_bytes(&reader.array()?)?;
        let device_id = reader.u32()?;
        let signing_key = VerifyingKey::from_bytes(&reader.array()?)?;
        let dh_key = DhPublicKey::from_bytes(&reader.array()?)?;
        let ephemeral = DhPublicKey::from_bytes(&reader.array()?)?;
        let signed = reader.u32()?;
        let one_time = reader.optional(read_one_time)?;
        let (kem, kem_ciphertext) = if format == FORMAT_KEM {
            let id = read_kem(reader)?;
            (Some(id), Some(KemCiphertext::from_bytes(&reader.array()?)))
        } else {
            (None, None)
        };
        Ok(Self {
            suite,
            sender_version,
            sender: Party { label, identity_key, device_id, signing_key, dh_key },
            ephemeral,
            prekeys: PreKeyIds { signed, one_time, kem },
            kem_ciphertext,
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

fn read_one_time(reader: &mut Reader<'_>) -> Result<OneTimeId, CodecError> {
    Ok(OneTimeId { batch: reader.u32()?, id: reader.u32()? })
}

fn read_kem(reader: &mut Reader<'_>) -> Result<KemId, CodecError> {
    match reader.u8()? {
        KEM_ONE_TIME => read_one_time(reader).map(KemId::OneTime),
        KEM_LAST_RESORT => reader.u32().map(KemId::LastResort),
        other => Err(CodecError::UnknownVariant(other)),
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
        let max = if header.prekeys.kem.is_some() { MAX_CIPHERTEXT_KEM } else { MAX_CIPHERTEXT };
        let length = reader.count16(TAG, max)?;
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

    /// The sender's ephemeral key.
    #[must_use]
    pub fn ephemeral(&self) -> &DhPublicKey {
        &self.header.ephemeral
    }

    /// The suite that it names.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.header.suite
    }

    /// The prekeys that it uses.
    #[must_use]
    pub fn prekeys(&self) -> PreKeyIds {
        self.header.prekeys
    }
}

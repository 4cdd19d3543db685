//! What the sender encrypts: the text, and what the sender knows of the log.
//!
//! ```text
//! struct {
//!   uint8 format = 3;
//!   opaque id[16];                 random, the same for every device of the recipient
//!   opaque checkpoint<0..2^14>;    the note of the sender's newest head
//!   HashValue heads<0..10>;        roots at the log's recent distinguished entries: the draft's DistinguishedHead
//!   uint32 recipient_version;      the version of the recipient's label that the sender proved
//!   opaque text<0..2^15>;          UTF-8
//!   uint8 padding[...];            zeros, up to the next size class
//! } FirstMessage;
//! ```
//!
//! Format 2 has no `recipient_version` and no padding, format 1 no `heads` either; both are still read. The length of `heads`
//! counts roots. The size classes are powers of two from 1024 to 32768 bytes, and 51200: who sees a message's length learns
//! little of the text's.
//!
//! By `recipient_version` the recipient's devices notice that a text was sent to a record without one of them.
//!
//! Checkpoint and roots make every first message a comparison of two parties' views of the log, over a channel that the
//! log cannot read. The checkpoint is signed, so that it can convict; the roots are the sender's word, and reach further
//! back.

use keyglass_account::codec::{CodecError, Reader, Writer};
use keyglass_crypto::hash::Digest;
use thiserror::Error;

/// The format without distinguished roots, which is read and no longer written.
const WITHOUT_HEADS: u8 = 1;

/// The format without the recipient's version and padding, which is read and no longer written.
const WITHOUT_VERSION: u8 = 2;

/// The format that this code writes.
const FORMAT: u8 = 3;

/// The least size class.
const LEAST: usize = 1024;

/// The greatest size class: every first message fits it, and it fits an initial message.
const GREATEST: usize = 51_200;

/// The most bytes of a checkpoint's note that are carried.
pub const MAX_CHECKPOINT: usize = 1 << 14;

/// The most distinguished roots that are carried: the draft advises against more.
pub const MAX_HEADS: usize = 10;

/// The most bytes of a text.
pub const MAX_TEXT: usize = 1 << 15;

/// Why bytes are not a first message, or why there is none of such parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// They are not the encoding of one.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The text or the checkpoint is not UTF-8.
    #[error("the text is not UTF-8")]
    NotText,
    /// It is not padded to its size class with zeros.
    #[error("not padded as this format is")]
    Padding,
    /// A part is too long.
    #[error(
        "the text is longer than {MAX_TEXT} bytes, the checkpoint longer than {MAX_CHECKPOINT}, or there are more \
         than {MAX_HEADS} roots"
    )]
    TooLong,
}

/// The size that a message of `len` bytes is padded to.
fn size_class(len: usize) -> usize {
    let class = len.next_power_of_two().max(LEAST);
    if class > 32_768 { GREATEST.max(len) } else { class }
}

/// The plaintext of an initial message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstMessage {
    /// Random, and the same in the messages to all devices, so that who reads several of them sees the text once.
    pub id: [u8; 16],
    /// The sender's checkpoint as a signed note; empty where the log has none.
    pub checkpoint: String,
    /// The log's roots at its recent distinguished entries as the sender verified them, left to right; empty if the sender
    /// has none, or wrote format 1.
    pub heads: Vec<Digest>,
    /// The version of the recipient's label that the sender proved. [`None`] in a message of an older format, which is then
    /// also written so.
    pub recipient_version: Option<u32>,
    /// What the person wrote.
    pub text: String,
}

impl FirstMessage {
    /// The encoding, in format 3 if there is a recipient's version and in format 2 otherwise.
    ///
    /// # Errors
    /// [`PayloadError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, PayloadError> {
        let fits = self.checkpoint.len() <= MAX_CHECKPOINT
            && self.heads.len() <= MAX_HEADS
            && self.text.len() <= MAX_TEXT;
        if !fits {
            return Err(PayloadError::TooLong);
        }
        let mut out = Writer::new();
        let format = self.recipient_version.map_or(WITHOUT_VERSION, |_| FORMAT);
        out.u8(format).bytes(&self.id).opaque16(self.checkpoint.as_bytes()).count8(self.heads.len());
        self.heads.iter().for_each(|root| {
            out.bytes(root);
        });
        if let Some(version) = self.recipient_version {
            out.u32(version);
        }
        out.opaque16(self.text.as_bytes());
        let mut bytes = out.finish();
        if self.recipient_version.is_some() {
            bytes.resize(size_class(bytes.len()), 0);
        }
        Ok(bytes)
    }

    /// Decodes all of `bytes`, of any format.
    ///
    /// # Errors
    /// [`PayloadError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let mut reader = Reader::new(bytes);
        let format = reader.u8()?;
        if !matches!(format, WITHOUT_HEADS | WITHOUT_VERSION | FORMAT) {
            return Err(CodecError::UnknownFormat(format).into());
        }
        let id = reader.array()?;
        let checkpoint = string(&mut reader, MAX_CHECKPOINT)?;
        let count = if format == WITHOUT_HEADS { 0 } else { reader.count8(0, MAX_HEADS)? };
        let heads: Result<Vec<Digest>, CodecError> = (0..count).map(|_| reader.array()).collect();
        let heads = heads?;
        let recipient_version = if format == FORMAT { Some(reader.u32()?) } else { None };
        let text = string(&mut reader, MAX_TEXT)?;
        if format == FORMAT {
            let left = reader.remaining();
            let padding = reader.bytes(left)?;
            let padded = size_class(bytes.len().saturating_sub(left)) == bytes.len();
            if !padded || padding.iter().any(|byte| *byte != 0) {
                return Err(PayloadError::Padding);
            }
        }
        reader.end()?;
        Ok(Self { id, checkpoint, heads, recipient_version, text })
    }
}

fn string(reader: &mut Reader<'_>, limit: usize) -> Result<String, PayloadError> {
    let length = reader.count16(0, limit)?;
    core::str::from_utf8(reader.bytes(length)?).map(str::to_owned).map_err(|_| PayloadError::NotText)
}

#[cfg(test)]
mod tests {
    use keyglass_keytrans::wire::{DistinguishedHead, Wire as _};
    use proptest::prelude::*;

    use super::*;

    fn message(heads: Vec<Digest>, text: &str) -> FirstMessage {
        FirstMessage {
            id: [7; 16],
            checkpoint: "note".into(),
            heads,
            recipient_version: None,
            text: text.into(),
        }
    }

    /// What the format before this one was.
    fn format_1(message: &FirstMessage) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(1)
            .bytes(&message.id)
            .opaque16(message.checkpoint.as_bytes())
            .opaque16(message.text.as_bytes());
        out.finish()
    }

    proptest! {
        #[test]
        fn decodes_to_what_was_encoded(
            id: [u8; 16],
            checkpoint in ".{0,200}",
            heads in proptest::collection::vec(any::<[u8; 32]>(), 0..=MAX_HEADS),
            text in ".{0,400}",
        ) {
            let message = FirstMessage { id, checkpoint, heads, recipient_version: None, text };
            let bytes = message.encode().unwrap();
            prop_assert_eq!(&FirstMessage::decode(&bytes).unwrap(), &message);
            let older = FirstMessage { heads: Vec::new(), ..message.clone() };
            prop_assert_eq!(FirstMessage::decode(&format_1(&message)).unwrap(), older);
            for bytes in [bytes, format_1(&message)] {
                for end in 0..bytes.len() {
                    prop_assert!(FirstMessage::decode(&bytes[..end]).is_err());
                }
                prop_assert!(FirstMessage::decode(&[bytes, vec![0]].concat()).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(format in 0u8..4, rest in proptest::collection::vec(any::<u8>(), 0..300)) {
            let bytes = [vec![format], rest].concat();
            if let Ok(message) = FirstMessage::decode(&bytes) {
                let again = if format == 1 { format_1(&message) } else { message.encode().unwrap() };
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn the_roots_stand_there_as_the_draft_encodes_them() {
        let heads: Vec<Digest> = (0..10).map(|byte| [byte; 32]).collect();
        let encoded = message(heads.clone(), "x").encode().unwrap();
        let as_in_the_draft = DistinguishedHead { heads }.encode().unwrap();
        let start = 1 + 16 + 2 + 4;
        assert_eq!(&encoded[start..start + as_in_the_draft.len()], as_in_the_draft);
    }

    #[test]
    fn what_is_too_long_or_not_text_is_refused() {
        assert_eq!(message(Vec::new(), &"x".repeat(MAX_TEXT + 1)).encode(), Err(PayloadError::TooLong));
        assert_eq!(message(vec![[0; 32]; 11], "x").encode(), Err(PayloadError::TooLong));
        let good = message(vec![[0; 32]; 10], "x").encode().unwrap();
        let mut eleven = good.clone();
        assert_eq!(eleven[23], 10);
        eleven[23] = 11;
        eleven.extend([0; 32]);
        assert!(matches!(
            FirstMessage::decode(&eleven),
            Err(PayloadError::Codec(CodecError::VectorLength { len: 11, min: 0, max: 10 }))
        ));
        let mut bytes = good;
        *bytes.last_mut().unwrap() = 0xFF;
        assert_eq!(FirstMessage::decode(&bytes), Err(PayloadError::NotText));
        for unknown in [0, 4, 255] {
            bytes[0] = unknown;
            let expected = PayloadError::Codec(CodecError::UnknownFormat(unknown));
            assert_eq!(FirstMessage::decode(&bytes), Err(expected));
        }
    }

    #[test]
    fn padded_messages_have_few_lengths_and_every_byte_of_the_padding_is_checked() {
        let with =
            |text: &str| FirstMessage { recipient_version: Some(5), ..message(vec![[1; 32]; 10], text) };
        let longest = FirstMessage { checkpoint: "c".repeat(MAX_CHECKPOINT), ..with(&"x".repeat(MAX_TEXT)) };
        assert_eq!(longest.encode().unwrap().len(), GREATEST);
        for (len, class) in [(0, 1024), (600, 1024), (700, 2048), (10_000, 16_384), (MAX_TEXT, GREATEST)] {
            let message = with(&"x".repeat(len));
            let bytes = message.encode().unwrap();
            assert_eq!(bytes.len(), class, "{len}");
            assert_eq!(FirstMessage::decode(&bytes).unwrap(), message);
            let end = bytes.len() - 1;
            assert!(FirstMessage::decode(&bytes[..end]).is_err());
            let longer = [bytes.clone(), vec![0]].concat();
            assert_eq!(FirstMessage::decode(&longer), Err(PayloadError::Padding));
            let mut altered = bytes;
            altered[end] = 1;
            assert_eq!(FirstMessage::decode(&altered), Err(PayloadError::Padding));
        }
    }
}

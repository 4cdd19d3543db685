//! What the sender encrypts: the text, and what the sender knows of the log.
//!
//! ```text
//! struct {
//!   uint8 format = 2;
//!   opaque id[16];                 random, the same for every device of the recipient
//!   opaque checkpoint<0..2^14>;    the note of the sender's newest head
//!   HashValue heads<0..10>;        roots at the log's recent distinguished entries: the draft's DistinguishedHead
//!   opaque text<0..2^15>;          UTF-8
//! } FirstMessage;
//! ```
//!
//! Format 1 has no `heads`, and is still read. The length of `heads` counts roots.
//!
//! Checkpoint and roots make every first message a comparison of two parties' views of the log, over a channel that the
//! log cannot read. The checkpoint is signed, so that it can convict; the roots are the sender's word, and reach further
//! back.

use keyglass_account::codec::{CodecError, Reader, Writer};
use keyglass_crypto::hash::Digest;
use thiserror::Error;

/// The format without distinguished roots, which is read and no longer written.
const WITHOUT_HEADS: u8 = 1;

/// The format that this code writes.
const FORMAT: u8 = 2;

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
    /// A part is too long.
    #[error(
        "the text is longer than {MAX_TEXT} bytes, the checkpoint longer than {MAX_CHECKPOINT}, or there are more \
         than {MAX_HEADS} roots"
    )]
    TooLong,
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
    /// What the person wrote.
    pub text: String,
}

impl FirstMessage {
    /// The encoding, in format 2.
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
        out.u8(FORMAT).bytes(&self.id).opaque16(self.checkpoint.as_bytes()).count8(self.heads.len());
        self.heads.iter().for_each(|root| {
            out.bytes(root);
        });
        out.opaque16(self.text.as_bytes());
        Ok(out.finish())
    }

    /// Decodes all of `bytes`, of either format.
    ///
    /// # Errors
    /// [`PayloadError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let mut reader = Reader::new(bytes);
        let format = reader.u8()?;
        if !matches!(format, WITHOUT_HEADS | FORMAT) {
            return Err(CodecError::UnknownFormat(format).into());
        }
        let id = reader.array()?;
        let checkpoint = string(&mut reader, MAX_CHECKPOINT)?;
        let count = if format == WITHOUT_HEADS { 0 } else { reader.count8(0, MAX_HEADS)? };
        let heads: Result<Vec<Digest>, CodecError> = (0..count).map(|_| reader.array()).collect();
        let (heads, text) = (heads?, string(&mut reader, MAX_TEXT)?);
        reader.end()?;
        Ok(Self { id, checkpoint, heads, text })
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
        FirstMessage { id: [7; 16], checkpoint: "note".into(), heads, text: text.into() }
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
            let message = FirstMessage { id, checkpoint, heads, text };
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
        for unknown in [0, 3, 255] {
            bytes[0] = unknown;
            let expected = PayloadError::Codec(CodecError::UnknownFormat(unknown));
            assert_eq!(FirstMessage::decode(&bytes), Err(expected));
        }
    }
}

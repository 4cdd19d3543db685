//! What the sender encrypts: the text, and the checkpoint that it relied on.
//!
//! ```text
//! struct {
//!   uint8 format = 1;
//!   opaque id[16];                 random, the same for every device of the recipient
//!   opaque checkpoint<0..2^14>;    the note of the head under which the sender proved the recipient
//!   opaque text<0..2^15>;          UTF-8
//! } FirstMessage;
//! ```
//!
//! The checkpoint makes every first message a comparison of two parties' views of the log, over a channel that the log
//! cannot read.

use keyglass_account::codec::{CodecError, Reader, Writer};
use thiserror::Error;

/// The format that this code reads and writes.
const FORMAT: u8 = 1;

/// The most bytes of a checkpoint's note that are carried.
pub const MAX_CHECKPOINT: usize = 1 << 14;

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
    /// The text or the checkpoint is too long.
    #[error("the text is longer than {MAX_TEXT} bytes or the checkpoint longer than {MAX_CHECKPOINT}")]
    TooLong,
}

/// The plaintext of an initial message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstMessage {
    /// Random, and the same in the messages to all devices, so that who reads several of them sees the text once.
    pub id: [u8; 16],
    /// The sender's checkpoint as a signed note; empty where the log has none.
    pub checkpoint: String,
    /// What the person wrote.
    pub text: String,
}

impl FirstMessage {
    /// The encoding.
    ///
    /// # Errors
    /// [`PayloadError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, PayloadError> {
        if self.checkpoint.len() > MAX_CHECKPOINT || self.text.len() > MAX_TEXT {
            return Err(PayloadError::TooLong);
        }
        let mut out = Writer::new();
        out.u8(FORMAT).bytes(&self.id).opaque16(self.checkpoint.as_bytes()).opaque16(self.text.as_bytes());
        Ok(out.finish())
    }

    /// Decodes all of `bytes`.
    ///
    /// # Errors
    /// [`PayloadError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let mut reader = Reader::new(bytes);
        reader.format(FORMAT)?;
        let id = reader.array()?;
        let checkpoint = string(&mut reader, MAX_CHECKPOINT)?;
        let text = string(&mut reader, MAX_TEXT)?;
        reader.end()?;
        Ok(Self { id, checkpoint, text })
    }
}

fn string(reader: &mut Reader<'_>, limit: usize) -> Result<String, PayloadError> {
    let length = reader.count16(0, limit)?;
    core::str::from_utf8(reader.bytes(length)?).map(str::to_owned).map_err(|_| PayloadError::NotText)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decodes_to_what_was_encoded(id: [u8; 16], checkpoint in ".{0,200}", text in ".{0,400}") {
            let message = FirstMessage { id, checkpoint, text };
            let bytes = message.encode().unwrap();
            prop_assert_eq!(FirstMessage::decode(&bytes).unwrap(), message);
            for end in 0..bytes.len() {
                prop_assert!(FirstMessage::decode(&bytes[..end]).is_err());
            }
            prop_assert!(FirstMessage::decode(&[bytes, vec![0]].concat()).is_err());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = FirstMessage::decode(&bytes) {
                prop_assert_eq!(message.encode().unwrap(), bytes);
            }
        }
    }

    #[test]
    fn what_is_too_long_or_not_text_is_refused() {
        let long = FirstMessage { id: [0; 16], checkpoint: String::new(), text: "x".repeat(MAX_TEXT + 1) };
        assert_eq!(long.encode(), Err(PayloadError::TooLong));
        let mut bytes =
            FirstMessage { id: [0; 16], checkpoint: String::new(), text: "x".into() }.encode().unwrap();
        *bytes.last_mut().unwrap() = 0xFF;
        assert_eq!(FirstMessage::decode(&bytes), Err(PayloadError::NotText));
        bytes[0] = 2;
        assert!(matches!(FirstMessage::decode(&bytes), Err(PayloadError::Codec(_))));
    }
}

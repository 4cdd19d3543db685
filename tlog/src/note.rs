//! Signed notes (C2SP signed-note).
//!
//! A note is text, a blank line, and signature lines. A key is known only by name *and* id; lines of other keys are
//! ignored. A line of a known key that does not verify spoils the note, whatever the other lines say.

mod signer;
mod vkey;

use core::fmt;

use thiserror::Error;

pub(crate) use self::signer::{decode_key, encode_key};
pub use self::{
    signer::{KeyFileError, NoteSigner},
    vkey::{KeyId, KeyName, KeyNameError, MAX_VKEY_LEN, PublicKey, Vkey, VkeyError},
};
use crate::{cosignature, text, time::UnixSeconds};

/// The longest note that is read, in bytes: 64 lines with ML-DSA-44 signatures fit beside a text of 32 KiB.
pub const MAX_NOTE_LEN: usize = 256 * 1024;

/// The most signature lines that a note may have.
pub const MAX_SIGNATURES: usize = 64;

/// Why bytes are not a signed note, or not signature lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoteError {
    /// More than [`MAX_NOTE_LEN`] bytes.
    #[error("the note is longer than {MAX_NOTE_LEN} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the note is not valid UTF-8")]
    NotUtf8,
    /// A control character other than newline.
    #[error("the note has a control character")]
    ControlCharacter,
    /// The last line, or the text, does not end in a newline.
    #[error("a line of the note does not end in a newline")]
    NoFinalNewline,
    /// No blank line separates text and signatures.
    #[error("no blank line separates the note's text from its signatures")]
    NoBlankLine,
    /// There is no signature line.
    #[error("the note has no signature line")]
    NoSignatures,
    /// More than [`MAX_SIGNATURES`] signature lines.
    #[error("the note has more than {MAX_SIGNATURES} signature lines")]
    TooManySignatures,
    /// A line after the blank one is not a signature line; lines are counted from 1.
    #[error("signature line {0} is malformed")]
    BadSignatureLine(usize),
}

/// Why a note's text must not be believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoteVerifyError {
    /// A line of a known key does not verify.
    #[error("the signature line of the known key {name}+{id} does not verify")]
    BadSignature {
        /// The key's name.
        name: KeyName,
        /// The key's id.
        id: KeyId,
    },
    /// No line is of a known key.
    #[error("no known key signed the note")]
    NoKnownKey,
}

/// One signature line: who claims to have signed, and the signature's bytes, neither of them verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SignatureLine {
    name: KeyName,
    id: KeyId,
    signature: Vec<u8>,
}

impl SignatureLine {
    pub(crate) fn new(name: KeyName, id: KeyId, signature: Vec<u8>) -> Self {
        Self { name, id, signature }
    }

    /// Reads a line, without its newline.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let name = KeyName::new(name).ok()?;
        let bytes = text::parse_base64(encoded)?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        // No signature algorithm has empty signatures.
        if signature.is_empty() { None } else { Some(Self::new(name, KeyId(*id), signature.to_vec())) }
    }

    /// The name of the key that the line claims.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of the key that the line claims.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The signature, without the key id in front of it.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    fn is_of(&self, key: &Vkey) -> bool {
        self.id == key.id() && self.name == *key.name()
    }
}

impl fmt::Display for SignatureLine {
    /// The line without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut encoded = self.id.0.to_vec();
        encoded.extend_from_slice(&self.signature);
        write!(f, "\u{2014} {} {}", self.name, text::base64(&encoded))
    }
}

/// Reads signature lines without a note, as an add-checkpoint response and `TreeHead.signature` carry them.
///
/// # Errors
/// [`NoteError`]; no line at all is [`NoteError::NoSignatures`].
pub fn parse_signature_lines(bytes: &[u8]) -> Result<Vec<SignatureLine>, NoteError> {
    let lines = checked_text(bytes)?.strip_suffix('\n').ok_or(NoteError::NoFinalNewline)?;
    let mut parsed = Vec::new();
    for (index, line) in lines.split('\n').enumerate() {
        if index >= MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let number = index.saturating_add(1);
        parsed.push(SignatureLine::parse(line).ok_or(NoteError::BadSignatureLine(number))?);
    }
    Ok(parsed)
}

/// Writes signature lines, each with its newline.
#[must_use]
pub fn format_signature_lines(lines: &[SignatureLine]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The bytes as text, if they may be in a note at all.
fn checked_text(bytes: &[u8]) -> Result<&str, NoteError> {
    if bytes.len() > MAX_NOTE_LEN {
        return Err(NoteError::TooLong);
    }
    if bytes.is_empty() {
        return Err(NoteError::NoSignatures);
    }
    let text = core::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
    if text.bytes().any(|b| b < 0x20 && b != b'\n') { Err(NoteError::ControlCharacter) } else { Ok(text) }
}

/// A note whose form is right and of whose signatures nothing is known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl SignedNote {
    /// Reads a whole note.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn parse(note: &[u8]) -> Result<Self, NoteError> {
        let note = checked_text(note)?;
        if !note.ends_with('\n') {
            return Err(NoteError::NoFinalNewline);
        }
        // The text keeps the first newline of the last pair; the second one is the blank line.
        let end = note.rfind("\n\n").ok_or(NoteError::NoBlankLine)?.saturating_add(1);
        let (text, rest) = note.split_at_checked(end).ok_or(NoteError::NoBlankLine)?;
        let lines = rest.strip_prefix('\n').ok_or(NoteError::NoBlankLine)?;
        let signatures = parse_signature_lines(lines.as_bytes())?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Puts a note together.
    ///
    /// # Errors
    /// [`NoteError`] if the text does not end in a newline or has a control character, if there are no or too many
    /// signatures, or if the whole would be too long.
    pub fn new(text: &str, signatures: Vec<SignatureLine>) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::NoFinalNewline);
        }
        checked_text(text.as_bytes())?;
        if signatures.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let note = Self { text: text.to_owned(), signatures };
        if note.to_string().len() > MAX_NOTE_LEN { Err(NoteError::TooLong) } else { Ok(note) }
    }

    /// The text, with its final newline. Nothing in it may be believed before [`SignedNote::verify`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines in their order.
    #[must_use]
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Verifies every line of a known key.
    ///
    /// The result has one element per line that verified, in the order of the lines; a key may occur twice.
    ///
    /// # Errors
    /// [`NoteVerifyError`].
    pub fn verify<'k>(&self, keys: &[&'k Vkey]) -> Result<Vec<VerifiedLine<'k>>, NoteVerifyError> {
        let verified = verify_lines(&self.text, &self.signatures, keys)?;
        if verified.is_empty() { Err(NoteVerifyError::NoKnownKey) } else { Ok(verified) }
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.text, format_signature_lines(&self.signatures))
    }
}

/// A signature line that verified under `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedLine<'k> {
    /// The key that signed.
    pub key: &'k Vkey,
    /// Its index among the keys that were given.
    pub key_index: usize,
    /// When the tree was the largest seen, where the signature states it: cosignatures of witnesses do.
    pub time: Option<UnixSeconds>,
    /// Which line it is, counted from 0.
    pub line: usize,
}

/// Verifies the lines of known keys over `text`; an empty result means that no known key signed.
pub fn verify_lines<'k>(
    text: &str,
    lines: &[SignatureLine],
    keys: &[&'k Vkey],
) -> Result<Vec<VerifiedLine<'k>>, NoteVerifyError> {
    let mut verified: Vec<VerifiedLine<'k>> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let mut known = keys.iter().enumerate().filter(|(_, key)| line.is_of(key)).peekable();
        if known.peek().is_none() {
            continue;
        }
        // The same line again costs no second verification: whoever repeats one cannot make another that verifies.
        let same = |earlier: &&VerifiedLine<'_>| lines.get(earlier.line) == Some(line);
        if let Some(earlier) = verified.iter().find(same) {
            verified.push(VerifiedLine { line: index, ..*earlier });
            continue;
        }
        // Two known keys may collide in name and id: then the line is good if it is of either.
        let good = known.find_map(|(key_index, key)| {
            let time = cosignature::verify_line(key, text, line.signature()).ok()?;
            Some(VerifiedLine { key, key_index, time, line: index })
        });
        match good {
            Some(line) => verified.push(line),
            None => return Err(NoteVerifyError::BadSignature { name: line.name.clone(), id: line.id }),
        }
    }
    Ok(verified)
}

#[cfg(test)]
mod tests;

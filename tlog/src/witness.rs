//! What logs and witnesses say to each other (C2SP tlog-witness): bytes only, no HTTP.

use core::fmt;

use keyglass_crypto::hash::sha256;
use thiserror::Error;

use crate::{
    Digest,
    checkpoint::{Checkpoint, CheckpointError},
    note::{self, KeyName, MAX_NOTE_LEN, NoteError, NoteVerifyError, SignatureLine, SignedNote, Vkey},
    text,
    time::UnixSeconds,
    witnessed::Horizon,
};

/// The most lines of a consistency proof ("The client MUST NOT send more than 63 consistency proof lines").
pub const MAX_PROOF_LINES: usize = 63;

/// The longest add-checkpoint body that is read, in bytes.
pub const MAX_REQUEST_LEN: usize = MAX_NOTE_LEN + 4096;

/// The media type of the body that answers a wrong old size.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";

/// Why bytes are not an add-checkpoint request, or why one cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// More than [`MAX_REQUEST_LEN`] bytes.
    #[error("the request is longer than {MAX_REQUEST_LEN} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the request is not valid UTF-8")]
    NotUtf8,
    /// The first line is not `old` and a decimal number.
    #[error("the first line is not the old size")]
    BadOldSize,
    /// A proof line is not the base64 of 32 bytes.
    #[error("a consistency proof line is not the base64 of 32 bytes")]
    BadHash,
    /// More than [`MAX_PROOF_LINES`] hashes.
    #[error("there are more than {MAX_PROOF_LINES} consistency proof lines")]
    TooManyHashes,
    /// No empty line ends the consistency proof.
    #[error("no empty line separates the consistency proof from the checkpoint")]
    NoBlankLine,
    /// What follows is not a signed note.
    #[error(transparent)]
    BadNote(#[from] NoteError),
    /// The note's text is not a checkpoint.
    #[error(transparent)]
    BadCheckpoint(#[from] CheckpointError),
}

/// The body of an add-checkpoint request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old_size: u64,
    proof: Vec<Digest>,
    note: SignedNote,
    checkpoint: Checkpoint,
}

impl AddCheckpoint {
    /// A request for a cosignature of the checkpoint in `note`, from the size that the witness cosigned last (0 for
    /// none), with the consistency proof from that size.
    ///
    /// # Errors
    /// [`RequestError::TooManyHashes`] or [`RequestError::BadCheckpoint`].
    pub fn new(old_size: u64, proof: Vec<Digest>, note: SignedNote) -> Result<Self, RequestError> {
        if proof.len() > MAX_PROOF_LINES {
            return Err(RequestError::TooManyHashes);
        }
        let checkpoint = Checkpoint::from_note(&note)?;
        Ok(Self { old_size, proof, note, checkpoint })
    }

    /// The size from which the consistency proof starts.
    #[must_use]
    pub fn old_size(&self) -> u64 {
        self.old_size
    }

    /// The consistency proof.
    #[must_use]
    pub fn proof(&self) -> &[Digest] {
        &self.proof
    }

    /// The note with the new checkpoint.
    #[must_use]
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The new checkpoint, of which nothing is verified.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > MAX_REQUEST_LEN {
            return Err(RequestError::TooLong);
        }
        let body = core::str::from_utf8(body).map_err(|_| RequestError::NotUtf8)?;
        // A note has an empty line of its own: the first one belongs to the request.
        let (head, note) = body.split_once("\n\n").ok_or(RequestError::NoBlankLine)?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| line.strip_prefix("old "));
        let old_size = old_size.and_then(text::parse_decimal).ok_or(RequestError::BadOldSize)?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() >= MAX_PROOF_LINES {
                return Err(RequestError::TooManyHashes);
            }
            proof.push(text::parse_hash(line).ok_or(RequestError::BadHash)?);
        }
        Self::new(old_size, proof, SignedNote::parse(note.as_bytes())?)
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", text::base64(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

/// The body of a 409 answer: the size that the witness cosigned last.
#[must_use]
pub fn format_size(size: u64) -> String {
    format!("{size}\n")
}

/// Reads the body of a 409 answer; `None` if it is none.
#[must_use]
pub fn parse_size(body: &[u8]) -> Option<u64> {
    text::parse_decimal(core::str::from_utf8(body).ok()?.strip_suffix('\n')?)
}

/// The path of the last cosigned checkpoint below a monitoring prefix, without a leading slash.
#[must_use]
pub fn checkpoint_path(origin: &str) -> String {
    let mut path: String = sha256(&[origin.as_bytes()]).iter().map(|byte| format!("{byte:02x}")).collect();
    path.push_str("/checkpoint");
    path
}

/// Why a witness's answer has no cosignature that counts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// Not signature lines.
    #[error(transparent)]
    Malformed(#[from] NoteError),
    /// A line of a known key does not verify: it may be over another checkpoint.
    #[error("the cosignature of {0} does not verify")]
    BadSignature(KeyName),
    /// A cosignature's time is zero or beyond the horizon.
    #[error("the cosignature of {name} has the time {time}, which is too far ahead")]
    FromTheFuture {
        /// The key's name.
        name: KeyName,
        /// The time.
        time: UnixSeconds,
    },
    /// No line is of a known key.
    #[error("there is no cosignature of a known key")]
    NoCosignature,
}

/// Reads the body of a 200 answer: the lines of the witness's `keys`, each verified over `checkpoint`. Lines of other
/// keys are left out, as the specification says.
///
/// # Errors
/// [`ResponseError`].
pub fn parse_cosignatures<S>(
    body: &[u8],
    checkpoint: &Checkpoint<S>,
    keys: &[&Vkey],
    horizon: Horizon,
) -> Result<Vec<SignatureLine>, ResponseError> {
    let lines = note::parse_signature_lines(body)?;
    let verified = note::verify_lines(&checkpoint.text(), &lines, keys).map_err(|error| match error {
        NoteVerifyError::BadSignature { name, .. } => ResponseError::BadSignature(name),
        NoteVerifyError::NoKnownKey => ResponseError::NoCosignature,
    })?;
    let mut good = Vec::new();
    for line in verified {
        let time = line.time.ok_or(ResponseError::NoCosignature)?;
        if !horizon.admits(time) {
            return Err(ResponseError::FromTheFuture { name: line.key.name().clone(), time });
        }
        good.extend(lines.get(line.line).cloned());
    }
    if good.is_empty() { Err(ResponseError::NoCosignature) } else { Ok(good) }
}

#[cfg(test)]
mod tests;

//! The state that a witness keeps for a log: the last checkpoint that it cosigned.

use keyglass_crypto::hash::sha256;
use keyglass_tlog::{
    Digest,
    checkpoint::{Checkpoint, CheckpointError},
    note::{NoteError, SignatureLine, SignedNote},
    time::UnixSeconds,
};

/// The SHA-256 hash of a log's origin: the key of everything that is kept for it, and its name in monitoring paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginHash(pub Digest);

impl OriginHash {
    /// The hash of an origin's octets.
    #[must_use]
    pub fn of(origin: &str) -> Self {
        Self(sha256(&[origin.as_bytes()]))
    }
}

/// The last checkpoint that was cosigned for a log, when, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    note: SignedNote,
    checkpoint: Checkpoint,
    time: UnixSeconds,
    cosignatures: Vec<SignatureLine>,
}

impl Head {
    /// The head of a note that carries only signature lines of the log that were verified: it is served as it is, with
    /// the witness's cosignatures added, and lines that nobody checked must not be.
    ///
    /// # Errors
    /// [`CheckpointError`] if the note's text is not a checkpoint.
    pub fn new(note: SignedNote, time: UnixSeconds) -> Result<Self, CheckpointError> {
        let checkpoint = Checkpoint::from_note(&note)?;
        Ok(Self { note, checkpoint, time, cosignatures: Vec::new() })
    }

    /// The same head with the cosignatures that answer for it.
    #[must_use]
    pub fn with_cosignatures(mut self, cosignatures: Vec<SignatureLine>) -> Self {
        self.cosignatures = cosignatures;
        self
    }

    /// The same head at another time, for a state that is known to lag behind.
    #[must_use]
    pub(crate) fn at(mut self, time: UnixSeconds) -> Self {
        self.time = time;
        self
    }

    /// The key that it is stored under.
    #[must_use]
    pub fn origin_hash(&self) -> OriginHash {
        OriginHash::of(self.checkpoint.origin())
    }

    /// The checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The checkpoint with the log's verified signature lines.
    #[must_use]
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The last time that a cosignature for this log carried.
    #[must_use]
    pub fn time(&self) -> UnixSeconds {
        self.time
    }

    /// The cosignatures that were returned. Heads that a program from before stored have none: Ed25519 signs the same
    /// bytes the same way again.
    #[must_use]
    pub fn cosignatures(&self) -> &[SignatureLine] {
        &self.cosignatures
    }

    /// The note with `cosignatures` after the log's lines.
    ///
    /// # Errors
    /// [`NoteError`] if that is more than a note may hold.
    pub fn cosigned(&self, cosignatures: Vec<SignatureLine>) -> Result<SignedNote, NoteError> {
        SignedNote::new(self.note.text(), [self.note.signatures().to_vec(), cosignatures].concat())
    }
}

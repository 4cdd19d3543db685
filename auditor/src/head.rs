//! A head that the log signed, with the signature lines that are worth keeping.

use keyglass_crypto::hash::sha256;
use keyglass_tlog::{
    Digest,
    checkpoint::{Checkpoint, CheckpointError},
    note::{self, MAX_SIGNATURES, NoteError, SignatureLine, SignedNote, Vkey},
    policy::{Name, Policy, Witness},
    time::UnixSeconds,
};
use thiserror::Error;

use crate::trust::Trust;

/// Why bytes are not a head of the log that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadError {
    /// Not a signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note's text is not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint of another log.
    #[error("the checkpoint is of another log")]
    OtherOrigin,
    /// The log's key did not sign it.
    #[error("the log has not signed the checkpoint")]
    NotSigned,
}

/// A checkpoint that the log signed. Its note has the log's line and at most one of each witness of the policy, all
/// verified: whoever served it can neither spoil it with a bad line nor make it grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    checkpoint: Checkpoint,
    note: SignedNote,
}

impl SignedHead {
    /// Reads a note and verifies its lines.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn read(note: &[u8], trust: &Trust) -> Result<Self, HeadError> {
        Self::verify(&SignedNote::parse(note)?, trust)
    }

    /// Verifies the lines of a note.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn verify(note: &SignedNote, trust: &Trust) -> Result<Self, HeadError> {
        let checkpoint = Checkpoint::from_note(note)?;
        if checkpoint.origin() != trust.origin() {
            return Err(HeadError::OtherOrigin);
        }
        let mut lines: Vec<SignatureLine> =
            trust.log_keys().iter().filter_map(|key| line_of(note, key).cloned()).collect();
        if lines.is_empty() {
            return Err(HeadError::NotSigned);
        }
        let witnesses = trust.policy().witnesses().iter();
        lines.extend(witnesses.filter_map(|witness| line_of(note, witness.vkey()).cloned()));
        lines.truncate(MAX_SIGNATURES);
        Ok(Self { checkpoint, note: SignedNote::new(note.text(), lines)? })
    }

    /// Reads a head that was verified before it was stored.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn restore(note: &[u8]) -> Result<Self, HeadError> {
        let note = SignedNote::parse(note)?;
        Ok(Self { checkpoint: Checkpoint::from_note(&note)?, note })
    }

    /// The checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.checkpoint.tree_size()
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Digest {
        self.checkpoint.root()
    }

    /// The note.
    #[must_use]
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// What tells it from other heads: the hash of what is signed.
    #[must_use]
    pub fn id(&self) -> Digest {
        sha256(&[self.note.text().as_bytes()])
    }

    /// When this witness cosigned, if its line is there.
    #[must_use]
    pub fn cosigned_by(&self, witness: &Witness) -> Option<UnixSeconds> {
        let keys = [witness.vkey()];
        let lines = note::verify_lines(self.note.text(), self.note.signatures(), &keys).ok()?;
        lines.iter().filter_map(|line| line.time).max()
    }

    /// The witnesses of the policy whose lines are there, in its order.
    #[must_use]
    pub fn cosigners(&self, policy: &Policy) -> Vec<Name> {
        let cosigned = |witness: &&Witness| line_of(&self.note, witness.vkey()).is_some();
        policy.witnesses().iter().filter(cosigned).map(|witness| witness.name().clone()).collect()
    }

    /// Adds the lines that another note of the same text has and this one has not. Says whether there were any.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.note.text() != other.note.text() {
            return false;
        }
        let known = |line: &&SignatureLine| {
            !self.note.signatures().iter().any(|own| own.name() == line.name() && own.id() == line.id())
        };
        let new: Vec<SignatureLine> = other.note.signatures().iter().filter(known).cloned().collect();
        let room = MAX_SIGNATURES.saturating_sub(self.note.signatures().len());
        let mut lines = self.note.signatures().to_vec();
        lines.extend(new.into_iter().take(room));
        if lines.len() == self.note.signatures().len() {
            return false;
        }
        match SignedNote::new(self.note.text(), lines) {
            Ok(note) => {
                self.note = note;
                true
            }
            Err(_) => false,
        }
    }
}

/// The first line of this key that verifies. Others of the same key are not held against the note: they prove nothing.
fn line_of<'a>(note: &'a SignedNote, key: &Vkey) -> Option<&'a SignatureLine> {
    note.signatures().iter().find(|line| {
        let line = core::slice::from_ref(*line);
        note::verify_lines(note.text(), line, &[key]).is_ok_and(|lines| !lines.is_empty())
    })
}

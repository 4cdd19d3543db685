//! A head that the log signed, with the signature lines that are worth keeping.

use keyglass_crypto::hash::sha256;
use keyglass_tlog::{
    Digest,
    checkpoint::{Checkpoint, CheckpointError},
    note::{self, MAX_SIGNATURES, NoteError, SignatureLine, SignedNote},
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

/// A checkpoint that the log signed. Its note has lines of the log and of witnesses of the policy, one of each key, all
/// verified ([`KnownLog::trim`](keyglass_gossip::trust::KnownLog::trim)).
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
        let note = trust.known().trim(note).ok_or(HeadError::NotSigned)?;
        Ok(Self { checkpoint, note })
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
        let cosigned = |witness: &&Witness| self.cosigned_by(witness).is_some();
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

//! A head that its log signed.

use keyglass_tlog::{
    checkpoint::{Checkpoint, CheckpointError},
    note::{NoteError, SignedNote},
};
use thiserror::Error;

use crate::{decide::Tree, trust::Trust};

/// Why bytes are not a head of a known log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadError {
    /// Not a signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note's text is not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No such log is known.
    #[error("the checkpoint is of a log that is not known here")]
    UnknownOrigin,
    /// No key of the log signed it.
    #[error("the log has not signed the checkpoint")]
    NotSigned,
}

/// A checkpoint that a key of its log signed. The note has lines of known keys only, all verified
/// ([`KnownLog::trim`](crate::trust::KnownLog::trim)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    origin: String,
    tree: Tree,
    note: SignedNote,
}

impl Head {
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
        let log = trust.log(checkpoint.origin()).ok_or(HeadError::UnknownOrigin)?;
        if !log.has_signed(note) {
            return Err(HeadError::NotSigned);
        }
        let note = log.trim(note).ok_or(HeadError::NotSigned)?;
        let tree = Tree { size: checkpoint.tree_size(), root: *checkpoint.root() };
        Ok(Self { origin: checkpoint.origin().to_owned(), tree, note })
    }

    /// The log's origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What it states.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The note.
    #[must_use]
    pub fn note(&self) -> &SignedNote {
        &self.note
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{HONEST, note, trust};

    #[test]
    fn only_what_a_known_log_signed_is_a_head() {
        let read = |text: String| Head::read(text.as_bytes(), &trust(1));
        let head = read(HONEST.note(7, &[0]).to_string()).unwrap();
        assert_eq!((head.tree().size, head.note().signatures().len()), (7, 2));
        let stranger = Checkpoint::new("log.example/two", 7, [1; 32]).unwrap();
        assert_eq!(read(note(&stranger, &[0]).to_string()), Err(HeadError::UnknownOrigin));
        let forged = HONEST.note(7, &[0]).to_string().replacen("7\n", "8\n", 1);
        assert_eq!(read(forged), Err(HeadError::NotSigned));
        assert!(matches!(read(String::new()), Err(HeadError::Note(_))));
        assert!(matches!(
            read("a\nb\n\n\u{2014} x AAAAAAA=\n".into()),
            Err(HeadError::Checkpoint(_) | HeadError::Note(_))
        ));
    }
}

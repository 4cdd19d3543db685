//! Handovers: a log declares where it ends and which log comes after it. `docs/handover.md` specifies the file.
//!
//! The origin of a log commits to its configuration, so that another configuration is another log. A handover ties the two
//! together: a declaration under the old log's key, and the old log's final checkpoint with its cosignatures. Afterwards
//! the old log must sign nothing more: a later checkpoint beside the declaration is evidence
//! ([`crate::evidence::Evidence::AfterHandover`]).

use core::fmt;

use thiserror::Error;

use crate::{
    Digest,
    checkpoint::{Checkpoint, CheckpointError},
    note::{MAX_NOTE_LEN, NoteError, NoteSigner, NoteVerifyError, PublicKey, SignedNote, Vkey, VkeyError},
    text,
    witnessed::{Judge, JudgeError, Judged},
};

/// The first line of every declaration.
const HEADER: &str = "keyglass-handover/v1";

/// The longest handover that is read, in bytes: two notes and the line between them.
pub const MAX_LEN: usize = 2 * MAX_NOTE_LEN + 1;

/// Why a text is no handover, or proves none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HandoverError {
    /// Longer than two notes.
    #[error("the handover is too long")]
    TooLong,
    /// Not UTF-8.
    #[error("the handover is not valid UTF-8")]
    NotUtf8,
    /// Not two notes with an empty line between them.
    #[error("the handover is not a declaration and a checkpoint")]
    WrongNotes,
    /// The first line is another one: no declaration, or of another version.
    #[error("the first line is not {HEADER}")]
    BadHeader,
    /// The declaration has other lines than from, size, root and to.
    #[error("the declaration does not have the lines from, size, root and to, as they must be")]
    BadDeclaration,
    /// The new log's key is no vkey.
    #[error("the new log's key: {0}")]
    BadVkey(#[from] VkeyError),
    /// The new log's key is not one that a log signs with.
    #[error("the new log's key is not of a log")]
    NotALogKey,
    /// The new log is the old one.
    #[error("the log is handed over to itself")]
    SameLog,
    /// A note is malformed.
    #[error(transparent)]
    BadNote(#[from] NoteError),
    /// The second note is not a checkpoint.
    #[error(transparent)]
    BadCheckpoint(#[from] CheckpointError),
    /// The checkpoint is not the one that the declaration says is the last.
    #[error("the checkpoint is not the declared one")]
    OtherCheckpoint,
    /// The key is not the old log's.
    #[error("the handover is of another log")]
    OtherLog,
    /// The old log has not signed the declaration.
    #[error("the declaration: {0}")]
    NotDeclared(#[from] NoteVerifyError),
    /// The checkpoint would not be believed.
    #[error("the final checkpoint: {0}")]
    NotBelieved(#[from] JudgeError),
}

/// What a log declares of its end, as it stands in the text of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The log that ends: its origin.
    pub from: String,
    /// The number of its leaves.
    pub size: u64,
    /// Its last root.
    pub root: Digest,
    /// The log that comes after it.
    pub to: Vkey,
}

impl Declaration {
    /// Reads the text of a note. No checkpoint has such a text, since its second line is no number.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub fn parse(text: &str) -> Result<Self, HandoverError> {
        let bad = HandoverError::BadDeclaration;
        let mut lines = text.strip_suffix('\n').ok_or(HandoverError::BadDeclaration)?.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(HandoverError::BadHeader);
        }
        let mut line = |word: &str| lines.next().and_then(|line| line.strip_prefix(word));
        let parts = (line("from "), line("size "), line("root "), line("to "));
        let (Some(from), Some(size), Some(root), Some(to)) = parts else { return Err(bad) };
        let (Some(size), Some(root)) = (text::parse_decimal(size), text::parse_hash(root)) else {
            return Err(bad);
        };
        if lines.next().is_some() || from.is_empty() {
            return Err(bad);
        }
        let to = Vkey::parse(to)?;
        if !matches!(to.key(), PublicKey::Ed25519(_)) {
            return Err(HandoverError::NotALogKey);
        }
        if to.name().as_str() == from {
            return Err(HandoverError::SameLog);
        }
        Ok(Self { from: from.to_owned(), size, root, to })
    }

    /// Whether the log, having declared this, must not have signed this checkpoint too. A smaller one may be of any root
    /// here: whether it is of the same history is for a consistency proof to say.
    #[must_use]
    pub fn is_contradicted_by<S>(&self, checkpoint: &Checkpoint<S>) -> bool {
        checkpoint.origin() == self.from
            && (checkpoint.tree_size() > self.size
                || (checkpoint.tree_size() == self.size && *checkpoint.root() != self.root))
    }
}

impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, size, root, to } = self;
        write!(f, "{HEADER}\nfrom {from}\nsize {size}\nroot {}\nto {to}\n", text::base64(root))
    }
}

/// A handover whose form is right and of whose signatures nothing is known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    declaration: Declaration,
    declared: SignedNote,
    last: SignedNote,
}

impl Handover {
    /// Declares that the log of `signer` ends with the checkpoint in `last` and that the log of `to` comes after it.
    ///
    /// The log must sign nothing from now on.
    ///
    /// # Errors
    /// [`HandoverError`] if `last` is no checkpoint of that log, or `to` no other log.
    pub fn declare(signer: &NoteSigner, last: SignedNote, to: Vkey) -> Result<Self, HandoverError> {
        let checkpoint = Checkpoint::parse_without_extensions(last.text())?;
        if checkpoint.origin() != signer.vkey().name().as_str() {
            return Err(HandoverError::OtherLog);
        }
        let (size, root) = (checkpoint.tree_size(), *checkpoint.root());
        let text = Declaration { from: checkpoint.origin().to_owned(), size, root, to }.to_string();
        // Whatever is declared is also what a reader takes.
        let declaration = Declaration::parse(&text)?;
        let declared = SignedNote::new(&text, vec![signer.sign(&text)])?;
        Ok(Self { declaration, declared, last })
    }

    /// Reads a handover.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub fn parse(handover: &[u8]) -> Result<Self, HandoverError> {
        if handover.len() > MAX_LEN {
            return Err(HandoverError::TooLong);
        }
        let handover = core::str::from_utf8(handover).map_err(|_| HandoverError::NotUtf8)?;
        // Neither text has an empty line, so that the middle one of three separates the notes.
        let parts: Vec<&str> = handover.split("\n\n").take(5).collect();
        let [declaration, lines, checkpoint, last_lines] = parts.as_slice() else {
            return Err(HandoverError::WrongNotes);
        };
        let declared = SignedNote::parse(format!("{declaration}\n\n{lines}\n").as_bytes())?;
        let last = SignedNote::parse(format!("{checkpoint}\n\n{last_lines}").as_bytes())?;
        let declaration = Declaration::parse(declared.text())?;
        let checkpoint = Checkpoint::parse_without_extensions(last.text())?;
        let Declaration { from, size, root, .. } = &declaration;
        if checkpoint.origin() != from || checkpoint.tree_size() != *size || checkpoint.root() != root {
            return Err(HandoverError::OtherCheckpoint);
        }
        Ok(Self { declaration, declared, last })
    }

    /// What it says.
    #[must_use]
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// The declaration with the old log's signature.
    #[must_use]
    pub fn declared(&self) -> &SignedNote {
        &self.declared
    }

    /// The old log's final checkpoint with its signatures.
    #[must_use]
    pub fn last(&self) -> &SignedNote {
        &self.last
    }

    /// Verifies that the log with these keys declared it, and judges the final checkpoint. The judge must know the log by the
    /// same keys.
    ///
    /// # Errors
    /// [`HandoverError::OtherLog`], [`HandoverError::NotDeclared`], [`HandoverError::NotBelieved`].
    pub fn verify(&self, old: &[Vkey], judge: &Judge<'_>) -> Result<Judged, HandoverError> {
        let keys: Vec<&Vkey> =
            old.iter().filter(|key| key.name().as_str() == self.declaration.from).collect();
        if keys.is_empty() {
            return Err(HandoverError::OtherLog);
        }
        self.declared.verify(&keys)?;
        Ok(judge.judge(&self.last)?)
    }
}

impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.declared, self.last)
    }
}

#[cfg(test)]
mod tests;

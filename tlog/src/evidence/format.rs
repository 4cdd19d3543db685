//! The text of evidence.

use core::fmt;

use thiserror::Error;

use super::Evidence;
use crate::{
    Digest,
    checkpoint::{Checkpoint, CheckpointError},
    handover::Declaration,
    note::{MAX_NOTE_LEN, NoteError, SignedNote},
    rfc6962::MAX_PROOF_LEN,
    text,
};

/// The first line of every evidence file.
const HEADER: &str = "keyglass-evidence/v1";

/// The longest evidence that is read, in bytes.
pub const MAX_LEN: usize = 2 * MAX_NOTE_LEN + 8192;

/// Why a text is not evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EvidenceFormatError {
    /// Longer than two notes and a proof can be.
    #[error("the evidence is too long")]
    TooLong,
    /// Not UTF-8.
    #[error("the evidence is not valid UTF-8")]
    NotUtf8,
    /// The first line is another one: not evidence, or of another version.
    #[error("the first line is not {HEADER}")]
    BadHeader,
    /// The second line is no kind of evidence.
    #[error("the second line is none of same-size, empty-tree, inconsistent and after-handover")]
    UnknownKind,
    /// There are lines after the kind that it does not have, or lines are missing.
    #[error("the lines after the kind are not the ones of that kind")]
    BadHead,
    /// A hash is not the base64 of 32 bytes, or there are too many.
    #[error("a hash is not the base64 of 32 bytes, or there are too many")]
    BadHash,
    /// There are not as many notes as the kind has, separated by empty lines.
    #[error("the evidence does not have the checkpoints of its kind")]
    WrongNotes,
    /// A note is malformed.
    #[error(transparent)]
    BadNote(#[from] NoteError),
    /// The first note of `after-handover` is not a declaration of a log's end.
    #[error("the first note is not a declaration of a log's end")]
    BadDeclaration,
    /// A note's text is not a checkpoint.
    #[error(transparent)]
    BadCheckpoint(#[from] CheckpointError),
}

impl Evidence {
    /// Reads evidence.
    ///
    /// # Errors
    /// [`EvidenceFormatError`].
    pub fn parse(evidence: &[u8]) -> Result<Self, EvidenceFormatError> {
        if evidence.len() > MAX_LEN {
            return Err(EvidenceFormatError::TooLong);
        }
        let evidence = core::str::from_utf8(evidence).map_err(|_| EvidenceFormatError::NotUtf8)?;
        // A checkpoint has no empty line, so its note has exactly one, and every other empty line separates parts.
        let mut parts = evidence.split("\n\n");
        let head = parts.next().ok_or(EvidenceFormatError::BadHeader)?;
        let mut head = head.split('\n');
        if head.next() != Some(HEADER) {
            return Err(EvidenceFormatError::BadHeader);
        }
        let kind = head.next().ok_or(EvidenceFormatError::UnknownKind)?;
        let parts: Vec<&str> = parts.take(5).collect();
        match (kind, parts.as_slice()) {
            ("same-size", [a_text, a_lines, b_text, b_lines]) => {
                no_more(head)?;
                Ok(Self::SameSize { a: inner_note(a_text, a_lines)?, b: last_note(b_text, b_lines)? })
            }
            ("empty-tree", [a_text, a_lines]) => {
                no_more(head)?;
                Ok(Self::EmptyTree { a: last_note(a_text, a_lines)? })
            }
            ("inconsistent", [a_text, a_lines, b_text, b_lines]) => {
                let (root, proof) = parse_proof(head)?;
                Ok(Self::Inconsistent {
                    a: inner_note(a_text, a_lines)?,
                    b: last_note(b_text, b_lines)?,
                    root,
                    proof,
                })
            }
            ("after-handover", [a_text, a_lines, b_text, b_lines]) => {
                no_more(head)?;
                let a = SignedNote::parse(format!("{a_text}\n\n{a_lines}\n").as_bytes())?;
                Declaration::parse(a.text()).map_err(|_| EvidenceFormatError::BadDeclaration)?;
                Ok(Self::AfterHandover { a, b: last_note(b_text, b_lines)? })
            }
            ("same-size" | "empty-tree" | "inconsistent" | "after-handover", _) => {
                Err(EvidenceFormatError::WrongNotes)
            }
            _ => Err(EvidenceFormatError::UnknownKind),
        }
    }
}

fn no_more<'a>(mut head: impl Iterator<Item = &'a str>) -> Result<(), EvidenceFormatError> {
    if head.next().is_none() { Ok(()) } else { Err(EvidenceFormatError::BadHead) }
}

fn parse_proof<'a>(
    mut head: impl Iterator<Item = &'a str>,
) -> Result<(Digest, Vec<Digest>), EvidenceFormatError> {
    let root = head.next().and_then(|line| line.strip_prefix("root ")).ok_or(EvidenceFormatError::BadHead)?;
    let root = text::parse_hash(root).ok_or(EvidenceFormatError::BadHash)?;
    let mut proof = Vec::new();
    for line in head {
        if proof.len() >= MAX_PROOF_LEN {
            return Err(EvidenceFormatError::BadHash);
        }
        proof.push(text::parse_hash(line).ok_or(EvidenceFormatError::BadHash)?);
    }
    Ok((root, proof))
}

/// A note that another part follows: the split took its last newline.
fn inner_note(text: &str, lines: &str) -> Result<SignedNote, EvidenceFormatError> {
    last_note(text, &format!("{lines}\n"))
}

/// The note at the end, with its last newline still on it.
fn last_note(text: &str, lines: &str) -> Result<SignedNote, EvidenceFormatError> {
    let note = SignedNote::parse(format!("{text}\n\n{lines}").as_bytes())?;
    Checkpoint::from_note(&note)?;
    Ok(note)
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        match self {
            Self::SameSize { a, b } => write!(f, "same-size\n\n{a}\n{b}"),
            Self::EmptyTree { a } => write!(f, "empty-tree\n\n{a}"),
            Self::AfterHandover { a, b } => write!(f, "after-handover\n\n{a}\n{b}"),
            Self::Inconsistent { a, b, root, proof } => {
                writeln!(f, "inconsistent\nroot {}", text::base64(root))?;
                proof.iter().try_for_each(|hash| writeln!(f, "{}", text::base64(hash)))?;
                write!(f, "\n{a}\n{b}")
            }
        }
    }
}

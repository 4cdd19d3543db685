//! Proofs that an entry was logged and witnessed, verifiable offline (C2SP tlog-proof).

use core::fmt;

use thiserror::Error;

use crate::{
    Digest,
    note::{MAX_NOTE_LEN, NoteError, SignedNote},
    rfc6962::{self, ProofError},
    text,
    witnessed::{Judge, JudgeError, Judged},
};

/// The first line of every proof.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The most bytes of extra data.
pub const MAX_EXTRA_LEN: usize = 1024 * 1024;

/// The longest proof that is read, in bytes.
pub const MAX_LEN: usize = MAX_NOTE_LEN + MAX_EXTRA_LEN / 3 * 4 + 8192;

/// Why a text is not a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProofFormatError {
    /// More than [`MAX_LEN`] bytes.
    #[error("the proof is too long")]
    TooLong,
    /// Not UTF-8.
    #[error("the proof is not valid UTF-8")]
    NotUtf8,
    /// The first line is another one.
    #[error("the first line is not {HEADER}")]
    BadHeader,
    /// The extra line is not canonical base64 of at least one byte.
    #[error("the extra data are not canonical base64")]
    BadExtra,
    /// There is no index line where it must be, or it has no decimal number.
    #[error("there is no line with the entry's index")]
    BadIndex,
    /// A line of the inclusion proof is not the base64 of 32 bytes, or there are too many.
    #[error("the inclusion proof is malformed")]
    BadHashes,
    /// No empty line ends the inclusion proof.
    #[error("no empty line separates the inclusion proof from the checkpoint")]
    NoBlankLine,
    /// What follows is not a signed note.
    #[error(transparent)]
    BadNote(#[from] NoteError),
}

/// Why a proof proves nothing about an entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofVerifyError {
    /// The checkpoint is not one that the policy accepts.
    #[error(transparent)]
    Checkpoint(#[from] JudgeError),
    /// The entry is not in the checkpoint's tree at this index.
    #[error(transparent)]
    Inclusion(#[from] ProofError),
}

/// A proof whose form is right and of which nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    extra: Vec<u8>,
    index: u64,
    hashes: Vec<Digest>,
    note: SignedNote,
}

impl TlogProof {
    /// Puts a proof together. Empty `extra` is the same as none.
    #[must_use]
    pub fn new(extra: Vec<u8>, index: u64, hashes: Vec<Digest>, note: SignedNote) -> Self {
        Self { extra, index, hashes, note }
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`ProofFormatError`].
    pub fn parse(proof: &[u8]) -> Result<Self, ProofFormatError> {
        if proof.len() > MAX_LEN {
            return Err(ProofFormatError::TooLong);
        }
        let proof = core::str::from_utf8(proof).map_err(|_| ProofFormatError::NotUtf8)?;
        // The proof's own lines are never empty: the first empty line ends them.
        let (head, note) = proof.split_once("\n\n").ok_or(ProofFormatError::NoBlankLine)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(ProofFormatError::BadHeader);
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            None => Vec::new(),
            Some(line) => line
                .strip_prefix("extra ")
                .and_then(text::parse_base64)
                .filter(|extra| !extra.is_empty() && extra.len() <= MAX_EXTRA_LEN)
                .ok_or(ProofFormatError::BadExtra)?,
        };
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(text::parse_decimal)
            .ok_or(ProofFormatError::BadIndex)?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() >= rfc6962::MAX_PROOF_LEN {
                return Err(ProofFormatError::BadHashes);
            }
            hashes.push(text::parse_hash(line).ok_or(ProofFormatError::BadHashes)?);
        }
        Ok(Self { extra, index, hashes, note: SignedNote::parse(note.as_bytes())? })
    }

    /// The extra data, empty if there are none. Nothing authenticates them.
    #[must_use]
    pub fn unauthenticated_extra(&self) -> &[u8] {
        &self.extra
    }

    /// The index at which the entry is said to be.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The signed checkpoint.
    #[must_use]
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// Verifies that the entry with this leaf hash is logged at [`TlogProof::index`] under a checkpoint that `judge`
    /// accepts, which is returned.
    ///
    /// # Errors
    /// [`ProofVerifyError`].
    pub fn verify(&self, leaf_hash: &Digest, judge: &Judge<'_>) -> Result<Judged, ProofVerifyError> {
        let judged = judge.judge(&self.note)?;
        let (size, root) = judged.tree();
        rfc6962::verify_inclusion(leaf_hash, self.index, size, &self.hashes, &root)?;
        Ok(judged)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if !self.extra.is_empty() {
            writeln!(f, "extra {}", text::base64(&self.extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", text::base64(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

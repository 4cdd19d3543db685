//! Evidence of equivocation: a file that convicts a log, and names the witnesses that helped, before any stranger who
//! knows their keys. `docs/evidence.md` specifies it.

mod explain;
mod format;
mod words;

use core::fmt;

use thiserror::Error;

pub use self::{
    explain::{Explanation, Line, Signer, Statement, WitnessPart},
    format::{EvidenceFormatError, MAX_LEN},
    words::Words,
};
use crate::{
    Digest,
    checkpoint::{Checkpoint, CheckpointError},
    handover::Declaration,
    note::{self, SignedNote, Vkey},
    policy::{Name, Policy},
    rfc6962::{self, ProofError, empty_root},
};

/// Evidence whose form is right and of which nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// Two checkpoints of one size with different roots.
    SameSize {
        /// One checkpoint.
        a: SignedNote,
        /// The other.
        b: SignedNote,
    },
    /// A checkpoint of size 0 whose root is not the empty tree's.
    EmptyTree {
        /// The checkpoint.
        a: SignedNote,
    },
    /// A checkpoint and a larger one whose tree had another root at the first one's size.
    Inconsistent {
        /// The smaller checkpoint, of at least one leaf.
        a: SignedNote,
        /// The larger one.
        b: SignedNote,
        /// The root that the larger tree had at the smaller one's size.
        root: Digest,
        /// The consistency proof from that root, at the smaller size, to the larger checkpoint.
        proof: Vec<Digest>,
    },
    /// A declaration of the log's end ([`crate::handover`]) and a checkpoint beyond that end.
    AfterHandover {
        /// The declaration.
        a: SignedNote,
        /// A larger checkpoint, or one of the declared size and another root.
        b: SignedNote,
    },
}

/// What evidence proves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Conviction {
    origin: String,
    sizes: (u64, u64),
    witnesses: Vec<Name>,
}

impl Conviction {
    /// The log that signed what it must not have signed.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The sizes of the two checkpoints (or the declared and the signed one), the smaller one first; twice the same where
    /// there is one size.
    #[must_use]
    pub fn sizes(&self) -> (u64, u64) {
        self.sizes
    }

    /// The witnesses of the policy that cosigned both sides (or the impossible empty tree) and so are faulty
    /// themselves, in the order of the policy.
    #[must_use]
    pub fn faulty_witnesses(&self) -> &[Name] {
        &self.witnesses
    }
}

/// Which of the checkpoints an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first, which is the smaller one where sizes differ.
    A,
    /// The second.
    B,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "first",
            Self::B => "second",
        })
    }
}

/// Why evidence convicts nobody.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvidenceError {
    /// A note's text is not a checkpoint.
    #[error("the {0} note is not a checkpoint: {1}")]
    NotACheckpoint(Side, CheckpointError),
    /// The first note's text is not a declaration of a log's end.
    #[error("the first note is not a declaration of a log's end")]
    NotADeclaration,
    /// The two checkpoints are of different logs.
    #[error("the checkpoints have different origins")]
    OriginsDiffer,
    /// No given log key has the checkpoints' origin for its name.
    #[error("no log key is known for the origin")]
    UnknownOrigin,
    /// No key of the log signed.
    #[error("the log has not signed the {0} checkpoint")]
    NotSigned(Side),
    /// The checkpoints do not contradict each other in the way that the kind of evidence says.
    #[error("the checkpoints do not contradict each other")]
    NoContradiction,
    /// The larger checkpoint's tree is not shown to have had the other root.
    #[error(transparent)]
    BadProof(#[from] ProofError),
}

impl Evidence {
    /// The evidence that two log-signed checkpoints of one origin give by themselves, if any: of a size 0 that is not
    /// empty, or of one size and two roots. Checkpoints of different sizes need [`Evidence::Inconsistent`].
    ///
    /// Signatures are not looked at; [`Evidence::verify`] does.
    #[must_use]
    pub fn of_notes(a: &SignedNote, b: &SignedNote) -> Option<Self> {
        let (first, second) = (Checkpoint::from_note(a).ok()?, Checkpoint::from_note(b).ok()?);
        let impossible =
            |checkpoint: &Checkpoint| checkpoint.tree_size() == 0 && *checkpoint.root() != empty_root();
        if impossible(&first) {
            return Some(Self::EmptyTree { a: a.clone() });
        }
        if impossible(&second) {
            return Some(Self::EmptyTree { a: b.clone() });
        }
        let contradict = first.origin() == second.origin()
            && first.tree_size() == second.tree_size()
            && first.root() != second.root();
        contradict.then(|| Self::SameSize { a: a.clone(), b: b.clone() })
    }

    /// The kind, as on the file's second line.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SameSize { .. } => "same-size",
            Self::EmptyTree { .. } => "empty-tree",
            Self::Inconsistent { .. } => "inconsistent",
            Self::AfterHandover { .. } => "after-handover",
        }
    }

    /// The first note.
    #[must_use]
    pub fn a(&self) -> &SignedNote {
        match self {
            Self::SameSize { a, .. }
            | Self::EmptyTree { a }
            | Self::Inconsistent { a, .. }
            | Self::AfterHandover { a, .. } => a,
        }
    }

    /// The second note, where the kind of evidence has one.
    #[must_use]
    pub fn b(&self) -> Option<&SignedNote> {
        match self {
            Self::SameSize { b, .. } | Self::Inconsistent { b, .. } | Self::AfterHandover { b, .. } => {
                Some(b)
            }
            Self::EmptyTree { .. } => None,
        }
    }

    /// Verifies that the log with these keys signed both sides and that they contradict each other. Keys whose name is
    /// not the checkpoints' origin do not count. With a policy, its witnesses that cosigned both sides are named.
    ///
    /// A line of another party that does not verify cannot spoil the evidence: it only names nobody.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn verify(&self, log_keys: &[&Vkey], policy: Option<&Policy>) -> Result<Conviction, EvidenceError> {
        if let Self::AfterHandover { a, b } = self {
            return after_handover(a, b, log_keys);
        }
        let a = signed_checkpoint(Side::A, self.a(), log_keys)?;
        let b = self.b().map(|b| signed_checkpoint(Side::B, b, log_keys)).transpose()?;
        if b.as_ref().is_some_and(|b| a.origin() != b.origin()) {
            return Err(EvidenceError::OriginsDiffer);
        }
        let contradict = match (self, &b) {
            (Self::EmptyTree { .. }, _) => a.tree_size() == 0 && *a.root() != empty_root(),
            (Self::SameSize { .. }, Some(b)) => a.tree_size() == b.tree_size() && a.root() != b.root(),
            (Self::Inconsistent { root, .. }, Some(b)) => {
                a.tree_size() >= 1 && a.tree_size() < b.tree_size() && root != a.root()
            }
            (Self::AfterHandover { .. }, _) | (_, None) => false,
        };
        if !contradict {
            return Err(EvidenceError::NoContradiction);
        }
        if let (Self::Inconsistent { root, proof, .. }, Some(b)) = (self, &b) {
            rfc6962::verify_consistency(a.tree_size(), root, b.tree_size(), b.root(), proof)?;
        }
        let sizes = (a.tree_size(), b.as_ref().map_or(a.tree_size(), Checkpoint::tree_size));
        let faulty = |vkey: &Vkey| signed_by(self.a(), vkey) && self.b().is_none_or(|b| signed_by(b, vkey));
        let witnesses = policy.map(Policy::witnesses).unwrap_or_default();
        let witnesses = witnesses.iter().filter(|w| faulty(w.vkey())).map(|w| w.name().clone()).collect();
        Ok(Conviction { origin: a.origin().to_owned(), sizes, witnesses })
    }
}

/// Verifies that a log declared its end and signed a checkpoint beyond it. No witness is at fault: nothing tells a witness
/// of the end.
fn after_handover(a: &SignedNote, b: &SignedNote, log_keys: &[&Vkey]) -> Result<Conviction, EvidenceError> {
    let declaration = Declaration::parse(a.text()).map_err(|_| EvidenceError::NotADeclaration)?;
    signed_by_log(Side::A, a, &declaration.from, log_keys)?;
    let b = signed_checkpoint(Side::B, b, log_keys)?;
    if b.origin() != declaration.from {
        return Err(EvidenceError::OriginsDiffer);
    }
    if !declaration.is_contradicted_by(&b) {
        return Err(EvidenceError::NoContradiction);
    }
    let sizes = (declaration.size, b.tree_size());
    Ok(Conviction { origin: declaration.from, sizes, witnesses: Vec::new() })
}

/// The checkpoint in a note, if a key of its log signed it.
fn signed_checkpoint(side: Side, note: &SignedNote, log_keys: &[&Vkey]) -> Result<Checkpoint, EvidenceError> {
    let checkpoint =
        Checkpoint::from_note(note).map_err(|error| EvidenceError::NotACheckpoint(side, error))?;
    signed_by_log(side, note, checkpoint.origin(), log_keys)?;
    Ok(checkpoint)
}

/// Checks that a key with the origin for its name signed the note.
fn signed_by_log(
    side: Side,
    note: &SignedNote,
    origin: &str,
    log_keys: &[&Vkey],
) -> Result<(), EvidenceError> {
    let mut of_origin = log_keys.iter().filter(|key| key.name().as_str() == origin).peekable();
    if of_origin.peek().is_none() {
        return Err(EvidenceError::UnknownOrigin);
    }
    if of_origin.any(|key| signed_by(note, key)) { Ok(()) } else { Err(EvidenceError::NotSigned(side)) }
}

/// Whether one line of the note verifies under this key.
///
/// Other lines of the key are not held against it: they would let whoever passes evidence on take it back by adding one.
fn signed_by(note: &SignedNote, key: &Vkey) -> bool {
    note.signatures().iter().any(|line| {
        note::verify_lines(note.text(), std::slice::from_ref(line), &[key])
            .is_ok_and(|lines| !lines.is_empty())
    })
}

#[cfg(test)]
mod differential;
#[cfg(test)]
mod explain_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

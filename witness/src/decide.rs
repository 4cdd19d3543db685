//! tlog-witness, "add-checkpoint", as pure functions: no clock, no storage, no HTTP.
//!
//! [`authenticate`] needs nothing but the log's keys and so runs outside the critical section of the log. [`decide`]
//! compares with the head that the witness holds, and must run inside it.

use keyglass_tlog::{
    note::{NoteVerifyError, SignedNote, Vkey},
    rfc6962::{ProofError, empty_root, verify_consistency},
    time::UnixSeconds,
    witness::{AddCheckpoint, RequestError},
};
use thiserror::Error;

use crate::head::Head;

/// Why the witness does not cosign. Each has its status code and the sentence of tlog-witness that demands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The body is not a request.
    #[error(transparent)]
    Malformed(#[from] RequestError),
    /// The origin is not one of the logs that are witnessed.
    #[error("the origin is not known to this witness")]
    UnknownOrigin,
    /// No trusted key of the log signed.
    #[error("no trusted key of the log signed the checkpoint")]
    NotSigned,
    /// The line of a trusted key does not verify.
    #[error("a trusted key's signature does not verify")]
    BadSignature,
    /// The old size is above the checkpoint's.
    #[error("the old size is larger than the checkpoint's size")]
    OldSizeTooLarge,
    /// The old size is not the one that was cosigned last.
    #[error("the latest cosigned checkpoint has the size {latest}")]
    Conflict {
        /// The size that was cosigned last, 0 for none.
        latest: u64,
    },
    /// A checkpoint of size 0 with another root than the empty tree's.
    #[error("the root of the empty tree is the hash of the empty string")]
    WrongEmptyRoot,
    /// Hashes where no proof is needed.
    #[error("the consistency proof from size 0 is not empty")]
    ProofNotEmpty,
    /// The tree is not shown to extend the one that was cosigned last.
    #[error("the consistency proof does not verify: {0}")]
    BadProof(ProofError),
    /// The size that was cosigned last, with another root.
    #[error("a checkpoint of this size and another root was cosigned before")]
    RootsDiffer,
}

impl Refusal {
    /// The HTTP status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::OldSizeTooLarge => 400,
            Self::NotSigned | Self::BadSignature => 403,
            Self::UnknownOrigin => 404,
            Self::Conflict { .. } => 409,
            Self::WrongEmptyRoot | Self::ProofNotEmpty | Self::BadProof(_) | Self::RootsDiffer => 422,
        }
    }

    /// A stable name for the cause.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed-request",
            Self::UnknownOrigin => "unknown-origin",
            Self::NotSigned => "log-signature-missing",
            Self::BadSignature => "bad-log-signature",
            Self::OldSizeTooLarge => "old-size-too-large",
            Self::Conflict { .. } => "old-size-conflict",
            Self::WrongEmptyRoot => "wrong-empty-root",
            Self::ProofNotEmpty => "proof-not-empty",
            Self::BadProof(_) => "bad-consistency-proof",
            Self::RootsDiffer => "roots-differ",
        }
    }

    /// What tlog-witness says about the case.
    #[must_use]
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::Malformed(_) => {
                "The request body MUST be a sequence of an old size line, zero or more consistency proof lines, and \
                 an empty line, followed by a checkpoint."
            }
            Self::UnknownOrigin => {
                "If the checkpoint origin is unknown, the witness MUST respond with a \"404 Not Found\" HTTP status \
                 code."
            }
            Self::NotSigned | Self::BadSignature => {
                "The witness MUST respond with a \"403 Forbidden\" HTTP status code if either no signature from a \
                 trusted key for the origin is present, or a signature line's key name and ID match a trusted key \
                 but the signature itself fails to verify."
            }
            Self::OldSizeTooLarge => {
                "The old size MUST be equal to or lower than the checkpoint size. Otherwise, the witness MUST respond \
                 with a \"400 Bad Request\" HTTP status code."
            }
            Self::Conflict { .. } => {
                "The witness MUST check that the old size matches the size of the latest checkpoint it cosigned for \
                 the checkpoint's origin (or zero if it never cosigned a checkpoint for that origin)."
            }
            Self::WrongEmptyRoot => {
                "A checkpoint of size zero MUST have the root hash of the empty tree, which RFC 6962, Section 2.1 \
                 defines as the hash of the empty string."
            }
            Self::ProofNotEmpty | Self::BadProof(_) => {
                "If the proof is not empty when the old size is zero, or if a Merkle Consistency Proof doesn't \
                 verify, the witness MUST respond with a \"422 Unprocessable Entity\" HTTP status code."
            }
            Self::RootsDiffer => {
                "If the old size matches the checkpoint size, the witness MUST check that the root hashes are also \
                 identical. If they don't match, the witness MUST respond with a \"422 Unprocessable Entity\" HTTP \
                 status code."
            }
        }
    }
}

/// A request whose checkpoint a trusted key of its log signed.
#[derive(Debug, Clone)]
pub struct Authentic {
    request: AddCheckpoint,
    head: Head,
}

impl Authentic {
    /// The request.
    #[must_use]
    pub fn request(&self) -> &AddCheckpoint {
        &self.request
    }

    /// The submitted head with the trusted keys' lines only, one for each key, at no time yet.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }
}

/// Checks the log's signature. `keys` are the trusted keys for the checkpoint's origin, `None` or none at all if it is
/// unknown; keys of other origins must not be among them.
///
/// # Errors
/// [`Refusal::UnknownOrigin`], whatever the signatures; [`Refusal::NotSigned`]; [`Refusal::BadSignature`].
pub fn authenticate(request: AddCheckpoint, keys: Option<&[Vkey]>) -> Result<Authentic, Refusal> {
    let keys = keys.unwrap_or_default();
    if keys.is_empty() {
        return Err(Refusal::UnknownOrigin);
    }
    let head = log_signed(request.note(), keys)?;
    Ok(Authentic { request, head })
}

/// The head of a note that one of these keys signed, with their verified lines, one for each key, at no time yet.
pub(crate) fn log_signed(note: &SignedNote, keys: &[Vkey]) -> Result<Head, Refusal> {
    let keys: Vec<&Vkey> = keys.iter().collect();
    let verified = note.verify(&keys).map_err(|error| match error {
        NoteVerifyError::BadSignature { .. } => Refusal::BadSignature,
        NoteVerifyError::NoKnownKey => Refusal::NotSigned,
    })?;
    let mut seen = vec![false; keys.len()];
    let mut lines = Vec::new();
    for line in verified {
        if let Some(seen) = seen.get_mut(line.key_index)
            && !std::mem::replace(seen, true)
        {
            lines.extend(note.signatures().get(line.line).cloned());
        }
    }
    let note = SignedNote::new(note.text(), lines).map_err(|error| Refusal::Malformed(error.into()))?;
    Head::new(note, UnixSeconds(0)).map_err(|error| Refusal::Malformed(error.into()))
}

/// Decides on a checkpoint, given the head that was cosigned last for its log. The result is the head to persist and
/// then to cosign, at the time that it names: `now`, or the last head's time if that is later.
///
/// # Errors
/// Every other [`Refusal`], in the order of the specification.
pub fn decide(authentic: Authentic, last: Option<&Head>, now: UnixSeconds) -> Result<Head, Refusal> {
    let Authentic { request, head: next } = authentic;
    let (checkpoint, proof) = (request.checkpoint(), request.proof());
    let (old_size, new_size) = (request.old_size(), checkpoint.tree_size());
    if old_size > new_size {
        return Err(Refusal::OldSizeTooLarge);
    }
    let latest = last.map_or(0, |head| head.checkpoint().tree_size());
    if old_size != latest {
        return Err(Refusal::Conflict { latest });
    }
    if new_size == 0 && *checkpoint.root() != empty_root() {
        return Err(Refusal::WrongEmptyRoot);
    }
    if old_size == 0 && !proof.is_empty() {
        return Err(Refusal::ProofNotEmpty);
    }
    let old_root = last.map_or_else(empty_root, |head| *head.checkpoint().root());
    if old_size == new_size && old_root != *checkpoint.root() {
        return Err(Refusal::RootsDiffer);
    }
    verify_consistency(old_size, &old_root, new_size, checkpoint.root(), proof).map_err(Refusal::BadProof)?;
    Ok(next.at(last.map_or(now, |head| head.time().max(now))))
}

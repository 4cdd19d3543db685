//! Why a head or evidence was not taken.

use keyglass_tlog::evidence::EvidenceFormatError;
use thiserror::Error;

use crate::head::HeadError;

/// Why a head or evidence was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is no head of a log that is followed here.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// It is not a file of evidence.
    #[error(transparent)]
    Evidence(#[from] EvidenceFormatError),
    /// The evidence proves nothing against the log.
    #[error("the evidence does not convict the log")]
    Unproven,
    /// Too much is being compared at the moment, or what is remembered of the log cannot be opened.
    #[error("the auditor is busy with this log")]
    Unavailable,
    /// The head cannot be compared yet, and there is no room to keep it.
    #[error("there is no room for another head that cannot be compared yet")]
    NoRoom,
    /// This auditor failed; nothing was changed.
    #[error("the auditor failed")]
    Failed,
}

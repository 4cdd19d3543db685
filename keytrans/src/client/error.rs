//! Why a response was refused.

use keyglass_tlog::{note::NoteError, witnessed::JudgeError};
use thiserror::Error;

use crate::{algorithms::Violation, log_tree::LogTreeError, prefix_tree::PrefixProofError, wire::WireError};

/// What is wrong with a `CombinedTreeProof` ("Tree Proofs").
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofError {
    /// Fewer timestamps than the algorithms need.
    #[error("a timestamp is missing")]
    TimestampMissing,
    /// A timestamp is smaller than one to its left, or greater than one to its right.
    #[error("the timestamp of entry {0} is out of order")]
    TimestampOrder(u64),
    /// Fewer prefix proofs than the algorithms need.
    #[error("a prefix proof is missing")]
    PrefixProofMissing,
    /// A prefix proof has fewer results than lookups.
    #[error("the prefix proof of entry {0} lacks a result")]
    ResultMissing(u64),
    /// A prefix proof has more results than lookups.
    #[error("the prefix proof of entry {0} has a result too many")]
    ResultLeft(u64),
    /// A version was looked up whose search key nobody proved.
    #[error("the search key of version {0} is not known")]
    KeyUnknown(u32),
    /// A version was shown included whose commitment nobody gave.
    #[error("the commitment of version {0} is not known")]
    CommitmentUnknown(u32),
    /// A prefix proof evaluates to no root.
    #[error("the prefix proof of entry {position} does not evaluate")]
    Prefix {
        /// The log entry.
        position: u64,
        /// Why.
        source: PrefixProofError,
    },
    /// Two prefix proofs of one entry, or one and what was retained, give different roots.
    #[error("entry {0} is shown with two prefix tree roots")]
    PrefixRoots(u64),
    /// Timestamps, prefix proofs or prefix roots are left over, or a prefix root is missing.
    #[error("the proof does not hold exactly what the algorithms consume")]
    Leftover,
    /// The log tree's part of the proof.
    #[error(transparent)]
    LogTree(#[from] LogTreeError),
}

/// What is wrong with a `FullTreeHead` ("Full Tree Head Verification").
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeadError {
    /// The response keeps a head that the request did not name.
    #[error("the response keeps a head that the request did not name")]
    NothingToKeep,
    /// The new head is not larger than the one that the request named.
    #[error("the log has not grown from {last} to {tree_size}")]
    NotGrown {
        /// The size that the request named.
        last: u64,
        /// The size of the response.
        tree_size: u64,
    },
    /// The rightmost entry is further ahead of the clock than `max_ahead`, by so many milliseconds in all.
    #[error("the head is {0} ms ahead of the clock")]
    TooFarAhead(u64),
    /// The rightmost entry is further behind the clock than `max_behind`, by so many milliseconds in all.
    #[error("the head is {0} ms old")]
    TooFarBehind(u64),
    /// Suite 0x0002: the signature does not verify.
    #[error("the log's signature does not verify")]
    Signature,
    /// Suite 0xF001: the signature lines are malformed.
    #[error("the head's signature lines are malformed")]
    Lines(#[from] NoteError),
    /// Suite 0xF001: the lines do not make the head believable.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// The auditor's head is missing, or present where there is no auditor.
    #[error("the auditor's head is missing or out of place")]
    AuditorPresence,
    /// The auditor began after the head that the user saw last.
    #[error("the auditor began after the head seen before")]
    AuditorStart,
    /// The auditor's head is larger than the log's.
    #[error("the auditor's head is larger than the log's")]
    AuditorSize,
    /// The auditor's timestamp is outside its bounds.
    #[error("the auditor's head is too old or too new")]
    AuditorTime,
    /// The auditor's signature does not verify.
    #[error("the auditor's signature does not verify")]
    AuditorSignature,
}

/// Why a response was refused. Nothing of the user's state changes then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The response is malformed.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The proof is malformed, or proves something else.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// What the proof shows breaks a rule of the algorithm.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The head is not to be believed.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The binary ladder has too few or too many steps.
    #[error("the binary ladder has the wrong number of steps")]
    LadderLength,
    /// The VRF proof of this version does not verify.
    #[error("the VRF proof of version {0} does not verify")]
    Vrf(u32),
    /// A commitment is given for this version, where it must not be.
    #[error("a commitment is given for version {0}")]
    CommitmentGiven(u32),
    /// A commitment is missing for this version.
    #[error("no commitment is given for version {0}")]
    CommitmentMissing(u32),
    /// This version was shown before with another commitment.
    #[error("version {0} has another value than before")]
    Rewritten(u32),
    /// Third-party management: the service operator's signature over the value of this version does not verify.
    #[error("the operator's signature over version {0} does not verify")]
    OperatorSignature(u32),
    /// The numbers of values, of openings and of versions do not fit together, or there are too many.
    #[error("the response describes no possible set of new versions")]
    NewVersions,
    /// The request was made for another state than the one given.
    #[error("the request does not belong to this state")]
    WrongState,
    /// The label is not owned in this state.
    #[error("the label is not owned")]
    NotOwned,
}

//! What a round found, in words, and what each finding means for the verdict.

use keyglass_tlog::{rfc6962::ProofError, witnessed::JudgeError};
use thiserror::Error;

use crate::{
    audited::Fault,
    chunk::ChunkError,
    fetch::{FetchError, Meaning, NodesError},
    head::HeadError,
    records::Source,
    verdict::Verdict,
};

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Finding {
    /// The log gave no usable answer.
    #[error("the log gave no answer to {resource}: {error}")]
    LogUnreachable {
        /// What it was asked for.
        resource: String,
        /// Why there is none.
        error: FetchError,
    },
    /// No witness answered, so that the log was compared with nobody.
    #[error("none of the witnesses that have a URL in the policy answered")]
    WitnessesUnreachable,
    /// There was not enough time to replay everything.
    #[error("{verified} of {size} entries are replayed so far")]
    CatchingUp {
        /// How many are.
        verified: u64,
        /// How many there are.
        size: u64,
    },
    /// There was not enough time to verify all changes.
    #[error("the changes of {verified} entries are verified so far{}", .size.map_or(String::new(), |size| format!(", of {size}")))]
    Auditing {
        /// Of how many they are.
        verified: u64,
        /// How many entries there are, where that is known.
        size: Option<u64>,
    },
    /// The log does not say what an entry changed.
    #[error("the log does not hand out the update of entry {position}: {error}")]
    UpdatesWithheld {
        /// The entry.
        position: u64,
        /// How it refused.
        error: FetchError,
    },
    /// The log hands out no update for an entry that it has.
    #[error("the log's updates end before entry {position}, although its tree has {size} entries")]
    UpdatesEnd {
        /// The first entry without an update.
        position: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The log does not know any more what an entry changed.
    #[error("the log has pruned the update of entry {position}, from which this auditor has to go on")]
    UpdatesPruned {
        /// The entry.
        position: u64,
    },
    /// The log has deleted entries that have expired, before this auditor could replay them.
    #[error("the log has pruned {resource}, from which this auditor has to go on")]
    Pruned {
        /// What it was asked for.
        resource: String,
    },
    /// An update does not verify. Nothing beyond it is signed.
    #[error(
        "the update of entry {position} is refused: {fault}{}",
        .kept.as_ref().map_or(String::new(), |file| format!(" (kept as {file})"))
    )]
    BadUpdate {
        /// The entry.
        position: u64,
        /// What is wrong with it.
        fault: Box<Fault>,
        /// The name of the file with its bytes.
        kept: Option<String>,
    },
    /// The newest entry is old.
    #[error("the newest entry is {age_ms} ms old; the configuration allows {max_behind_ms} ms")]
    Stale {
        /// Its age.
        age_ms: u64,
        /// The most that is allowed.
        max_behind_ms: u64,
    },
    /// The log is empty, which says nothing about when.
    #[error("the log shows an empty tree, which has no age")]
    Empty,
    /// The newest entry is from the future.
    #[error(
        "the newest entry is {ahead_ms} ms ahead of the clock; the configuration allows {max_ahead_ms} ms"
    )]
    AheadOfClock {
        /// How far.
        ahead_ms: u64,
        /// The most that is allowed.
        max_ahead_ms: u64,
    },
    /// The policy's quorum has not cosigned.
    #[error("{} witnesses cosigned the head, {missing} more are needed", .have.len())]
    Unwitnessed {
        /// The names of those that did.
        have: Vec<String>,
        /// How many more are needed.
        missing: usize,
    },
    /// The log's answer is longer, shorter or another one than any honest answer.
    #[error("the log's answer to {resource} is none: {error}")]
    Garbage {
        /// What it was asked for.
        resource: String,
        /// What is wrong with it.
        error: FetchError,
    },
    /// The log's checkpoint is none, or not its own.
    #[error("the log's checkpoint is refused: {0}")]
    BadHead(HeadError),
    /// A client would refuse the log's checkpoint.
    #[error("the log's checkpoint is refused: {0}")]
    BadCheckpoint(JudgeError),
    /// The log's checkpoint has lines that no witness vouches for.
    #[error("the log's checkpoint has extension lines, which no log of suite 0xF001 may have")]
    Extensions,
    /// The entries that the log serves break its rules.
    #[error("the log's entries are refused: {0}")]
    BadEntries(ChunkError),
    /// The log shows a smaller tree than before.
    #[error("the log shows {size} entries, after it had shown {before}")]
    WentBack {
        /// Its size before.
        before: u64,
        /// Its size now.
        size: u64,
    },
    /// The log does not hand out what its head commits to.
    #[error("the log withholds {resource}, which its head of {size} entries commits to: {error}")]
    Withheld {
        /// What it was asked for.
        resource: String,
        /// The size of the head.
        size: u64,
        /// How it refused.
        error: FetchError,
    },
    /// The entries do not hash to the head, although its tree extends the one seen before.
    #[error("the entries that the log serves do not lead to its head of {size} entries")]
    EntriesDoNotMatch {
        /// The size of the head.
        size: u64,
    },
    /// The tiles do not lead to the head, so that they cannot show what it extends.
    #[error("the tiles that the log serves do not lead to its head of {size} entries: {error}")]
    TilesDoNotMatch {
        /// The size of the head.
        size: u64,
        /// Where the proof out of them failed.
        error: ProofError,
    },
    /// A signed head does not agree with what was replayed, and the log does not serve what would prove it.
    #[error("a head of {size} entries, shown by the {source_of}, is not the log's; there is no evidence yet")]
    Disputed {
        /// Who showed it.
        source_of: Source,
        /// Its size.
        size: u64,
    },
    /// The log moves on without ever reaching a head that it signed.
    #[error(
        "a head of {size} entries, shown by the {source_of} {waited_ms} ms ago, is not reached by the log"
    )]
    Overdue {
        /// Who showed it.
        source_of: Source,
        /// Its size.
        size: u64,
        /// How long ago.
        waited_ms: u64,
    },
    /// There is evidence.
    #[error("the log signed two histories: {file}")]
    Misbehaving {
        /// The name of the file.
        file: String,
    },
}

impl Finding {
    /// What it means for the verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::LogUnreachable { .. } | Self::WitnessesUnreachable => Verdict::Unreachable,
            Self::CatchingUp { .. } | Self::Auditing { .. } => Verdict::CatchingUp,
            Self::UpdatesWithheld { .. }
            | Self::UpdatesEnd { .. }
            | Self::UpdatesPruned { .. }
            | Self::Pruned { .. } => Verdict::Unaudited,
            Self::BadUpdate { .. } => Verdict::BadUpdate,
            Self::Stale { .. } | Self::Empty => Verdict::Stale,
            Self::Unwitnessed { .. } => Verdict::Unwitnessed,
            Self::AheadOfClock { .. }
            | Self::Garbage { .. }
            | Self::BadHead(_)
            | Self::BadCheckpoint(_)
            | Self::Extensions
            | Self::BadEntries(_) => Verdict::Invalid,
            Self::WentBack { .. }
            | Self::Withheld { .. }
            | Self::EntriesDoNotMatch { .. }
            | Self::TilesDoNotMatch { .. }
            | Self::Disputed { .. }
            | Self::Overdue { .. } => Verdict::Unreconciled,
            Self::Misbehaving { .. } => Verdict::Misbehaving,
        }
    }

    /// The stable name, as in a report.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::LogUnreachable { .. } => "log_unreachable",
            Self::WitnessesUnreachable => "witnesses_unreachable",
            Self::CatchingUp { .. } => "catching_up",
            Self::Auditing { .. } => "auditing",
            Self::UpdatesWithheld { .. } => "updates_withheld",
            Self::UpdatesEnd { .. } => "updates_end",
            Self::UpdatesPruned { .. } => "updates_pruned",
            Self::Pruned { .. } => "pruned",
            Self::BadUpdate { fault, .. } => fault.kind(),
            Self::Stale { .. } => "stale",
            Self::Empty => "empty",
            Self::AheadOfClock { .. } => "ahead_of_clock",
            Self::Unwitnessed { .. } => "unwitnessed",
            Self::Garbage { .. } => "garbage",
            Self::BadHead(_) | Self::BadCheckpoint(_) => "bad_checkpoint",
            Self::Extensions => "extensions",
            Self::BadEntries(_) => "bad_entries",
            Self::WentBack { .. } => "went_back",
            Self::Withheld { .. } => "withheld",
            Self::EntriesDoNotMatch { .. } => "entries_do_not_match",
            Self::TilesDoNotMatch { .. } => "tiles_do_not_match",
            Self::Disputed { .. } => "disputed",
            Self::Overdue { .. } => "overdue",
            Self::Misbehaving { .. } => "misbehaving",
        }
    }

    /// What a failure to get the checkpoint means: the log commits to none, so that nothing is withheld.
    #[must_use]
    pub fn of_checkpoint(error: FetchError) -> Self {
        let resource = "checkpoint".to_owned();
        match error.meaning() {
            Meaning::Unreachable | Meaning::Withheld => Self::LogUnreachable { resource, error },
            Meaning::Garbage => Self::Garbage { resource, error },
        }
    }

    /// What a failure to get the updates from entry `position` on means.
    #[must_use]
    pub fn of_updates(error: FetchError, position: u64) -> Self {
        let resource = format!("v1/audit/updates?from={position}");
        match error.meaning() {
            _ if error == FetchError::Status(410) => Self::UpdatesPruned { position },
            Meaning::Unreachable => Self::LogUnreachable { resource, error },
            Meaning::Withheld => Self::UpdatesWithheld { position, error },
            Meaning::Garbage => Self::Garbage { resource, error },
        }
    }

    /// What a failure to get what the head of `size` entries commits to means.
    #[must_use]
    pub fn of_tile(error: NodesError, size: u64) -> Self {
        match error {
            // Only a size that no log has leads here.
            NodesError::NoSuchNode => Self::EntriesDoNotMatch { size },
            NodesError::Fetch { tile, error } => {
                let resource = tile.to_string();
                match error.meaning() {
                    _ if error == FetchError::Status(410) => Self::Pruned { resource },
                    Meaning::Unreachable => Self::LogUnreachable { resource, error },
                    Meaning::Withheld => Self::Withheld { resource, size, error },
                    Meaning::Garbage => Self::Garbage { resource, error },
                }
            }
        }
    }
}

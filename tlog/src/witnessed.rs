//! What has been proven about a checkpoint, as types.
//!
//! A [`Checkpoint<Witnessed>`] exists only if its log signed it and a quorum of the policy's witnesses cosigned it; a
//! [`Checkpoint<LogSigned>`] only if its log signed it and the policy says `quorum none`. Neither can be made by hand.
//!
//! ```compile_fail
//! use keyglass_tlog::{checkpoint::Checkpoint, witnessed::Witnessed};
//! let forged = Witnessed { cosigners: Vec::new() };
//! ```
//!
//! ```compile_fail
//! use keyglass_tlog::{checkpoint::Checkpoint, witnessed::{LogSigned, Witnessed}};
//! fn needs_witnesses(_: Checkpoint<Witnessed>) {}
//! fn caller(checkpoint: Checkpoint<LogSigned>) { needs_witnesses(checkpoint) }
//! ```

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::{
    Digest,
    checkpoint::{Checkpoint, CheckpointError, Unverified},
    note::{self, KeyName, NoteVerifyError, SignatureLine, SignedNote, Vkey},
    policy::{Name, Policy, Quorum},
    time::{UnixMillis, UnixSeconds},
};

/// Why a checkpoint was not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JudgeError {
    /// The note's text is not a checkpoint.
    #[error(transparent)]
    NotACheckpoint(#[from] CheckpointError),
    /// No key is known for the origin.
    #[error("no log key is known for the origin")]
    UnknownOrigin,
    /// No key of the log signed.
    #[error("the log has not signed the checkpoint")]
    LogSignatureMissing,
    /// The line of a known log or witness key does not verify.
    #[error("the signature line of {0} does not verify")]
    BadSignature(KeyName),
    /// Too few witnesses cosigned.
    #[error("{} witnesses cosigned, {missing} more are needed", .have.len())]
    QuorumNotMet {
        /// The witnesses that cosigned, in the order of the policy.
        have: Vec<Cosigned>,
        /// Those whose cosignature does not count because it is from the future, likewise.
        from_the_future: Vec<Cosigned>,
        /// The smallest number of further witnesses that would be enough.
        missing: usize,
    },
}

/// A witness and when it cosigned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cosigned {
    /// The witness's name in the policy.
    pub witness: Name,
    /// The latest time that counts, of those it cosigned this checkpoint with.
    pub time: UnixSeconds,
}

/// The state of a checkpoint that its log signed and a quorum cosigned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Witnessed {
    cosigners: Vec<Cosigned>,
}

/// The state of a checkpoint that its log signed, under a policy that requires no witness.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogSigned {
    cosigners: Vec<Cosigned>,
}

impl Checkpoint<Witnessed> {
    /// All known witnesses that cosigned, a quorum among them, in the order of the policy.
    #[must_use]
    pub fn cosigners(&self) -> &[Cosigned] {
        &self.state.cosigners
    }
}

impl Checkpoint<LogSigned> {
    /// The known witnesses that cosigned, although the policy requires none.
    #[must_use]
    pub fn cosigners(&self) -> &[Cosigned] {
        &self.state.cosigners
    }
}

/// The verdict on a good checkpoint: the policy decides which of the two it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Judged {
    /// A quorum cosigned it.
    Witnessed(Checkpoint<Witnessed>),
    /// The policy says `quorum none`: it is the log's word alone.
    LogSigned(Checkpoint<LogSigned>),
}

impl Judged {
    /// The witnessed checkpoint, `None` where nothing is witnessed.
    #[must_use]
    pub fn witnessed(self) -> Option<Checkpoint<Witnessed>> {
        match self {
            Self::Witnessed(checkpoint) => Some(checkpoint),
            Self::LogSigned(_) => None,
        }
    }

    /// The tree's size and root.
    #[must_use]
    pub fn tree(&self) -> (u64, Digest) {
        match self {
            Self::Witnessed(checkpoint) => (checkpoint.tree_size(), *checkpoint.root()),
            Self::LogSigned(checkpoint) => (checkpoint.tree_size(), *checkpoint.root()),
        }
    }

    /// The checkpoint with its state forgotten.
    #[must_use]
    pub fn into_unverified(self) -> Checkpoint {
        match self {
            Self::Witnessed(checkpoint) => checkpoint.forget(),
            Self::LogSigned(checkpoint) => checkpoint.forget(),
        }
    }

    /// The witnesses that cosigned, whether or not they are required.
    #[must_use]
    pub fn cosigners(&self) -> &[Cosigned] {
        match self {
            Self::Witnessed(checkpoint) => checkpoint.cosigners(),
            Self::LogSigned(checkpoint) => checkpoint.cosigners(),
        }
    }
}

/// The last time at which a cosignature counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon(Option<UnixMillis>);

impl Horizon {
    /// Cosignatures from more than `max_ahead` after `now` do not count.
    #[must_use]
    pub fn at(now: UnixMillis, max_ahead: Duration) -> Self {
        Self(Some(now.saturating_add(max_ahead)))
    }

    /// Times are ignored, as tlog-proof says for offline verification.
    #[must_use]
    pub fn ignored() -> Self {
        Self(None)
    }

    pub(crate) fn admits(self, time: UnixSeconds) -> bool {
        let Self(Some(last)) = self else {
            return true;
        };
        time.to_millis().is_some_and(|time| time <= last)
    }
}

/// Judges checkpoints by a policy.
#[derive(Debug, Clone)]
pub struct Judge<'a> {
    policy: &'a Policy,
    log_keys: Option<Vec<&'a Vkey>>,
    horizon: Horizon,
}

impl<'a> Judge<'a> {
    /// A judge that knows logs by the policy's `log` lines.
    #[must_use]
    pub fn new(policy: &'a Policy, horizon: Horizon) -> Self {
        Self { policy, log_keys: None, horizon }
    }

    /// A judge that knows only the log with these keys, and by nothing else: its `log` lines are not consulted. The
    /// keys' name is the origin.
    #[must_use]
    pub fn of_log(
        policy: &'a Policy,
        log_keys: impl IntoIterator<Item = &'a Vkey>,
        horizon: Horizon,
    ) -> Self {
        Self { policy, log_keys: Some(log_keys.into_iter().collect()), horizon }
    }

    /// Judges a note.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn judge(&self, note: &SignedNote) -> Result<Judged, JudgeError> {
        self.judge_lines(Checkpoint::from_note(note)?, note.signatures())
    }

    /// Judges a checkpoint whose signature lines came apart from its text, as in `TreeHead.signature`.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn judge_lines(
        &self,
        checkpoint: Checkpoint<Unverified>,
        lines: &[SignatureLine],
    ) -> Result<Judged, JudgeError> {
        let text = checkpoint.text();
        let log_keys = self.log_keys(checkpoint.origin());
        if log_keys.is_empty() {
            return Err(JudgeError::UnknownOrigin);
        }
        if verify(&text, lines, &log_keys)?.is_empty() {
            return Err(JudgeError::LogSignatureMissing);
        }
        let (cosigners, from_the_future) = self.cosigners(&text, lines)?;
        match self.policy.quorum() {
            Quorum::None => Ok(Judged::LogSigned(checkpoint.with_state(LogSigned { cosigners }))),
            Quorum::Of(_) => {
                let names: BTreeSet<&Name> = cosigners.iter().map(|cosigned| &cosigned.witness).collect();
                match self.policy.missing(&names) {
                    0 => Ok(Judged::Witnessed(checkpoint.with_state(Witnessed { cosigners }))),
                    missing => Err(JudgeError::QuorumNotMet { have: cosigners, from_the_future, missing }),
                }
            }
        }
    }

    fn log_keys(&self, origin: &str) -> Vec<&'a Vkey> {
        match &self.log_keys {
            Some(keys) => keys.iter().copied().filter(|key| key.name().as_str() == origin).collect(),
            None => self.policy.log_keys(origin).collect(),
        }
    }

    /// The witnesses whose cosignature counts, and those whose only cosignatures are from the future.
    fn cosigners(
        &self,
        text: &str,
        lines: &[SignatureLine],
    ) -> Result<(Vec<Cosigned>, Vec<Cosigned>), JudgeError> {
        let witnesses = self.policy.witnesses();
        let keys: Vec<&Vkey> = witnesses.iter().map(|witness| witness.vkey()).collect();
        let mut counted = BTreeMap::new();
        let mut early = BTreeMap::new();
        for (index, time) in verify(text, lines, &keys)? {
            // Without a time nobody states that the tree was the largest seen.
            let Some(time) = time else { continue };
            let times = if self.horizon.admits(time) { &mut counted } else { &mut early };
            times
                .entry(index)
                .and_modify(|latest: &mut UnixSeconds| *latest = time.max(*latest))
                .or_insert(time);
        }
        early.retain(|index, _| !counted.contains_key(index));
        let named = |times: BTreeMap<usize, UnixSeconds>| {
            let name = |(index, time): (usize, UnixSeconds)| {
                let witness = witnesses.get(index)?.name().clone();
                Some(Cosigned { witness, time })
            };
            times.into_iter().filter_map(name).collect()
        };
        Ok((named(counted), named(early)))
    }
}

/// The index in `keys`, and the time if it states one, of every line that verified.
fn verify(
    text: &str,
    lines: &[SignatureLine],
    keys: &[&Vkey],
) -> Result<Vec<(usize, Option<UnixSeconds>)>, JudgeError> {
    let verified = note::verify_lines(text, lines, keys).map_err(|error| match error {
        NoteVerifyError::BadSignature { name, .. } => JudgeError::BadSignature(name),
        NoteVerifyError::NoKnownKey => JudgeError::LogSignatureMissing,
    })?;
    Ok(verified.into_iter().map(|line| (line.key_index, line.time)).collect())
}

#[cfg(test)]
mod tests;

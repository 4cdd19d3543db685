//! Verifying heads ("Full Tree Head Verification", "Auditor Tree Head Signature").

use std::time::Duration;

use keyglass_crypto::{hash::Digest, sign::Signature};
use keyglass_tlog::{
    checkpoint::{Checkpoint, CheckpointError},
    note,
    time::UnixMillis,
    witnessed::{Horizon, Judge, JudgeError, Judged, LogSigned, Witnessed},
};

use super::{
    error::{HeadError, VerifyError},
    state::TreeState,
    trust::{HeadTrust, Verifier},
};
use crate::{
    config::ModeFields,
    log_tree::Proven,
    wire::{AuditorTreeHead, AuditorTreeHeadTbs, FullTreeHead, TreeHead, TreeHeadTbs, Wire},
};

/// A head that was verified, as far as its suite and the policy go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifiedHead {
    /// A quorum of witnesses cosigned it.
    Witnessed(Checkpoint<Witnessed>),
    /// The policy requires no witness: it is the log's word.
    LogSigned(Checkpoint<LogSigned>),
    /// Suite 0x0002, which knows no witnesses: it is the log's word.
    Draft {
        /// The number of log entries.
        tree_size: u64,
        /// The log tree's root.
        root: Digest,
    },
}

impl VerifiedHead {
    /// The log tree's root.
    #[must_use]
    pub fn root(&self) -> &Digest {
        match self {
            Self::Witnessed(checkpoint) => checkpoint.root(),
            Self::LogSigned(checkpoint) => checkpoint.root(),
            Self::Draft { root, .. } => root,
        }
    }

    /// The number of log entries.
    #[must_use]
    pub fn tree_size(&self) -> u64 {
        match self {
            Self::Witnessed(checkpoint) => checkpoint.tree_size(),
            Self::LogSigned(checkpoint) => checkpoint.tree_size(),
            Self::Draft { tree_size, .. } => *tree_size,
        }
    }
}

impl From<Judged> for VerifiedHead {
    fn from(judged: Judged) -> Self {
        match judged {
            Judged::Witnessed(checkpoint) => Self::Witnessed(checkpoint),
            Judged::LogSigned(checkpoint) => Self::LogSigned(checkpoint),
        }
    }
}

fn checkpoint(origin: &str, size: u64, root: Digest) -> Result<Checkpoint, HeadError> {
    Checkpoint::new(origin, size, root)
        .map_err(|e: CheckpointError| HeadError::Judge(JudgeError::NotACheckpoint(e)))
}

impl Verifier {
    /// The tree size that a response is about.
    pub(super) fn response_size(
        &self,
        head: &FullTreeHead,
        retained: Option<&TreeState>,
    ) -> Result<u64, HeadError> {
        let last = retained.map(TreeState::tree_size);
        match head {
            FullTreeHead::Same => last.ok_or(HeadError::NothingToKeep),
            FullTreeHead::Updated { tree_head, .. } => match last {
                Some(last) if tree_head.tree_size <= last => {
                    Err(HeadError::NotGrown { last, tree_size: tree_head.tree_size })
                }
                _ => Ok(tree_head.tree_size),
            },
        }
    }

    /// Verifies the head of a response whose proof led to `proven`, and gives what to retain of it.
    pub(super) fn verify_head(
        &self,
        head: &FullTreeHead,
        retained: Option<&TreeState>,
        proven: &Proven,
        rightmost_timestamp: u64,
        now: UnixMillis,
    ) -> Result<(TreeHead, Option<AuditorTreeHead>, VerifiedHead), VerifyError> {
        self.verify_clock(rightmost_timestamp, now)?;
        match (head, retained) {
            (FullTreeHead::Same, None) => Err(HeadError::NothingToKeep.into()),
            (FullTreeHead::Same, Some(tree)) => {
                let verified = self.verify_tree_head(&tree.tree_head, proven.root, now)?;
                Ok((tree.tree_head.clone(), tree.auditor_tree_head.clone(), verified))
            }
            (FullTreeHead::Updated { tree_head, auditor_tree_head }, retained) => {
                let verified = self.verify_tree_head(tree_head, proven.root, now)?;
                self.verify_auditor_head(
                    auditor_tree_head.as_ref(),
                    retained,
                    tree_head,
                    proven,
                    rightmost_timestamp,
                    now,
                )?;
                Ok((tree_head.clone(), auditor_tree_head.clone(), verified))
            }
        }
    }

    fn verify_clock(&self, timestamp: u64, now: UnixMillis) -> Result<(), HeadError> {
        let ahead = timestamp.saturating_sub(now.0);
        let behind = now.0.saturating_sub(timestamp);
        if ahead > self.config.max_ahead {
            return Err(HeadError::TooFarAhead(ahead));
        }
        if behind > self.config.max_behind {
            return Err(HeadError::TooFarBehind(behind));
        }
        Ok(())
    }

    fn horizon(&self, now: UnixMillis) -> Horizon {
        Horizon::at(now, Duration::from_millis(self.config.max_ahead))
    }

    fn verify_tree_head(
        &self,
        head: &TreeHead,
        root: Digest,
        now: UnixMillis,
    ) -> Result<VerifiedHead, VerifyError> {
        match &self.heads {
            HeadTrust::Draft { key, .. } => {
                let signature = head.signature.as_slice().try_into().map_err(|_| HeadError::Signature)?;
                let tbs = TreeHeadTbs { config: self.config.clone(), tree_size: head.tree_size, root };
                key.verify(&tbs.encode()?, &Signature(signature)).map_err(|_| HeadError::Signature)?;
                Ok(VerifiedHead::Draft { tree_size: head.tree_size, root })
            }
            HeadTrust::Tlog { log, policy, .. } => {
                let lines = note::parse_signature_lines(&head.signature).map_err(HeadError::Lines)?;
                let checkpoint = checkpoint(&log.origin, head.tree_size, root)?;
                let judge = Judge::of_log(policy, &log.keys, self.horizon(now));
                Ok(judge.judge_lines(checkpoint, &lines).map_err(HeadError::Judge)?.into())
            }
        }
    }

    fn verify_auditor_head(
        &self,
        auditor: Option<&AuditorTreeHead>,
        retained: Option<&TreeState>,
        tree_head: &TreeHead,
        proven: &Proven,
        rightmost_timestamp: u64,
        now: UnixMillis,
    ) -> Result<(), VerifyError> {
        let (auditor, fields) = match (auditor, &self.config.mode) {
            (None, ModeFields::ContactMonitoring | ModeFields::ThirdPartyManagement { .. }) => return Ok(()),
            (Some(auditor), ModeFields::ThirdPartyAuditing(fields)) => (auditor, fields),
            _ => return Err(HeadError::AuditorPresence.into()),
        };
        let before = retained.and_then(|tree| tree.auditor_tree_head.as_ref());
        if before.is_some_and(|before| before.tree_size < fields.auditor_start_pos) {
            return Err(HeadError::AuditorStart.into());
        }
        if auditor.tree_size > tree_head.tree_size {
            return Err(HeadError::AuditorSize.into());
        }
        if rightmost_timestamp.saturating_sub(auditor.timestamp) > fields.max_auditor_lag {
            return Err(HeadError::AuditorTime.into());
        }
        let latest = match &self.heads {
            HeadTrust::Draft { .. } => rightmost_timestamp,
            // The auditor signed after the entries were there.
            HeadTrust::Tlog { .. } => now.0.saturating_add(self.config.max_ahead),
        };
        if auditor.timestamp > latest {
            return Err(HeadError::AuditorTime.into());
        }
        let root = proven.auditor_root.ok_or(HeadError::AuditorSize)?;
        self.verify_auditor_signature(auditor, root)
    }

    /// Verifies the signature of an auditor's head over the log tree with `root` at the head's size, and under suite
    /// 0xF001 that it was made at the head's timestamp. Nothing is said about whether the head is recent enough.
    ///
    /// # Errors
    /// [`HeadError::AuditorPresence`] if this log has no auditor, [`HeadError::AuditorSignature`], [`HeadError::Lines`].
    pub fn verify_auditor_signature(
        &self,
        auditor: &AuditorTreeHead,
        root: Digest,
    ) -> Result<(), VerifyError> {
        match &self.heads {
            HeadTrust::Draft { auditor: key, .. } => {
                let key = key.as_ref().ok_or(HeadError::AuditorPresence)?;
                let signature =
                    auditor.signature.as_slice().try_into().map_err(|_| HeadError::AuditorSignature)?;
                let tbs = AuditorTreeHeadTbs {
                    config: self.config.clone(),
                    timestamp: auditor.timestamp,
                    tree_size: auditor.tree_size,
                    root,
                };
                key.verify(&tbs.encode()?, &Signature(signature)).map_err(|_| HeadError::AuditorSignature)?;
                Ok(())
            }
            HeadTrust::Tlog { log, auditor: key, .. } => {
                let key = key.as_ref().ok_or(HeadError::AuditorPresence)?;
                let lines = note::parse_signature_lines(&auditor.signature).map_err(HeadError::Lines)?;
                let [_line] = lines.as_slice() else { return Err(HeadError::AuditorSignature.into()) };
                let text = checkpoint(&log.origin, auditor.tree_size, root)?.text();
                let verified =
                    note::verify_lines(&text, &lines, &[key]).map_err(|_| HeadError::AuditorSignature)?;
                // The cosignature does not cover the timestamp beside it, so its own time must say the same.
                let times = verified.iter().map(|line| line.time.and_then(|time| time.to_millis()));
                if verified.is_empty()
                    || !times.into_iter().all(|time| time == Some(UnixMillis(auditor.timestamp)))
                {
                    return Err(HeadError::AuditorSignature.into());
                }
                Ok(())
            }
        }
    }
}

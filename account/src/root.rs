//! The search for the root of an identity chain.
//!
//! A record's chain shows how its identity key follows from a root, but not that the root is in the log. Who
//! has not met the account before searches the root's version and compares; for a reset also what was before it, since
//! an owner's lockdown forbids resets. Versions between the two that claim to be records but are not valid are passed
//! over, so that garbage cannot hide a lockdown; a reset before the reset is judged in the same way first.

use keyglass_crypto::hash::Digest;

use crate::{
    chain::{Chain, Predecessor},
    record::{AccountRecord, Authorisation, RecordError},
    succession,
    verify::{self, ValidRecord, Verified},
};

/// Versions that one search asks for at most. An honest account needs two for each reset since the version known.
pub const MAX_STEPS: usize = 64;

/// What is known of the root of a record's identity chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The root was known, or verified with an earlier record.
    AlreadyKnown,
    /// The chain starts with the account.
    Genesis,
    /// The chain starts with a reset: the provider alone vouches for it.
    Reset {
        /// Its version.
        version: u32,
        /// The last valid record before it, which was not in lockdown; absent if there was none.
        before: Option<Predecessor>,
    },
    /// A version that decides was erased or is withheld. This counts as a reset.
    Withheld {
        /// Which version.
        version: u32,
    },
    /// A version that decides is older than the log's maximum lifetime.
    HistoryExpired {
        /// Which version.
        version: u32,
    },
}

/// What the log answered for a version.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// The value, proven.
    Value(&'a [u8]),
    /// No value, since it was erased, as the log says.
    Erased,
    /// No proof was given.
    Withheld,
    /// No value, since its log entry is past the log's maximum lifetime, as the log says.
    Expired,
}

/// A record whose root is being searched. Ask [`Self::wanted`], search that version, give it to [`Self::supply`].
#[derive(Debug, Clone)]
pub struct RootSearch {
    origin: String,
    label: Vec<u8>,
    known: Option<ValidRecord>,
    /// The latest record that is known or was found valid on the way.
    proven: Option<AccountRecord>,
    /// Hashes of resets that were found invalid: so is everything that descends from them.
    refused_roots: Vec<Digest>,
    /// The record in question at the bottom; on each, the candidates for what was before its root.
    frames: Vec<Frame>,
    wanted: u32,
    steps: usize,
}

/// A record whose own signatures hold, and its root once that was found.
#[derive(Debug, Clone)]
struct Frame {
    record: AccountRecord,
    root: Option<AccountRecord>,
}

impl Frame {
    fn new(record: AccountRecord) -> Self {
        let root = record.is_root().then(|| record.clone());
        Self { record, root }
    }

    /// The version that decides next: the root's, or the one before it.
    fn first_wanted(&self) -> Option<u32> {
        match (&self.root, &self.record.chain) {
            (Some(root), _) => root.version.checked_sub(1),
            (None, Some(chain)) => Some(chain.root.version),
            (None, None) => None,
        }
    }
}

impl RootSearch {
    pub(crate) fn new(
        origin: &str,
        label: &[u8],
        known: Option<ValidRecord>,
        record: AccountRecord,
    ) -> Result<Self, RecordError> {
        let frame = Frame::new(record);
        let wanted = frame.first_wanted().ok_or(RecordError::WrongAuthorisation)?;
        Ok(Self {
            origin: origin.to_owned(),
            label: label.to_owned(),
            proven: known.as_ref().map(|known| known.record().clone()),
            known,
            refused_roots: Vec::new(),
            frames: vec![frame],
            wanted,
            steps: 0,
        })
    }

    /// The version of the label to search for.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Goes on with what the log answered for [`Self::wanted`].
    ///
    /// # Errors
    /// What makes the record in question invalid; [`RecordError::HistoryTooLong`] after [`MAX_STEPS`].
    pub fn supply(mut self, answer: Answer<'_>) -> Result<Verified, RecordError> {
        let version = self.wanted;
        let bytes = match answer {
            Answer::Value(bytes) => bytes,
            Answer::Erased | Answer::Withheld => return self.finish(Finding::Withheld { version }),
            Answer::Expired => return self.finish(Finding::HistoryExpired { version }),
        };
        self.steps = self.steps.saturating_add(1);
        if self.steps > MAX_STEPS {
            return Err(RecordError::HistoryTooLong);
        }
        let found = verify::alone(&self.origin, &self.label, version, bytes);
        if self.frames.last().is_some_and(|top| top.root.is_none()) {
            self.supply_root(found)
        } else {
            self.supply_before(version, found)
        }
    }

    /// `found` is at the version that the topmost frame's chain names as its root.
    fn supply_root(mut self, found: Result<AccountRecord, RecordError>) -> Result<Verified, RecordError> {
        let Some(top) = self.frames.last_mut() else {
            return Err(RecordError::WrongAuthorisation);
        };
        let root = match matching_root(&top.record, found) {
            Ok(root) => root,
            Err(error) => return self.settle(Err(error)),
        };
        if root.authorisation == Authorisation::Genesis {
            return self.settle(Ok(()));
        }
        let before = root.version.checked_sub(1);
        top.root = Some(root);
        self.descend(before)
    }

    /// `found` is at a version before the topmost frame's root, a reset: maybe the last valid record before it.
    fn supply_before(
        mut self,
        version: u32,
        found: Result<AccountRecord, RecordError>,
    ) -> Result<Verified, RecordError> {
        let Ok(record) = found else {
            return self.descend(version.checked_sub(1));
        };
        let refused = |chain: &Chain| self.refused_roots.contains(&chain.root.hash);
        let judged = match &self.proven {
            _ if record.chain.as_ref().is_some_and(refused) => return self.descend(version.checked_sub(1)),
            _ if record.authorisation == Authorisation::Genesis => Some(Ok(())),
            None => None,
            Some(proven) => match succession::check(proven, &record) {
                Ok(succession::Outcome::Follows) => Some(Ok(())),
                Ok(succession::Outcome::ResetBetween) => None,
                Err(error) => Some(Err(error)),
            },
        };
        let frame = Frame::new(record);
        let next = frame.first_wanted();
        self.frames.push(frame);
        match judged {
            Some(judgement) => self.settle(judgement),
            None => self.descend(next),
        }
    }

    /// Wants `version` next, unless it is known already or there is none.
    fn descend(mut self, version: Option<u32>) -> Result<Verified, RecordError> {
        let judgement = match (version, &self.proven) {
            (None, _) => self.judge(None),
            (Some(version), Some(proven)) if version <= proven.version => self.judge(Some(proven)),
            (Some(version), _) => {
                self.wanted = version;
                return Ok(Verified::NeedsHistory(Box::new(self)));
            }
        };
        self.settle(judgement)
    }

    /// Whether the root of the topmost frame, a reset, may follow `before`, the last valid record.
    fn judge(&self, before: Option<&AccountRecord>) -> Result<(), RecordError> {
        let root =
            self.frames.last().and_then(|top| top.root.as_ref()).ok_or(RecordError::WrongAuthorisation)?;
        let expected = before.map(|before| Predecessor { version: before.version, hash: before.hash() });
        if root.predecessor != expected {
            let last_valid = before.map_or(0, |before| before.version);
            return Err(RecordError::WrongPredecessor { last_valid });
        }
        before.map_or(Ok(()), |before| succession::check(before, root).map(|_| ()))
    }

    /// Takes judged frames off, each judging the one below, until a version is wanted or the bottom is reached.
    fn settle(mut self, mut judgement: Result<(), RecordError>) -> Result<Verified, RecordError> {
        while let Some(top) = self.frames.pop() {
            if self.frames.is_empty() {
                judgement?;
                let finding = match &top.root {
                    Some(root) => Finding::Reset { version: root.version, before: root.predecessor },
                    None => Finding::Genesis,
                };
                self.frames.push(top);
                return self.finish(finding);
            }
            if judgement.is_err() {
                self.refused_roots.extend(top.root.as_ref().map(AccountRecord::hash));
                return self.descend(top.record.version.checked_sub(1));
            }
            judgement = self.judge(Some(&top.record));
            self.proven = Some(top.record);
        }
        Err(RecordError::WrongAuthorisation)
    }

    fn finish(self, finding: Finding) -> Result<Verified, RecordError> {
        let locked = self.known.as_ref().is_some_and(|known| known.record().flags.lockdown);
        if locked && matches!(finding, Finding::Withheld { .. } | Finding::HistoryExpired { .. }) {
            // What would show that the owner lifted the lockdown first is missing.
            return Err(RecordError::LockdownForbidsReset);
        }
        let bottom = self.frames.into_iter().next().ok_or(RecordError::WrongAuthorisation)?;
        Ok(verify::valid(&self.origin, &self.label, self.known.as_ref(), bottom.record, finding))
    }
}

/// `found`, if it is the root that the chain of `record` names and `record` can follow from it.
fn matching_root(
    record: &AccountRecord,
    found: Result<AccountRecord, RecordError>,
) -> Result<AccountRecord, RecordError> {
    let root = record.chain.as_ref().map(|chain| chain.root).ok_or(RecordError::WrongAuthorisation)?;
    let mismatch = RecordError::RootMismatch { version: root.version };
    let found = found.map_err(|_| mismatch)?;
    if !found.is_root() || found.hash() != root.hash || found.identity_key != root.identity_key {
        return Err(mismatch);
    }
    succession::check(&found, record)?;
    Ok(found)
}

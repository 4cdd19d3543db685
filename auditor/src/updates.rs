//! The updates of log entries as they arrive: one after the other without a frame, and from anybody. Pure.
//!
//! Their counts are judged before what they announce is read, so that nobody can make the auditor keep more than one update
//! of the largest size that its operator allows.

use keyglass_keytrans::{
    config::{CipherSuite, DeploymentMode},
    wire::{AuditorUpdate, BatchAuditorUpdate, Context, Wire as _, WireError},
};
use thiserror::Error;

/// The length of an encoded `PrefixLeaf`.
const LEAF: usize = 64;
/// The length of a hash.
const HASH: usize = 32;
/// The bytes of an update that its leaves do not explain: the path to a leaf of a large tree is within them.
const FIXED_BYTES: usize = 64 * 1024;
/// The bytes for each leaf: itself, a result of the longest kind, and sixteen hashes. Where there are many leaves, their
/// paths share the upper part of the tree.
const BYTES_PER_LEAF: usize = LEAF + LEAF + 2 + 16 * HASH;

/// How updates are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `AuditorUpdate`, of suite 0x0002.
    Draft,
    /// `BatchAuditorUpdate`, of suite 0xF001.
    Batch,
}

impl Form {
    /// The form under a suite.
    #[must_use]
    pub fn of(suite: CipherSuite) -> Self {
        match suite {
            CipherSuite::Draft => Self::Draft,
            CipherSuite::Tlog => Self::Batch,
        }
    }

    /// Decodes one update, all of the bytes.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    pub fn decode(self, bytes: &[u8]) -> Result<BatchAuditorUpdate, WireError> {
        // An update takes nothing from the context.
        let context = Context::new(DeploymentMode::ThirdPartyAuditing);
        match self {
            Self::Draft => AuditorUpdate::decode(bytes, context).map(Into::into),
            Self::Batch => BatchAuditorUpdate::decode(bytes, context),
        }
    }

    /// The bytes of the counts of leaves, of results and of elements.
    fn counts(self) -> [usize; 3] {
        match self {
            Self::Draft => [2, 1, 2],
            Self::Batch => [4, 4, 4],
        }
    }
}

/// How large an update may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most leaves, added and removed together.
    pub leaves: usize,
}

impl Limits {
    /// The most bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.leaves.saturating_mul(BYTES_PER_LEAF).saturating_add(FIXED_BYTES)
    }
}

/// Why bytes are no update, or none that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// There are more leaves than the limit.
    #[error("it is of {leaves} leaves; this auditor takes {limit} (--max-update-leaves)")]
    Leaves {
        /// How many are announced.
        leaves: usize,
        /// The limit.
        limit: usize,
    },
    /// There are more bytes than so many leaves explain.
    #[error("it is longer than {limit} bytes")]
    Bytes {
        /// The limit.
        limit: usize,
    },
    /// There are more or fewer results than leaves.
    #[error("it has {results} search results for {leaves} leaves")]
    Results {
        /// How many are announced.
        results: usize,
        /// The number of leaves.
        leaves: usize,
    },
    /// A search result is of no kind that there is.
    #[error("a search result is of no known kind")]
    Kind,
    /// The bytes end within it.
    #[error("it is truncated")]
    Truncated,
    /// It does not decode.
    #[error("{0}")]
    Wire(#[from] WireError),
}

impl Malformed {
    /// Whether only this auditor's limits speak against it.
    #[must_use]
    pub fn is_limit(self) -> bool {
        matches!(self, Self::Leaves { .. } | Self::Bytes { .. })
    }
}

/// Where a walk through one update is.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Added,
    Removed { added: usize },
    Results { leaves: usize },
    Result { left: usize },
    Elements,
    End,
}

/// Cuts what arrives into updates.
#[derive(Debug)]
pub struct Splitter {
    form: Form,
    limits: Limits,
    bytes: Vec<u8>,
    /// Where in `bytes` the update begins that is not complete.
    begin: usize,
    /// What the walk waits for, and how far into that update it is.
    stage: Stage,
    at: usize,
    complete: Vec<Vec<u8>>,
}

/// Where an update's first count is: behind the timestamp.
const FIRST_COUNT: usize = 8;

impl Splitter {
    /// A splitter of updates in this form, each within these limits.
    #[must_use]
    pub fn new(form: Form, limits: Limits) -> Self {
        let (stage, at) = (Stage::Added, FIRST_COUNT);
        Self { form, limits, bytes: Vec::new(), begin: 0, stage, at, complete: Vec::new() }
    }

    /// Takes what has arrived.
    ///
    /// # Errors
    /// [`Malformed`]; the updates before are complete, and nothing more can be taken.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.bytes.extend_from_slice(bytes);
        while self.step()? {
            if let (Stage::End, Some(update)) = (self.stage, self.ahead(0, self.at)) {
                self.complete.push(update.to_vec());
                self.begin = self.begin.saturating_add(self.at);
                (self.stage, self.at) = (Stage::Added, FIRST_COUNT);
            }
        }
        self.bytes.drain(..self.begin.min(self.bytes.len()));
        self.begin = 0;
        Ok(())
    }

    /// So many bytes from there on of the update that is not complete, once they are there.
    fn ahead(&self, from: usize, length: usize) -> Option<&[u8]> {
        let from = self.begin.checked_add(from)?;
        self.bytes.get(from..from.checked_add(length)?)
    }

    /// How many updates are complete.
    #[must_use]
    pub fn complete(&self) -> usize {
        self.complete.len()
    }

    /// The updates that are complete, and what there is of one that is not.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Vec<u8>>, Vec<u8>) {
        self.bytes.drain(..self.begin.min(self.bytes.len()));
        (self.complete, self.bytes)
    }

    /// Takes the walk one count, or some results, further; says whether it came further.
    fn step(&mut self) -> Result<bool, Malformed> {
        let [leaf_count, result_count, element_count] = self.form.counts();
        match self.stage {
            Stage::Added => {
                let Some(added) = self.count(leaf_count) else { return Ok(false) };
                self.check_leaves(added)?;
                self.skip(leaf_count, added, LEAF)?;
                self.stage = Stage::Removed { added };
            }
            Stage::Removed { added } => {
                let Some(removed) = self.count(leaf_count) else { return Ok(false) };
                let leaves = added.saturating_add(removed);
                self.check_leaves(leaves)?;
                self.skip(leaf_count, removed, LEAF)?;
                self.stage = Stage::Results { leaves };
            }
            Stage::Results { leaves } => {
                let Some(results) = self.count(result_count) else { return Ok(false) };
                if results != leaves {
                    return Err(Malformed::Results { results, leaves });
                }
                self.skip(result_count, 0, 0)?;
                self.stage = Stage::Result { left: results };
            }
            Stage::Result { left: 0 } => self.stage = Stage::Elements,
            Stage::Result { left } => {
                let length = match self.ahead(self.at, 1) {
                    None => return Ok(false),
                    Some([1 | 3]) => 2,
                    Some([2]) => LEAF.saturating_add(2),
                    Some(_) => return Err(Malformed::Kind),
                };
                self.skip(length, 0, 0)?;
                self.stage = Stage::Result { left: left.saturating_sub(1) };
            }
            Stage::Elements => {
                let Some(elements) = self.count(element_count) else { return Ok(false) };
                self.skip(element_count, elements, HASH)?;
                self.stage = Stage::End;
                return Ok(self.ahead(0, self.at).is_some());
            }
            Stage::End => return Ok(self.ahead(0, self.at).is_some()),
        }
        Ok(true)
    }

    /// The number in the next `width` bytes, once they are there.
    fn count(&self, width: usize) -> Option<usize> {
        let bytes = self.ahead(self.at, width)?;
        Some(
            bytes
                .iter()
                .fold(0, |number: usize, byte| number.saturating_mul(256).saturating_add((*byte).into())),
        )
    }

    fn check_leaves(&self, leaves: usize) -> Result<(), Malformed> {
        let limit = self.limits.leaves;
        if leaves > limit { Err(Malformed::Leaves { leaves, limit }) } else { Ok(()) }
    }

    /// Goes on behind `width` bytes and `count` items of a length.
    fn skip(&mut self, width: usize, count: usize, length: usize) -> Result<(), Malformed> {
        self.at = self.at.saturating_add(width).saturating_add(count.saturating_mul(length));
        let limit = self.limits.bytes();
        if self.at > limit { Err(Malformed::Bytes { limit }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;

//! Walking distinguished heads, and comparing what different users saw of them.

use std::collections::{BTreeMap, BTreeSet};

use keyglass_crypto::hash::Digest;
use keyglass_tlog::time::UnixMillis;

use super::{
    error::{ProofError, VerifyError},
    operation::Verified,
    state::{StateUpdate, UserState},
    trust::Verifier,
};
use crate::{
    algorithms::{Recent, walk_distinguished},
    log_tree::LogTreeError,
    wire::{DistinguishedRequest, DistinguishedResponse, Wire},
};

/// A distinguished log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DistinguishedEntry {
    /// Its position.
    pub position: u64,
    /// Its timestamp, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// The log tree's root when it was the rightmost entry.
    pub root: Digest,
}

impl Verifier {
    /// The request for the recent distinguished log entries to the right of `stop`.
    #[must_use]
    pub fn distinguished_request(&self, state: &UserState, stop: Option<u64>) -> DistinguishedRequest {
        DistinguishedRequest { last: state.last(), stop }
    }

    /// Verifies the response to `request`, which was made from `state`; gives the entries, ascending.
    ///
    /// # Errors
    /// [`VerifyError`]; then nothing of the response may be used.
    pub fn verify_distinguished(
        &self,
        state: &UserState,
        request: &DistinguishedRequest,
        recent: Recent,
        response: &[u8],
        now: UnixMillis,
    ) -> Result<Verified<Vec<DistinguishedEntry>>, VerifyError> {
        Self::check_state(state, request.last)?;
        let response = DistinguishedResponse::decode(response, self.context())?;
        let none = BTreeMap::new();
        let (positions, concluded) =
            self.run(state, &response.full_tree_head, &response.distinguished, &none, now, |view, tree| {
                walk_distinguished(view, tree, request.stop, recent)
            })?;
        let consumed = &concluded.consumed;
        let entry = |position: u64| {
            let timestamp = consumed.entries.get(&position)?.timestamp;
            let root = consumed.log.root_at(position.checked_add(1)?)?;
            Some(DistinguishedEntry { position, timestamp, root })
        };
        let entries: Option<Vec<DistinguishedEntry>> = positions.into_iter().map(entry).collect();
        // The walk took every entry's timestamp, so that the leaves are known and the roots follow.
        let entries = entries.ok_or(ProofError::LogTree(LogTreeError::MissingElement))?;
        Ok(Verified {
            result: entries,
            head: concluded.head,
            update: StateUpdate { tree: concluded.tree, label: None },
        })
    }
}

/// Whether two lists of roots of the same length overlap: one's end is the other's beginning ("Detecting Forks").
/// Lists of different lengths, and empty ones, never do.
///
/// This is the draft's yes or no; [`Agreement::of_roots`] tells its two kinds of no apart.
#[must_use]
pub fn compare_roots(a: &[Digest], b: &[Digest]) -> bool {
    let continues =
        |a: &[Digest], b: &[Digest]| (0..a.len()).any(|shift| b.starts_with(a.get(shift..).unwrap_or(&[])));
    a.len() == b.len() && (continues(a, b) || continues(b, a))
}

/// What two users' distinguished log entries say about each other ("Detecting Forks").
///
/// The distinguished entries of a log form one sequence that only grows at its end, and what a user knows of it is a
/// window: entries that follow one another. Lists are unsigned, so whatever they say, they convict nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// They have entries in common and say the same where they overlap.
    Agree,
    /// They have nothing in common, which neither supports nor contradicts either.
    NoOverlap,
    /// They cannot be windows of one sequence: a log forked, or a list is false.
    Disputed,
}

impl Agreement {
    /// Compares lists of roots, left to right, of any lengths, as a `DistinguishedHead` holds them.
    ///
    /// Without positions, a fork before all that both lists hold looks like no overlap.
    #[must_use]
    pub fn of_roots(a: &[Digest], b: &[Digest]) -> Self {
        let agree_from = |a: &[Digest], b: &[Digest]| {
            let overlaps = |start: usize| a.get(start..).unwrap_or(&[]).iter().zip(b);
            (0..a.len()).any(|start| !b.is_empty() && overlaps(start).all(|(a, b)| a == b))
        };
        if agree_from(a, b) || agree_from(b, a) {
            return Self::Agree;
        }
        let known: BTreeSet<&Digest> = a.iter().collect();
        if b.iter().any(|root| known.contains(root)) { Self::Disputed } else { Self::NoOverlap }
    }

    /// Compares lists of positions and roots, ascending by position, of any lengths.
    ///
    /// Where both lists reach, they must hold the same entries. Lists that are not ascending say nothing reliable.
    #[must_use]
    pub fn of_entries(a: &[(u64, Digest)], b: &[(u64, Digest)]) -> Self {
        let (Some((a_first, a_last)), Some((b_first, b_last))) = (span(a), span(b)) else {
            return Self::NoOverlap;
        };
        let (first, last) = (a_first.max(b_first), a_last.min(b_last));
        if first > last {
            return Self::NoOverlap;
        }
        let both_reach = |list: &&(u64, Digest)| (first..=last).contains(&list.0);
        if a.iter().filter(both_reach).eq(b.iter().filter(both_reach)) { Self::Agree } else { Self::Disputed }
    }
}

/// The positions of a list's ends.
fn span(list: &[(u64, Digest)]) -> Option<(u64, u64)> {
    Some((list.first()?.0, list.last()?.0))
}

#[cfg(test)]
mod tests;

//! Walking distinguished heads, and comparing what different users saw of them.

use std::collections::BTreeMap;

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
#[must_use]
pub fn compare_roots(a: &[Digest], b: &[Digest]) -> bool {
    let continues =
        |a: &[Digest], b: &[Digest]| (0..a.len()).any(|shift| b.starts_with(a.get(shift..).unwrap_or(&[])));
    a.len() == b.len() && (continues(a, b) || continues(b, a))
}

//! How two signed heads of the log that is followed relate: [`keyglass_tlog::relate`], over verified heads.

use keyglass_tlog::{
    evidence::Evidence,
    relate::{self, RelateError},
    rfc6962::{NodeId, ProveError},
};

pub use keyglass_tlog::relate::Relation;

use crate::head::SignedHead;

/// The evidence that two heads give by themselves, if any; the same in whichever order they come.
#[must_use]
pub fn contradiction(x: &SignedHead, y: &SignedHead) -> Option<Evidence> {
    relate::contradiction(x.note(), y.note())
}

/// The nodes of the larger tree that [`relate`] will ask for.
#[must_use]
pub fn nodes_to_relate(x: &SignedHead, y: &SignedHead) -> Vec<NodeId> {
    relate::nodes_to_relate(x.size(), y.size())
}

/// Relates two heads; see [`keyglass_tlog::relate::relate`].
///
/// # Errors
/// Whatever `node` gives. Heads of different logs, of which an auditor has none, are [`ProveError::OutOfRange`].
pub fn relate<E>(
    x: &SignedHead,
    y: &SignedHead,
    node: impl FnMut(NodeId) -> Result<keyglass_tlog::Digest, E>,
) -> Result<Relation, ProveError<E>> {
    relate::relate(x.note(), y.note(), node).map_err(|error| match error {
        RelateError::Nodes(error) => error,
        RelateError::NotACheckpoint(_) | RelateError::OtherLog => ProveError::OutOfRange,
    })
}

#[cfg(test)]
mod tests;

//! How two signed heads of one log relate. Pure: the tree's nodes are an argument.

use keyglass_tlog::{
    evidence::Evidence,
    rfc6962::{
        NodeId, ProofError, ProveError, consistency_nodes, consistency_proof, range_nodes, root_at,
        verify_consistency,
    },
};

use crate::head::SignedHead;

/// How two heads relate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    /// They name the same tree.
    Same,
    /// The larger tree extends the smaller one.
    Extends,
    /// No append-only tree has both. Its verification is still to be done.
    Contradicts(Evidence),
    /// The nodes given are not those of the larger tree, so that they show nothing.
    Unproven(ProofError),
}

/// The evidence that two heads give by themselves, if any; the same in whichever order they come.
#[must_use]
pub fn contradiction(x: &SignedHead, y: &SignedHead) -> Option<Evidence> {
    let (first, second) = if x.note().text() <= y.note().text() { (x, y) } else { (y, x) };
    Evidence::of_notes(first.note(), second.note())
}

/// The nodes of the larger tree that [`relate`] will ask for.
#[must_use]
pub fn nodes_to_relate(x: &SignedHead, y: &SignedHead) -> Vec<NodeId> {
    let (small, large) = (x.size().min(y.size()), x.size().max(y.size()));
    if small == large {
        return Vec::new();
    }
    let mut nodes = range_nodes(0, small);
    nodes.extend(consistency_nodes(small, large));
    nodes
}

/// Relates two heads of one origin. `node` gives the nodes of the larger one's tree and need not be trusted: what it
/// gives is proven to lead to the larger head before anything is concluded from it.
///
/// # Errors
/// Whatever `node` gives.
pub fn relate<E>(
    x: &SignedHead,
    y: &SignedHead,
    mut node: impl FnMut(NodeId) -> Result<keyglass_tlog::Digest, E>,
) -> Result<Relation, ProveError<E>> {
    if let Some(evidence) = contradiction(x, y) {
        return Ok(Relation::Contradicts(evidence));
    }
    let (small, large) = if x.size() <= y.size() { (x, y) } else { (y, x) };
    if small.size() == large.size() {
        return Ok(Relation::Same);
    }
    if small.size() == 0 {
        // The empty tree, whose root is right, precedes every tree.
        return Ok(Relation::Extends);
    }
    let root = root_at(small.size(), &mut node)?;
    let proof = consistency_proof(small.size(), large.size(), &mut node)?;
    if let Err(error) = verify_consistency(small.size(), &root, large.size(), large.root(), &proof) {
        return Ok(Relation::Unproven(error));
    }
    if root == *small.root() {
        return Ok(Relation::Extends);
    }
    let (a, b) = (small.note().clone(), large.note().clone());
    Ok(Relation::Contradicts(Evidence::Inconsistent { a, b, root, proof }))
}

#[cfg(test)]
mod tests;

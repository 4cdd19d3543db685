//! How two signed heads of one log relate: the same tree, one that extends the other, or a contradiction, which is
//! evidence. The nodes of the larger tree are an argument, and are proven before anything is concluded from them.

use thiserror::Error;

use crate::{
    Digest,
    checkpoint::{Checkpoint, CheckpointError},
    evidence::Evidence,
    note::SignedNote,
    rfc6962::{
        NodeId, ProofError, ProveError, consistency_nodes, consistency_proof, range_nodes, root_at,
        verify_consistency,
    },
};

/// How two heads relate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Relation {
    /// They name the same tree.
    Same,
    /// The larger tree extends the smaller one.
    Extends,
    /// No append-only tree has both. Signatures are still to be verified ([`Evidence::verify`]).
    Contradicts(Evidence),
    /// The nodes given are not those of the larger tree, so that they show nothing.
    Unproven(ProofError),
}

/// Why two notes cannot be related. `E` is the error of the place where nodes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RelateError<E> {
    /// A note's text is not a checkpoint.
    #[error(transparent)]
    NotACheckpoint(#[from] CheckpointError),
    /// The heads are of different logs.
    #[error("the heads are of different logs")]
    OtherLog,
    /// A node could not be had.
    #[error(transparent)]
    Nodes(ProveError<E>),
}

/// The evidence that two heads give by themselves, if any; the same in whichever order they come. See
/// [`Evidence::of_notes`].
#[must_use]
pub fn contradiction(x: &SignedNote, y: &SignedNote) -> Option<Evidence> {
    let (first, second) = if x.text() <= y.text() { (x, y) } else { (y, x) };
    Evidence::of_notes(first, second)
}

/// The nodes of the larger tree that [`relate`] asks for, given both sizes in any order; none where it asks for none.
#[must_use]
pub fn nodes_to_relate(x: u64, y: u64) -> Vec<NodeId> {
    let (small, large) = (x.min(y), x.max(y));
    if small == large || small == 0 {
        return Vec::new();
    }
    let mut nodes = range_nodes(0, small);
    nodes.extend(consistency_nodes(small, large));
    nodes
}

/// Relates two heads of one log. `node` gives the nodes of the larger one's tree and need not be trusted: what it gives
/// is proven to lead to the larger head before anything is concluded from it. Signatures are not looked at.
///
/// # Errors
/// [`RelateError`].
pub fn relate<E>(
    x: &SignedNote,
    y: &SignedNote,
    mut node: impl FnMut(NodeId) -> Result<Digest, E>,
) -> Result<Relation, RelateError<E>> {
    let (a, b) = (Checkpoint::from_note(x)?, Checkpoint::from_note(y)?);
    if a.origin() != b.origin() {
        return Err(RelateError::OtherLog);
    }
    if let Some(evidence) = contradiction(x, y) {
        return Ok(Relation::Contradicts(evidence));
    }
    let ((small, a), (large, b)) =
        if a.tree_size() <= b.tree_size() { ((x, a), (y, b)) } else { ((y, b), (x, a)) };
    if a.tree_size() == b.tree_size() {
        return Ok(Relation::Same);
    }
    if a.tree_size() == 0 {
        // The empty tree, whose root is right, precedes every tree.
        return Ok(Relation::Extends);
    }
    let root = root_at(a.tree_size(), &mut node).map_err(RelateError::Nodes)?;
    let proof = consistency_proof(a.tree_size(), b.tree_size(), &mut node).map_err(RelateError::Nodes)?;
    if let Err(error) = verify_consistency(a.tree_size(), &root, b.tree_size(), b.root(), &proof) {
        return Ok(Relation::Unproven(error));
    }
    if root == *a.root() {
        return Ok(Relation::Extends);
    }
    let (a, b) = (small.clone(), large.clone());
    Ok(Relation::Contradicts(Evidence::Inconsistent { a, b, root, proof }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testkit::{Branch, HONEST, log, note};

    #[test]
    fn heads_of_different_logs_are_not_related() {
        let other = Checkpoint::new("log.example/two", 3, [0; 32]).unwrap();
        let related = relate(&HONEST.note(3, &[]), &note(&other, &[]), |_| Err(()));
        assert_eq!(related, Err(RelateError::OtherLog));
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        let related = relate(&HONEST.note(3, &[]), &HONEST.note(5, &[]), |_| Err("away"));
        assert_eq!(related, Err(RelateError::Nodes(ProveError::Node("away"))));
    }

    proptest! {
        /// The model: two trees agree exactly where their leaves do.
        #[test]
        fn heads_relate_as_their_leaves_do(fork_at in 0u64..12, a in 0u64..20, b in 0u64..20, forked: bool) {
            let other = Branch { fork_at, branch: u8::from(forked) };
            let (x, y) = (HONEST.note(a, &[]), other.note(b, &[]));
            let larger = if a > b { &HONEST } else { &other };
            let relation = relate(&x, &y, |id| larger.node(id)).unwrap();
            prop_assert_eq!(&relation, &relate(&y, &x, |id| larger.node(id)).unwrap());
            let agree = !forked || a.min(b) <= fork_at;
            match relation {
                Relation::Same => prop_assert!(agree && a == b),
                Relation::Extends => prop_assert!(agree && a != b),
                Relation::Contradicts(evidence) => {
                    prop_assert!(!agree);
                    prop_assert!(evidence.verify(&[log().vkey()], None).is_ok());
                }
                Relation::Unproven(_) => prop_assert!(false, "the nodes are the larger tree's"),
            }
        }

        /// Nodes of another tree than the larger head's convict nobody, whatever they are.
        #[test]
        fn other_nodes_prove_nothing(a in 1u64..20, more in 1u64..20, branch in 1u8..9) {
            let other = Branch { fork_at: 0, branch };
            let relation = relate(&HONEST.note(a, &[]), &HONEST.note(a + more, &[]), |id| other.node(id));
            prop_assert!(matches!(relation.unwrap(), Relation::Unproven(_)));
        }

        #[test]
        fn the_nodes_announced_are_those_asked_for(a in 0u64..400, b in 0u64..400) {
            let announced = nodes_to_relate(a, b);
            let mut asked = Vec::new();
            let checkpoint = |size| {
                let root = if size == 0 { crate::rfc6962::empty_root() } else { [1; 32] };
                note(&Checkpoint::new("log.example/one", size, root).unwrap(), &[])
            };
            let (x, y) = (checkpoint(a), checkpoint(b));
            let _ = relate(&x, &y, |id| { asked.push(id); Ok::<_, ()>([0; 32]) });
            prop_assert_eq!(announced, asked);
        }
    }
}

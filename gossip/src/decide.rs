//! What a head says beside another one of the same log.

use keyglass_tlog::{Digest, rfc6962::empty_root};

/// What a head states: that a tree of this size has this root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tree {
    /// The number of leaves.
    pub size: u64,
    /// The root.
    pub root: Digest,
}

impl Tree {
    /// Whether no log has this tree: one without leaves has one root.
    #[must_use]
    pub fn is_impossible(&self) -> bool {
        self.size == 0 && self.root != empty_root()
    }
}

/// What is to be done about a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub enum Decision {
    /// There is nothing to compare it with: from now on, others are compared with it.
    First,
    /// It says nothing that is not known: the same tree, or the empty one, which precedes all.
    Agrees,
    /// It is smaller: the tree of the known head must have had its root at its size.
    CheckOlder,
    /// It is larger: its tree must have had the known root at the known size.
    CheckNewer,
    /// The log signed what no append-only tree has. The head, alone or with the known one, is evidence.
    Conflict,
}

/// Decides about a head of a peer, given the head that is known. Both are signed by the log; only that makes a conflict
/// evidence, and what is not signed must not come here.
pub fn decide(known: Option<&Tree>, theirs: &Tree) -> Decision {
    if theirs.is_impossible() {
        return Decision::Conflict;
    }
    let Some(known) = known else {
        return Decision::First;
    };
    if known.is_impossible() {
        return Decision::Conflict;
    }
    match theirs.size.cmp(&known.size) {
        core::cmp::Ordering::Equal if theirs.root == known.root => Decision::Agrees,
        core::cmp::Ordering::Equal => Decision::Conflict,
        core::cmp::Ordering::Less if theirs.size == 0 => Decision::Agrees,
        core::cmp::Ordering::Less => Decision::CheckOlder,
        core::cmp::Ordering::Greater => Decision::CheckNewer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(size: u64, root: u8) -> Tree {
        Tree { size, root: if size == 0 && root == 0 { empty_root() } else { [root; 32] } }
    }

    #[test]
    fn every_case() {
        let cases = [
            (None, tree(0, 0), Decision::First),
            (None, tree(0, 1), Decision::Conflict),
            (None, tree(5, 1), Decision::First),
            (Some(tree(5, 1)), tree(5, 1), Decision::Agrees),
            (Some(tree(5, 1)), tree(5, 2), Decision::Conflict),
            (Some(tree(5, 1)), tree(4, 1), Decision::CheckOlder),
            (Some(tree(5, 1)), tree(0, 0), Decision::Agrees),
            (Some(tree(5, 1)), tree(0, 1), Decision::Conflict),
            (Some(tree(5, 1)), tree(6, 1), Decision::CheckNewer),
            // From the empty tree, every proof of consistency is empty.
            (Some(tree(0, 0)), tree(6, 1), Decision::CheckNewer),
            (Some(tree(0, 0)), tree(0, 0), Decision::Agrees),
            (Some(tree(0, 0)), tree(0, 1), Decision::Conflict),
            (Some(tree(0, 1)), tree(6, 1), Decision::Conflict),
        ];
        for (known, theirs, expected) in cases {
            assert_eq!(decide(known.as_ref(), &theirs), expected, "{known:?} {theirs:?}");
        }
    }
}

//! Which nodes a batch proof contains: the walk that prover and verifier share.

use super::{
    LogTreeError,
    node::{NodeId, full_subtrees},
};

/// The nodes whose values a batch proof contains, left to right: the fewest from which, together with the values of
/// `leaves` and of the full subtrees retained from size `last`, the roots at sizes `n` and `auditor` follow.
///
/// `leaves` are ascending positions. A retained head with a leaf to be proven, or with the edge of the auditor's tree,
/// inside is opened: the verifier recomputes and compares it.
///
/// # Errors
/// If the arguments are not of a log of `n` entries.
pub fn plan(
    n: u64,
    leaves: &[u64],
    last: Option<u64>,
    auditor: Option<u64>,
) -> Result<Vec<NodeId>, LogTreeError> {
    let question = Question::new(n, last, auditor)?;
    let known = question.known(leaves)?;
    let mut nodes = Vec::new();
    for head in full_subtrees(n) {
        list(head, known.within(head), &mut nodes);
    }
    Ok(nodes)
}

/// Adds what a proof contains of the subtree of `node`. Recursion ends at the leaves, 64 levels down at most.
fn list(node: NodeId, known: Known<'_>, nodes: &mut Vec<NodeId>) {
    match known.source(node) {
        Source::Leaf | Source::Retained => {}
        Source::Element => nodes.push(node),
        Source::Children(left, right) => {
            list(left, known.within(left), nodes);
            list(right, known.within(right), nodes);
        }
    }
}

/// The nodes that a proof is asked for, apart from leaves.
#[derive(Debug)]
pub(super) struct Question {
    n: u64,
    /// Whose values the verifier retained.
    pub(super) retained: Vec<NodeId>,
    /// Whose values the verifier needs for the auditor's root.
    auditor: Vec<NodeId>,
}

impl Question {
    pub(super) fn new(n: u64, last: Option<u64>, auditor: Option<u64>) -> Result<Self, LogTreeError> {
        if n == 0 {
            return Err(LogTreeError::EmptyLog);
        }
        let in_log = |size: Option<u64>| size.is_none_or(|size| (1..=n).contains(&size));
        if !in_log(last) {
            return Err(LogTreeError::RetainedSize);
        }
        if !in_log(auditor) {
            return Err(LogTreeError::AuditorSize);
        }
        let heads = |size: Option<u64>| size.map_or_else(Vec::new, full_subtrees);
        Ok(Self { n, retained: heads(last), auditor: heads(auditor) })
    }

    /// The question together with the positions of the leaves.
    pub(super) fn known<'a>(&'a self, leaves: &'a [u64]) -> Result<Known<'a>, LogTreeError> {
        let ascending = leaves.is_sorted_by(|a, b| a < b);
        if !ascending || leaves.last().is_some_and(|&leaf| leaf >= self.n) {
            return Err(LogTreeError::Leaves);
        }
        Ok(Known { leaves, retained: &self.retained, auditor: &self.auditor })
    }
}

/// What is known, or has to be computed, of some part of the tree. All from left to right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// Leaves whose values are known.
    leaves: &'a [u64],
    /// Nodes whose values are known.
    retained: &'a [NodeId],
    /// Nodes whose values have to be computed.
    auditor: &'a [NodeId],
}

/// Where the value of a node comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// It is a leaf to be proven included.
    Leaf,
    /// It is retained.
    Retained,
    /// The proof.
    Element,
    /// These children. If it is also retained, the two must agree.
    Children(NodeId, NodeId),
}

impl<'a> Known<'a> {
    /// What lies in the subtree of `node`. Heads above it do not.
    pub(super) fn within(self, node: NodeId) -> Self {
        let heads = |heads| between(heads, node, NodeId::first_leaf, NodeId::last_leaf);
        Self {
            leaves: between(self.leaves, node, |leaf| leaf, |leaf| leaf),
            retained: heads(self.retained),
            auditor: heads(self.auditor),
        }
    }

    /// Whether `node`, to whose subtree this has been narrowed, is retained.
    pub(super) fn is_retained(self, node: NodeId) -> bool {
        self.retained.first() == Some(&node)
    }

    /// Where the value of `node`, to whose subtree this has been narrowed, comes from.
    pub(super) fn source(self, node: NodeId) -> Source {
        let lies_below = |heads: &[NodeId]| heads.first().is_some_and(|&head| head != node);
        match node.children() {
            None if !self.leaves.is_empty() => Source::Leaf,
            Some((left, right))
                if !self.leaves.is_empty() || lies_below(self.retained) || lies_below(self.auditor) =>
            {
                Source::Children(left, right)
            }
            _ if self.is_retained(node) => Source::Retained,
            _ => Source::Element,
        }
    }
}

/// The part of `sorted` that lies in the subtree of `node`: from its leftmost leaf and to its rightmost.
fn between<T: Copy>(sorted: &[T], node: NodeId, first: impl Fn(T) -> u64, last: impl Fn(T) -> u64) -> &[T] {
    let start = sorted.partition_point(|&item| first(item) < node.first_leaf());
    let (_, rest) = sorted.split_at(start);
    let end = rest.partition_point(|&item| last(item) <= node.last_leaf());
    rest.split_at(end).0
}

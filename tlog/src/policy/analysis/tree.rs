//! A quorum as a tree of thresholds over parties.

use super::{Counting, counted, is_operator};
use crate::policy::{Member, Policy, Quorum};

/// Who colludes or fails as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The `any` group that stands for it, if it is not a single line.
    pub group: Option<usize>,
    /// Its witness lines, as indices into [`Policy::witnesses`]; at least one.
    pub witnesses: Vec<usize>,
}

/// A child of a threshold.
#[derive(Debug, Clone, Copy)]
enum Node {
    Party(usize),
    Threshold(usize),
}

/// So many of these must witness.
#[derive(Debug)]
struct Threshold {
    k: usize,
    members: Vec<Node>,
}

/// The part of a policy that its quorum counts. Thresholds come after those below them.
#[derive(Debug)]
pub(super) struct Tree {
    parties: Vec<Party>,
    /// Beside each party, the threshold that it is in; `None` if it is the whole quorum.
    parents: Vec<Option<usize>>,
    thresholds: Vec<Threshold>,
    root: Node,
}

impl Tree {
    /// The tree of a policy's quorum; `None` for `quorum none`.
    pub(super) fn of(policy: &Policy, counting: Counting) -> Option<Self> {
        let Quorum::Of(quorum) = policy.quorum() else {
            return None;
        };
        let (_, counted) = counted(policy);
        let mut tree =
            Self { parties: Vec::new(), parents: Vec::new(), thresholds: Vec::new(), root: Node::Party(0) };
        let mut of_groups: Vec<Option<Node>> = Vec::with_capacity(policy.groups().len());
        for (index, group) in policy.groups().iter().enumerate() {
            let node = if counted.get(index) != Some(&true) {
                None
            } else if counting == Counting::Operators && is_operator(policy, index) {
                Some(tree.add_party(Some(index), group.members().iter().filter_map(witness).collect()))
            } else {
                let members = group.members().iter().map(|member| tree.node(*member, &of_groups));
                let members: Option<Vec<Node>> = members.collect();
                Some(tree.add_threshold(group.threshold(), members?))
            };
            of_groups.push(node);
        }
        tree.root = tree.node(quorum, &of_groups)?;
        Some(tree)
    }

    fn node(&mut self, member: Member, of_groups: &[Option<Node>]) -> Option<Node> {
        match member {
            Member::Witness(index) => Some(self.add_party(None, vec![index])),
            Member::Group(index) => of_groups.get(index).copied().flatten(),
        }
    }

    fn add_party(&mut self, group: Option<usize>, witnesses: Vec<usize>) -> Node {
        self.parties.push(Party { group, witnesses });
        self.parents.push(None);
        Node::Party(self.parties.len().saturating_sub(1))
    }

    fn add_threshold(&mut self, k: usize, members: Vec<Node>) -> Node {
        let index = self.thresholds.len();
        for member in &members {
            if let Node::Party(party) = member
                && let Some(parent) = self.parents.get_mut(*party)
            {
                *parent = Some(index);
            }
        }
        self.thresholds.push(Threshold { k, members });
        Node::Threshold(index)
    }

    pub(super) fn parties(&self) -> &[Party] {
        &self.parties
    }

    pub(super) fn into_parties(self) -> Vec<Party> {
        self.parties
    }

    /// The threshold that a party is directly under: parties under one threshold can stand in for each other.
    pub(super) fn parent(&self, party: usize) -> Option<usize> {
        self.parents.get(party).copied().flatten()
    }

    /// The cheapest total where a party costs one and a threshold as much as the cheapest `take(k, n)` of its members.
    pub(super) fn fold(&self, take: impl Fn(usize, usize) -> usize) -> usize {
        self.total(|_| 1, take)
    }

    /// The fewest further parties that are a quorum together with those that are `present`.
    pub(super) fn needed(&self, present: impl Fn(usize) -> bool) -> usize {
        self.total(|party| usize::from(!present(party)), |k, _| k)
    }

    fn total(&self, cost: impl Fn(usize) -> usize, take: impl Fn(usize, usize) -> usize) -> usize {
        let mut of_thresholds: Vec<usize> = Vec::with_capacity(self.thresholds.len());
        let of_node = |node: Node, of_thresholds: &[usize]| match node {
            Node::Party(party) => cost(party),
            // Those below come first; were one missing, it must never look cheap.
            Node::Threshold(index) => of_thresholds.get(index).copied().unwrap_or(usize::MAX),
        };
        for threshold in &self.thresholds {
            let mut costs: Vec<usize> =
                threshold.members.iter().map(|member| of_node(*member, &of_thresholds)).collect();
            costs.sort_unstable();
            let taken = costs.iter().take(take(threshold.k, costs.len()));
            of_thresholds.push(taken.fold(0, |sum: usize, cost| sum.saturating_add(*cost)));
        }
        of_node(self.root, &of_thresholds)
    }
}

fn witness(member: &Member) -> Option<usize> {
    match member {
        Member::Witness(index) => Some(*index),
        Member::Group(_) => None,
    }
}

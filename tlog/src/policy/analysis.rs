//! What a policy survives: how many must collude before two people can be shown different logs, and how many must fail
//! before nothing is accepted any more.
//!
//! A *party* is what colludes or fails as one. Which lines of a policy are one party is a question of [`Counting`]. Every
//! member is in one group only, so quorums are trees and all figures of one policy follow from the leaves up: of a group
//! in which k of n must witness, two quorums have at least 2k - n members in common, and n - k + 1 members stall it.
//! That a common member is *honest* is what makes a split view impossible: it does not cosign twice. The common
//! members of the two quorums that have the least in common are therefore the ones who must collude, beside the log.

mod between;
mod tree;

use self::tree::Tree;
pub use self::{
    between::{Overlap, common_origins, overlap_between, shared_parties},
    tree::Party,
};
use super::{Member, Policy, Quorum};

/// Which lines of a policy are one party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// An `any` group whose members are all witnesses is one operator with several keys; so is every other witness. That
    /// is how operators with several keys are written; whether a group was meant so is for its reader to know.
    Operators,
    /// Every witness line by itself, as if each key were run by somebody else.
    Keys,
}

/// What the quorum of a policy survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strength {
    /// The parties that the quorum can count.
    pub parties: usize,
    /// The fewest parties that are a quorum.
    pub smallest_quorum: usize,
    /// The fewest parties that two quorums have in common: so many must collude with the log before it can show two views
    /// that are both witnessed. Zero means that honest witnesses can be made to sign two views.
    pub split: usize,
    /// The fewest parties without whom there is no quorum: so many must fail before nothing is accepted.
    pub stall: usize,
}

impl Strength {
    /// The strength of a policy's quorum; `None` for `quorum none`, under which the log's word is enough.
    #[must_use]
    pub fn of(policy: &Policy, counting: Counting) -> Option<Self> {
        let tree = Tree::of(policy, counting)?;
        Some(Self {
            parties: tree.parties().len(),
            smallest_quorum: tree.fold(|k, _| k),
            split: tree.fold(|k, n| k.saturating_mul(2).saturating_sub(n)),
            stall: tree.fold(|k, n| n.saturating_sub(k).saturating_add(1)),
        })
    }

    /// Whether more than a third of the parties must collude to split the view. For a quorum of k out of n equal parties
    /// that is k ≥ 1 + ⌊2n/3⌋.
    #[must_use]
    pub fn resists_a_third(&self) -> bool {
        self.split.saturating_mul(3) > self.parties
    }
}

/// The parties that the quorum can count; empty for `quorum none`.
#[must_use]
pub fn parties(policy: &Policy, counting: Counting) -> Vec<Party> {
    Tree::of(policy, counting).map(Tree::into_parties).unwrap_or_default()
}

/// Whether a group stands for one operator with several keys: an `any` group of witnesses.
#[must_use]
pub fn is_operator(policy: &Policy, group: usize) -> bool {
    policy.groups().get(group).is_some_and(|group| {
        group.threshold() == 1 && group.members().iter().all(|member| matches!(member, Member::Witness(_)))
    })
}

/// Whether a group demands more than two thirds of its members: k ≥ 1 + ⌊2n/3⌋.
#[must_use]
pub fn is_two_thirds(threshold: usize, members: usize) -> bool {
    threshold > members.saturating_mul(2) / 3
}

/// The groups that the quorum can count, operators included, in the order of the policy.
#[must_use]
pub fn counted_groups(policy: &Policy) -> Vec<usize> {
    let (_, groups) = counted(policy);
    groups.iter().enumerate().filter(|(_, counts)| **counts).map(|(index, _)| index).collect()
}

/// The witnesses that the quorum can not count, in the order of the policy.
#[must_use]
pub fn uncounted_witnesses(policy: &Policy) -> Vec<usize> {
    let (witnesses, _) = counted(policy);
    witnesses.iter().enumerate().filter(|(_, counts)| !**counts).map(|(index, _)| index).collect()
}

/// Which witnesses and which groups the quorum can count.
fn counted(policy: &Policy) -> (Vec<bool>, Vec<bool>) {
    let mut witnesses = vec![false; policy.witnesses().len()];
    let mut groups = vec![false; policy.groups().len()];
    let mut count = |member: Member, groups: &mut Vec<bool>| {
        let (of_kind, index) = match member {
            Member::Witness(index) => (&mut witnesses, index),
            Member::Group(index) => (groups, index),
        };
        if let Some(counts) = of_kind.get_mut(index) {
            *counts = true;
        }
    };
    if let Quorum::Of(member) = policy.quorum() {
        count(member, &mut groups);
    }
    // A group comes after its members, so from the last to the first every group is known before its members are.
    for (index, group) in policy.groups().iter().enumerate().rev() {
        if groups.get(index) == Some(&true) {
            group.members().iter().for_each(|member| count(*member, &mut groups));
        }
    }
    (witnesses, groups)
}

#[cfg(test)]
mod tests;

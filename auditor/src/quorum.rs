//! How far a head is from losing its quorum. Pure.

use std::collections::BTreeSet;

use keyglass_tlog::policy::{Member, Name, Policy, Quorum};
use serde::Serialize;

use crate::report::names;

/// How a head stands to the policy's quorum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuorumMargin {
    /// Whether the quorum has cosigned.
    pub met: bool,
    /// The witnesses that have, by their names in the policy.
    pub have: Vec<String>,
    /// Those that have not.
    pub missing: Vec<String>,
    /// How many more cosignatures are needed at least.
    pub needed: usize,
    /// How many of those that have cosigned may fail, whichever they are, with the quorum still met; absent if it is not met.
    pub margin: Option<usize>,
    /// The same if all witnesses of the policy had cosigned: the best that can be.
    pub best_margin: usize,
}

impl QuorumMargin {
    /// Judges these cosigners; none under `quorum none`.
    #[must_use]
    pub fn of(policy: &Policy, cosigners: &BTreeSet<&Name>) -> Option<Self> {
        let Quorum::Of(quorum) = policy.quorum() else { return None };
        let everybody: BTreeSet<&Name> = policy.witnesses().iter().map(|witness| witness.name()).collect();
        let (have, missing): (Vec<&Name>, Vec<&Name>) = policy
            .witnesses()
            .iter()
            .map(|witness| witness.name())
            .partition(|name| cosigners.contains(name));
        let [have, missing] = [have, missing].map(|list| list.into_iter().cloned().collect::<Vec<Name>>());
        let needed = policy.missing(cosigners);
        Some(Self {
            met: needed == 0,
            have: names(&have),
            missing: names(&missing),
            needed,
            margin: cost_to_break(policy, quorum, cosigners).checked_sub(1),
            best_margin: cost_to_break(policy, quorum, &everybody).saturating_sub(1),
        })
    }
}

/// The smallest number of cosigners without whom the rest is no quorum; 0 if it is none now.
fn cost_to_break(policy: &Policy, quorum: Member, cosigners: &BTreeSet<&Name>) -> usize {
    let of = |member: &Member, of_groups: &[usize]| match member {
        Member::Witness(index) => {
            let witness = policy.witnesses().get(*index);
            usize::from(witness.is_some_and(|witness| cosigners.contains(witness.name())))
        }
        Member::Group(index) => of_groups.get(*index).copied().unwrap_or(0),
    };
    // Groups come after their members. One fails once so many members fail that fewer than its threshold are left.
    let mut of_groups: Vec<usize> = Vec::with_capacity(policy.groups().len());
    for group in policy.groups() {
        let mut costs: Vec<usize> = group.members().iter().map(|member| of(member, &of_groups)).collect();
        costs.sort_unstable();
        let enough = costs.len().saturating_sub(group.threshold()).saturating_add(1);
        of_groups.push(costs.iter().take(enough).fold(0, |sum: usize, cost| sum.saturating_add(*cost)));
    }
    of(&quorum, &of_groups)
}

#[cfg(test)]
mod tests {
    use keyglass_crypto::sign::SigningKey;
    use keyglass_tlog::{cosignature::Cosigner, note::KeyName};
    use proptest::prelude::*;

    use super::*;

    fn policy(witnesses: usize, rest: &str) -> Policy {
        let line = |i: usize| {
            let name = KeyName::new(&format!("w{i}.example")).unwrap();
            let key = Cosigner::new(name, SigningKey::from_seed(&[i as u8 + 1; 32]));
            format!("witness w{i} {}\n", key.vkey())
        };
        let text: String = (0..witnesses).map(line).collect::<String>() + rest;
        Policy::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_margin_says_how_many_may_fail() {
        let two_of_three = policy(3, "group q 2 w0 w1 w2\nquorum q\n");
        let names: Vec<Name> = ["w0", "w1", "w2"].map(Name::from).to_vec();
        let of = |have: &[usize]| {
            let have = have.iter().map(|i| &names[*i]).collect();
            QuorumMargin::of(&two_of_three, &have).unwrap()
        };
        let all = of(&[0, 1, 2]);
        assert_eq!((all.met, all.margin, all.best_margin, all.missing.len()), (true, Some(1), 1, 0));
        let two = of(&[2, 0]);
        assert_eq!((two.met, two.margin, two.needed), (true, Some(0), 0));
        assert_eq!((two.have, two.missing), (vec!["w0".to_owned(), "w2".to_owned()], vec!["w1".to_owned()]));
        let one = of(&[1]);
        assert_eq!((one.met, one.margin, one.needed), (false, None, 1));
        assert_eq!(QuorumMargin::of(&policy(1, "quorum none\n"), &BTreeSet::new()), None);
    }

    proptest! {
        #[test]
        fn the_margin_is_what_trying_every_failure_gives(
            have in 0u8..64, inner in 1usize..=3, outer in 1usize..=3, other in 1usize..=2,
        ) {
            let rest = format!(
                "group a {inner} w0 w1 w2\ngroup b {other} w3 w4\ngroup q {outer} a b w5\nquorum q\n"
            );
            let policy = policy(6, &rest);
            let names: Vec<&Name> = policy.witnesses().iter().map(|w| w.name()).collect();
            let set = |bits: u8| -> BTreeSet<&Name> {
                (0..6).filter(|i| bits >> i & 1 == 1).map(|i| names[i]).collect()
            };
            let survives = |lost: u8| policy.is_quorum(&set(have & !lost));
            let fewest = (0u8..64).filter(|lost| !survives(*lost)).map(|lost| lost.count_ones() as usize).min();
            let margin = QuorumMargin::of(&policy, &set(have)).unwrap();
            prop_assert_eq!(margin.margin, fewest.unwrap().checked_sub(1));
            prop_assert_eq!(margin.met, policy.is_quorum(&set(have)));
            prop_assert_eq!(margin.have.len() + margin.missing.len(), 6);
        }
    }
}

//! The figures against all subsets of small random policies.

use std::collections::BTreeSet;

use keyglass_crypto::sign::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::{
    note::{KeyName, PublicKey, Vkey},
    policy::Name,
};

fn witness_line(policy: &str, seed: u8) -> String {
    let key = SigningKey::from_seed(&[seed; 32]).verifying_key();
    let name = KeyName::new(&format!("w{seed}.example")).unwrap();
    format!("witness {policy}{seed} {}\n", Vkey::new(name, PublicKey::Ed25519Cosigner(key)))
}

/// A policy over the witnesses `<prefix><seed>` and what `rest` says of them.
fn policy(prefix: &str, seeds: &[u8], rest: &str) -> Policy {
    let lines: String = seeds.iter().map(|&seed| witness_line(prefix, seed)).collect();
    Policy::parse(format!("{lines}{rest}").as_bytes()).unwrap()
}

fn strength(rest: &str) -> Strength {
    let all: Vec<u8> = (1..=16).collect();
    Strength::of(&policy("w", &all, rest), Counting::Operators).unwrap()
}

#[test]
fn the_figures_of_known_policies() {
    let flat = |k: usize, n: usize| {
        let members: String = (1..=n).map(|i| format!(" w{i}")).collect();
        let Strength { parties, smallest_quorum, split, stall } =
            strength(&format!("group q {k}{members}\nquorum q\n"));
        (parties, smallest_quorum, split, stall)
    };
    assert_eq!(flat(2, 3), (3, 2, 1, 2));
    assert_eq!(flat(3, 3), (3, 3, 3, 1));
    assert_eq!(flat(3, 4), (4, 3, 2, 2));
    assert_eq!(flat(5, 7), (7, 5, 3, 3));
    assert_eq!(flat(2, 4), (4, 2, 0, 3));
    let single = strength("quorum w1\n");
    assert_eq!((single.parties, single.smallest_quorum, single.split, single.stall), (1, 1, 1, 1));
    // Two of three organisations, each with a quorum of its own.
    let nested =
        strength("group a 2 w1 w2 w3\ngroup b 3 w4 w5 w6 w7\ngroup c all w8 w9\ngroup q 2 a b c\nquorum q\n");
    assert_eq!((nested.parties, nested.smallest_quorum, nested.split, nested.stall), (9, 4, 1, 3));
}

#[test]
fn keys_of_one_operator_count_once() {
    let rest = "group a any w1 w2\ngroup b any w3 w4\ngroup c any w5 w6\ngroup q 2 a b c\nquorum q\n";
    let policy = policy("w", &[1, 2, 3, 4, 5, 6], rest);
    let by_operator = Strength::of(&policy, Counting::Operators).unwrap();
    assert_eq!((by_operator.parties, by_operator.split, by_operator.stall), (3, 1, 2));
    // Were each key run by somebody else, honest witnesses could be made to sign two views.
    let by_key = Strength::of(&policy, Counting::Keys).unwrap();
    assert_eq!((by_key.parties, by_key.split, by_key.stall), (6, 0, 4));
    assert!(is_operator(&policy, 0) && !is_operator(&policy, 3));
    assert_eq!(parties(&policy, Counting::Operators)[1], Party { group: Some(1), witnesses: vec![2, 3] });
}

#[test]
fn any_of_groups_is_no_operator() {
    let policy = policy("w", &[1, 2, 3, 4], "group a all w1 w2\ngroup q any a w3\nquorum q\n");
    assert!(!is_operator(&policy, 1));
    assert_eq!(Strength::of(&policy, Counting::Operators).unwrap().split, 0);
    assert_eq!(uncounted_witnesses(&policy), [3]);
    assert_eq!(counted_groups(&policy), [0, 1]);
}

#[test]
fn none_has_no_strength() {
    let none = policy("w", &[1], "quorum none\n");
    assert_eq!(Strength::of(&none, Counting::Operators), None);
    assert_eq!(overlap_between(&none, &none, Counting::Operators), Overlap::Exactly(0));
    assert!(parties(&none, Counting::Keys).is_empty() && uncounted_witnesses(&none) == [0]);
}

/// For k of n, "more than a third must collude" says the same as k ≥ 1 + ⌊2n/3⌋.
#[test]
fn a_third_is_two_thirds_of_equal_parties() {
    for n in 1..=16usize {
        for k in 1..=n {
            let strength = Strength {
                parties: n,
                smallest_quorum: k,
                split: (2 * k).saturating_sub(n),
                stall: n - k + 1,
            };
            assert_eq!(strength.resists_a_third(), k > 2 * n / 3, "{k} of {n}");
            assert_eq!(is_two_thirds(k, n), k > 2 * n / 3);
        }
    }
}

#[test]
fn a_key_is_one_party_under_any_name_and_grouping() {
    // What `a` takes for one operator with two keys, `b` counts twice: together they are one.
    let a = policy("a", &[1, 2, 3], "group x any a1 a2\ngroup q all x a3\nquorum q\n");
    let b = policy("b", &[1, 2, 4], "group q 2 b1 b2 b4\nquorum q\n");
    assert_eq!(overlap_between(&a, &b, Counting::Operators), Overlap::Exactly(1));
    assert_eq!(overlap_between(&a, &b, Counting::Keys), Overlap::Exactly(0));
    let apart = policy("b", &[5, 6], "group q all b5 b6\nquorum q\n");
    assert_eq!(overlap_between(&a, &apart, Counting::Operators), Overlap::Exactly(0));
}

/// 32 operators, each with a group of its own in either policy: too many pairs, and still an honest bound.
#[test]
fn what_cannot_be_enumerated_is_a_bound() {
    let seeds: Vec<u8> = (1..=32).collect();
    let nested = |prefix: &str, step: usize| {
        let (mut groups, mut names) = (String::new(), String::new());
        for start in 0..8 {
            let members: String = (0..4)
                .map(|i| {
                    let index = if step == 1 { start * 4 + i } else { start + i * 8 };
                    format!(" {prefix}{}", index + 1)
                })
                .collect();
            groups += &format!("group g{start} 3{members}\n");
            names += &format!(" g{start}");
        }
        policy(prefix, &seeds, &format!("{groups}group q 6{names}\nquorum q\n"))
    };
    let (rows, columns) = (nested("r", 1), nested("c", 2));
    let Overlap::AtMost(bound) = overlap_between(&rows, &columns, Counting::Operators) else {
        panic!("{:?}", overlap_between(&rows, &columns, Counting::Operators));
    };
    assert!(bound <= 18, "no more than a smallest quorum: {bound}");
    let own = Strength::of(&rows, Counting::Operators).unwrap();
    let twice = overlap_between(&rows, &rows, Counting::Operators);
    assert_eq!(twice, Overlap::Exactly(own.split));
}

/// Builds groups out of what is not in a group yet, as the numbers say; the quorum is any name.
fn random_rest(prefix: &str, seeds: &[u8], choices: &[(usize, usize, usize)], quorum: usize) -> String {
    let mut free: Vec<String> = seeds.iter().map(|seed| format!("{prefix}{seed}")).collect();
    let mut all = free.clone();
    let mut rest = String::new();
    for (index, (start, count, k)) in choices.iter().enumerate() {
        let start = start % free.len();
        let count = 1 + count % (free.len() - start).min(4);
        let members: Vec<String> = free.drain(start..start + count).collect();
        rest += &format!("group g{index} {} {}\n", 1 + k % members.len(), members.join(" "));
        free.insert(start, format!("g{index}"));
        all.push(format!("g{index}"));
    }
    // Mostly the last group, since that has the most below it.
    let quorum = if quorum < 70 { all.last() } else { all.get(quorum % all.len()) };
    format!("{rest}quorum {}\n", quorum.unwrap())
}

/// For each party the set of its witness lines, found from the groups alone.
fn model_parties(policy: &Policy, counting: Counting) -> Vec<BTreeSet<usize>> {
    let counts = |index: &usize| !uncounted_witnesses(policy).contains(index);
    let mut parties: Vec<BTreeSet<usize>> = Vec::new();
    for (index, group) in policy.groups().iter().enumerate() {
        let members: Option<BTreeSet<usize>> = group
            .members()
            .iter()
            .map(|member| if let Member::Witness(index) = member { Some(*index) } else { None })
            .collect();
        if let (Some(members), 1, Counting::Operators) = (members, group.threshold(), counting)
            && members.iter().all(counts)
        {
            // The witnesses count only through this group, unless one of them is itself the quorum.
            if policy.quorum() == Quorum::Of(Member::Group(index)) || counted_groups(policy).contains(&index)
            {
                parties.push(members);
            }
        }
    }
    let grouped: BTreeSet<usize> = parties.iter().flatten().copied().collect();
    let single = (0..policy.witnesses().len()).filter(|index| !grouped.contains(index)).filter(counts);
    parties.extend(single.map(|index| BTreeSet::from([index])));
    parties
}

/// Every set of witness lines that is a quorum, by the policy's own rule.
fn quorums(policy: &Policy) -> Vec<BTreeSet<usize>> {
    let n = policy.witnesses().len();
    (0u32..1 << n)
        .map(|mask| (0..n).filter(|i| mask >> i & 1 == 1).collect::<BTreeSet<usize>>())
        .filter(|set| {
            let names: BTreeSet<&Name> = set.iter().map(|&index| policy.witnesses()[index].name()).collect();
            policy.is_quorum(&names)
        })
        .collect()
}

/// The parties with a line in the set, as bits.
fn signers(parties: &[BTreeSet<usize>], set: &BTreeSet<usize>) -> u32 {
    parties
        .iter()
        .enumerate()
        .filter(|(_, party)| !party.is_disjoint(set))
        .fold(0, |bits, (i, _)| bits | 1 << i)
}

fn model_strength(policy: &Policy, counting: Counting) -> Strength {
    let parties = model_parties(policy, counting);
    let quorums: BTreeSet<u32> = quorums(policy).iter().map(|set| signers(&parties, set)).collect();
    let split = quorums.iter().flat_map(|a| quorums.iter().map(move |b| (a & b).count_ones())).min().unwrap();
    let smallest = quorums.iter().map(|bits| bits.count_ones()).min().unwrap();
    let stall = (0u32..1 << parties.len())
        .filter(|failed| quorums.iter().all(|quorum| quorum & failed != 0))
        .map(u32::count_ones)
        .min()
        .unwrap();
    Strength {
        parties: parties.len(),
        smallest_quorum: smallest as usize,
        split: split as usize,
        stall: stall as usize,
    }
}

/// The parties of both policies by their seeds, joined where they have one in common.
fn model_overlap(a: &Policy, b: &Policy, counting: Counting) -> usize {
    let keys = |policy: &Policy, set: &BTreeSet<usize>| -> BTreeSet<Vec<u8>> {
        set.iter().map(|&index| policy.witnesses()[index].vkey().key().material()).collect()
    };
    let mut joined: Vec<BTreeSet<Vec<u8>>> = Vec::new();
    for policy in [a, b] {
        for party in model_parties(policy, counting) {
            let mut whole = keys(policy, &party);
            let (touching, apart): (Vec<_>, Vec<_>) =
                joined.into_iter().partition(|set| !set.is_disjoint(&whole));
            whole.extend(touching.into_iter().flatten());
            joined = apart;
            joined.push(whole);
        }
    }
    let bits = |policy: &Policy, set: &BTreeSet<usize>| {
        let keys = keys(policy, set);
        joined
            .iter()
            .enumerate()
            .filter(|(_, party)| !party.is_disjoint(&keys))
            .fold(0u32, |bits, (i, _)| bits | 1 << i)
    };
    let of =
        |policy: &Policy| -> BTreeSet<u32> { quorums(policy).iter().map(|set| bits(policy, set)).collect() };
    let (of_a, of_b) = (of(a), of(b));
    of_a.iter().flat_map(|x| of_b.iter().map(move |y| (x & y).count_ones())).min().unwrap() as usize
}

fn arbitrary_policy(prefix: &'static str) -> impl Strategy<Value = Policy> {
    let seeds = proptest::sample::subsequence((1u8..=7).collect::<Vec<_>>(), 1..=6);
    let choices = proptest::collection::vec((any::<usize>(), any::<usize>(), any::<usize>()), 0..6);
    (seeds, choices, 0usize..100).prop_map(move |(seeds, choices, quorum)| {
        policy(prefix, &seeds, &random_rest(prefix, &seeds, &choices, quorum))
    })
}

proptest! {
    #[test]
    fn strength_is_what_all_subsets_say(policy in arbitrary_policy("w")) {
        for counting in [Counting::Operators, Counting::Keys] {
            prop_assert_eq!(Strength::of(&policy, counting).unwrap(), model_strength(&policy, counting));
            let split = Strength::of(&policy, counting).unwrap().split;
            prop_assert_eq!(overlap_between(&policy, &policy, counting), Overlap::Exactly(split));
        }
    }

    #[test]
    fn overlap_between_policies_is_what_all_pairs_say(a in arbitrary_policy("a"), b in arbitrary_policy("b")) {
        for counting in [Counting::Operators, Counting::Keys] {
            let expected = model_overlap(&a, &b, counting);
            prop_assert_eq!(overlap_between(&a, &b, counting), Overlap::Exactly(expected));
            let bound = between::one_overlap(&a, &b, counting).unwrap();
            prop_assert!(bound >= expected);
        }
    }
}

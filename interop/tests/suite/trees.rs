//! Roots and proofs over hundreds of sizes: x/mod's sumdb/tlog and transparency-dev's merkle.

use std::collections::BTreeMap;

use keyglass_interop::judge::{Bytes, Judge, bytes, list};
use keyglass_tlog::{
    Digest,
    rfc6962::{empty_root, leaf_hash, verify_consistency, verify_inclusion},
};
use rand::{RngExt as _, rngs::StdRng};
use serde_json::json;

use crate::kit::{Tree, entry, judge, random, seed};

type Verdicts = BTreeMap<String, String>;
type Proofs = BTreeMap<String, Option<Vec<Bytes>>>;

const SIZES: u64 = 700;

fn grown(judge: &mut Judge, size: u64) -> Tree {
    let _: BTreeMap<String, u64> = judge.ask(&json!({ "op": "grow", "to": size })).unwrap();
    Tree::of(size)
}

fn same(there: Proofs, here: &[Digest]) {
    for (library, proof) in there {
        let proof: Vec<Vec<u8>> = proof.unwrap_or_default().into_iter().map(|bytes| bytes.0).collect();
        assert_eq!(proof, here, "{library}");
    }
}

#[test]
fn roots_and_proofs_are_the_same() {
    let Some(mut judge) = judge() else { return };
    let tree = grown(&mut judge, SIZES);
    let random = &mut random(10);
    for size in 1..=SIZES {
        let roots: BTreeMap<String, Bytes> = judge.ask(&json!({ "op": "root", "size": size })).unwrap();
        for (library, root) in roots {
            assert_eq!(root.0, tree.root(size), "{library} at {size}");
        }
        for index in [0, size / 2, size - 1, random.random_range(0..size)] {
            let proof = tree.inclusion(index, size);
            let there = judge.ask(&json!({ "op": "prove_inclusion", "index": index, "size": size })).unwrap();
            same(there, &proof);
        }
        for old in [1, size.div_ceil(2), size, random.random_range(1..=size)] {
            let proof = tree.consistency(old, size);
            let there = judge.ask(&json!({ "op": "prove_consistency", "old": old, "new": size })).unwrap();
            same(there, &proof);
        }
    }
    println!("{} questions", judge.asked());
}

/// A proof with something wrong, or not: what is said of it is what matters.
fn damage(random: &mut StdRng, proof: &mut Vec<Digest>) {
    let at = random.random_range(0..=proof.len());
    match random.random_range(0..6) {
        0 => proof.insert(at, seed(random)),
        1 if at < proof.len() => drop(proof.remove(at)),
        2 if at < proof.len() => proof[at][random.random_range(0..32)] ^= 1 << random.random_range(0..8),
        3 if at < proof.len() => proof.swap(0, at),
        4 if at < proof.len() => proof.insert(at, proof[at]),
        _ => {}
    }
}

/// A number close to another one, mostly itself.
fn near(random: &mut StdRng, n: u64) -> u64 {
    match random.random_range(0..8) {
        0 => n + 1,
        1 => n.saturating_sub(1),
        2 => n ^ (1 << random.random_range(0..12)),
        3 => n << random.random_range(0..20),
        _ => n,
    }
}

#[test]
fn inclusion_is_verified_alike() {
    let Some(mut judge) = judge() else { return };
    let tree = Tree::of(SIZES);
    let random = &mut random(11);
    let (mut good, mut bad) = (0, 0);
    for case in 0..12_000 {
        let true_size = random.random_range(1..=SIZES);
        let true_index = random.random_range(0..true_size);
        let mut proof = tree.inclusion(true_index, true_size);
        let (mut index, mut size) = (true_index, true_size);
        if case % 4 != 0 {
            damage(random, &mut proof);
            (index, size) = (near(random, index), near(random, size));
        }
        let (leaf, root) = (leaf_hash(&entry(true_index)), tree.root(true_size));
        let here = verify_inclusion(&leaf, index, size, &proof, &root).is_ok();
        let question = json!({
            "op": "verify_inclusion", "index": index, "size": size, "leaf": bytes(&leaf), "root": bytes(&root),
            "proof": list(&proof),
        });
        let there: Verdicts = judge.ask(&question).unwrap();
        for (library, verdict) in there {
            assert_eq!(
                here,
                verdict.is_empty(),
                "{library}: {verdict}: {index} in {size}, was {true_index} in {true_size}"
            );
        }
        if here { good += 1 } else { bad += 1 }
    }
    assert!(good >= 3_000 && bad > 5_000, "{good} {bad}");
    println!("{good} proofs accepted alike, {bad} refused alike");
}

#[test]
fn consistency_is_verified_alike() {
    let Some(mut judge) = judge() else { return };
    let tree = Tree::of(SIZES);
    let random = &mut random(12);
    let (mut good, mut bad) = (0, 0);
    for case in 0..12_000 {
        let true_new = random.random_range(1..=SIZES);
        let true_old = random.random_range(1..=true_new);
        let mut proof = tree.consistency(true_old, true_new);
        let (mut old, mut new) = (true_old, true_new);
        if case % 4 != 0 {
            damage(random, &mut proof);
            // From size 0 there is nothing to verify for merkle, and x/mod does not take it: a test of its own.
            (old, new) = (near(random, old).max(1), near(random, new));
        }
        let (old_root, new_root) = (tree.root(true_old), tree.root(true_new));
        let here = verify_consistency(old, &old_root, new, &new_root, &proof).is_ok();
        let there: Verdicts = ask_consistency(&mut judge, old, &old_root, new, &new_root, &proof);
        for (library, verdict) in there {
            assert_eq!(
                here,
                verdict.is_empty(),
                "{library}: {verdict}: {old} to {new}, was {true_old} to {true_new}"
            );
        }
        if here { good += 1 } else { bad += 1 }
    }
    assert!(good >= 3_000 && bad > 5_000, "{good} {bad}");
    println!("{good} proofs accepted alike, {bad} refused alike");
}

fn ask_consistency(
    judge: &mut Judge,
    old: u64,
    old_root: &Digest,
    new: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> Verdicts {
    let question = json!({
        "op": "verify_consistency", "old": old, "new": new, "oldroot": bytes(old_root), "newroot": bytes(new_root),
        "proof": list(proof),
    });
    judge.ask(&question).unwrap()
}

/// RFC 6962 defines no proof from the empty tree. merkle takes the empty one without looking at the old root; x/mod takes
/// none; here the old root must be the empty tree's, so that no head of size 0 can claim another.
#[test]
fn from_the_empty_tree_we_look_at_its_root() {
    let Some(mut judge) = judge() else { return };
    let tree = Tree::of(8);
    for (old_root, expected) in [(empty_root(), true), ([7; 32], false)] {
        assert_eq!(verify_consistency(0, &old_root, 8, &tree.root(8), &[]).is_ok(), expected);
        let there = ask_consistency(&mut judge, 0, &old_root, 8, &tree.root(8), &[]);
        assert_eq!(there["merkle"], "");
        assert_ne!(there["mod"], "");
    }
    let there = ask_consistency(&mut judge, 0, &empty_root(), 8, &tree.root(8), &[[1; 32]]);
    assert!(there.values().all(|verdict| !verdict.is_empty()), "{there:?}");
    assert!(verify_consistency(0, &empty_root(), 8, &tree.root(8), &[[1; 32]]).is_err());
}

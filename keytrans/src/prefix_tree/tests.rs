use std::collections::BTreeMap;

use keyglass_crypto::hash::Digest;
use proptest::prelude::*;
use serde_json::Value;

use super::{
    model::{Model, key, tree},
    *,
};
use crate::{
    config::DeploymentMode,
    vectors,
    wire::{Context, PrefixLeaf, PrefixProof, PrefixSearchKind, PrefixSearchResult, Wire, WireError},
};

fn digest(value: &Value) -> Digest {
    vectors::bytes(value).try_into().unwrap()
}

fn optional_digest(value: &Value) -> Option<Digest> {
    (!value.is_null()).then(|| digest(value))
}

/// A tree of the vectors, with its root.
pub(super) fn vector_trees() -> Vec<(Model, Value)> {
    let Value::Array(trees) = vectors::read("prefixtree.json")["trees"].take() else { panic!("no trees") };
    trees
        .into_iter()
        .map(|tree| {
            let entries = tree["entries"].as_array().unwrap();
            let leaves = entries.iter().map(|entry| (digest(&entry[0]), digest(&entry[1]))).collect();
            (Model(leaves), tree)
        })
        .collect()
}

pub(super) fn searches(proof: &Value) -> Vec<(SearchKey, Option<Digest>)> {
    let searches = proof["searches"].as_array().unwrap();
    searches.iter().map(|search| (digest(&search[0]), optional_digest(&search[1]))).collect()
}

pub(super) fn decode(proof: &Value) -> Result<PrefixProof, WireError> {
    PrefixProof::decode(&vectors::bytes(&proof["proof"]), Context::new(DeploymentMode::ContactMonitoring))
}

#[test]
fn vector_proofs_evaluate_to_the_root() {
    let mut cases = 0;
    for (model, tree) in vector_trees() {
        let root = digest(&tree["root"]);
        assert_eq!(model.root(), root);
        for proof in tree["proofs"].as_array().unwrap() {
            assert_eq!(evaluate(&searches(proof), &decode(proof).unwrap()), Ok(root), "{proof}");
            cases += 1;
        }
    }
    println!("prefixtree: {cases} proofs");
    assert!(cases > 0);
}

#[test]
fn vector_bad_proofs_do_not() {
    let mut cases = 0;
    for (_, tree) in vector_trees() {
        let root = digest(&tree["root"]);
        for proof in tree["bad_proofs"].as_array().unwrap() {
            if let Ok(decoded) = decode(proof) {
                assert_ne!(evaluate(&searches(proof), &decoded), Ok(root), "{proof}");
            }
            cases += 1;
        }
    }
    println!("prefixtree: {cases} bad proofs");
    assert!(cases > 0);
}

fn result(kind: PrefixSearchKind, depth: u8) -> PrefixSearchResult {
    PrefixSearchResult { kind, depth }
}

fn leaf(first: u8, commitment: u8) -> PrefixLeaf {
    let mut vrf_output = [0; 32];
    vrf_output[0] = first;
    PrefixLeaf { vrf_output, commitment: [commitment; 32] }
}

/// Evaluates results for keys that begin with the byte given, all of them with the commitment given.
fn evaluate_results(
    searches: &[(u8, Option<u8>)],
    results: Vec<PrefixSearchResult>,
    elements: usize,
) -> Result<Digest, PrefixProofError> {
    let searches: Vec<_> = searches
        .iter()
        .map(|(first, commitment)| {
            (leaf(*first, 0).vrf_output, commitment.map(|commitment| [commitment; 32]))
        })
        .collect();
    evaluate(&searches, &PrefixProof { results, elements: vec![[9; 32]; elements] })
}

#[test]
fn malformed_results_are_refused_by_name() {
    use PrefixProofError::*;
    use PrefixSearchKind::*;
    let at = |depth| result(Inclusion, depth);
    let missing = |depth| result(NonInclusionParent, depth);
    let other = |leaf, depth| result(NonInclusionLeaf(leaf), depth);

    assert_eq!(evaluate_results(&[(0, Some(1))], vec![], 0), Err(ResultCount));
    assert_eq!(evaluate_results(&[], vec![missing(0)], 0), Err(ResultCount));
    assert_eq!(evaluate_results(&[(0, None)], vec![at(0)], 0), Err(MissingCommitment));
    assert_eq!(evaluate_results(&[(0, None)], vec![other(leaf(0x80, 1), 1)], 1), Err(LeafOffPath));
    assert_eq!(evaluate_results(&[(0, None)], vec![other(leaf(0, 1), 1)], 1), Err(LeafOfKey));
    assert_eq!(evaluate_results(&[(0, Some(1))], vec![at(1)], 0), Err(MissingElement));
    assert_eq!(evaluate_results(&[(0, Some(1))], vec![at(1)], 2), Err(SpareElements));
    assert_eq!(evaluate_results(&[], vec![], 0), Err(MissingElement));
    // Two keys that share two bits: one place and two leaves, one place above the other, a leaf and nothing.
    let keys = [(0x00, Some(1)), (0x20, Some(1))];
    assert_eq!(evaluate_results(&keys, vec![at(1), at(1)], 1), Err(Contradiction));
    assert_eq!(evaluate_results(&keys, vec![at(1), at(3)], 3), Err(Contradiction));
    assert_eq!(evaluate_results(&keys, vec![at(3), at(1)], 3), Err(Contradiction));
    assert_eq!(evaluate_results(&keys, vec![at(1), missing(1)], 1), Err(Contradiction));
    assert_eq!(evaluate_results(&keys, vec![at(1), other(leaf(0, 2), 1)], 1), Err(Contradiction));
    // The commitment of a key that is not included is hearsay, and so without effect.
    let agreed = evaluate_results(&keys, vec![at(1), other(leaf(0, 1), 1)], 1);
    assert_eq!(agreed, evaluate_results(&[(0x00, Some(1))], vec![at(1)], 1));
    assert!(agreed.is_ok());
    // One key searched twice.
    assert!(evaluate_results(&[(0, Some(1)), (0, Some(1))], vec![at(1), at(1)], 1).is_ok());
    assert_eq!(evaluate_results(&[(0, Some(1)), (0, Some(2))], vec![at(1), at(1)], 1), Err(Contradiction));
}

#[test]
fn leaves_at_the_greatest_depth() {
    let near = |last| PrefixLeaf {
        vrf_output: [[0; 31].as_slice(), &[last]].concat().try_into().unwrap(),
        commitment: [last; 32],
    };
    let model = Model([near(0), near(2)].map(|leaf| (leaf.vrf_output, leaf.commitment)).into());
    let keys = [near(0).vrf_output, near(1).vrf_output, near(2).vrf_output];
    let proof = model.prove(&keys);
    assert!(proof.results.iter().all(|result| result.depth == 255));
    assert_eq!(evaluate(&model.searches(&keys), &proof), Ok(model.root()));
    // Two keys that differ in the last bit alone fit no tree.
    let results = [result(PrefixSearchKind::NonInclusionParent, 0); 2];
    let transition = evaluate_transition(&[near(0), near(1)], &[], &results, &[]);
    assert_eq!(transition, Err(PrefixProofError::KeysTooClose));
    assert!(evaluate_transition(&[near(0), near(2)], &[], &results, &[]).is_ok());
}

#[test]
fn transitions_that_break_the_rules_are_refused_by_name() {
    use PrefixProofError::*;
    let model = Model(
        [(leaf(0, 1)), leaf(0x40, 1), leaf(0x80, 1)].map(|leaf| (leaf.vrf_output, leaf.commitment)).into(),
    );
    let run = |added: &[PrefixLeaf], removed: &[PrefixLeaf]| {
        let keys: Vec<SearchKey> = added.iter().chain(removed).map(|leaf| leaf.vrf_output).collect();
        let proof = model.prove(&keys);
        evaluate_transition(added, removed, &proof.results, &proof.elements)
    };
    assert_eq!(run(&[leaf(2, 1), leaf(1, 1)], &[]), Err(Unsorted));
    assert_eq!(run(&[leaf(2, 1), leaf(2, 1)], &[]), Err(Unsorted));
    assert_eq!(run(&[], &[leaf(0x40, 1), leaf(0, 1)]), Err(Unsorted));
    assert_eq!(run(&[leaf(0, 1)], &[]), Err(AddedKeyIncluded));
    assert_eq!(run(&[], &[leaf(3, 1)]), Err(RemovedKeyNotIncluded));
    assert_eq!(evaluate_transition(&[leaf(1, 1)], &[], &[], &[]), Err(ResultCount));
    // The key at 0x40 moves up when 0 goes, so it has to be shown.
    assert_eq!(run(&[], &[leaf(0, 1)]), Err(HiddenSibling));
    let mut after = model.clone();
    after.0.remove(&leaf(0, 1).vrf_output);
    let shown = run(&[leaf(0x40, 1)], &[leaf(0, 1), leaf(0x40, 1)]);
    assert_eq!(shown, Ok(Transition { before: model.root(), after: after.root() }));
}

proptest! {
    #[test]
    fn honest_proofs_evaluate_to_the_root(model in tree(30), keys in prop::collection::vec(key(), 0..6), known in any::<[prop::sample::Index; 4]>()) {
        let leaves = model.leaves();
        let known = known.iter().filter(|_| !leaves.is_empty()).map(|index| index.get(&leaves).vrf_output);
        let keys: Vec<SearchKey> = keys.into_iter().chain(known).collect();
        let proof = model.prove(&keys);
        prop_assert_eq!(evaluate(&model.searches(&keys), &proof), Ok(model.root()));
        for (key, result) in keys.iter().zip(&proof.results) {
            prop_assert_eq!(result.is_inclusion(), model.0.contains_key(key));
        }
    }

    #[test]
    fn a_proof_shows_no_other_outcome(
        model in tree(12), keys in prop::collection::vec(key(), 1..4), known in any::<prop::sample::Index>(),
        which in any::<prop::sample::Index>(), depth in any::<u8>(), lie in 0..4_u8, other in key(),
    ) {
        let leaves = model.leaves();
        let known = (!leaves.is_empty()).then(|| known.get(&leaves).vrf_output);
        let keys: Vec<SearchKey> = keys.into_iter().chain(known).collect();
        let mut proof = model.prove(&keys);
        let changed = which.index(keys.len());
        let honest = proof.results[changed];
        proof.results[changed] = match lie {
            0 => result(honest.kind, depth),
            1 => result(PrefixSearchKind::Inclusion, honest.depth),
            2 => result(PrefixSearchKind::NonInclusionParent, honest.depth),
            _ => result(PrefixSearchKind::NonInclusionLeaf(PrefixLeaf { vrf_output: other, commitment: [0; 32] }), honest.depth),
        };
        let searches: Vec<_> = keys.iter().map(|key| (*key, Some(model.0.get(key).copied().unwrap_or([7; 32])))).collect();
        if proof.results[changed] != honest {
            prop_assert_ne!(evaluate(&searches, &proof), Ok(model.root()));
        }
    }

    #[test]
    fn hostile_proofs_stay_bounded(
        keys in prop::collection::vec(key(), 0..20),
        depths in prop::collection::vec(any::<u8>(), 20),
        kinds in prop::collection::vec(0..3_u8, 20),
        elements in 0..6_000_usize,
    ) {
        let results = keys.iter().zip(depths).zip(kinds).map(|((key, depth), kind)| match kind {
            0 => result(PrefixSearchKind::Inclusion, depth),
            1 => {
                let mut near = *key;
                near[31] ^= 1;
                result(PrefixSearchKind::NonInclusionLeaf(PrefixLeaf { vrf_output: near, commitment: [0; 32] }), depth)
            }
            _ => result(PrefixSearchKind::NonInclusionParent, depth),
        });
        let proof = PrefixProof { results: results.collect(), elements: vec![[1; 32]; elements] };
        let searches: Vec<_> = keys.iter().map(|key| (*key, Some([2; 32]))).collect();
        if evaluate(&searches, &proof).is_ok() {
            prop_assert!(elements <= 255 * keys.len() + 1);
        }
    }

    #[test]
    fn transitions_give_both_roots(before in tree(24), added in tree(8), fates in prop::collection::vec(0..4_u8, 24)) {
        let mut after = before.clone();
        let (mut add, mut remove) = (BTreeMap::new(), Model::default());
        for ((key, commitment), fate) in before.0.iter().zip(fates) {
            if fate < 2 {
                remove.0.insert(*key, *commitment);
                after.0.remove(key);
            }
            if fate == 1 {
                // Replaced.
                add.insert(*key, [fate; 32]);
            }
        }
        for (key, commitment) in &added.0 {
            if !before.0.contains_key(key) {
                add.insert(*key, *commitment);
            }
        }
        after.0.extend(&add);
        let mut add = Model(add);
        let run = |add: &Model, remove: &Model| {
            let keys: Vec<SearchKey> = add.0.keys().chain(remove.0.keys()).copied().collect();
            let proof = before.prove(&keys);
            evaluate_transition(&add.leaves(), &remove.leaves(), &proof.results, &proof.elements)
        };
        let expected = Transition { before: before.root(), after: after.root() };
        match run(&add, &remove) {
            Ok(transition) => prop_assert_eq!(transition, expected),
            Err(error) => {
                prop_assert_eq!(error, PrefixProofError::HiddenSibling);
                // With every leaf shown, nothing is hidden.
                for (key, commitment) in &before.0 {
                    if !remove.0.contains_key(key) {
                        remove.0.insert(*key, *commitment);
                        add.0.insert(*key, *commitment);
                    }
                }
                prop_assert_eq!(run(&add, &remove), Ok(expected));
            }
        }
    }

    #[test]
    fn a_transition_of_additions_hides_nothing(before in tree(24), added in tree(8)) {
        let add = Model(added.0.into_iter().filter(|(key, _)| !before.0.contains_key(key)).collect());
        let keys: Vec<SearchKey> = add.0.keys().copied().collect();
        let proof = before.prove(&keys);
        let mut after = before.clone();
        after.0.extend(&add.0);
        let transition = evaluate_transition(&add.leaves(), &[], &proof.results, &proof.elements);
        prop_assert_eq!(transition, Ok(Transition { before: before.root(), after: after.root() }));
    }
}

use proptest::prelude::*;

use super::*;

/// RFC 6962 section 2.1, word for word.
fn mth(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let k = split_point(leaves.len());
            node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
        }
    }
}

fn split_point(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// Section 2.1.1, word for word.
fn path(m: usize, leaves: &[Digest]) -> Vec<Digest> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = split_point(leaves.len());
    let (mut proof, sibling) = if m < k {
        (path(m, &leaves[..k]), mth(&leaves[k..]))
    } else {
        (path(m - k, &leaves[k..]), mth(&leaves[..k]))
    };
    proof.push(sibling);
    proof
}

/// Section 2.1.2, word for word.
fn subproof(m: usize, leaves: &[Digest], whole: bool) -> Vec<Digest> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = split_point(leaves.len());
    let (mut proof, other) = if m <= k {
        (subproof(m, &leaves[..k], whole), mth(&leaves[k..]))
    } else {
        (subproof(m - k, &leaves[k..], false), mth(&leaves[..k]))
    };
    proof.push(other);
    proof
}

fn leaves(n: usize) -> Vec<Digest> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

fn node(leaves: &[Digest]) -> impl FnMut(NodeId) -> Result<Digest, ()> + '_ {
    |id| {
        let start = usize::try_from(id.index << id.level).map_err(|_| ())?;
        leaves.get(start..start + (1 << id.level)).map(mth).ok_or(())
    }
}

#[test]
fn known_roots() {
    let hex = |digest: Digest| hex::encode(digest);
    assert_eq!(hex(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(hex(leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
}

#[test]
fn compact_tree_agrees_with_the_definition() {
    let all = leaves(520);
    let mut tree = CompactTree::new();
    for n in 0..=all.len() {
        assert_eq!(tree.root(), mth(&all[..n]), "size {n}");
        assert_eq!(CompactTree::from_frontier(tree.size(), tree.frontier().to_vec()).unwrap(), tree);
        assert_eq!(root_at(n as u64, node(&all)).unwrap(), tree.root());
        if let Some(leaf) = all.get(n) {
            let mut completed = Vec::new();
            tree.append_with(*leaf, |level, index, hash| completed.push((NodeId { level, index }, *hash)))
                .unwrap();
            for (id, hash) in completed {
                assert_eq!(node(&all)(id).unwrap(), hash);
            }
        }
    }
}

#[test]
fn frontiers_have_one_hash_per_bit() {
    assert!(CompactTree::from_frontier(5, leaves(2)).is_ok());
    for n in [0, 1, 3] {
        let error = CompactTree::from_frontier(5, leaves(n)).unwrap_err();
        assert_eq!(error, FrontierError::WrongCount { size: 5, expected: 2, found: n });
    }
    let mut full = CompactTree::from_frontier(u64::MAX, leaves(64)).unwrap();
    assert_eq!(full.append([0; 32]), Err(FrontierError::Full));
}

#[test]
fn proofs_agree_with_the_definition() {
    let all = leaves(200);
    for n in 1..=all.len() {
        let tree = &all[..n];
        let root = mth(tree);
        for m in 0..n {
            let proof = inclusion_proof(m as u64, n as u64, node(tree)).unwrap();
            assert_eq!(proof, path(m, tree), "leaf {m} of {n}");
            verify_inclusion(&tree[m], m as u64, n as u64, &proof, &root).unwrap();
        }
        for m in 0..=n {
            let proof = consistency_proof(m as u64, n as u64, node(tree)).unwrap();
            let expected = if m == 0 { Vec::new() } else { subproof(m, tree, true) };
            assert_eq!(proof, expected, "{m} to {n}");
            verify_consistency(m as u64, &mth(&tree[..m]), n as u64, &root, &proof).unwrap();
        }
        assert_eq!(inclusion_proof(n as u64, n as u64, node(tree)), Err(ProveError::OutOfRange));
        assert_eq!(consistency_proof(n as u64 + 1, n as u64, node(tree)), Err(ProveError::OutOfRange));
    }
}

/// A tree of any size whose every node is known by position: a stand-in for trees too large to build.
fn position_node(id: NodeId) -> Result<Digest, ()> {
    assert!(id.level < 64);
    if id.level == 0 {
        return Ok(leaf_hash(&id.index.to_be_bytes()));
    }
    // Consistent only above the level that a test reads, so tests read one level's nodes at a time.
    Ok(node_hash(&leaf_hash(&id.index.to_be_bytes()), &leaf_hash(&[id.level])))
}

#[test]
fn proof_lengths_at_the_largest_sizes() {
    for size in [1u64 << 62, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX] {
        for index in [0, 1, size / 2, size - 2, size - 1] {
            let proof = inclusion_proof(index, size, position_node).unwrap();
            assert!(proof.len() <= MAX_PROOF_LEN);
            let leaf = [0; 32];
            // The length is right, so that only the root can be wrong.
            assert_eq!(verify_inclusion(&leaf, index, size, &proof, &[1; 32]), Err(ProofError::RootMismatch));
            let mut long = proof.clone();
            long.push([0; 32]);
            let error = verify_inclusion(&leaf, index, size, &long, &[1; 32]).unwrap_err();
            assert_eq!(error, ProofError::WrongLength { expected: proof.len(), found: proof.len() + 1 });
        }
        for old in [1, 2, 3, size / 2, size / 2 + 1, size - 1] {
            let proof = consistency_proof(old, size, position_node).unwrap();
            assert!(proof.len() <= MAX_PROOF_LEN);
            let error = verify_consistency(old, &[2; 32], size, &[1; 32], &proof).unwrap_err();
            let expected =
                if old.is_power_of_two() { ProofError::RootMismatch } else { ProofError::OldRootMismatch };
            assert_eq!(error, expected, "{old} to {size}");
        }
    }
}

#[test]
fn empty_and_equal_trees() {
    let root = mth(&leaves(3));
    assert_eq!(verify_consistency(0, &empty_root(), 3, &root, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &empty_root(), 0, &empty_root(), &[]), Ok(()));
    assert_eq!(verify_consistency(0, &[0; 32], 3, &root, &[]), Err(ProofError::OldRootMismatch));
    assert_eq!(verify_consistency(0, &empty_root(), 0, &root, &[]), Err(ProofError::RootMismatch));
    let extra = ProofError::WrongLength { expected: 0, found: 1 };
    assert_eq!(verify_consistency(0, &empty_root(), 3, &root, &[root]), Err(extra));
    assert_eq!(verify_consistency(3, &root, 3, &root, &[root]), Err(extra));
    assert_eq!(verify_consistency(3, &root, 3, &[0; 32], &[]), Err(ProofError::RootMismatch));
    assert_eq!(verify_consistency(4, &root, 3, &root, &[]), Err(ProofError::OldTreeLarger));
    assert_eq!(verify_inclusion(&root, 0, 0, &[], &empty_root()), Err(ProofError::IndexOutOfRange));
}

/// What a hostile proof may do to an honest one.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(usize, u8),
    Drop(usize),
    Insert(usize, Digest),
    Swap(usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        any::<usize>().prop_map(Mutation::Drop),
        (any::<usize>(), any::<Digest>()).prop_map(|(at, hash)| Mutation::Insert(at, hash)),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Mutation::Swap(a, b)),
    ]
}

/// Applies it; false if it changed nothing.
fn mutate(proof: &mut Vec<Digest>, mutation: Mutation) -> bool {
    let before = proof.clone();
    let n = proof.len();
    match mutation {
        Mutation::Insert(at, hash) => proof.insert(at % (n + 1), hash),
        _ if n == 0 => return false,
        Mutation::Flip(at, bit) => proof[at % n][usize::from(bit >> 3)] ^= 1 << (bit & 7),
        Mutation::Drop(at) => drop(proof.remove(at % n)),
        Mutation::Swap(a, b) => proof.swap(a % n, b % n),
    }
    *proof != before
}

proptest! {
    #[test]
    fn mutated_inclusion_proofs_are_refused(
        n in 1usize..600, m in any::<usize>(), mutation in mutation(), other_index in any::<u64>(), other_size in 1u64..1200,
    ) {
        let all = leaves(n);
        let (m, root) = (m % n, mth(&all));
        let mut proof = path(m, &all);
        let verify = |m, n, proof: &[Digest]| verify_inclusion(&all[m as usize % all.len()], m, n, proof, &root);
        prop_assert_eq!(verify(m as u64, n as u64, &proof), Ok(()));
        let other_index = other_index % (2 * n as u64);
        if other_index != m as u64 {
            prop_assert!(verify_inclusion(&all[m], other_index, n as u64, &proof, &root).is_err());
        }
        if n > 1 && other_size != n as u64 {
            // Another size may give this leaf the very same path; then its root is the same statement about it.
            let (ours, theirs) = (verify::path_lengths(m as u64, n as u64), verify::path_lengths(m as u64, other_size));
            if ours != theirs {
                prop_assert!(verify(m as u64, other_size, &proof).is_err());
            }
        }
        if mutate(&mut proof, mutation) {
            prop_assert!(verify(m as u64, n as u64, &proof).is_err());
        }
    }

    #[test]
    fn mutated_consistency_proofs_are_refused(
        n in 2usize..600, m in any::<usize>(), mutation in mutation(), fork in any::<usize>(),
    ) {
        let all = leaves(n);
        let m = m % (n - 1) + 1;
        let (old, new) = (mth(&all[..m]), mth(&all));
        let mut proof = subproof(m, &all, true);
        prop_assert_eq!(verify_consistency(m as u64, &old, n as u64, &new, &proof), Ok(()));
        prop_assert!(verify_consistency(m as u64, &new, n as u64, &new, &proof).is_err());
        prop_assert!(verify_consistency(m as u64, &old, n as u64, &old, &proof).is_err());
        // A fork below the old size is seen even if its prover is honest about its own tree.
        let mut forked = all.clone();
        forked[fork % m] = [0xff; 32];
        let theirs = subproof(m, &forked, true);
        prop_assert!(verify_consistency(m as u64, &old, n as u64, &mth(&forked), &theirs).is_err());
        if mutate(&mut proof, mutation) {
            prop_assert!(verify_consistency(m as u64, &old, n as u64, &new, &proof).is_err());
        }
    }
}

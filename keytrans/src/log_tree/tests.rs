use std::collections::BTreeMap;

use keyglass_crypto::hash::Digest;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    log_hash::{LogHash, LogNode},
    vectors,
};

fn digest(value: &Value) -> Digest {
    vectors::bytes(value).try_into().unwrap()
}

fn digests(value: &Value) -> Vec<Digest> {
    value.as_array().unwrap().iter().map(digest).collect()
}

fn suites() -> Vec<(LogHash, Value)> {
    let mut file = vectors::read("logtree.json");
    let entries: Vec<Vec<u8>> = file["entries"].as_array().unwrap().iter().map(vectors::bytes).collect();
    let Value::Array(suites) = file["suites"].take() else { panic!("no suites") };
    suites
        .into_iter()
        .map(|suite| {
            let hash = match suite["suite"].as_u64().unwrap() {
                0x0002 => LogHash::Draft,
                0xF001 => LogHash::Rfc6962,
                other => panic!("unknown suite {other}"),
            };
            let leaves: Vec<Digest> = entries
                .iter()
                .map(|entry| {
                    let (timestamp, root) = entry.split_at(8);
                    hash.leaf(u64::from_be_bytes(timestamp.try_into().unwrap()), &root.try_into().unwrap())
                })
                .collect();
            assert_eq!(leaves, digests(&suite["leaf_values"]));
            (hash, suite)
        })
        .collect()
}

struct Case {
    n: u64,
    leaves: Vec<(u64, Digest)>,
    last: Option<u64>,
    retained: Vec<Digest>,
    auditor: Option<u64>,
    elements: Vec<Digest>,
}

impl Case {
    fn read(case: &Value, leaf_values: &[Digest]) -> Self {
        let last = case["last"].as_u64();
        let positions = case["leaves"].as_array().unwrap().iter().map(|leaf| leaf.as_u64().unwrap());
        let mut leaves: Vec<(u64, Digest)> =
            positions.map(|leaf| (leaf, leaf_values[usize::try_from(leaf).unwrap()])).collect();
        if case["leaf_values"].is_array() {
            // A fork has entries of its own.
            let values = digests(&case["leaf_values"]);
            assert_eq!(values.len(), leaves.len());
            leaves.iter_mut().zip(values).for_each(|((_, value), forked)| *value = forked);
        }
        Self {
            n: case["n"].as_u64().unwrap(),
            leaves,
            last,
            retained: last.map(|_| digests(&case["retained"])).unwrap_or_default(),
            auditor: case["auditor_size"].as_u64(),
            elements: digests(&case["elements"]),
        }
    }

    fn verify(&self, hash: LogHash) -> Result<Proven, LogTreeError> {
        let last = self.last.map(|last| (last, self.retained.as_slice()));
        verify(hash, self.n, &self.leaves, last, self.auditor, &self.elements)
    }
}

#[test]
fn vector_roots() {
    let mut cases = 0;
    for (hash, suite) in suites() {
        let mut log = Appender::new(hash);
        let roots = suite["roots"].as_array().unwrap();
        for (n, leaf) in digests(&suite["leaf_values"]).into_iter().enumerate() {
            log.append(leaf);
            assert_eq!(log.root(), Some(digest(&roots[n + 1])), "root of {} entries", n + 1);
            cases += 1;
        }
    }
    println!("logtree: {cases} roots");
    assert!(cases > 0);
}

#[test]
fn vector_proofs() {
    let mut cases = 0;
    for (hash, suite) in suites() {
        let leaf_values = digests(&suite["leaf_values"]);
        let nodes = Log::new(hash, &leaf_values);
        for proof in suite["proofs"].as_array().unwrap() {
            let case = Case::read(proof, &leaf_values);
            assert_eq!(nodes.prove(&case), case.elements, "{proof}");
            let proven = case.verify(hash).unwrap();
            assert_eq!(proven.root, digest(&proof["root"]), "{proof}");
            assert_eq!(proven.full_subtrees, digests(&proof["full_subtrees"]), "{proof}");
            let auditor_root = proof["auditor_root"].as_str().map(|_| digest(&proof["auditor_root"]));
            assert_eq!(proven.auditor_root, auditor_root, "{proof}");
            cases += 1;
        }
    }
    println!("logtree: {cases} proofs");
    assert!(cases > 0);
}

#[test]
fn vector_bad_proofs() {
    let mut cases = 0;
    for (hash, suite) in suites() {
        let leaf_values = digests(&suite["leaf_values"]);
        for proof in suite["bad_proofs"].as_array().unwrap() {
            let result = Case::read(proof, &leaf_values).verify(hash);
            if proof["name"].as_str().unwrap().starts_with("fork behind a retained head") {
                assert_eq!(result, Err(LogTreeError::RetainedMismatch), "{proof}");
            } else if let Ok(proven) = result {
                assert_ne!(proven.root, digest(&proof["root"]), "{proof}");
            }
            cases += 1;
        }
    }
    println!("logtree: {cases} bad proofs");
    assert!(cases > 0);
}

/// A whole log, by recursion over its leaves.
struct Log {
    hash: LogHash,
    leaves: Vec<Digest>,
    nodes: BTreeMap<NodeId, Digest>,
}

impl Log {
    fn new(hash: LogHash, leaves: &[Digest]) -> Self {
        let mut log = Appender::new(hash);
        let mut nodes = BTreeMap::new();
        for leaf in leaves {
            for (node, value) in log.append(*leaf) {
                assert_eq!(nodes.insert(node, value), None, "{node:?} twice");
            }
        }
        Self { hash, leaves: leaves.to_vec(), nodes }
    }

    fn naive(&self, leaves: &[Digest]) -> LogNode {
        if let [leaf] = leaves {
            return LogNode { value: *leaf, is_leaf: true };
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        LogNode { value: self.hash.parent(&self.naive(left), &self.naive(right)), is_leaf: false }
    }

    fn root(&self, n: u64) -> Digest {
        self.naive(&self.leaves[..usize::try_from(n).unwrap()]).value
    }

    fn heads(&self, n: u64) -> Vec<Digest> {
        full_subtrees(n).iter().map(|node| self.nodes[node]).collect()
    }

    fn prove(&self, case: &Case) -> Vec<Digest> {
        let leaves: Vec<u64> = case.leaves.iter().map(|(leaf, _)| *leaf).collect();
        let nodes = plan(case.n, &leaves, case.last, case.auditor).unwrap();
        nodes.iter().map(|node| self.nodes[node]).collect()
    }
}

fn leaf_values(n: usize) -> Vec<Digest> {
    (0..n).map(|i| [u8::try_from(i % 251).unwrap(); 32]).collect()
}

#[test]
fn the_worked_example_of_the_draft() {
    let nodes = plan(13, &[7, 11, 12], Some(4), None).unwrap();
    let expected = [(1, 2), (0, 6), (1, 4), (0, 10)].map(|(level, index)| NodeId::new(level, index).unwrap());
    assert_eq!(nodes, expected);
}

#[test]
fn an_unchanged_log_needs_no_proof() {
    let log = Log::new(LogHash::Rfc6962, &leaf_values(11));
    assert!(plan(11, &[], Some(11), None).unwrap().is_empty());
    let heads = log.heads(11);
    let proven = verify(log.hash, 11, &[], Some((11, &heads)), None, &[]).unwrap();
    assert_eq!(proven.root, log.root(11));
    let spare = verify(log.hash, 11, &[], Some((11, &heads)), None, &[[0; 32]]);
    assert_eq!(spare, Err(LogTreeError::SpareElements));
}

#[test]
fn arguments_that_are_of_no_log_are_refused() {
    assert_eq!(plan(0, &[], None, None), Err(LogTreeError::EmptyLog));
    assert_eq!(plan(5, &[5], None, None), Err(LogTreeError::Leaves));
    assert_eq!(plan(5, &[3, 3], None, None), Err(LogTreeError::Leaves));
    assert_eq!(plan(5, &[3, 2], None, None), Err(LogTreeError::Leaves));
    assert_eq!(plan(5, &[], Some(0), None), Err(LogTreeError::RetainedSize));
    assert_eq!(plan(5, &[], Some(6), None), Err(LogTreeError::RetainedSize));
    assert_eq!(plan(5, &[], None, Some(0)), Err(LogTreeError::AuditorSize));
    assert_eq!(plan(5, &[], None, Some(6)), Err(LogTreeError::AuditorSize));
    let heads = verify(LogHash::Draft, 5, &[], Some((3, &[[0; 32]])), None, &[]);
    assert_eq!(heads, Err(LogTreeError::RetainedHeads));
    assert_eq!(Appender::resume(LogHash::Draft, 3, &[]), Err(LogTreeError::RetainedHeads));
    assert_eq!(Appender::resume(LogHash::Draft, u64::MAX, &[]), Err(LogTreeError::TooLarge));
    assert_eq!(Appender::resume(LogHash::Draft, (1 << 63) + 1, &[[0; 32]; 2]), Err(LogTreeError::TooLarge));
    assert_eq!(Appender::resume(LogHash::Draft, 1 << 63, &[[7; 32]]).map(|log| log.size()), Ok(1 << 63));
}

#[test]
fn a_node_is_where_its_name_says() {
    for (level, index) in [(0, 0), (0, 1), (1, 0), (2, 5), (63, 1)] {
        let node = NodeId::new(level, index).unwrap();
        assert_eq!((node.level(), node.index(), node.is_leaf()), (level, index, level == 0));
    }
    assert_eq!(NodeId::leaf(9), NodeId::new(0, 9).unwrap());
}

#[test]
fn a_node_has_all_its_leaves_below_2_64() {
    assert!(NodeId::new(63, 1).is_some());
    assert!(NodeId::new(63, 2).is_none());
    assert!(NodeId::new(64, 0).is_none());
    assert_eq!(NodeId::new(63, 1).unwrap().last_leaf(), u64::MAX);
}

fn question() -> impl Strategy<Value = (LogHash, u64, Vec<u64>, Option<u64>, Option<u64>)> {
    let hash = prop_oneof![Just(LogHash::Draft), Just(LogHash::Rfc6962)];
    (hash, 1..200_u64).prop_flat_map(|(hash, n)| {
        let leaves = prop::collection::btree_set(0..n, 0..8).prop_map(|leaves| leaves.into_iter().collect());
        let size = move || prop::option::of(1..=n);
        (Just(hash), Just(n), leaves, size(), size())
    })
}

fn case(log: &Log, n: u64, leaves: &[u64], last: Option<u64>, auditor: Option<u64>) -> Case {
    let leaves = leaves.iter().map(|&leaf| (leaf, log.nodes[&NodeId::leaf(leaf)])).collect();
    let retained = last.map(|last| log.heads(last)).unwrap_or_default();
    let mut case = Case { n, leaves, last, retained, auditor, elements: Vec::new() };
    case.elements = log.prove(&case);
    case
}

proptest! {
    #[test]
    fn proofs_prove_what_they_are_asked_for((hash, n, leaves, last, auditor) in question()) {
        let log = Log::new(hash, &leaf_values(200));
        let proven = case(&log, n, &leaves, last, auditor).verify(hash).unwrap();
        prop_assert_eq!(proven.root, log.root(n));
        prop_assert_eq!(&proven.full_subtrees, &log.heads(n));
        prop_assert_eq!(proven.auditor_root, auditor.map(|size| log.root(size)));
        let sizes = leaves.iter().map(|leaf| leaf + 1).chain(last).chain([n]);
        for size in sizes {
            prop_assert_eq!(proven.root_at(size), Some(log.root(size)));
        }
        for size in 1..=n {
            prop_assert!(proven.root_at(size).is_none_or(|root| root == log.root(size)));
        }
        prop_assert_eq!(proven.root_at(0), None);
        prop_assert_eq!(proven.root_at(n + 1), None);
    }

    #[test]
    fn any_changed_value_is_noticed((hash, n, leaves, last, auditor) in question(), which in any::<prop::sample::Index>()) {
        let log = Log::new(hash, &leaf_values(200));
        let mut case = case(&log, n, &leaves, last, auditor);
        let honest = case.verify(hash).unwrap();
        let values = case.leaves.iter_mut().map(|(_, value)| value);
        let values: Vec<&mut Digest> = values.chain(&mut case.retained).chain(&mut case.elements).collect();
        let count = values.len();
        let changed = values.into_iter().nth(which.index(count)).unwrap();
        changed[31] ^= 1;
        if let Ok(proven) = case.verify(hash) {
            prop_assert_ne!(proven.root, honest.root);
        }
    }

    #[test]
    fn missing_and_spare_elements_are_refused((hash, n, leaves, last, auditor) in question()) {
        let log = Log::new(hash, &leaf_values(200));
        let mut case = case(&log, n, &leaves, last, auditor);
        case.elements.push([7; 32]);
        prop_assert_eq!(case.verify(hash), Err(LogTreeError::SpareElements));
        case.elements.pop();
        if case.elements.pop().is_some() {
            let result = case.verify(hash);
            prop_assert!(
                matches!(result, Err(LogTreeError::MissingElement | LogTreeError::RetainedMismatch)),
                "{:?}", result
            );
        }
    }

    #[test]
    fn no_element_could_be_left_out((_, n, leaves, last, auditor) in question()) {
        // Each element is outside of everything known and has no known sibling subtree that would make it redundant:
        // two elements never head the two halves of one node that nothing needs opened.
        let heads: Vec<NodeId> = last.into_iter().chain(auditor).flat_map(full_subtrees).collect();
        let below = |head: &NodeId, node: NodeId| {
            *head != node && node.first_leaf() <= head.first_leaf() && head.last_leaf() <= node.last_leaf()
        };
        let opened = |node: NodeId| {
            leaves.iter().any(|leaf| (node.first_leaf()..=node.last_leaf()).contains(leaf))
                || heads.iter().any(|head| below(head, node))
        };
        let nodes = plan(n, &leaves, last, auditor).unwrap();
        let retained = last.map(full_subtrees).unwrap_or_default();
        for pair in nodes.windows(2) {
            prop_assert!(pair[0].last_leaf() < pair[1].first_leaf());
            if let Some(parent) = pair[1].completes().filter(|_| pair[0].level() == pair[1].level()) {
                let siblings = parent.children() == Some((pair[0], pair[1]));
                prop_assert!(!siblings || opened(parent), "{:?} would do", parent);
            }
        }
        for node in &nodes {
            prop_assert!(!leaves.contains(&node.first_leaf()) || !node.is_leaf());
            prop_assert!(!retained.contains(node) && !opened(*node));
        }
    }

    #[test]
    fn hostile_sizes_stay_bounded(
        n in prop_oneof![any::<u64>(), Just(u64::MAX), Just(1 << 63)],
        leaves in prop::collection::btree_set(any::<u64>(), 0..4),
        last in prop::option::of(any::<u64>()),
        auditor in prop::option::of(any::<u64>()),
    ) {
        let leaves: Vec<u64> = leaves.into_iter().collect();
        if let Ok(nodes) = plan(n, &leaves, last, auditor) {
            prop_assert!(nodes.len() <= 64 * (leaves.len() + 3));
            let leaves: Vec<(u64, Digest)> = leaves.iter().map(|leaf| (*leaf, [1; 32])).collect();
            let retained = vec![[2; 32]; last.map_or(0, |last| full_subtrees(last).len())];
            let elements = vec![[3; 32]; nodes.len()];
            let result = verify(LogHash::Draft, n, &leaves, last.map(|last| (last, &retained[..])), auditor, &elements);
            prop_assert!(matches!(result, Ok(_) | Err(LogTreeError::RetainedMismatch)), "{:?}", result);
        }
    }

    #[test]
    fn an_appender_resumes(hash in prop_oneof![Just(LogHash::Draft), Just(LogHash::Rfc6962)], n in 0..100_u64) {
        let log = Log::new(hash, &leaf_values(100));
        let mut resumed = Appender::resume(hash, n, &log.heads(n)).unwrap();
        prop_assert_eq!(resumed.size(), n);
        for leaf in &log.leaves[usize::try_from(n).unwrap()..] {
            resumed.append(*leaf);
        }
        prop_assert_eq!(resumed.full_subtrees(), log.heads(100));
        prop_assert_eq!(resumed.root(), Some(log.root(100)));
    }
}

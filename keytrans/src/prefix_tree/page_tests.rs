use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
};

use proptest::prelude::*;
use thiserror::Error;

use super::{
    model::{Model, key, tree},
    tests::{decode, searches, vector_trees},
    *,
};
use crate::{prover::auditor_update, wire::PrefixLeaf};

/// Pages in memory.
#[derive(Default)]
struct Store {
    pages: RefCell<BTreeMap<Vec<u8>, Vec<u8>>>,
    reads: Cell<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum StoreError {
    #[error("no such page")]
    Missing,
    #[error(transparent)]
    Page(#[from] PageError),
}

impl PageSource for Store {
    type Error = StoreError;

    fn pages(&self, keys: &[PageKey]) -> Result<Vec<Page>, StoreError> {
        self.reads.set(self.reads.get() + 1);
        assert!(!keys.is_empty() && keys.iter().collect::<BTreeSet<_>>().len() == keys.len());
        let pages = self.pages.borrow();
        let page = |key: &PageKey| {
            let bytes = pages.get(&key.to_bytes()).ok_or(StoreError::Missing)?;
            Ok(Page::decode(key, bytes)?)
        };
        keys.iter().map(page).collect()
    }
}

impl Store {
    fn keep(&self, next: &NextVersion) {
        for (key, page) in &next.pages {
            assert_eq!(Page::decode(key, page.as_bytes()).as_ref(), Ok(page));
            page.check_values().unwrap();
            let old = self.pages.borrow_mut().insert(key.to_bytes(), page.as_bytes().to_vec());
            assert_eq!(old, None, "{key:?} written twice");
        }
    }

    /// A store with one version, of `model`, written at position 0.
    fn of(model: &Model) -> (Self, TreeRoot) {
        let store = Self::default();
        let next = insert(&store, &TreeRoot::EMPTY, 0, &model.leaves()).unwrap();
        store.keep(&next);
        (store, next.root)
    }
}

#[test]
fn vector_proofs_are_produced() {
    let mut cases = 0;
    for (model, tree) in vector_trees() {
        let (store, root) = Store::of(&model);
        assert_eq!(*root.value(), model.root());
        for proof in tree["proofs"].as_array().unwrap() {
            let keys: Vec<SearchKey> = searches(proof).into_iter().map(|(key, _)| key).collect();
            assert_eq!(prove(&store, &root, &keys).unwrap(), decode(proof).unwrap(), "{proof}");
            cases += 1;
        }
    }
    println!("prefixtree: {cases} proofs produced");
    assert!(cases > 0);
}

fn leaf(first: u8, last: u8) -> PrefixLeaf {
    let mut vrf_output = [0; 32];
    vrf_output[0] = first;
    vrf_output[31] = last;
    PrefixLeaf { vrf_output, commitment: [first; 32] }
}

#[test]
fn changes_that_do_not_fit_are_refused_by_name() {
    let (store, root) = Store::of(&Model(BTreeMap::from([(leaf(1, 0).vrf_output, [0; 32])])));
    let run = |position, changes: &[Change]| apply(&store, &root, position, changes).unwrap_err();
    let (old, new) = (leaf(1, 0), leaf(2, 0));
    assert_eq!(run(1, &[Change::Insert(old)]), TreeError::Included(old.vrf_output));
    assert_eq!(run(1, &[Change::Replace(new)]), TreeError::NotIncluded(new.vrf_output));
    assert_eq!(run(1, &[Change::Remove(new.vrf_output)]), TreeError::NotIncluded(new.vrf_output));
    assert_eq!(run(1, &[Change::Insert(new), Change::Insert(new)]), TreeError::Unsorted);
    assert_eq!(run(1, &[Change::Insert(new), Change::Remove(old.vrf_output)]), TreeError::Unsorted);
    assert_eq!(run(0, &[Change::Insert(new)]), TreeError::Position);
    assert_eq!(run(1, &[Change::Insert(leaf(1, 1))]), TreeError::KeysTooClose);
    assert_eq!(run(1, &[Change::Insert(leaf(2, 0)), Change::Insert(leaf(2, 1))]), TreeError::KeysTooClose);
    apply(&store, &root, 1, &[Change::Insert(leaf(1, 2))]).unwrap();
}

#[test]
fn no_changes_make_no_version() {
    let (store, root) = Store::of(&Model(BTreeMap::from([(leaf(1, 0).vrf_output, [0; 32])])));
    let next = apply(&store, &root, 9, &[]).unwrap();
    assert_eq!(next.root, root);
    assert!(next.pages.is_empty() && next.superseded.is_empty());
}

#[test]
fn a_store_that_fails_is_reported() {
    let (store, root) = Store::of(&Model(BTreeMap::from([(leaf(1, 0).vrf_output, [0; 32])])));
    store.pages.borrow_mut().clear();
    let missing = TreeError::Source(StoreError::Missing);
    assert_eq!(prove(&store, &root, &[[0; 32]]).unwrap_err(), missing);
    assert_eq!(insert(&store, &root, 1, &[leaf(2, 0)]).unwrap_err(), missing);
    assert_eq!(nearest_leaves(&store, &root, &[[0; 32]]).unwrap_err(), missing);

    struct Silent;
    impl PageSource for Silent {
        type Error = StoreError;
        fn pages(&self, _: &[PageKey]) -> Result<Vec<Page>, StoreError> {
            Ok(Vec::new())
        }
    }
    assert_eq!(prove(&Silent, &root, &[[0; 32]]).unwrap_err(), TreeError::Inconsistent);
    assert_eq!(insert(&Silent, &root, 1, &[leaf(2, 0)]).unwrap_err(), TreeError::Inconsistent);
    assert_eq!(nearest_leaves(&Silent, &root, &[[0; 32]]).unwrap_err(), TreeError::Inconsistent);
}

#[test]
fn every_level_of_pages_is_one_read() {
    let leaves: Vec<PrefixLeaf> = (0..=255).map(|first| leaf(first, 0)).collect();
    let model = Model(leaves.iter().map(|leaf| (leaf.vrf_output, leaf.commitment)).collect());
    let (store, root) = Store::of(&model);
    let keys: Vec<SearchKey> = leaves.iter().map(|leaf| leaf.vrf_output).collect();
    store.reads.set(0);
    prove(&store, &root, &keys).unwrap();
    assert_eq!(store.reads.get(), 2);
    prove(&store, &root, &[]).unwrap();
    assert_eq!(store.reads.get(), 2);
}

#[test]
fn roots_are_encoded_strictly() {
    let (_, root) = Store::of(&Model(BTreeMap::from([([1; 32], [0; 32])])));
    for root in [root, TreeRoot::EMPTY] {
        assert_eq!(TreeRoot::from_bytes(&root.to_bytes()), Ok(root));
    }
    let mut no_value = [0; 40];
    no_value[7] = 1;
    for bad in [&no_value[..], &[1; 39], &[1; 41], &[]] {
        assert_eq!(TreeRoot::from_bytes(bad), Err(TreeRootError));
    }
}

#[test]
fn malformed_pages_are_refused_by_name() {
    use PageError::*;
    let key = PageKey::new(3, 4, &[0x50; 32]).unwrap();
    let absent: &[u8] = &[0];
    let leaf = |first: u8| [&[1][..], &[first], &[0; 63]].concat();
    let parent = |left: &[u8], right: &[u8]| [&[2], left, right].concat();
    let middle = |left: &[u8], right: &[u8]| [&[2][..], &[0; 32], left, right].concat();
    let child = [&[3][..], &[0; 40]].concat();
    let decode = |bytes: &[u8]| Page::decode(&key, bytes).map(|_| ());

    let good = parent(&leaf(0x50), &leaf(0x58));
    assert_eq!(decode(&good), Ok(()));
    assert_eq!(decode(&good[..good.len() - 1]), Err(Truncated));
    assert_eq!(decode(&[]), Err(Truncated));
    assert_eq!(decode(&[good.as_slice(), &[0]].concat()), Err(TrailingBytes));
    assert_eq!(decode(&[4]), Err(Kind));
    assert_eq!(decode(&child), Err(Kind));
    assert_eq!(decode(&parent(&leaf(0x58), &leaf(0x50))), Err(Misplaced));
    assert_eq!(decode(&parent(&leaf(0x40), &leaf(0x58))), Err(Misplaced));
    assert_eq!(decode(&parent(absent, &leaf(0x58))), Err(NotMinimal));
    assert_eq!(decode(&parent(&leaf(0x50), absent)), Err(NotMinimal));
    assert_eq!(decode(&parent(absent, absent)), Err(NotMinimal));
    assert_eq!(decode(absent), Err(NotMinimal));
    assert_eq!(decode(&leaf(0x50)), Err(NotMinimal));
    assert_eq!(Page::decode(&PageKey::root(3), absent).map(|_| ()), Err(NotMinimal));
    assert!(Page::decode(&PageKey::root(3), &leaf(0x50)).is_ok());
    // The fifth level has no parents in the page, the others no children elsewhere.
    let deep = |bottom: &[u8]| parent(&parent(&middle(&parent(bottom, absent), absent), absent), absent);
    assert_eq!(decode(&deep(&child)), Ok(()));
    assert_eq!(decode(&deep(&good)), Err(Kind));
    assert_eq!(decode(&parent(&child, &leaf(0x58))), Err(Kind));
    // Nothing lies at depth 256.
    let deepest = PageKey::new(3, 252, &[0; 32]).unwrap();
    let beside = |bottom: &[u8]| Page::decode(&deepest, &deep(bottom)).map(|_| ());
    assert_eq!(beside(&child), Err(Kind));
    assert_eq!(beside(&parent(&leaf(0), &leaf(0))), Err(Kind));
    assert_eq!(beside(&leaf(0)), Err(Misplaced));
    // Stored values are checked when that is asked for.
    let page = Page::decode(&key, &deep(&child)).unwrap();
    assert_eq!(page.check_values(), Err(Value));
}

#[test]
fn leaves_at_the_greatest_depth_have_pages() {
    let model = Model([leaf(0, 0), leaf(0, 2)].map(|leaf| (leaf.vrf_output, leaf.commitment)).into());
    let (store, root) = Store::of(&model);
    let keys = [leaf(0, 0), leaf(0, 1), leaf(0, 2), leaf(9, 0)].map(|leaf| leaf.vrf_output);
    assert_eq!(prove(&store, &root, &keys).unwrap(), model.prove(&keys));
    assert_eq!(store.pages.borrow().len(), 64);
    let next = apply(&store, &root, 1, &[Change::Remove(keys[2])]).unwrap();
    assert_eq!((next.pages.len(), next.superseded.len()), (1, 64));
}

/// What is to become of keys, whether they are in the tree or not.
fn batch() -> impl Strategy<Value = Vec<(SearchKey, u8, prop::sample::Index)>> {
    prop::collection::vec((key(), 0..6_u8, any::<prop::sample::Index>()), 0..12)
}

/// Turns a batch into changes that fit `model`, and makes them there.
fn change(model: &mut Model, batch: &[(SearchKey, u8, prop::sample::Index)]) -> Vec<Change> {
    let before = model.leaves();
    let mut changes = BTreeMap::new();
    for (new, fate, old) in batch {
        if *fate >= 3 || before.is_empty() {
            if !before.iter().any(|leaf| leaf.vrf_output == *new) {
                changes
                    .insert(*new, Change::Insert(PrefixLeaf { vrf_output: *new, commitment: [*fate; 32] }));
            }
        } else {
            let old = *old.get(&before);
            let replaced = PrefixLeaf { commitment: [0x80 | fate; 32], ..old };
            let change = if *fate == 0 { Change::Replace(replaced) } else { Change::Remove(old.vrf_output) };
            changes.insert(old.vrf_output, change);
        }
    }
    for change in changes.values() {
        match change {
            Change::Insert(leaf) | Change::Replace(leaf) => {
                model.0.insert(leaf.vrf_output, leaf.commitment);
            }
            Change::Remove(key) => {
                model.0.remove(key);
            }
        }
    }
    changes.into_values().collect()
}

/// The pages of a version.
fn reachable(store: &Store, root: &TreeRoot) -> BTreeSet<PageKey> {
    let mut found = BTreeSet::new();
    let mut wanted: Vec<PageKey> = root.page().into_iter().collect();
    while let Some(page) = wanted.pop() {
        found.insert(page);
        let bytes = store.pages.borrow()[&page.to_bytes()].clone();
        children(&page, &mut bytes.as_slice(), 0, *page.prefix(), &mut wanted);
    }
    found
}

fn children(page: &PageKey, bytes: &mut &[u8], level: u8, place: SearchKey, found: &mut Vec<PageKey>) {
    match super::page::read(bytes, level).unwrap() {
        super::page::Node::Child { position, .. } => found.push(page.child(position, &place).unwrap()),
        super::page::Node::Parent(_) => {
            let depth = u16::from(page.depth() + level);
            children(page, bytes, level + 1, place, found);
            children(page, bytes, level + 1, super::node::sibling(&place, depth + 1), found);
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn versions_are_those_of_the_model(
        first in tree(40),
        batches in prop::collection::vec(batch(), 1..6),
        keys in prop::collection::vec(key(), 0..8),
    ) {
        let (store, root) = Store::of(&first);
        let mut superseded = BTreeSet::new();
        let mut versions = vec![(first, root)];
        for (position, batch) in (1..).zip(&batches) {
            let (mut model, root) = versions.last().unwrap().clone();
            let changes = change(&mut model, batch);
            let next = apply(&store, &root, position, &changes).unwrap();
            store.keep(&next);
            prop_assert_eq!(*next.root.value(), model.root());
            for page in next.superseded {
                prop_assert!(page.position() < position && superseded.insert(page), "{:?} superseded twice", page);
            }
            // What no version supersedes is what the last one consists of.
            let needed: BTreeSet<PageKey> =
                store.pages.borrow().keys().map(|key| PageKey::from_bytes(key).unwrap()).filter(|key| !superseded.contains(key)).collect();
            prop_assert_eq!(needed, reachable(&store, &next.root));
            versions.push((model, next.root));
        }
        for (model, root) in &versions {
            let keys: Vec<SearchKey> = keys.iter().chain(model.0.keys().take(3)).copied().collect();
            prop_assert_eq!(prove(&store, root, &keys).unwrap(), model.prove(&keys));
        }
    }

    #[test]
    fn removals_can_be_shown_to_auditors(first in tree(40), batch in batch()) {
        let (store, root) = Store::of(&first);
        let mut model = first.clone();
        let changes = change(&mut model, &batch);
        let next = apply(&store, &root, 1, &changes).unwrap();
        store.keep(&next);
        let (mut added, mut removed) = (Model::default(), Model::default());
        for change in &changes {
            if let Change::Insert(leaf) | Change::Replace(leaf) = change {
                added.0.insert(leaf.vrf_output, leaf.commitment);
            }
            if let Change::Replace(PrefixLeaf { vrf_output: key, .. }) | Change::Remove(key) = change {
                removed.0.insert(*key, first.0[key]);
            }
        }
        let shown = nearest_leaves(&store, &root, &next.beside_removed).unwrap();
        prop_assert_eq!(&shown, &nearest_leaves(&store, &next.root, &next.beside_removed).unwrap());
        prop_assert!(next.beside_removed.is_empty() || !removed.0.is_empty());
        for leaf in shown {
            prop_assert_eq!(added.0.insert(leaf.vrf_output, leaf.commitment), None);
            prop_assert_eq!(removed.0.insert(leaf.vrf_output, leaf.commitment), None);
        }
        let keys: Vec<SearchKey> = added.0.keys().chain(removed.0.keys()).copied().collect();
        let proof = prove(&store, &root, &keys).unwrap();
        let transition = evaluate_transition(&added.leaves(), &removed.leaves(), &proof.results, &proof.elements);
        prop_assert_eq!(transition, Ok(Transition { before: first.root(), after: model.root() }));
        let update = auditor_update(&store, 7, &root, &next.root).unwrap();
        prop_assert_eq!((update.added, update.removed), (added.leaves(), removed.leaves()));
        prop_assert_eq!((update.proof.results, update.proof.elements), (proof.results, proof.elements));
    }

    #[test]
    fn the_difference_of_two_versions_is_that_of_their_leaves(
        first in tree(60), batches in prop::collection::vec(batch(), 1..4),
    ) {
        let (store, root) = Store::of(&first);
        let mut versions = vec![(first.clone(), root)];
        let mut model = first;
        for (position, batch) in (1..).zip(&batches) {
            let changes = change(&mut model, batch);
            let next = apply(&store, &versions.last().unwrap().1, position, &changes).unwrap();
            store.keep(&next);
            versions.push((model.clone(), next.root));
        }
        for (before, before_root) in &versions {
            for (after, after_root) in &versions {
                let only = |a: &Model, b: &Model| -> Vec<PrefixLeaf> {
                    a.leaves().into_iter().filter(|leaf| b.0.get(&leaf.vrf_output) != Some(&leaf.commitment)).collect()
                };
                let expected = Difference { added: only(after, before), removed: only(before, after) };
                prop_assert_eq!(difference(&store, before_root, after_root).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_difference_reads_only_what_changed(model in tree(200), added in key()) {
        prop_assume!(!model.0.contains_key(&added));
        let (store, root) = Store::of(&model);
        let leaf = PrefixLeaf { vrf_output: added, commitment: [1; 32] };
        let Ok(next) = insert(&store, &root, 1, &[leaf]) else { return Ok(()) };
        store.keep(&next);
        store.reads.set(0);
        prop_assert_eq!(difference(&store, &root, &root).unwrap(), Difference::default());
        prop_assert_eq!(store.reads.get(), 0);
        prop_assert_eq!(difference(&store, &root, &next.root).unwrap().added, vec![leaf]);
        prop_assert!(store.reads.get() <= next.pages.len());
    }

    #[test]
    fn the_nearest_leaf_is_the_closest(model in tree(30), key in key()) {
        let (store, root) = Store::of(&model);
        let nearest = nearest_leaves(&store, &root, &[key]).unwrap();
        prop_assert_eq!(nearest.len(), usize::from(!model.0.is_empty()));
        for leaf in nearest {
            let shared = |other: &SearchKey| super::node::shared_bits(other, &key);
            prop_assert_eq!(model.0.get(&leaf.vrf_output), Some(&leaf.commitment));
            prop_assert_eq!(model.0.keys().map(shared).max(), Some(shared(&leaf.vrf_output)));
        }
    }

    #[test]
    fn corrupt_pages_never_panic(
        model in tree(40), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(), keys in prop::collection::vec(key(), 1..5),
    ) {
        let (store, root) = Store::of(&model);
        let corrupt = {
            let mut pages = store.pages.borrow_mut();
            let count: usize = pages.values().map(Vec::len).sum();
            let mut at = if count == 0 { 0 } else { place.index(count) };
            for page in pages.values_mut() {
                if at < page.len() {
                    if cut { page.truncate(at) } else { page[at] = byte }
                    break;
                }
                at -= page.len();
            }
            pages.iter().any(|(key, page)| Page::decode(&PageKey::from_bytes(key).unwrap(), page).is_err())
        };
        // What is read and malformed is reported; a value or position that could be another's is not noticed here.
        let expected = |error: TreeError<StoreError>| match error {
            TreeError::Source(StoreError::Page(_)) => corrupt,
            TreeError::Source(StoreError::Missing) => !cut,
            TreeError::Included(_) | TreeError::KeysTooClose => true,
            _ => false,
        };
        let leaves: BTreeMap<SearchKey, PrefixLeaf> =
            keys.iter().map(|key| (*key, PrefixLeaf { vrf_output: *key, commitment: [1; 32] })).collect();
        let leaves: Vec<PrefixLeaf> = leaves.into_values().collect();
        prop_assert!(prove(&store, &root, &keys).err().is_none_or(expected));
        prop_assert!(insert(&store, &root, 1, &leaves).err().is_none_or(expected));
        prop_assert!(nearest_leaves(&store, &root, &keys).err().is_none_or(expected));
    }
}

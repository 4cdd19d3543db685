//! Searching one version of the tree.

use super::{
    node::{SearchKey, goes_right, sibling, split},
    page::{Node, read, read_subtree, skip},
    page_key::PageKey,
    source::{Fault, PageSource, TreeError, TreeRoot, Visit, visit},
};
use crate::wire::{PrefixLeaf, PrefixProof, PrefixSearchKind, PrefixSearchResult};

/// Proves the outcome of searches for `keys`, in any order, in the tree of `root`.
///
/// # Errors
/// If pages cannot be read, or do not fit together.
pub fn prove<S: PageSource>(
    source: &S,
    root: &TreeRoot,
    keys: &[SearchKey],
) -> Result<PrefixProof, TreeError<S::Error>> {
    let mut searches: Vec<Search> =
        keys.iter().enumerate().map(|(place, key)| Search { key: *key, place }).collect();
    searches.sort_unstable_by_key(|search| search.key);
    let levels = visit(source, root, &searches, |search| &search.key)?;
    let missing = PrefixSearchResult { kind: PrefixSearchKind::NonInclusionParent, depth: 0 };
    let mut prover = Prover {
        levels: levels.into_iter().map(Vec::into_iter).collect(),
        proof: PrefixProof { results: vec![missing; keys.len()], elements: Vec::new() },
    };
    if searches.is_empty() {
        prover.proof.elements.push(*root.value());
    } else if root.page().is_some() {
        prover.page(&searches, 0)?;
    }
    Ok(prover.proof)
}

#[derive(Debug, Clone, Copy)]
struct Search {
    key: SearchKey,
    /// Of its result.
    place: usize,
}

/// Collects a proof, from left to right.
struct Prover {
    /// The pages yet to come at each page level.
    levels: Vec<std::vec::IntoIter<Visit>>,
    proof: PrefixProof,
}

impl Prover {
    /// Goes through the next page at the page level.
    fn page(&mut self, searches: &[Search], page_level: usize) -> Result<(), Fault> {
        let visit = self.levels.get_mut(page_level).and_then(Iterator::next).ok_or(Fault::Inconsistent)?;
        self.node(&visit, &mut visit.page.as_bytes(), 0, searches, page_level)
    }

    fn node(
        &mut self,
        visit: &Visit,
        bytes: &mut &[u8],
        level: u8,
        searches: &[Search],
        page_level: usize,
    ) -> Result<(), Fault> {
        if searches.is_empty() {
            self.proof.elements.push(read_subtree(bytes, level)?.value());
            return Ok(());
        }
        let depth = u16::from(visit.key.depth()) + u16::from(level);
        match read(bytes, level)? {
            Node::Absent => self.end(searches, depth, None),
            Node::Leaf(leaf) => self.end(searches, depth, Some(leaf.to_leaf())),
            Node::Child { .. } => self.page(searches, page_level + 1),
            Node::Parent(_) => {
                let (left, right) = split(searches, depth, |search| &search.key);
                self.node(visit, bytes, level + 1, left, page_level)?;
                self.node(visit, bytes, level + 1, right, page_level)
            }
        }
    }

    /// Ends searches at a leaf or a missing child.
    fn end(&mut self, searches: &[Search], depth: u16, leaf: Option<PrefixLeaf>) -> Result<(), Fault> {
        let depth = u8::try_from(depth).map_err(|_| Fault::Inconsistent)?;
        for search in searches {
            let kind = match leaf {
                None => PrefixSearchKind::NonInclusionParent,
                Some(leaf) if leaf.vrf_output == search.key => PrefixSearchKind::Inclusion,
                Some(leaf) => PrefixSearchKind::NonInclusionLeaf(leaf),
            };
            if let Some(result) = self.proof.results.get_mut(search.place) {
                *result = PrefixSearchResult { kind, depth };
            }
        }
        Ok(())
    }
}

/// For each key the leaf at which its search ends or, where a child is missing, the nearest on the other side:
/// ascending by search key, each once. Empty only if the tree is.
///
/// Of the places [`beside_removed`](super::NextVersion::beside_removed) these are leaves that show an auditor what
/// remains: they go unchanged into both lists of [`evaluate_transition`](super::evaluate_transition). `root` may be
/// the version before or after.
///
/// # Errors
/// If pages cannot be read, or do not fit together.
pub fn nearest_leaves<S: PageSource>(
    source: &S,
    root: &TreeRoot,
    keys: &[SearchKey],
) -> Result<Vec<PrefixLeaf>, TreeError<S::Error>> {
    let mut leaves = Vec::with_capacity(keys.len());
    let mut wanted: Vec<(PageKey, SearchKey)> = match root.page() {
        Some(page) => keys.iter().map(|key| (page, *key)).collect(),
        None => Vec::new(),
    };
    while !wanted.is_empty() {
        wanted.sort_unstable();
        let mut pages: Vec<PageKey> = wanted.iter().map(|(page, _)| *page).collect();
        pages.dedup();
        let read = source.pages(&pages).map_err(TreeError::Source)?;
        if read.len() != pages.len() {
            return Err(TreeError::Inconsistent);
        }
        let mut next = Vec::new();
        for (page, mut key) in wanted {
            let place = pages.binary_search(&page).map_err(|_| TreeError::Inconsistent)?;
            let content = read.get(place).ok_or(TreeError::Inconsistent)?;
            match nearest(&page, &mut content.as_bytes(), 0, &mut key)? {
                Nearest::Leaf(leaf) => leaves.push(leaf),
                Nearest::Page(page) => next.push((page, key)),
            }
        }
        wanted = next;
    }
    leaves.sort_unstable_by_key(|leaf| leaf.vrf_output);
    leaves.dedup();
    Ok(leaves)
}

/// Where a walk towards a key leaves a page.
enum Nearest {
    Leaf(PrefixLeaf),
    Page(PageKey),
}

/// Walks from the node at `level` towards `key`, which becomes that of the way taken.
fn nearest(page: &PageKey, bytes: &mut &[u8], level: u8, key: &mut SearchKey) -> Result<Nearest, Fault> {
    match read(bytes, level)? {
        Node::Absent => Err(Fault::Inconsistent),
        Node::Leaf(leaf) => Ok(Nearest::Leaf(leaf.to_leaf())),
        Node::Child { position, .. } => {
            page.child(position, key).map(Nearest::Page).ok_or(Fault::Inconsistent)
        }
        Node::Parent(_) => {
            let left = *bytes;
            skip(bytes, level + 1)?;
            let right = *bytes;
            let depth = u16::from(page.depth()) + u16::from(level);
            let (mut wanted, mut other) = if goes_right(key, depth) { (right, left) } else { (left, right) };
            if let Node::Absent = read(&mut { wanted }, level + 1)? {
                *key = sibling(key, depth + 1);
                std::mem::swap(&mut wanted, &mut other);
            }
            nearest(page, &mut wanted, level + 1, key)
        }
    }
}

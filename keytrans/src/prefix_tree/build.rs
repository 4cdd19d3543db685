//! Changing the tree: the pages of the next version.

use super::{
    node::{ABSENT, MAX_DEPTH, SearchKey, sibling, split},
    page::{Node, Page, Subtree, read, read_subtree, write},
    page_key::{LEVELS_PER_PAGE, PageKey},
    source::{Fault, PageSource, TreeError, TreeRoot, Visit, visit},
};
use crate::wire::PrefixLeaf;

/// What becomes of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A leaf is added; its key is not in the tree yet.
    Insert(PrefixLeaf),
    /// A leaf takes the place of that of its key.
    Replace(PrefixLeaf),
    /// The leaf of a key is taken out.
    Remove(SearchKey),
}

impl Change {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &SearchKey {
        match self {
            Self::Insert(leaf) | Self::Replace(leaf) => &leaf.vrf_output,
            Self::Remove(key) => key,
        }
    }
}

/// The next version of a tree, to be stored as a whole. The version before needs its pages still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextVersion {
    /// The new root.
    pub root: TreeRoot,
    /// The new pages, all of the new version's position, in no particular order.
    pub pages: Vec<(PageKey, Page)>,
    /// The pages that only earlier versions need.
    pub superseded: Vec<PageKey>,
    /// Where keys have gone and left a subtree without its sibling: the places, in bits followed by zeros, of those
    /// remaining subtrees. An auditor has to be shown a leaf of each, see
    /// [`nearest_leaves`](super::nearest_leaves) and [`evaluate_transition`](super::evaluate_transition).
    pub beside_removed: Vec<SearchKey>,
}

/// Inserts leaves, ascending by search key: [`apply`] with insertions only.
///
/// # Errors
/// As of [`apply`].
pub fn insert<S: PageSource>(
    source: &S,
    root: &TreeRoot,
    position: u64,
    leaves: &[PrefixLeaf],
) -> Result<NextVersion, TreeError<S::Error>> {
    let changes: Vec<Change> = leaves.iter().copied().map(Change::Insert).collect();
    apply(source, root, position, &changes)
}

/// Computes the version of the tree that the log entry at `position` makes of `root` by `changes`, which are ascending
/// by search key. Without changes that is `root`.
///
/// # Errors
/// If a change does not fit the tree, `position` is not after that of `root`, or pages cannot be read.
pub fn apply<S: PageSource>(
    source: &S,
    root: &TreeRoot,
    position: u64,
    changes: &[Change],
) -> Result<NextVersion, TreeError<S::Error>> {
    if !changes.is_sorted_by(|a, b| a.key() < b.key()) {
        return Err(TreeError::Unsorted);
    }
    if root.page().is_some_and(|page| page.position() >= position) {
        return Err(TreeError::Position);
    }
    let mut next =
        NextVersion { root: *root, pages: Vec::new(), superseded: Vec::new(), beside_removed: Vec::new() };
    if changes.is_empty() {
        return Ok(next);
    }
    let levels = visit(source, root, changes, Change::key)?;
    next.superseded.extend(levels.iter().flatten().map(|visit| visit.key));
    let mut builder = Builder { position, next, below: Vec::new().into_iter(), page: Vec::new() };
    // From the deepest pages up, each knows what those below it have become.
    for level in levels.iter().rev() {
        let built: Result<Vec<Subtree>, Fault> =
            level.iter().map(|visit| builder.rebuild(visit, changes)).collect();
        builder.below = built?.into_iter();
    }
    let top = match builder.below.next() {
        Some(top) => top,
        None => builder.first_page(changes)?,
    };
    let mut next = builder.next;
    next.root = match top {
        Subtree::Absent => TreeRoot::EMPTY,
        _ => TreeRoot::new(position, top.value()),
    };
    Ok(next)
}

struct Builder {
    position: u64,
    next: NextVersion,
    /// What the visited pages one level down have become, left to right.
    below: std::vec::IntoIter<Subtree>,
    /// The page being written; pages below it are written behind it and cut off again.
    page: Vec<u8>,
}

impl Builder {
    /// Rebuilds a visited page.
    fn rebuild(&mut self, visit: &Visit, changes: &[Change]) -> Result<Subtree, Fault> {
        let changes = changes.get(visit.items.clone()).ok_or(Fault::Inconsistent)?;
        self.page.clear();
        let mut old = visit.page.as_bytes();
        let top = self.rebuild_below(&mut old, changes, u16::from(visit.key.depth()), 0)?;
        self.keep(0, visit.key.depth(), visit.key.prefix(), &top)?;
        Ok(top)
    }

    /// Builds the root page of a tree that had no keys.
    fn first_page(&mut self, changes: &[Change]) -> Result<Subtree, Fault> {
        let top = self.place(None, changes, 0, 0)?;
        self.keep(0, 0, &ABSENT, &top)?;
        Ok(top)
    }

    /// Adds what has been written from `start` on as a page, if it needs to be one, and cuts it off.
    fn keep(&mut self, start: usize, depth: u8, key: &SearchKey, top: &Subtree) -> Result<(), Fault> {
        let is_needed = match top {
            Subtree::Absent => false,
            Subtree::Leaf(_) => depth == 0,
            Subtree::Parent(_) => true,
        };
        if is_needed {
            let key = PageKey::new(self.position, depth, key).ok_or(Fault::Inconsistent)?;
            let page = self.page.get(start..).ok_or(Fault::Inconsistent)?;
            self.next.pages.push((key, Page::from_written(page)));
        }
        self.page.truncate(start);
        Ok(())
    }

    /// Writes what becomes of the old subtree at `level` of its page and `depth` of the tree.
    fn rebuild_below(
        &mut self,
        old: &mut &[u8],
        changes: &[Change],
        depth: u16,
        level: u8,
    ) -> Result<Subtree, Fault> {
        if changes.is_empty() {
            let before = *old;
            let subtree = read_subtree(old, level)?;
            let length = before.len().saturating_sub(old.len());
            self.page.extend_from_slice(before.get(..length).unwrap_or_default());
            return Ok(subtree);
        }
        match read(old, level)? {
            Node::Absent => self.place(None, changes, depth, level),
            Node::Leaf(leaf) => self.place(Some(leaf.to_leaf()), changes, depth, level),
            Node::Child { .. } => {
                let below = self.below.next().ok_or(Fault::Inconsistent)?;
                Ok(self.write_bottom(below))
            }
            Node::Parent(_) => {
                let start = write::begin_parent(&mut self.page, level);
                let (to_left, to_right) = split(changes, depth, Change::key);
                let left = self.rebuild_below(old, to_left, depth + 1, level + 1)?;
                let right = self.rebuild_below(old, to_right, depth + 1, level + 1)?;
                self.note_sibling(left, to_left, right, to_right, depth + 1);
                self.note_sibling(right, to_right, left, to_left, depth + 1);
                Ok(write::end_parent(&mut self.page, level, start, left, right))
            }
        }
    }

    /// Notes `other` if it is untouched and what was beside it, at `depth`, has gone.
    fn note_sibling(
        &mut self,
        one: Subtree,
        to_one: &[Change],
        other: Subtree,
        to_other: &[Change],
        depth: u16,
    ) {
        if let (Subtree::Absent, Some(gone), []) = (one, to_one.first(), to_other)
            && other != Subtree::Absent
        {
            self.next.beside_removed.push(sibling(gone.key(), depth));
        }
    }

    /// Writes a subtree, four levels below the top of the page, whose own page has been added if it needs one.
    fn write_bottom(&mut self, subtree: Subtree) -> Subtree {
        match subtree {
            Subtree::Absent => write::absent(&mut self.page),
            Subtree::Leaf(leaf) => write::leaf(&mut self.page, leaf),
            Subtree::Parent(value) => write::child(&mut self.page, self.position, value),
        }
    }

    /// Writes what becomes of a place where there was one leaf or none.
    fn place(
        &mut self,
        mut old: Option<PrefixLeaf>,
        changes: &[Change],
        depth: u16,
        level: u8,
    ) -> Result<Subtree, Fault> {
        let mut leaves = Vec::with_capacity(changes.len() + 1);
        for change in changes {
            let is_included = old.is_some_and(|old| old.vrf_output == *change.key());
            match (change, is_included) {
                (Change::Insert(_), true) => return Err(Fault::Included(*change.key())),
                (Change::Replace(_) | Change::Remove(_), false) => {
                    return Err(Fault::NotIncluded(*change.key()));
                }
                (Change::Insert(leaf), false) => leaves.push(*leaf),
                (Change::Replace(leaf), true) => {
                    leaves.push(*leaf);
                    old = None;
                }
                (Change::Remove(_), true) => old = None,
            }
        }
        if let Some(old) = old {
            let place = leaves.partition_point(|leaf| leaf.vrf_output < old.vrf_output);
            leaves.insert(place, old);
        }
        self.write_leaves(&leaves, depth, level)
    }

    /// Writes the subtree of these leaves, with the pages that it needs. Recursion ends where keys differ.
    fn write_leaves(&mut self, leaves: &[PrefixLeaf], depth: u16, level: u8) -> Result<Subtree, Fault> {
        match leaves {
            [] => Ok(write::absent(&mut self.page)),
            [leaf] => Ok(write::leaf(&mut self.page, *leaf)),
            _ if depth == MAX_DEPTH => Err(Fault::KeysTooClose),
            [first, ..] if level == LEVELS_PER_PAGE => {
                let start = self.page.len();
                let top = self.write_leaves(leaves, depth, 0)?;
                let page_depth = u8::try_from(depth).map_err(|_| Fault::Inconsistent)?;
                self.keep(start, page_depth, &first.vrf_output, &top)?;
                Ok(self.write_bottom(top))
            }
            _ => {
                let start = write::begin_parent(&mut self.page, level);
                let (to_left, to_right) = split(leaves, depth, |leaf| &leaf.vrf_output);
                let left = self.write_leaves(to_left, depth + 1, level + 1)?;
                let right = self.write_leaves(to_right, depth + 1, level + 1)?;
                Ok(write::end_parent(&mut self.page, level, start, left, right))
            }
        }
    }
}

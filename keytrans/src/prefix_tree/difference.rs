//! What two versions of the tree differ in, out of their pages.

use std::collections::BTreeSet;

use super::{
    node::{SearchKey, sibling},
    page::{Node, PageError, read},
    page_key::PageKey,
    source::{PageSource, TreeError, TreeRoot},
};
use crate::wire::PrefixLeaf;

/// The leaves that one version of the tree has and the other has not, each ascending by search key. A key with another
/// commitment than before is in both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Leaves of the later version only.
    pub added: Vec<PrefixLeaf>,
    /// Leaves of the earlier version only.
    pub removed: Vec<PrefixLeaf>,
}

/// Compares two versions of one tree. Pages that both consist of are not read, so that the work is that of the change.
///
/// # Errors
/// If pages cannot be read, or do not fit together.
pub fn difference<S: PageSource>(
    source: &S,
    before: &TreeRoot,
    after: &TreeRoot,
) -> Result<Difference, TreeError<S::Error>> {
    let mut earlier = Version::new(before);
    let mut later = Version::new(after);
    // Every level is four deeper, and page keys end at depth 252.
    loop {
        // A page's key names the log entry that wrote it: the same key in both is the same page, with all below it.
        let common: BTreeSet<PageKey> = earlier.pages.intersection(&later.pages).copied().collect();
        earlier.pages.retain(|page| !common.contains(page));
        later.pages.retain(|page| !common.contains(page));
        let wanted: Vec<PageKey> = earlier.pages.union(&later.pages).copied().collect();
        if wanted.is_empty() {
            break;
        }
        let pages = source.pages(&wanted).map_err(TreeError::Source)?;
        if pages.len() != wanted.len() {
            return Err(TreeError::Inconsistent);
        }
        let (mut of_earlier, mut of_later) = (BTreeSet::new(), BTreeSet::new());
        for (key, page) in wanted.iter().zip(&pages) {
            let (version, below) = if earlier.pages.contains(key) {
                (&mut earlier.leaves, &mut of_earlier)
            } else {
                (&mut later.leaves, &mut of_later)
            };
            collect(key, &mut page.as_bytes(), 0, *key.prefix(), version, below)?;
        }
        (earlier.pages, later.pages) = (of_earlier, of_later);
    }
    // A leaf that only stands at another depth than before, or in a page that changed otherwise, is in both.
    let only = |a: &BTreeSet<Leaf>, b: &BTreeSet<Leaf>| {
        let only = a.difference(b);
        only.map(|&(vrf_output, commitment)| PrefixLeaf { vrf_output, commitment }).collect()
    };
    Ok(Difference {
        added: only(&later.leaves, &earlier.leaves),
        removed: only(&earlier.leaves, &later.leaves),
    })
}

/// A leaf that can be sorted by its search key.
type Leaf = (SearchKey, [u8; 32]);

/// One version, as far as it was walked.
struct Version {
    /// Pages to be read next.
    pages: BTreeSet<PageKey>,
    /// The leaves of the pages read.
    leaves: BTreeSet<Leaf>,
}

impl Version {
    fn new(root: &TreeRoot) -> Self {
        Self { pages: root.page().into_iter().collect(), leaves: BTreeSet::new() }
    }
}

/// Takes the leaves of the subtree at `level` of a page, and the pages below it; `place` is the way there.
fn collect(
    page: &PageKey,
    bytes: &mut &[u8],
    level: u8,
    place: SearchKey,
    leaves: &mut BTreeSet<Leaf>,
    below: &mut BTreeSet<PageKey>,
) -> Result<(), PageError> {
    match read(bytes, level)? {
        Node::Absent => {}
        Node::Leaf(leaf) => {
            let leaf = leaf.to_leaf();
            leaves.insert((leaf.vrf_output, leaf.commitment));
        }
        Node::Child { position, .. } => {
            below.insert(page.child(position, &place).ok_or(PageError::Kind)?);
        }
        Node::Parent(_) => {
            let depth = u16::from(page.depth()) + u16::from(level);
            collect(page, bytes, level + 1, place, leaves, below)?;
            collect(page, bytes, level + 1, sibling(&place, depth + 1), leaves, below)?;
        }
    }
    Ok(())
}

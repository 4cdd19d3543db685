//! Reading the pages of one version of the tree, level by level.

use std::{error::Error, ops::Range};

use keyglass_crypto::hash::Digest;
use thiserror::Error;

use super::{
    node::{ABSENT, SearchKey, split},
    page::{Node, Page, PageError, read, skip},
    page_key::PageKey,
};

/// Where pages are stored.
pub trait PageSource {
    /// What can go wrong with the store, a missing or undecodable page included.
    type Error: Error + 'static;

    /// The pages of these keys, in order; each is in the tree. Asked once for each level of pages.
    ///
    /// # Errors
    /// If any of them cannot be read.
    fn pages(&self, keys: &[PageKey]) -> Result<Vec<Page>, Self::Error>;
}

/// Why a tree could not be searched or changed. Nothing was changed then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeError<E: Error + 'static> {
    /// The store failed.
    #[error("the pages of the prefix tree could not be read")]
    Source(#[source] E),
    /// The store returned more or fewer pages than asked for, or pages of another tree.
    #[error("the pages of the prefix tree do not fit together")]
    Inconsistent,
    /// A page is malformed.
    #[error("a page of the prefix tree is malformed")]
    Page(#[from] PageError),
    /// The changes are not ascending by search key, or are given twice.
    #[error("the changes are not in ascending order of their keys")]
    Unsorted,
    /// The new version's position is not after that of the version before.
    #[error("the tree already has a version at this log entry or a later one")]
    Position,
    /// The key to insert is in the tree.
    #[error("a key to insert is in the prefix tree already")]
    Included(SearchKey),
    /// The key to replace or remove is not in the tree.
    #[error("a key to replace or remove is not in the prefix tree")]
    NotIncluded(SearchKey),
    /// Two keys share 255 bits, more than a proof can say.
    #[error("two keys of the prefix tree are too close to each other")]
    KeysTooClose,
}

/// [`TreeError`] for what happens between reads.
#[derive(Debug)]
pub(super) enum Fault {
    Page(PageError),
    Inconsistent,
    Included(SearchKey),
    NotIncluded(SearchKey),
    KeysTooClose,
}

impl From<PageError> for Fault {
    fn from(error: PageError) -> Self {
        Self::Page(error)
    }
}

impl<E: Error + 'static> From<Fault> for TreeError<E> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Page(error) => Self::Page(error),
            Fault::Inconsistent => Self::Inconsistent,
            Fault::Included(key) => Self::Included(key),
            Fault::NotIncluded(key) => Self::NotIncluded(key),
            Fault::KeysTooClose => Self::KeysTooClose,
        }
    }
}

/// A version of the tree: its root, and the log entry whose change wrote the root page. Entries that change nothing
/// have the version of the entry before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeRoot {
    /// None for a tree without keys.
    position: Option<u64>,
    value: Digest,
}

/// The bytes are not the encoding of a [`TreeRoot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a version of the prefix tree")]
pub struct TreeRootError;

impl TreeRoot {
    /// The tree without keys.
    pub const EMPTY: Self = Self { position: None, value: ABSENT };

    pub(super) fn new(position: u64, value: Digest) -> Self {
        Self { position: Some(position), value }
    }

    /// The root page; none for a tree without keys.
    #[must_use]
    pub fn page(&self) -> Option<PageKey> {
        self.position.map(PageKey::root)
    }

    /// The root's value, which is in the log entry.
    #[must_use]
    pub fn value(&self) -> &Digest {
        &self.value
    }

    /// The encoding: position and value. All zeros for a tree without keys.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (position, value) = bytes.split_at_mut(8);
        position.copy_from_slice(&self.position.unwrap_or_default().to_be_bytes());
        value.copy_from_slice(&self.value);
        bytes
    }

    /// Decodes what [`TreeRoot::to_bytes`] encodes.
    ///
    /// # Errors
    /// If the bytes are not exactly that.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TreeRootError> {
        let (position, value) = bytes.split_first_chunk().ok_or(TreeRootError)?;
        let value = Digest::try_from(value).map_err(|_| TreeRootError)?;
        match (u64::from_be_bytes(*position), value) {
            (0, ABSENT) => Ok(Self::EMPTY),
            (_, ABSENT) => Err(TreeRootError),
            (position, value) => Ok(Self::new(position, value)),
        }
    }
}

/// A page on the paths of some of the items that a walk is for.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) key: PageKey,
    pub(super) page: Page,
    /// The items below the page, of all of them.
    pub(super) items: Range<usize>,
}

/// Fetches all pages on the paths of `items`, which are sorted by search key: by depth, then from left to right.
pub(super) fn visit<S: PageSource, T>(
    source: &S,
    root: &TreeRoot,
    items: &[T],
    key: impl Fn(&T) -> &SearchKey + Copy,
) -> Result<Vec<Vec<Visit>>, TreeError<S::Error>> {
    let mut levels = Vec::new();
    let mut wanted: Vec<(PageKey, Range<usize>)> = match root.page() {
        Some(page) if !items.is_empty() => vec![(page, 0..items.len())],
        _ => Vec::new(),
    };
    // Every level is four deeper, and page keys end at depth 252.
    while !wanted.is_empty() {
        let (keys, ranges): (Vec<PageKey>, Vec<Range<usize>>) = wanted.into_iter().unzip();
        let pages = source.pages(&keys).map_err(TreeError::Source)?;
        if pages.len() != keys.len() {
            return Err(TreeError::Inconsistent);
        }
        let level: Vec<Visit> = keys
            .into_iter()
            .zip(pages)
            .zip(ranges)
            .map(|((key, page), items)| Visit { key, page, items })
            .collect();
        wanted = Vec::new();
        for visit in &level {
            let below = items.get(visit.items.clone()).unwrap_or_default();
            let mut route =
                Route { page: visit.key, items_before: visit.items.start, key, wanted: &mut wanted };
            route.walk(&mut visit.page.as_bytes(), 0, below)?;
        }
        levels.push(level);
    }
    Ok(levels)
}

/// A walk through one page, that collects the pages below it on the paths of items.
struct Route<'a, K> {
    page: PageKey,
    items_before: usize,
    key: K,
    wanted: &'a mut Vec<(PageKey, Range<usize>)>,
}

impl<K> Route<'_, K> {
    fn walk<T>(&mut self, bytes: &mut &[u8], level: u8, items: &[T]) -> Result<(), PageError>
    where
        K: Fn(&T) -> &SearchKey + Copy,
    {
        let Some(first) = items.first() else { return skip(bytes, level) };
        match read(bytes, level)? {
            Node::Absent | Node::Leaf(_) => {}
            Node::Parent(_) => {
                let depth = u16::from(self.page.depth()) + u16::from(level);
                let (left, right) = split(items, depth, self.key);
                self.walk(bytes, level + 1, left)?;
                self.items_before += left.len();
                self.walk(bytes, level + 1, right)?;
                self.items_before -= left.len();
            }
            Node::Child { position, .. } => {
                let page = self.page.child(position, (self.key)(first)).ok_or(PageError::Kind)?;
                self.wanted.push((page, self.items_before..self.items_before + items.len()));
            }
        }
        Ok(())
    }
}

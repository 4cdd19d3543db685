//! Pages of prefix trees, out of the store or out of memory.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use keyglass_keytrans::prefix_tree::{Page, PageKey, PageSource};
use lru::LruCache;

use crate::store::{Snapshot, StoreError};

/// Pages that are remembered. A page never changes, so what is remembered is never wrong.
pub trait Remembered {
    /// The page, if it is remembered.
    fn get(&self, key: &PageKey) -> Option<Page>;
    /// Remembers a page that was read, if it is one of those to remember.
    fn put(&self, key: &PageKey, page: &Page);
}

/// Pages out of memory where they are remembered, out of the store where not.
pub struct Pages<'a, R> {
    snapshot: &'a dyn Snapshot,
    remembered: &'a R,
}

impl<'a, R: Remembered> Pages<'a, R> {
    /// Reads from `snapshot` what is not in `remembered`.
    pub fn new(snapshot: &'a dyn Snapshot, remembered: &'a R) -> Self {
        Self { snapshot, remembered }
    }
}

impl<R: Remembered> PageSource for Pages<'_, R> {
    type Error = StoreError;

    fn pages(&self, keys: &[PageKey]) -> Result<Vec<Page>, StoreError> {
        let missing = || StoreError::Corrupt("a page of a prefix tree is missing");
        let mut pages: Vec<Option<Page>> = keys.iter().map(|key| self.remembered.get(key)).collect();
        let unknown = keys.iter().zip(&pages).filter(|(_, page)| page.is_none());
        let unknown: Vec<PageKey> = unknown.map(|(key, _)| *key).collect();
        if !unknown.is_empty() {
            let mut read = self.snapshot.pages(&unknown)?.into_iter();
            for (key, place) in keys.iter().zip(&mut pages).filter(|(_, page)| page.is_none()) {
                let page = read.next().flatten().ok_or_else(missing)?;
                self.remembered.put(key, &page);
                *place = Some(page);
            }
        }
        pages.into_iter().map(|page| page.ok_or_else(missing)).collect()
    }
}

/// The top 16 levels of the newest prefix tree, which every batch reads: at most 4,369 pages.
#[derive(Debug, Default)]
pub struct TopPages(Mutex<HashMap<PageKey, Page>>);

/// The depth below which pages are not kept.
const TOP: u8 = 16;

impl TopPages {
    /// Follows the tree to its next version.
    pub fn update(&self, new: &[(PageKey, Page)], superseded: &[PageKey]) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in superseded {
            pages.remove(key);
        }
        let new = new.iter().filter(|(key, _)| key.depth() < TOP);
        pages.extend(new.map(|(key, page)| (*key, page.clone())));
    }
}

impl Remembered for TopPages {
    fn get(&self, key: &PageKey) -> Option<Page> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: &PageKey, page: &Page) {
        if key.depth() < TOP {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*key, page.clone());
        }
    }
}

/// The pages that were read last, of whatever version.
#[derive(Debug)]
pub struct RecentPages(Mutex<LruCache<PageKey, Page>>);

impl RecentPages {
    /// Remembers this many pages.
    #[must_use]
    pub fn new(pages: usize) -> Self {
        Self(Mutex::new(LruCache::new(pages.try_into().unwrap_or(core::num::NonZeroUsize::MIN))))
    }
}

impl Remembered for RecentPages {
    fn get(&self, key: &PageKey) -> Option<Page> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: &PageKey, page: &Page) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(*key, page.clone());
    }
}

//! The names of pages.

use thiserror::Error;

use super::node::{SearchKey, prefix};

/// Levels of the tree in one page.
pub const LEVELS_PER_PAGE: u8 = 4;

/// Names a page for good: its content never changes.
///
/// Ordered by position, then from the root down and from left to right, as the encodings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageKey {
    position: u64,
    depth: u8,
    prefix: SearchKey,
}

/// The bytes are not the encoding of a page key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not the key of a prefix tree page")]
pub struct PageKeyError;

impl PageKey {
    /// The page that log entry `position` wrote for the subtree at `depth`, a multiple of 4, above `key`. None if
    /// there are no pages at that depth.
    #[must_use]
    pub fn new(position: u64, depth: u8, key: &SearchKey) -> Option<Self> {
        let exists = depth.is_multiple_of(LEVELS_PER_PAGE);
        exists.then(|| Self { position, depth, prefix: prefix(key, u16::from(depth)) })
    }

    /// The root page that log entry `position` wrote.
    #[must_use]
    pub fn root(position: u64) -> Self {
        Self { position, depth: 0, prefix: [0; 32] }
    }

    /// The page of the child at the bottom of this one that lies above `key`, written by `position`.
    pub(super) fn child(&self, position: u64, key: &SearchKey) -> Option<Self> {
        Self::new(position, self.depth.checked_add(LEVELS_PER_PAGE)?, key)
    }

    /// The log entry that wrote the page.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The depth of the page's topmost node in the tree.
    #[must_use]
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// The bits that all keys in the page share, `depth` of them, then zeros.
    #[must_use]
    pub fn prefix(&self) -> &SearchKey {
        &self.prefix
    }

    /// The encoding, of 9 to 41 bytes: position, depth, and the bytes that the prefix begins.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let prefix = self.prefix.iter().take(usize::from(self.depth.div_ceil(8)));
        self.position.to_be_bytes().into_iter().chain([self.depth]).chain(prefix.copied()).collect()
    }

    /// Decodes what [`PageKey::to_bytes`] encodes.
    ///
    /// # Errors
    /// If the bytes are not exactly what a key is encoded as.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PageKeyError> {
        let (position, rest) = bytes.split_first_chunk().ok_or(PageKeyError)?;
        let (&depth, prefix) = rest.split_first().ok_or(PageKeyError)?;
        let mut padded = [0; 32];
        padded.get_mut(..prefix.len()).ok_or(PageKeyError)?.copy_from_slice(prefix);
        let key = Self::new(u64::from_be_bytes(*position), depth, &padded).ok_or(PageKeyError)?;
        let exact = prefix.len() == usize::from(depth.div_ceil(8)) && key.prefix == padded;
        if exact { Ok(key) } else { Err(PageKeyError) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The depth of the deepest pages.
    const MAX_PAGE_DEPTH: u8 = 252;

    fn page_key() -> impl Strategy<Value = PageKey> {
        (any::<u64>(), 0..=MAX_PAGE_DEPTH / 4, any::<SearchKey>())
            .prop_map(|(position, level, key)| PageKey::new(position, 4 * level, &key).unwrap())
    }

    #[test]
    fn encodings_of_no_page_are_refused() {
        let key = PageKey::new(7, 4, &[0xff; 32]).unwrap().to_bytes();
        assert_eq!(key, [0, 0, 0, 0, 0, 0, 0, 7, 4, 0xf0]);
        for bad in [&key[..8], &key[..9], &[&key[..], &[0]].concat(), &[&key[..9], &[0xf8]].concat()] {
            assert_eq!(PageKey::from_bytes(bad), Err(PageKeyError), "{bad:x?}");
        }
        assert_eq!(PageKey::from_bytes(&[0, 0, 0, 0, 0, 0, 0, 7, 5, 0xf8]), Err(PageKeyError));
        assert_eq!(PageKey::from_bytes(&[0; 60]), Err(PageKeyError));
    }

    #[test]
    fn pages_end_at_the_deepest_level() {
        let deepest = PageKey::new(0, MAX_PAGE_DEPTH, &[0; 32]).unwrap();
        assert_eq!(deepest.child(1, &[0; 32]), None);
        assert_eq!(PageKey::new(0, 6, &[0; 32]), None);
    }

    proptest! {
        #[test]
        fn encodings_keep_the_order(a in page_key(), b in page_key(), same in any::<[bool; 2]>()) {
            let position = if same[0] { a.position } else { b.position };
            let depth = if same[1] { a.depth } else { b.depth };
            let b = PageKey::new(position, depth, &b.prefix).unwrap();
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(PageKey::from_bytes(&a.to_bytes()), Ok(a));
        }
    }
}

//! Tiles: the pieces in which a log serves its tree and its entries (C2SP tlog-tiles).

mod bundle;
mod path;

use thiserror::Error;

pub use self::bundle::{BundleError, encode_bundle, parse_bundle};
use crate::{
    Digest,
    rfc6962::{NodeId, node_hash},
};

/// The hashes in a full tile, and the entries in a full bundle.
pub const FULL_WIDTH: u16 = 256;

/// The media type of tiles and entry bundles.
pub const TILE_MEDIA_TYPE: &str = "application/octet-stream";

/// The media type of a checkpoint.
pub const CHECKPOINT_MEDIA_TYPE: &str = "text/plain; charset=utf-8";

/// The highest level of a tile in a tree of at most 2^64 - 1 leaves.
const MAX_LEVEL: u8 = 7;

/// Why a tile, or its path or contents, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TileError {
    /// The path is not the one spelling of a tile's path.
    #[error("not the path of a tile")]
    BadPath,
    /// No tree of at most 2^64 - 1 leaves has such a tile.
    #[error("no tree has such a tile")]
    Impossible,
    /// The contents are not 32 bytes for each hash of the tile's width.
    #[error("the tile is not {expected} bytes long")]
    WrongLength {
        /// The bytes that a tile of this width has.
        expected: usize,
    },
    /// The node is not one of those below or at this tile's hashes.
    #[error("the node is not in this tile")]
    OtherNode,
}

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// Hashes: of leaves on level 0, above that of full tiles of the level below.
    Hashes {
        /// The tile's level, not the height of its hashes above the leaves, which is eight times this.
        level: u8,
    },
    /// Log entries.
    Entries,
}

/// A tile by its place and width. Whether a tree has it is for [`Tile::fits`] to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    content: Content,
    index: u64,
    width: u16,
}

impl Tile {
    /// The tile `index` of its level, with its first `width` hashes or entries.
    ///
    /// # Errors
    /// [`TileError::Impossible`], also if the width is not from 1 to 256.
    pub fn new(content: Content, index: u64, width: u16) -> Result<Self, TileError> {
        let tile = Self { content, index, width };
        let within = tile.level() <= MAX_LEVEL
            && (1..=FULL_WIDTH).contains(&width)
            && tile.end().is_some_and(|end| end <= u64::MAX >> tile.shift());
        if within { Ok(tile) } else { Err(TileError::Impossible) }
    }

    /// What it holds.
    #[must_use]
    pub fn content(&self) -> Content {
        self.content
    }

    /// Its index within the level, from the left.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it has, from 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it has all of its 256 hashes or entries, so that it never changes.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == FULL_WIDTH
    }

    /// The full tile at this place.
    #[must_use]
    pub fn to_full(mut self) -> Self {
        self.width = FULL_WIDTH;
        self
    }

    /// Whether the tree of `size` leaves has all of its hashes or entries.
    #[must_use]
    pub fn fits(&self, size: u64) -> bool {
        self.end().is_some_and(|end| end <= size >> self.shift())
    }

    /// Whether it is a tile of the tree of `size` leaves as tlog-tiles cuts that tree: full, or the rightmost one of
    /// its level and as wide as that level is.
    #[must_use]
    pub fn is_tile_of(&self, size: u64) -> bool {
        self.fits(size) && (self.is_full() || self.end() == Some(size >> self.shift()))
    }

    fn level(&self) -> u8 {
        match self.content {
            Content::Hashes { level } => level,
            Content::Entries => 0,
        }
    }

    /// How often the number of leaves is halved to get the number of hashes on this level.
    fn shift(&self) -> u32 {
        u32::from(self.level()).saturating_mul(8)
    }

    /// The number of hashes on this level up to the end of this tile.
    fn end(&self) -> Option<u64> {
        self.index.checked_mul(u64::from(FULL_WIDTH))?.checked_add(u64::from(self.width))
    }
}

/// The tiles of one level, or bundles, that the tree of `new` leaves has and the tree of `old` has not, from the left.
fn new_tiles_of(content: Content, old: u64, new: u64) -> impl Iterator<Item = Tile> {
    let level = Tile { content, index: 0, width: 1 };
    let shift = level.shift();
    let (old, new) = (old >> shift, new >> shift);
    let per_tile = u64::from(FULL_WIDTH);
    // A level that has not grown has no new tile, not even its partial one.
    let indices = if new > old { old / per_tile..new.div_ceil(per_tile) } else { 0..0 };
    indices.filter_map(move |index| {
        let width = new.saturating_sub(index.saturating_mul(per_tile)).min(per_tile);
        Tile::new(content, index, u16::try_from(width).ok()?).ok()
    })
}

/// The tiles and bundles to publish before the checkpoint of `new` leaves, if those of `old` leaves are published:
/// bundles first, then tiles from the lowest level up.
pub fn new_tiles(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    let hashes = (0..=MAX_LEVEL).flat_map(move |level| new_tiles_of(Content::Hashes { level }, old, new));
    new_tiles_of(Content::Entries, old, new).chain(hashes)
}

/// The partial tiles and the partial bundle of the tree of `size` leaves.
pub fn partial_tiles(size: u64) -> impl Iterator<Item = Tile> {
    let contents = (0..=MAX_LEVEL).map(|level| Content::Hashes { level });
    core::iter::once(Content::Entries).chain(contents).filter_map(move |content| {
        let on_level = size >> Tile { content, index: 0, width: 1 }.shift();
        let (index, width) = (on_level / u64::from(FULL_WIDTH), on_level % u64::from(FULL_WIDTH));
        Tile::new(content, index, u16::try_from(width).ok()?).ok()
    })
}

/// Where a node is found in its tile: the tile's level and index, and the first hash and the number of those below it.
fn place(node: NodeId) -> Option<(u8, u64, u64, u64)> {
    let (level, above) = (node.level / 8, node.level % 8);
    let count = 1u64 << above;
    let first = node.index.checked_mul(count)?;
    Some((level, first / u64::from(FULL_WIDTH), first % u64::from(FULL_WIDTH), count))
}

/// The tile of the tree of `size` leaves that a complete subtree's hash is computed from; `None` if that tree does not
/// have the whole subtree.
#[must_use]
pub fn tile_of_node(node: NodeId, size: u64) -> Option<Tile> {
    let (level, index, first, count) = place(node)?;
    let content = Content::Hashes { level };
    let on_level = size.checked_shr(u32::from(level).saturating_mul(8))?;
    let width = on_level.checked_sub(index.checked_mul(u64::from(FULL_WIDTH))?)?.min(u64::from(FULL_WIDTH));
    let tile = Tile::new(content, index, u16::try_from(width).ok()?).ok()?;
    if first.saturating_add(count) <= width { Some(tile) } else { None }
}

/// Computes a node out of the contents of the tile that [`tile_of_node`] names.
///
/// # Errors
/// [`TileError::WrongLength`] or [`TileError::OtherNode`].
pub fn node_in_tile(node: NodeId, tile: &Tile, contents: &[u8]) -> Result<Digest, TileError> {
    let hashes = parse_tile(tile, contents)?;
    let (level, index, first, count) = place(node).ok_or(TileError::OtherNode)?;
    if tile.content != (Content::Hashes { level }) || tile.index != index {
        return Err(TileError::OtherNode);
    }
    let range = || {
        let first = usize::try_from(first).ok()?;
        hashes.get(first..first.checked_add(usize::try_from(count).ok()?)?)
    };
    let mut row = range().ok_or(TileError::OtherNode)?.to_vec();
    while row.len() > 1 {
        row = row.as_chunks().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied().ok_or(TileError::OtherNode)
}

/// The hashes in a tile's contents.
///
/// # Errors
/// [`TileError::WrongLength`].
pub fn parse_tile<'a>(tile: &Tile, contents: &'a [u8]) -> Result<&'a [Digest], TileError> {
    let (hashes, rest) = contents.as_chunks::<32>();
    if rest.is_empty() && hashes.len() == usize::from(tile.width) {
        Ok(hashes)
    } else {
        Err(TileError::WrongLength { expected: usize::from(tile.width).saturating_mul(32) })
    }
}

/// The contents of a tile with these hashes.
#[must_use]
pub fn encode_tile(hashes: &[Digest]) -> Vec<u8> {
    hashes.concat()
}

#[cfg(test)]
mod tests;

//! A run of entry bundles, replayed as a whole. Pure.

use keyglass_tlog::{
    Digest,
    rfc6962::leaf_hash,
    tile::{BundleError, Content, FULL_WIDTH, Tile, parse_bundle},
};
use thiserror::Error;

use crate::replay::{NewHashes, Replay, ReplayError};

/// The bundles in a chunk, at most: what is fetched, replayed, proven and made durable at once. So it bounds both the
/// memory that a log can make us use and the work that a crash can lose.
pub const CHUNK_BUNDLES: u64 = 64;

/// Why bundles are not the next entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// Not a bundle.
    #[error("{tile}: {error}")]
    Bundle {
        /// The bundle.
        tile: Tile,
        /// What is wrong with it.
        error: BundleError,
    },
    /// An entry cannot be the next one.
    #[error(transparent)]
    Entry(#[from] ReplayError),
    /// An entry that was replayed before is another one now.
    #[error("entry {position} is not the one that was replayed before")]
    Rewritten {
        /// Its position.
        position: u64,
    },
}

/// Where the next chunk ends, on the way to `size` entries.
#[must_use]
pub fn chunk_end(from: u64, size: u64) -> u64 {
    let entries = CHUNK_BUNDLES.saturating_mul(u64::from(FULL_WIDTH));
    (from / entries).saturating_add(1).saturating_mul(entries).min(size)
}

/// The bundles with the entries from `from` to before `end`, which is the end of a chunk, in the tree of `size`.
pub fn bundles(from: u64, end: u64, size: u64) -> impl Iterator<Item = Tile> {
    let per_bundle = u64::from(FULL_WIDTH);
    (from / per_bundle..end.div_ceil(per_bundle)).filter_map(move |index| {
        let width = size.saturating_sub(index.saturating_mul(per_bundle)).min(per_bundle);
        Tile::new(Content::Entries, index, u16::try_from(width).ok()?).ok()
    })
}

/// Appends the entries of consecutive bundles that follow what was replayed. `overlap` has the leaf hashes of the entries
/// that were replayed before and are in the first bundle again.
///
/// # Errors
/// [`ChunkError`]; then `replay` is of no further use.
pub fn replay_chunk(
    replay: &mut Replay,
    overlap: &[Digest],
    bundles: &[(Tile, Vec<u8>)],
) -> Result<NewHashes, ChunkError> {
    let mut hashes = NewHashes::default();
    let mut overlap = overlap.iter();
    for (tile, contents) in bundles {
        let entries =
            parse_bundle(tile, contents).map_err(|error| ChunkError::Bundle { tile: *tile, error })?;
        let mut position = tile.index().saturating_mul(u64::from(FULL_WIDTH));
        for entry in entries {
            if position < replay.size() {
                if overlap.next() != Some(&leaf_hash(entry)) {
                    return Err(ChunkError::Rewritten { position });
                }
            } else {
                replay.append(entry, &mut hashes)?;
            }
            position = position.saturating_add(1);
        }
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests;

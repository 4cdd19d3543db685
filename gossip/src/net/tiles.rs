//! Nodes of a log's tree, from the tiles that it serves (C2SP tlog-tiles). They are the log's word.

use std::collections::{BTreeMap, btree_map::Entry};

use keyglass_tlog::{
    Digest,
    rfc6962::NodeId,
    tile::{Tile, node_in_tile, tile_of_node},
};

use super::http::{Fetch, FetchError};

/// The bytes of a hash.
const HASH_LEN: usize = 32;

/// Why there are no nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoNodes {
    /// The log answers, and does not have them.
    NotThere,
    /// The log does not answer.
    NoAnswer,
}

impl From<FetchError> for NoNodes {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Address | FetchError::Status(_) | FetchError::TooLong { .. } => Self::NotThere,
            FetchError::Deadline | FetchError::Unreachable => Self::NoAnswer,
        }
    }
}

/// Nodes of the tree of `size` leaves.
pub(super) async fn nodes(
    fetch: &Fetch,
    log: &str,
    size: u64,
    ids: &[NodeId],
) -> Result<BTreeMap<NodeId, Digest>, NoNodes> {
    let mut tiles: BTreeMap<Tile, Vec<u8>> = BTreeMap::new();
    let mut nodes = BTreeMap::new();
    for id in ids {
        let tile = tile_of_node(*id, size).ok_or(NoNodes::NotThere)?;
        let contents = match tiles.entry(tile) {
            Entry::Occupied(fetched) => fetched.into_mut(),
            Entry::Vacant(place) => place.insert(contents(fetch, log, tile).await?),
        };
        nodes.insert(*id, node_in_tile(*id, &tile, contents).map_err(|_| NoNodes::NotThere)?);
    }
    Ok(nodes)
}

/// A tile's contents. A log may have replaced a partial tile by the full one, which starts with the same hashes.
async fn contents(fetch: &Fetch, log: &str, tile: Tile) -> Result<Vec<u8>, NoNodes> {
    let length = |tile: Tile| usize::from(tile.width()).saturating_mul(HASH_LEN);
    let answer = match fetch.get(log, &tile.to_string(), length(tile)).await {
        Err(FetchError::Status(404)) if !tile.is_full() => {
            let full = tile.to_full();
            fetch.get(log, &full.to_string(), length(full)).await
        }
        answer => answer,
    };
    let mut contents = answer?;
    if contents.len() < length(tile) {
        return Err(NoNodes::NotThere);
    }
    contents.truncate(length(tile));
    Ok(contents)
}

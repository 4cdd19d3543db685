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

/// Nodes of the tree of `size` leaves. `None` if the log does not supply a tile that they are in.
pub(super) async fn nodes(
    fetch: &Fetch,
    log: &str,
    size: u64,
    ids: &[NodeId],
) -> Option<BTreeMap<NodeId, Digest>> {
    let mut tiles: BTreeMap<Tile, Vec<u8>> = BTreeMap::new();
    let mut nodes = BTreeMap::new();
    for id in ids {
        let tile = tile_of_node(*id, size)?;
        let contents = match tiles.entry(tile) {
            Entry::Occupied(fetched) => fetched.into_mut(),
            Entry::Vacant(place) => place.insert(contents(fetch, log, tile).await?),
        };
        nodes.insert(*id, node_in_tile(*id, &tile, contents).ok()?);
    }
    Some(nodes)
}

/// A tile's contents. A log may have replaced a partial tile by the full one, which starts with the same hashes.
async fn contents(fetch: &Fetch, log: &str, tile: Tile) -> Option<Vec<u8>> {
    let length = |tile: Tile| usize::from(tile.width()).saturating_mul(HASH_LEN);
    let answer = match fetch.get(log, &tile.to_string(), length(tile)).await {
        Err(FetchError::Status(404)) if !tile.is_full() => {
            let full = tile.to_full();
            fetch.get(log, &full.to_string(), length(full)).await
        }
        answer => answer,
    };
    let mut contents = answer.ok().filter(|contents| contents.len() >= length(tile))?;
    contents.truncate(length(tile));
    Some(contents)
}

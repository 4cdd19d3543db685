//! What a log serves: its checkpoint, its tiles and its entries (C2SP tlog-tiles).

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use keyglass_tlog::{
    Digest,
    note::MAX_NOTE_LEN,
    rfc6962::NodeId,
    tile::{Content, Tile, node_in_tile, tile_of_node},
};
use thiserror::Error;

use super::{AddressError, FetchError, Http, prefix};
use crate::replay::ENTRY_LEN;

/// Requests at a time.
const CONCURRENCY: usize = 8;
/// An entry in a bundle: its length in 16 bits, and itself.
const BUNDLED_LEN: usize = ENTRY_LEN + 2;

/// Why nodes could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NodesError {
    /// A tile that the tree has was not served.
    #[error("{tile}: {error}")]
    Fetch {
        /// The tile.
        tile: Tile,
        /// Why not.
        error: FetchError,
    },
    /// The tree does not have the node.
    #[error("the tree has no such node")]
    NoSuchNode,
}

/// A log to ask.
#[derive(Debug, Clone)]
pub struct LogSource {
    http: Http,
    base: reqwest::Url,
}

impl LogSource {
    /// The log at this URL prefix.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn new(http: Http, url: &str) -> Result<Self, AddressError> {
        Ok(Self { http, base: prefix(url)? })
    }

    /// The bytes that should be a checkpoint.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn checkpoint(&self) -> Result<Vec<u8>, FetchError> {
        self.get("checkpoint", MAX_NOTE_LEN).await
    }

    /// The bytes of a tile or bundle, as long as one of its width is. Nothing is known about their contents.
    ///
    /// The log may have deleted a partial tile once the full one is there; then that one is asked for, and cut.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn tile(&self, tile: &Tile) -> Result<Vec<u8>, FetchError> {
        let expected = length(tile);
        let mut contents = match self.get(&tile.to_string(), expected).await {
            Err(FetchError::Status(404)) if !tile.is_full() => {
                let full = tile.to_full();
                self.get(&full.to_string(), length(&full)).await.map_err(|error| match error {
                    FetchError::Status(_) => FetchError::Status(404),
                    other => other,
                })?
            }
            other => other?,
        };
        if contents.len() < expected {
            return Err(FetchError::WrongLength { expected });
        }
        contents.truncate(expected);
        Ok(contents)
    }

    /// Many tiles, in the order in which they are asked for.
    ///
    /// # Errors
    /// [`NodesError::Fetch`].
    pub async fn tiles(
        &self,
        tiles: impl IntoIterator<Item = Tile>,
    ) -> Result<Vec<(Tile, Vec<u8>)>, NodesError> {
        let fetch = |tile: Tile| async move {
            match self.tile(&tile).await {
                Ok(contents) => Ok((tile, contents)),
                Err(error) => Err(NodesError::Fetch { tile, error }),
            }
        };
        let fetches: Vec<_> = tiles.into_iter().map(fetch).collect();
        stream::iter(fetches).buffered(CONCURRENCY).try_collect().await
    }

    /// Nodes of the tree of `size` entries, computed from the tiles that the log serves for it. They are the log's word:
    /// whoever uses them proves that they lead to a root.
    ///
    /// # Errors
    /// [`NodesError`].
    pub async fn nodes(&self, size: u64, ids: &[NodeId]) -> Result<BTreeMap<NodeId, Digest>, NodesError> {
        let tile = |id: &NodeId| tile_of_node(*id, size).ok_or(NodesError::NoSuchNode);
        let tiles = ids.iter().map(tile).collect::<Result<BTreeSet<Tile>, _>>()?;
        let contents: BTreeMap<Tile, Vec<u8>> = self.tiles(tiles).await?.into_iter().collect();
        let node = |id: &NodeId| {
            let tile = tile(id)?;
            let contents = contents.get(&tile).ok_or(NodesError::NoSuchNode)?;
            let hash = node_in_tile(*id, &tile, contents).map_err(|_| NodesError::NoSuchNode)?;
            Ok((*id, hash))
        };
        ids.iter().map(node).collect()
    }

    async fn get(&self, path: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        self.http.get(self.url(path)?, limit).await
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    pub(super) fn url(&self, path: &str) -> Result<reqwest::Url, FetchError> {
        self.base.join(path).map_err(|error| FetchError::Unreachable(error.to_string()))
    }
}

/// How long a tile is, or a bundle of log entries.
fn length(tile: &Tile) -> usize {
    let each = match tile.content() {
        Content::Hashes { .. } => 32,
        Content::Entries => BUNDLED_LEN,
    };
    usize::from(tile.width()).saturating_mul(each)
}

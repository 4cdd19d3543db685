//! The file of peers.

use std::{fs::File, io::Read as _, path::Path};

use keyglass_gossip::peers::{self, MAX_PEERS_LEN, Peer};

use super::CommandError;

/// Reads and parses a file of peers.
pub(super) fn read(path: &Path) -> Result<Vec<Peer>, CommandError> {
    let failed = |source| CommandError::PeersFile { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_PEERS_LEN).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    peers::parse(&bytes).map_err(|source| CommandError::Peers { path: path.to_owned(), source })
}

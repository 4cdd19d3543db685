//! Replaying what is new under a head.
//!
//! Entries are fetched in chunks. Each chunk is proven to be a part of the head's tree, by a consistency proof out of the
//! log's tiles, before it is made durable: so a long way is resumed where it stopped, and nothing that the log did not
//! sign is ever kept.

use std::collections::BTreeMap;

use keyglass_tlog::{
    Digest,
    rfc6962::{NodeId, consistency_nodes, consistency_proof, verify_consistency},
    tile::{Content, FULL_WIDTH, Tile, parse_tile},
};
use tokio::time::{Instant, timeout_at};

use super::{AuditError, Follower};
use crate::{
    chunk::{bundles, chunk_end, replay_chunk},
    fetch::NodesError,
    finding::Finding,
    head::SignedHead,
    progress::Replayed,
    records::{Records, RecordsError},
    relate::Relation,
    replay::Replay,
};

/// How far replaying came.
#[derive(Default)]
pub(super) struct CaughtUp {
    pub(super) replayed: u64,
    /// Whether all that was replayed, now and before, is a part of the head's tree.
    pub(super) proven: bool,
    pub(super) findings: Vec<Finding>,
}

impl Follower {
    /// Replays entries up to the head, or until the time is up, or until something does not fit.
    pub(super) async fn catch_up(&self, head: &SignedHead, until: Instant) -> Result<CaughtUp, AuditError> {
        let mut done = CaughtUp::default();
        let (mut replay, mut overlap) = self.records.with(resume).await?;
        while replay.size() < head.size() {
            self.meter.note(Replayed::Entries, replay.size(), Some(head.size()), Instant::now());
            if Instant::now() >= until {
                done.findings.push(Finding::CatchingUp { verified: replay.size(), size: head.size() });
                break;
            }
            let from = replay.size();
            let end = chunk_end(from, head.size());
            let bundles = self.log.tiles(bundles(from, end, head.size()));
            let bundles = match timeout_at(until, bundles).await {
                // The next look at the clock ends it.
                Err(_) => continue,
                Ok(Err(error)) => {
                    done.findings.push(Finding::of_tile(error, head.size()));
                    break;
                }
                Ok(Ok(bundles)) => bundles,
            };
            let hashes = match replay_chunk(&mut replay, &overlap, &bundles) {
                Ok(hashes) => hashes,
                Err(error) => {
                    done.findings.extend(self.investigate(head, Finding::BadEntries(error)).await?);
                    break;
                }
            };
            match self.belongs(&replay, head).await {
                Ok(true) => done.proven = true,
                Ok(false) => {
                    let finding = Finding::EntriesDoNotMatch { size: head.size() };
                    done.findings.extend(self.investigate(head, finding).await?);
                    break;
                }
                Err(error) => {
                    done.findings.push(Finding::of_tile(error, head.size()));
                    break;
                }
            }
            overlap = Vec::new();
            done.replayed = done.replayed.saturating_add(end.saturating_sub(from));
            let after = replay.clone();
            self.records.with(move |records| records.advance(from, &hashes, &after)).await?;
            tracing::debug!(verified = end, size = head.size(), "entries replayed");
        }
        Ok(done)
    }

    /// Whether what was replayed is a part of the head's tree.
    async fn belongs(&self, replay: &Replay, head: &SignedHead) -> Result<bool, NodesError> {
        let (size, root) = (replay.size(), replay.root());
        if size == head.size() {
            return Ok(root == *head.root());
        }
        let nodes = self.log.nodes(head.size(), &consistency_nodes(size, head.size())).await?;
        let proof = consistency_proof(size, head.size(), |id| lookup(&nodes, id));
        let proof = proof.map_err(|_| NodesError::NoSuchNode)?;
        Ok(verify_consistency(size, &root, head.size(), head.root(), &proof).is_ok())
    }

    /// Finds out why a head does not extend what was replayed: whether its tree contradicts the heads seen before, or only
    /// the entries that were served are wrong.
    async fn investigate(&self, head: &SignedHead, finding: Finding) -> Result<Vec<Finding>, AuditError> {
        let known = self.records.with(|records| Ok(anchor(records))).await?;
        let Some(known) = known else { return Ok(vec![finding]) };
        match self.relate_by_tiles(&known, head).await {
            Ok(Relation::Contradicts(evidence)) => {
                let head = head.clone();
                let convicted = self.records.with(move |records| records.convict(&evidence, &head)).await?;
                Ok(if convicted { Vec::new() } else { vec![finding] })
            }
            Ok(Relation::Same | Relation::Extends) => Ok(vec![finding]),
            Ok(Relation::Unproven(error)) => {
                Ok(vec![finding, Finding::TilesDoNotMatch { size: head.size(), error }])
            }
            Err(error) => Ok(vec![finding, Finding::of_tile(error, head.size())]),
        }
    }
}

/// The largest head that is known to be of the log that was replayed.
pub(super) fn anchor(records: &Records) -> Option<SignedHead> {
    records.standing(crate::records::Standing::Agrees).next_back().map(|known| known.head.clone())
}

pub(super) fn lookup(nodes: &BTreeMap<NodeId, Digest>, id: NodeId) -> Result<Digest, NodesError> {
    nodes.get(&id).copied().ok_or(NodesError::NoSuchNode)
}

/// Where replaying goes on, and the leaf hashes that the next bundle has again.
fn resume(records: &mut Records) -> Result<(Replay, Vec<Digest>), RecordsError> {
    let snapshot = records.snapshot()?;
    let replay = snapshot.replay()?;
    let (index, width) = (replay.size() / u64::from(FULL_WIDTH), replay.size() % u64::from(FULL_WIDTH));
    let width = u16::try_from(width).unwrap_or_default();
    let overlap = match Tile::new(Content::Hashes { level: 0 }, index, width) {
        // There is no tile without hashes: the next bundle begins with a new entry.
        Err(_) => Vec::new(),
        Ok(tile) => {
            let contents = snapshot.tile(&tile)?;
            parse_tile(&tile, &contents).map(<[Digest]>::to_vec).unwrap_or_default()
        }
    };
    Ok((replay, overlap))
}

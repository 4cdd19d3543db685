//! When the log's answer does not fit the head that this home holds.
//!
//! Such an answer does not say which head it belongs to. The question is therefore asked again without the retained head,
//! in quarantine, to learn what the log now shows (B). Against the retained head (A) there are these cases:
//!
//! - same size, other root: the two notes are evidence by themselves;
//! - B is larger: the log's tiles give the root R that B's tree had at A's size, and the proof that it did. If R is not
//!   A's root, that is evidence; if it is, the answer was merely wrong;
//! - B is smaller, or the log does not supply what is needed: unreconciled. Nobody is convicted, and an auditor who holds
//!   both heads can find out.

use std::collections::{BTreeMap, btree_map::Entry};

use keyglass_keytrans::client::{StateUpdate, VerifiedHead};
use keyglass_tlog::{
    Digest,
    checkpoint::Checkpoint,
    evidence::Evidence,
    note::{self, SignedNote, Vkey},
    policy::Policy,
    relate::{Relation, nodes_to_relate, relate},
    rfc6962::NodeId,
    tile::{self, Tile, TileError},
};
use thiserror::Error;

use super::{context::Context, outcome::Failure, reporting};
use crate::{
    http::{HttpError, Request, Server},
    state::Home,
    verdict::Verdict,
};

/// The bytes of a full tile.
const FULL_TILE: usize = 256 * 32;

impl Context {
    /// Finds out why an answer failed with `cause`, and says so. `shown` asks again in quarantine, and is only run if there
    /// is a head to compare with.
    pub(super) async fn reconcile(
        &self,
        shown: impl Future<Output = Result<ShownHead, Failure>>,
        cause: Failure,
    ) -> Failure {
        // Without a retained head there is nothing to contradict.
        let Some(ours) = self.retained_note() else {
            return cause;
        };
        let theirs = match shown.await {
            Ok(shown) => match shown_note(&self.origin, &shown) {
                Some(note) => note,
                None => return cause,
            },
            Err(refused) if refused.verdict == Verdict::Invalid => return cause,
            Err(refused) => return unreconciled(&ours, None, &refused.message),
        };
        match self.compare(&ours, &theirs).await {
            Comparison::Consistent => cause,
            Comparison::Contradiction(evidence) => self.convict(&evidence),
            Comparison::Unknown(why) => unreconciled(&ours, Some(&theirs), &why.to_string()),
        }
    }

    /// Keeps evidence that convicts the log, and says where.
    pub(super) fn convict(&self, evidence: &Evidence) -> Failure {
        let keys: Vec<_> = self.verifier.log_keys().iter().collect();
        keep_conviction(&self.home, &keys, self.verifier.policy(), evidence)
    }

    /// Compares the retained head with one that the log shows now, which must be as large.
    async fn compare(&self, ours: &SignedNote, theirs: &SignedNote) -> Comparison {
        match (Checkpoint::from_note(ours), Checkpoint::from_note(theirs)) {
            (Ok(a), Ok(b)) if b.tree_size() < a.tree_size() && Evidence::of_notes(ours, theirs).is_none() => {
                Comparison::Unknown(Unexplained::Shrunk { shows: b.tree_size(), has_shown: a.tree_size() })
            }
            _ => compare_notes(&self.server, ours, theirs).await,
        }
    }
}

/// Keeps evidence that convicts a log in the part of a home that is about that log, and says where.
pub(super) fn keep_conviction(
    home: &Home,
    log_keys: &[&Vkey],
    policy: Option<&Policy>,
    evidence: &Evidence,
) -> Failure {
    let conviction = match evidence.verify(log_keys, policy) {
        Ok(conviction) => conviction,
        Err(error) => return Failure::new(Verdict::Unreconciled, "unsigned", error),
    };
    reporting::convicted(evidence);
    let witnesses: Vec<String> = conviction.faulty_witnesses().iter().map(ToString::to_string).collect();
    let (a, b) = conviction.sizes();
    let path = match home.keep_evidence(evidence.to_string().as_bytes()) {
        Ok(path) => path,
        Err(error) => return error.into(),
    };
    let also =
        if witnesses.is_empty() { String::new() } else { format!(", and so did {}", witnesses.join(", ")) };
    let (reason, what) = match evidence {
        Evidence::AfterHandover { .. } => (
            "after_handover",
            format!("{} declared its end with {a} entries, and signed {b} all the same", conviction.origin()),
        ),
        _ => ("two_histories", format!("the log signed two histories, of {a} and of {b} entries{also}")),
    };
    let message = format!("{what}; the evidence is in {}", path.display());
    Failure::new(Verdict::Misbehaving, reason, message)
        .with("evidence", path)
        .with("faulty_witnesses", witnesses)
        .with("sizes", [a, b])
}

/// Compares two heads of a log, of any sizes, by the tiles of the larger, which `server` has.
pub(super) async fn compare_notes(server: &Server, one: &SignedNote, other: &SignedNote) -> Comparison {
    if let Some(evidence) = Evidence::of_notes(one, other) {
        return Comparison::Contradiction(Box::new(evidence));
    }
    let (Ok(a), Ok(b)) = (Checkpoint::from_note(one), Checkpoint::from_note(other)) else {
        return Comparison::Unknown(Unexplained::NotACheckpoint);
    };
    let needed = nodes_to_relate(a.tree_size(), b.tree_size());
    let nodes = match Nodes::fetch(server, needed, a.tree_size().max(b.tree_size())).await {
        Ok(nodes) => nodes,
        Err(why) => return Comparison::Unknown(why),
    };
    match relate(one, other, |node| nodes.get(node)) {
        Ok(Relation::Same | Relation::Extends) => Comparison::Consistent,
        Ok(Relation::Contradicts(evidence)) => Comparison::Contradiction(Box::new(evidence)),
        Ok(Relation::Unproven(_)) => Comparison::Unknown(Unexplained::OtherTiles),
        Err(_) => Comparison::Unknown(Unexplained::Incomplete),
    }
}

/// Nodes of a log's tree, from its tiles. Nothing says yet that they are those of any head.
pub(super) struct Nodes(BTreeMap<(u8, u64), Digest>);

impl Nodes {
    /// Fetches the tiles of the tree of `size` leaves that the `needed` nodes are in.
    ///
    /// # Errors
    /// What the log did not supply.
    pub(super) async fn fetch(
        server: &Server,
        needed: impl IntoIterator<Item = NodeId>,
        size: u64,
    ) -> Result<Self, Unexplained> {
        let mut nodes = BTreeMap::new();
        let mut tiles: BTreeMap<Tile, Vec<u8>> = BTreeMap::new();
        for node in needed {
            let tile = tile::tile_of_node(node, size).ok_or(Unexplained::Incomplete)?;
            let contents = match tiles.entry(tile) {
                Entry::Occupied(fetched) => fetched.into_mut(),
                Entry::Vacant(place) => place.insert(fetch_tile(server, tile).await?),
            };
            let hash = tile::node_in_tile(node, &tile, contents).map_err(Unexplained::Tile)?;
            nodes.insert((node.level, node.index), hash);
        }
        Ok(Self(nodes))
    }

    /// A node that was fetched.
    pub(super) fn get(&self, node: NodeId) -> Result<Digest, ()> {
        self.0.get(&(node.level, node.index)).copied().ok_or(())
    }
}

/// A tile's contents. A log may have replaced a partial tile by the full one, which starts with the same hashes.
async fn fetch_tile(server: &Server, tile: Tile) -> Result<Vec<u8>, Unexplained> {
    let path = tile.to_string();
    let error = match server.send(FULL_TILE, Request::get(path)).await {
        Ok(contents) => return Ok(contents),
        Err(error) => error,
    };
    if tile.is_full() || !matches!(error, HttpError::Declined(_)) {
        return Err(Unexplained::Http(error));
    }
    let path = tile.to_full().to_string();
    let full = server.send(FULL_TILE, Request::get(path)).await;
    let mut contents = full.map_err(|_| Unexplained::Http(error))?;
    contents.truncate(usize::from(tile.width()).saturating_mul(32));
    Ok(contents)
}

/// What two heads are to each other.
pub(super) enum Comparison {
    /// The larger extends the smaller.
    Consistent,
    /// They contradict each other.
    Contradiction(Box<Evidence>),
    /// The log did not supply what would tell.
    Unknown(Unexplained),
}

/// What the log did not supply.
#[derive(Debug, Error)]
pub(super) enum Unexplained {
    /// A smaller head than it has shown before is all that it shows.
    #[error(
        "the log shows {shows} entries and has shown {has_shown}, which a server that lags behind does too"
    )]
    Shrunk { shows: u64, has_shown: u64 },
    /// A note is no checkpoint.
    #[error("a head is not a checkpoint")]
    NotACheckpoint,
    /// A tile.
    #[error(transparent)]
    Http(HttpError),
    /// A tile of that place.
    #[error(transparent)]
    Tile(TileError),
    /// All tiles that are needed.
    #[error("the log's tiles are incomplete")]
    Incomplete,
    /// Tiles of the tree that the head is of.
    #[error("the log's tiles are not those of the head that it shows")]
    OtherTiles,
}

impl Unexplained {
    /// Whether asking again may help because no answer arrived at all.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self, Self::Http(HttpError::Unreachable(_) | HttpError::Unavailable(_)))
    }
}

/// A head that the log has signed, which nobody else need have seen.
pub(super) struct ShownHead {
    pub(super) head: VerifiedHead,
    pub(super) update: StateUpdate,
}

/// The head as a note.
fn shown_note(origin: &str, shown: &ShownHead) -> Option<SignedNote> {
    let checkpoint = Checkpoint::new(origin, shown.head.tree_size(), *shown.head.root()).ok()?;
    let lines = note::parse_signature_lines(&shown.update.tree.tree_head.signature).ok()?;
    SignedNote::new(&checkpoint.text(), lines).ok()
}

fn unreconciled(ours: &SignedNote, theirs: Option<&SignedNote>, why: &str) -> Failure {
    [Some(ours), theirs].into_iter().flatten().for_each(reporting::disputed);
    let message = format!("the log's answer does not extend the head that this home holds: {why}");
    Failure::new(Verdict::Unreconciled, "not_reconciled", message)
        .with("ours", ours.to_string())
        .with("theirs", theirs.map(ToString::to_string))
}

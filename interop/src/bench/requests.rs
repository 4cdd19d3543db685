//! What is sent, made before anything is measured.

use std::{error::Error, fmt::Write as _};

use keyglass_crypto::sign::SigningKey;
use keyglass_interop::witnesses::WitnessedLog;
use keyglass_tlog::{
    Digest,
    checkpoint::Checkpoint,
    note::{KeyName, NoteSigner, SignedNote},
    rfc6962::{CompactTree, NodeId, consistency_proof, leaf_hash, root_at},
    witness::AddCheckpoint,
};

/// How many entries a log gains between two checkpoints.
const STEP: u64 = 7;
/// The size of a log at first contact.
const FIRST: u64 = 1_000;

/// The requests of one log in the order in which they must arrive.
pub struct LogRequests {
    /// The log.
    pub log: WitnessedLog,
    /// The checkpoint of the first request, which is sent before anything is measured.
    pub first: Checkpoint,
    /// Bodies of add-checkpoint.
    pub bodies: Vec<String>,
}

/// Every log has the same tree, under its own name and key: what a witness does for each is the same as for different
/// ones, and they are made in a moment.
pub fn generate(logs: usize, rounds: usize) -> Result<Vec<LogRequests>, Box<dyn Error>> {
    let steps = u64::try_from(rounds)?;
    let sizes: Vec<u64> = (0..=steps).map(|step| FIRST + step * STEP).collect();
    let tree = Levels::of(sizes.last().copied().unwrap_or(FIRST))?;
    let mut trees = Vec::new();
    let mut old = 0;
    for size in sizes {
        let proof = consistency_proof(old, size, |node| tree.node(node))?;
        trees.push((old, size, root_at(size, |node| tree.node(node))?, proof));
        old = size;
    }
    let mut all = Vec::with_capacity(logs);
    for index in 0..logs {
        let origin = format!("log-{index}.bench.example");
        let signer = NoteSigner::new(KeyName::new(&origin)?, SigningKey::from_seed(&rand::random()));
        let mut bodies = Vec::with_capacity(trees.len());
        let mut first = None;
        for (old, size, root, proof) in &trees {
            let checkpoint = Checkpoint::new(&origin, *size, *root)?;
            let note = SignedNote::new(&checkpoint.text(), vec![signer.sign(&checkpoint.text())])?;
            bodies.push(AddCheckpoint::new(*old, proof.clone(), note)?.to_string());
            first.get_or_insert(checkpoint);
        }
        let first = first.ok_or("no sizes")?;
        all.push(LogRequests {
            log: WitnessedLog { origin, vkey: signer.vkey().to_string() },
            first,
            bodies,
        });
    }
    Ok(all)
}

/// The whole HTTP request for a body.
pub fn http(body: &str) -> Vec<u8> {
    let mut request = String::with_capacity(body.len() + 128);
    let _ = write!(
        request,
        "POST /add-checkpoint HTTP/1.1\r\nHost: witness\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    request.into_bytes()
}

/// All nodes of a tree.
struct Levels(Vec<Vec<Digest>>);

impl Levels {
    fn of(size: u64) -> Result<Self, Box<dyn Error>> {
        let (mut tree, mut levels) = (CompactTree::new(), Vec::<Vec<Digest>>::new());
        for index in 0..size {
            tree.append_with(leaf_hash(&index.to_be_bytes()), |level, _, hash| {
                let level = usize::from(level);
                levels.resize_with(levels.len().max(level + 1), Vec::new);
                if let Some(level) = levels.get_mut(level) {
                    level.push(*hash);
                }
            })?;
        }
        Ok(Self(levels))
    }

    fn node(&self, node: NodeId) -> Result<Digest, std::io::Error> {
        let level = self.0.get(usize::from(node.level));
        let found = level.and_then(|level| level.get(usize::try_from(node.index).ok()?)).copied();
        found.ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

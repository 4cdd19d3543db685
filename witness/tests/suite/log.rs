//! A log for tests, which can fork: trees of different branches agree up to the leaf where they fork.

use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    Digest,
    checkpoint::Checkpoint,
    note::{KeyName, NoteSigner, SignatureLine, SignedNote, Vkey},
    policy::Policy,
    rfc6962::{CompactTree, NodeId, consistency_proof, leaf_hash},
    tile::{Content, Tile, encode_tile},
    witness::AddCheckpoint,
};

pub const ORIGIN: &str = "log.example/one";

pub struct Log {
    signer: NoteSigner,
    leaves: Vec<Digest>,
}

impl Log {
    /// The log of an origin, the same key for the same origin.
    pub fn new(origin: &str) -> Self {
        Self::forked(origin, 0, 0)
    }

    /// The same log, lying: its leaves differ from `at` on, in a way of their own for each `branch`.
    pub fn forked(origin: &str, at: u64, branch: u8) -> Self {
        let seed = leaf_hash(origin.as_bytes());
        let signer = NoteSigner::new(KeyName::new(origin).unwrap(), SigningKey::from_seed(&seed));
        let leaf = |index: u64| {
            let branch = if index < at { 0 } else { branch };
            leaf_hash(&[origin.as_bytes(), &index.to_be_bytes(), &[branch]].concat())
        };
        Self { signer, leaves: (0..2048).map(leaf).collect() }
    }

    pub fn vkey(&self) -> &Vkey {
        self.signer.vkey()
    }

    pub fn origin(&self) -> &str {
        self.vkey().name().as_str()
    }

    pub fn policy(&self) -> Policy {
        Policy::parse(self.policy_text().as_bytes()).unwrap()
    }

    pub fn policy_text(&self) -> String {
        format!("log {}\nquorum none\n", self.vkey())
    }

    pub fn root(&self, size: u64) -> Digest {
        tree(&self.leaves[..size as usize])
    }

    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint::new(self.origin(), size, self.root(size)).unwrap()
    }

    pub fn sign(&self, checkpoint: &Checkpoint) -> SignatureLine {
        self.signer.sign(&checkpoint.text())
    }

    pub fn note(&self, size: u64) -> SignedNote {
        let checkpoint = self.checkpoint(size);
        SignedNote::new(&checkpoint.text(), vec![self.sign(&checkpoint)]).unwrap()
    }

    pub fn proof(&self, old: u64, new: u64) -> Vec<Digest> {
        let node = |id: NodeId| {
            let start = (id.index << id.level) as usize;
            Ok::<_, ()>(tree(&self.leaves[start..start + (1 << id.level)]))
        };
        consistency_proof(old, new, node).unwrap()
    }

    /// The contents of a tile of hashes.
    pub fn tile(&self, tile: &Tile) -> Vec<u8> {
        let Content::Hashes { level } = tile.content() else { panic!("entries") };
        let width = 1usize << (8 * level);
        let first = tile.index() as usize * 256;
        let hashes: Vec<Digest> = (first..first + usize::from(tile.width()))
            .map(|index| tree(&self.leaves[index * width..(index + 1) * width]))
            .collect();
        encode_tile(&hashes)
    }

    pub fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        AddCheckpoint::new(old, self.proof(old, new), self.note(new)).unwrap()
    }
}

fn tree(leaves: &[Digest]) -> Digest {
    let mut tree = CompactTree::new();
    leaves.iter().for_each(|leaf| tree.append(*leaf).unwrap());
    tree.root()
}

/// A request with any old size and proof.
pub fn request(old: u64, proof: Vec<Digest>, note: SignedNote) -> AddCheckpoint {
    AddCheckpoint::new(old, proof, note).unwrap()
}

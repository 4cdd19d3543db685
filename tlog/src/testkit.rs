//! Logs and witnesses for the tests of this crate, all from seeds.

use keyglass_crypto::sign::SigningKey;

use crate::{
    Digest,
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, NoteSigner, SignatureLine, SignedNote},
    rfc6962::{self, CompactTree, NodeId, leaf_hash},
    time::UnixSeconds,
};

pub(crate) const ORIGIN: &str = "log.example/one";
pub(crate) const TIME: UnixSeconds = UnixSeconds(1_700_000_000);

pub(crate) fn name(name: &str) -> KeyName {
    KeyName::new(name).unwrap()
}

pub(crate) fn log() -> NoteSigner {
    NoteSigner::new(name(ORIGIN), SigningKey::from_seed(&[0xa0; 32]))
}

/// Witness `w<i>` of [`policy_text`].
pub(crate) fn witness(i: u8) -> Cosigner {
    Cosigner::new(name(&format!("w{i}.example")), SigningKey::from_seed(&[i; 32]))
}

/// The log, `count` witnesses named `w0` and so on, and `rest`.
pub(crate) fn policy_text(count: u8, rest: &str) -> String {
    let witnesses: String = (0..count).map(|i| format!("witness w{i} {}\n", witness(i).vkey())).collect();
    format!("log {}\n{witnesses}{rest}", log().vkey())
}

/// A tree whose leaves tell it apart from trees of other branches from leaf `fork_at` on.
pub(crate) struct Branch {
    pub(crate) fork_at: u64,
    pub(crate) branch: u8,
}

impl Branch {
    fn leaf(&self, index: u64) -> Digest {
        let branch = if index < self.fork_at { 0 } else { self.branch };
        leaf_hash(&[&index.to_be_bytes()[..], &[branch]].concat())
    }

    pub(crate) fn root(&self, size: u64) -> Digest {
        let mut tree = CompactTree::new();
        for index in 0..size {
            tree.append(self.leaf(index)).unwrap();
        }
        tree.root()
    }

    pub(crate) fn consistency(&self, old: u64, new: u64) -> Vec<Digest> {
        rfc6962::consistency_proof(old, new, |node| self.node(node)).unwrap()
    }

    pub(crate) fn node(&self, node: NodeId) -> Result<Digest, ()> {
        let mut tree = CompactTree::new();
        for index in 0..1u64 << node.level {
            tree.append(self.leaf((node.index << node.level) + index)).unwrap();
        }
        Ok(tree.root())
    }

    pub(crate) fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint::new(ORIGIN, size, self.root(size)).unwrap()
    }

    /// The checkpoint of `size`, signed by the log and cosigned by these witnesses at [`TIME`].
    pub(crate) fn note(&self, size: u64, witnesses: &[u8]) -> SignedNote {
        note(&self.checkpoint(size), witnesses)
    }
}

pub(crate) const HONEST: Branch = Branch { fork_at: 0, branch: 0 };

pub(crate) fn note(checkpoint: &Checkpoint, witnesses: &[u8]) -> SignedNote {
    let mut lines = vec![log().sign(&checkpoint.text())];
    lines.extend(witnesses.iter().map(|&i| cosign(checkpoint, i, TIME)));
    SignedNote::new(&checkpoint.text(), lines).unwrap()
}

pub(crate) fn cosign(checkpoint: &Checkpoint, i: u8, time: UnixSeconds) -> SignatureLine {
    witness(i).cosign(checkpoint, time).unwrap()
}

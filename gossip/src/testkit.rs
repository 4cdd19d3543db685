//! A log that can fork, and witnesses, for the tests of this crate; all from seeds.

use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    Digest,
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, NoteSigner, SignatureLine, SignedNote},
    policy::Policy,
    rfc6962::{CompactTree, NodeId, leaf_hash},
    time::UnixSeconds,
};

use crate::{head::Head, trust::Trust};

pub(crate) const ORIGIN: &str = "log.example/one";

pub(crate) fn log() -> NoteSigner {
    NoteSigner::new(KeyName::new(ORIGIN).unwrap(), SigningKey::from_seed(&[0xa0; 32]))
}

pub(crate) fn witness(i: u8) -> Cosigner {
    Cosigner::new(KeyName::new(&format!("w{i}.example")).unwrap(), SigningKey::from_seed(&[i + 1; 32]))
}

/// The log and `count` witnesses.
pub(crate) fn policy(count: u8) -> Policy {
    let witnesses: String = (0..count).map(|i| format!("witness w{i} {}\n", witness(i).vkey())).collect();
    Policy::parse(format!("log {}\n{witnesses}quorum none\n", log().vkey()).as_bytes()).unwrap()
}

pub(crate) fn trust(count: u8) -> Trust {
    Trust::of_policy(&policy(count))
}

/// A tree that is the honest one before `fork_at`, and one of its own for each `branch` from there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Branch {
    pub(crate) fork_at: u64,
    pub(crate) branch: u8,
}

pub(crate) const HONEST: Branch = Branch { fork_at: 0, branch: 0 };

impl Branch {
    fn subtree(self, from: u64, end: u64) -> Digest {
        let mut tree = CompactTree::new();
        for index in from..end {
            let branch = if index < self.fork_at { 0 } else { self.branch };
            tree.append(leaf_hash(&[&index.to_be_bytes()[..], &[branch]].concat())).unwrap();
        }
        tree.root()
    }

    pub(crate) fn node(self, id: NodeId) -> Digest {
        self.subtree(id.index << id.level, (id.index + 1) << id.level)
    }

    pub(crate) fn checkpoint(self, size: u64) -> Checkpoint {
        Checkpoint::new(ORIGIN, size, self.subtree(0, size)).unwrap()
    }

    pub(crate) fn note(self, size: u64, witnesses: &[u8]) -> SignedNote {
        note(&self.checkpoint(size), witnesses)
    }

    pub(crate) fn head(self, size: u64) -> Head {
        Head::read(self.note(size, &[]).to_string().as_bytes(), &trust(0)).unwrap()
    }
}

pub(crate) fn note(checkpoint: &Checkpoint, witnesses: &[u8]) -> SignedNote {
    let text = checkpoint.text();
    let cosign = |i: &u8| witness(*i).cosign(checkpoint, UnixSeconds(1_700_000_000)).unwrap();
    let lines = core::iter::once(log().sign(&text)).chain(witnesses.iter().map(cosign)).collect();
    SignedNote::new(&text, lines).unwrap()
}

/// The same note between lines that mean nothing: of strangers, and of known keys without a signature.
pub(crate) fn noisy(note: &SignedNote) -> SignedNote {
    let stranger = |i: u8| {
        let key = SigningKey::from_seed(&[0xd0 + i; 32]);
        NoteSigner::new(KeyName::new("stranger").unwrap(), key).sign(note.text())
    };
    let broken: Vec<SignatureLine> = HONEST.note(999, &[0, 1, 2]).signatures().to_vec();
    let lines = [
        (0..20).map(stranger).collect(),
        broken,
        note.signatures().to_vec(),
        (20..30).map(stranger).collect(),
    ];
    SignedNote::new(note.text(), lines.concat()).unwrap()
}

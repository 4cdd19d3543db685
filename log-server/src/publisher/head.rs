//! Signing heads, and choosing the signature lines that are served with one.

use std::collections::{BTreeMap, BTreeSet};

use keyglass_crypto::{hash::Digest, sign::SigningKey};
use keyglass_keytrans::{
    config::{CipherSuite, Configuration},
    log_hash::LogHash,
    wire::{TreeHeadTbs, Wire as _, WireError},
};
use keyglass_tlog::{
    checkpoint::{Checkpoint, CheckpointError},
    cosignature::{CosignError, Cosigner, CosignerNameTooLong},
    note::{KeyName, KeyNameError, MAX_SIGNATURES, NoteSigner, SignatureLine, Vkey, format_signature_lines},
    policy::{Name, Policy},
    time::UnixSeconds,
};
use thiserror::Error;

use crate::{
    data_dir::Identity,
    signing_keys::{self, LogKey},
    store::PublishedHead,
};

/// The most bytes of signature lines in a head (`TreeHead.signature<0..2^16-1>`).
pub const MAX_SIGNATURE_LEN: usize = 65_535;

/// Why heads cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignerError {
    /// The log's name is none for a key.
    #[error(transparent)]
    Name(#[from] KeyNameError),
    /// The log's name is none for a checkpoint.
    #[error(transparent)]
    Origin(#[from] CheckpointError),
    /// The configuration has no encoding.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The log's name is too long for an ML-DSA-44 key.
    #[error(transparent)]
    TooLong(#[from] CosignerNameTooLong),
    /// An ML-DSA-44 signature was not made.
    #[error(transparent)]
    MlDsa(#[from] CosignError),
    /// The first key is none of Ed25519.
    #[error("the log has no Ed25519 key")]
    NoKey,
    /// No such suite is implemented.
    #[error("cipher suite {0:#06x} is not implemented")]
    Suite(u16),
}

/// Signs heads as the log's cipher suite says. Signing is deterministic: the same head gives the same bytes.
pub enum HeadSigner {
    /// 0xF001: a checkpoint.
    Checkpoint(CheckpointSigner),
    /// 0x0002: a `TreeHeadTBS`.
    TreeHead {
        /// The key.
        key: Box<SigningKey>,
        /// The configuration that every signature covers.
        configuration: Configuration,
    },
}

/// Signs checkpoints with all keys of a log.
pub struct CheckpointSigner {
    ed25519: Vec<NoteSigner>,
    /// In the form of cosignatures, with the origin for their name (tlog-checkpoint, "Signatures").
    ml_dsa_44: Vec<Cosigner>,
}

impl CheckpointSigner {
    /// The signer with these keys, of which there is at least one of Ed25519. All have the origin for their name.
    #[must_use]
    pub fn new(first: NoteSigner) -> Self {
        Self { ed25519: vec![first], ml_dsa_44: Vec::new() }
    }

    /// Signs with these keys as well.
    ///
    /// # Errors
    /// [`SignerError::TooLong`].
    pub fn with(mut self, keys: Vec<LogKey>) -> Result<Self, SignerError> {
        for key in keys {
            let name = KeyName::new(self.origin())?;
            match key {
                LogKey::Ed25519(key) => self.ed25519.push(NoteSigner::new(name, *key)),
                LogKey::MlDsa44(key) => self.ml_dsa_44.push(Cosigner::ml_dsa_44(name, key)?),
            }
        }
        Ok(self)
    }

    fn origin(&self) -> &str {
        self.ed25519.first().map_or("", |first| first.vkey().name().as_str())
    }

    fn vkeys(&self) -> Vec<&Vkey> {
        let ed25519 = self.ed25519.iter().map(NoteSigner::vkey);
        ed25519.chain(self.ml_dsa_44.iter().map(Cosigner::vkey)).collect()
    }

    /// The lines of all keys, those of Ed25519 first. An ML-DSA-44 line has a time. Ours is the one of the head's last entry,
    /// so that a restart signs the same bytes; it says that then the log had no more entries, which is true.
    fn sign(&self, checkpoint: &Checkpoint, time: UnixSeconds) -> Result<Vec<SignatureLine>, SignerError> {
        let text = checkpoint.text();
        let mut lines: Vec<SignatureLine> = self.ed25519.iter().map(|signer| signer.sign(&text)).collect();
        for signer in &self.ml_dsa_44 {
            // No time at all is a weaker statement, which not every verifier takes.
            lines.push(signer.cosign(checkpoint, time.max(UnixSeconds(1)))?);
        }
        Ok(lines)
    }
}

/// A head that the log has signed, not yet published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// The number of log entries.
    pub size: u64,
    /// The log tree's root.
    pub root: Digest,
    /// The signature.
    pub signature: OwnSignature,
}

/// The log's signature over a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnSignature {
    /// 0xF001: the checkpoint and the lines of the log's keys under it. Witnesses can cosign it.
    Checkpoint(Checkpoint, Vec<SignatureLine>),
    /// 0x0002: the signature.
    TreeHead(Vec<u8>),
}

impl HeadSigner {
    /// The signer with all keys of a log.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn of(identity: &Identity) -> Result<Self, SignerError> {
        let mut keys = signing_keys::copies(&identity.log_keys).into_iter();
        let Some(LogKey::Ed25519(first)) = keys.next() else { return Err(SignerError::NoKey) };
        match Self::new(*first, &identity.origin, identity.configuration.clone())? {
            Self::Checkpoint(signer) => Ok(Self::Checkpoint(signer.with(keys.collect())?)),
            draft => Ok(draft),
        }
    }

    /// The signer of a log with this configuration and this key alone; `name` is a 0xF001 log's origin.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn new(key: SigningKey, name: &str, configuration: Configuration) -> Result<Self, SignerError> {
        match CipherSuite::from_number(configuration.ciphersuite) {
            Some(CipherSuite::Tlog) => {
                Ok(Self::Checkpoint(CheckpointSigner::new(NoteSigner::new(KeyName::new(name)?, key))))
            }
            Some(CipherSuite::Draft) => Ok(Self::TreeHead { key: Box::new(key), configuration }),
            None => Err(SignerError::Suite(configuration.ciphersuite)),
        }
    }

    /// How the log tree of this log is hashed.
    #[must_use]
    pub fn log_hash(&self) -> LogHash {
        match self {
            Self::Checkpoint(_) => LogHash::Rfc6962,
            Self::TreeHead { .. } => LogHash::Draft,
        }
    }

    /// The verifier keys of its checkpoints; none under 0x0002.
    #[must_use]
    pub fn vkeys(&self) -> Vec<&Vkey> {
        match self {
            Self::Checkpoint(signer) => signer.vkeys(),
            Self::TreeHead { .. } => Vec::new(),
        }
    }

    /// Signs the head of the first `size` entries, the last of which was added at `time`. The caller vouches that they are
    /// durable.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn sign(&self, size: u64, root: Digest, time: UnixSeconds) -> Result<SignedHead, SignerError> {
        let signature = match self {
            Self::Checkpoint(signer) => {
                let checkpoint = Checkpoint::new(signer.origin(), size, root)?;
                let lines = signer.sign(&checkpoint, time)?;
                OwnSignature::Checkpoint(checkpoint, lines)
            }
            Self::TreeHead { key, configuration } => {
                let signed = TreeHeadTbs { config: configuration.clone(), tree_size: size, root };
                OwnSignature::TreeHead(key.sign(&signed.encode()?).0.to_vec())
            }
        };
        Ok(SignedHead { size, root, signature })
    }
}

/// One line of each witness that has cosigned a head, by the witness's name in the policy.
pub type Cosignatures = BTreeMap<Name, SignatureLine>;

/// The signatures of a head as they are served: the log's lines, then cosignatures in the order of the policy.
///
/// `None` if the cosignatures are no quorum of the policy, or if no quorum fits the bounds of a note and of a
/// `TreeHead`; cosignatures that no quorum needs are left out first.
#[must_use]
pub fn to_publish(head: &SignedHead, policy: &Policy, cosignatures: &Cosignatures) -> Option<PublishedHead> {
    let (size, root) = (head.size, head.root);
    let own = match &head.signature {
        OwnSignature::TreeHead(signature) => {
            return Some(PublishedHead { size, root, signature: signature.clone() });
        }
        OwnSignature::Checkpoint(_, lines) => lines,
    };
    let mut chosen: BTreeSet<&Name> = BTreeSet::new();
    let mut room = own.iter().try_fold(MAX_SIGNATURE_LEN, |room, line| room.checked_sub(length(line)))?;
    // First the witnesses that bring a quorum nearer, then whoever else fits.
    for only_needed in [true, false] {
        for witness in policy.witnesses() {
            let Some((name, line)) = cosignatures.get_key_value(witness.name()) else { continue };
            let full = chosen.len().saturating_add(own.len()) >= MAX_SIGNATURES;
            let Some(left) = room.checked_sub(length(line)).filter(|_| !full) else { continue };
            let missing = policy.missing(&chosen);
            if chosen.insert(name) {
                if only_needed && policy.missing(&chosen) >= missing {
                    chosen.remove(name);
                } else {
                    room = left;
                }
            }
        }
    }
    if !policy.is_quorum(&chosen) {
        return None;
    }
    let served = policy.witnesses().iter().filter(|witness| chosen.contains(witness.name()));
    let mut lines = own.clone();
    lines.extend(served.filter_map(|witness| cosignatures.get(witness.name()).cloned()));
    Some(PublishedHead { size, root, signature: format_signature_lines(&lines).into_bytes() })
}

/// The bytes of a line with its newline.
fn length(line: &SignatureLine) -> usize {
    line.to_string().len().saturating_add(1)
}

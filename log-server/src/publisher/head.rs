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
    note::{KeyName, KeyNameError, MAX_SIGNATURES, NoteSigner, SignatureLine, format_signature_lines},
    policy::{Name, Policy},
};
use thiserror::Error;

use crate::store::PublishedHead;

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
    /// No such suite is implemented.
    #[error("cipher suite {0:#06x} is not implemented")]
    Suite(u16),
}

/// Signs heads as the log's cipher suite says. Signing is deterministic: the same size and root give the same bytes.
pub enum HeadSigner {
    /// 0xF001: a checkpoint.
    Checkpoint(NoteSigner),
    /// 0x0002: a `TreeHeadTBS`.
    TreeHead {
        /// The key.
        key: SigningKey,
        /// The configuration that every signature covers.
        configuration: Configuration,
    },
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
    /// 0xF001: the checkpoint and the log's line under it. Witnesses can cosign it.
    Checkpoint(Checkpoint, SignatureLine),
    /// 0x0002: the signature.
    TreeHead(Vec<u8>),
}

impl HeadSigner {
    /// The signer of a log with this configuration; `name` is a 0xF001 log's origin.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn new(key: SigningKey, name: &str, configuration: Configuration) -> Result<Self, SignerError> {
        match CipherSuite::from_number(configuration.ciphersuite) {
            Some(CipherSuite::Tlog) => Ok(Self::Checkpoint(NoteSigner::new(KeyName::new(name)?, key))),
            Some(CipherSuite::Draft) => Ok(Self::TreeHead { key, configuration }),
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

    /// Signs the head of the first `size` entries. The caller vouches that they are durable.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn sign(&self, size: u64, root: Digest) -> Result<SignedHead, SignerError> {
        let signature = match self {
            Self::Checkpoint(signer) => {
                let checkpoint = Checkpoint::new(signer.vkey().name().as_str(), size, root)?;
                let line = signer.sign(&checkpoint.text());
                OwnSignature::Checkpoint(checkpoint, line)
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

/// The signatures of a head as they are served: the log's line, then cosignatures in the order of the policy.
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
        OwnSignature::Checkpoint(_, line) => line,
    };
    let mut chosen: BTreeSet<&Name> = BTreeSet::new();
    let mut room = MAX_SIGNATURE_LEN.checked_sub(length(own))?;
    // First the witnesses that bring a quorum nearer, then whoever else fits.
    for only_needed in [true, false] {
        for witness in policy.witnesses() {
            let Some((name, line)) = cosignatures.get_key_value(witness.name()) else { continue };
            let full = chosen.len().saturating_add(1) >= MAX_SIGNATURES;
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
    let mut lines = vec![own.clone()];
    lines.extend(served.filter_map(|witness| cosignatures.get(witness.name()).cloned()));
    Some(PublishedHead { size, root, signature: format_signature_lines(&lines).into_bytes() })
}

/// The bytes of a line with its newline.
fn length(line: &SignatureLine) -> usize {
    line.to_string().len().saturating_add(1)
}

//! What a handshake leaves behind: the seed of a session, fit for a Double Ratchet.

use keyglass_account::device::Suite;
use keyglass_crypto::{dh::DhPublicKey, kdf::hkdf_sha256, secret::Secret};

use super::transcript::{HandshakeId, Party};

/// Which side of the handshake this device was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It sent the initial message (Alice).
    Initiator,
    /// It received the initial message (Bob).
    Responder,
}

/// The secrets of a session before its first ratchet step. Erased when dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKeys {
    /// What a Double Ratchet starts from (SK in X3DH).
    pub root_key: Secret<32>,
    /// The chain on which the initiator may go on sending until the responder answers.
    pub initiator_chain: Secret<32>,
    /// The chain of the responder, before it is mixed.
    pub responder_chain: UnmixedChainKey,
}

/// The seed of a session: who it is with, and its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The handshake that it came from.
    pub handshake: HandshakeId,
    /// Which side this device was.
    pub role: Role,
    /// The suite of the handshake.
    pub suite: Suite,
    /// The other side, whose device was in a proven record.
    pub peer: Party,
    /// The initiator's ephemeral key, its first ratchet key.
    pub ephemeral: DhPublicKey,
    /// The responder's signed prekey, its first ratchet key.
    pub ratchet_key: DhPublicKey,
    /// AD: to be authenticated with every message of the session.
    pub associated_data: Vec<u8>,
    /// The secrets.
    pub keys: SessionKeys,
}

/// The responder's chain as the handshake derives it, which must not encrypt anything yet.
///
/// A handshake without one-time prekey can be replayed, and the replay derives the same keys. X3DH (section 4.3)
/// therefore obliges the responder to mix in fresh randomness first, of which this type reminds by offering nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmixedChainKey(Secret<32>);

impl UnmixedChainKey {
    /// Takes a key over, from the handshake or from where it was stored.
    #[must_use]
    pub fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// The chain key to encrypt under, once the responder has agreed with the initiator's ephemeral key under a fresh
    /// ratchet key.
    #[must_use]
    pub fn mix(&self, fresh: &Secret<32>) -> Secret<32> {
        hkdf_sha256(self.0.expose(), fresh.expose(), b"keyglass x3dh responder chain v1")
    }

    /// The bytes, for storing the session and for nothing else.
    #[must_use]
    pub fn to_stored(&self) -> &Secret<32> {
        &self.0
    }
}

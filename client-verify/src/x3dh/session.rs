//! What a handshake leaves behind: the seed of a session, fit for a Double Ratchet.
//!
//! | A Double Ratchet (Signal, section 3.3 and 7.1) starts from | here |
//! |---|---|
//! | SK, its first root key | [`SessionKeys::root_key`] |
//! | AD, for the header of every message | [`Session::associated_data`] |
//! | the responder's ratchet key pair: the signed prekey | [`Session::ratchet_key`]; the responder has its secret under the prekey's number |
//! | the initiator's first ratchet key pair | made by the ratchet: the secret of [`Session::ephemeral`] is erased with the handshake |
//! | a responder who speaks first | agrees with the initiator's device key, in [`Session::peer`], under a fresh ratchet key, and mixes that in |
//! | sending before the first ratchet step | [`SessionKeys::initiator_chain`], and [`SessionKeys::responder_chain`] once it was mixed |
//! | telling sessions apart, and a redelivery from a new one | [`Session::handshake`] |
//!
//! A ratchet must copy the responder's signed prekey secret when the session begins: the prekey is erased when its retention
//! is over, which may be before the initiator's first reply.

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
    /// The initiator's ephemeral key, whose secret is erased.
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

    /// The chain key to encrypt under, once the responder has agreed with a key of the initiator under a fresh ratchet
    /// key: the initiator's first ratchet key, or its device key while it has sent none. The secret of its ephemeral key is erased.
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

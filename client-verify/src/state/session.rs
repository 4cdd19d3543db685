//! Sessions as a home keeps them.

use keyglass_account::device::Suite;
use keyglass_crypto::{dh::DhPublicKey, secret::Secret, sign::VerifyingKey};
use serde::{Deserialize, Serialize};

use super::text;
use crate::x3dh::{HandshakeId, Party, Role, Session, SessionKeys, UnmixedChainKey};

/// A session as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSession {
    /// The handshake.
    #[serde(with = "text::array")]
    pub handshake: [u8; 32],
    /// Whether this device sent the initial message.
    pub initiator: bool,
    /// The suite's number.
    pub suite: u16,
    /// The other side's label.
    #[serde(with = "text::bytes")]
    pub peer_label: Vec<u8>,
    /// The other account's identity key.
    #[serde(with = "text::array")]
    pub peer_identity_key: [u8; 32],
    /// The other device's number.
    pub peer_device: u32,
    /// The other device's signing key.
    #[serde(with = "text::array")]
    pub peer_signing_key: [u8; 32],
    /// The other device's X25519 key.
    #[serde(with = "text::array")]
    pub peer_dh_key: [u8; 32],
    /// The initiator's ephemeral key.
    #[serde(with = "text::array")]
    pub ephemeral: [u8; 32],
    /// The responder's first ratchet key.
    #[serde(with = "text::array")]
    pub ratchet_key: [u8; 32],
    /// AD.
    #[serde(with = "text::bytes")]
    pub associated_data: Vec<u8>,
    /// SK.
    #[serde(with = "text::secret")]
    pub root_key: Secret<32>,
    /// The initiator's chain.
    #[serde(with = "text::secret")]
    pub initiator_chain: Secret<32>,
    /// The responder's chain before mixing.
    #[serde(with = "text::secret")]
    pub responder_chain: Secret<32>,
}

impl From<&Session> for StoredSession {
    fn from(session: &Session) -> Self {
        let Session { handshake, role, suite, peer, ephemeral, ratchet_key, associated_data, keys } = session;
        Self {
            handshake: handshake.0,
            initiator: *role == Role::Initiator,
            suite: suite.0,
            peer_label: peer.label.clone(),
            peer_identity_key: peer.identity_key.to_bytes(),
            peer_device: peer.device_id,
            peer_signing_key: peer.signing_key.to_bytes(),
            peer_dh_key: peer.dh_key.to_bytes(),
            ephemeral: ephemeral.to_bytes(),
            ratchet_key: ratchet_key.to_bytes(),
            associated_data: associated_data.clone(),
            root_key: keys.root_key.clone(),
            initiator_chain: keys.initiator_chain.clone(),
            responder_chain: keys.responder_chain.to_stored().clone(),
        }
    }
}

impl StoredSession {
    /// The session; `None` if a key in it is not one, so that the file was damaged.
    #[must_use]
    pub fn to_session(&self) -> Option<Session> {
        Some(Session {
            handshake: HandshakeId(self.handshake),
            role: if self.initiator { Role::Initiator } else { Role::Responder },
            suite: Suite(self.suite),
            peer: Party {
                label: self.peer_label.clone(),
                identity_key: VerifyingKey::from_bytes(&self.peer_identity_key).ok()?,
                device_id: self.peer_device,
                signing_key: VerifyingKey::from_bytes(&self.peer_signing_key).ok()?,
                dh_key: DhPublicKey::from_bytes(&self.peer_dh_key).ok()?,
            },
            ephemeral: DhPublicKey::from_bytes(&self.ephemeral).ok()?,
            ratchet_key: DhPublicKey::from_bytes(&self.ratchet_key).ok()?,
            associated_data: self.associated_data.clone(),
            keys: SessionKeys {
                root_key: self.root_key.clone(),
                initiator_chain: self.initiator_chain.clone(),
                responder_chain: UnmixedChainKey::new(self.responder_chain.clone()),
            },
        })
    }
}

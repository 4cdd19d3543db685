//! One's own account: the identity, the devices, their prekeys, and what they received.
//!
//! An account is one document, so that everything that must change together does: a one-time secret is erased in the
//! very write that stores the session which used it.

use keyglass_account::device::Suite;
use keyglass_crypto::{
    dh::{DhPublicKey, DhSecretKey},
    hash::sha256,
    secret::Secret,
    sign::{SigningKey, VerifyingKey},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use super::{document::Format, text};
use crate::x3dh::{
    HandshakeId, Memory, OneTimeId, OneTimeSecret, Party, Received, Role, Session, SessionKeys,
    UnmixedChainKey,
};

/// One's own account under one label of one log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnAccount {
    format: Format<1>,
    /// The log that the account is in.
    pub origin: String,
    /// The label.
    pub label: String,
    /// The seed of the identity key.
    #[serde(with = "text::secret")]
    pub identity_seed: Secret<32>,
    /// The record to publish, or the last that was: its encoding.
    #[serde(with = "text::bytes")]
    pub record: Vec<u8>,
    /// The version that the log has published of it; `None` while it has not.
    pub published: Option<u32>,
    /// The devices whose secrets are here.
    pub devices: Vec<OwnDeviceState>,
    /// Texts that were received and not yet shown.
    pub unread: Vec<UnreadText>,
    /// The keys of texts that were shown, the latest last, so that further devices' copies are not.
    shown: Vec<TextKey>,
}

/// The most texts that are remembered as shown.
const MAX_SHOWN: usize = 4096;

/// Identifies a text: a hash of its sender, its id and itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextKey(#[serde(with = "text::array")] [u8; 32]);

impl TextKey {
    /// The key of what `from` wrote. Another text is another key, whatever id it bears.
    #[must_use]
    pub fn new(from: &[u8], id: &[u8; 16], text: &str) -> Self {
        Self(sha256(&[&sha256(&[from]), id, text.as_bytes()]))
    }
}

/// A text on its way to the person.
///
/// It is stored with its session and removed once it was printed, so that a crash in between loses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnreadText {
    /// What tells it from others.
    pub key: TextKey,
    /// The devices that received it.
    pub devices: Vec<u32>,
    /// The sender's label.
    #[serde(with = "text::bytes")]
    pub from: Vec<u8>,
    /// The sender's device.
    pub from_device: u32,
    /// The version of the sender's label that proves the device.
    pub from_version: u32,
    /// The text.
    pub text: String,
}

impl Drop for UnreadText {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

/// A device whose secrets are kept here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnDeviceState {
    /// Its number in the account.
    pub id: u32,
    /// The seed of its signing key.
    #[serde(with = "text::secret")]
    pub signing_seed: Secret<32>,
    /// Its X25519 identity key.
    #[serde(with = "text::secret")]
    pub dh_secret: Secret<32>,
    /// Its signed prekeys, oldest first.
    pub signed_prekeys: Vec<SignedPreKeyState>,
    /// Its batches of one-time prekeys, oldest first.
    pub batches: Vec<BatchState>,
    /// Numbers that were given out, of prekeys that may be erased since: none is ever given out again.
    pub counters: Counters,
    /// The handshakes that were accepted. Each is kept as long as its signed prekey, without which the same message cannot
    /// be accepted again anyway.
    pub seen: Vec<SeenHandshake>,
    /// The sessions.
    pub sessions: Vec<StoredSession>,
}

/// The next numbers of a device's prekeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Of signed prekeys.
    pub signed_prekey: u32,
    /// Of batches.
    pub batch: u32,
    /// Of one-time prekeys.
    pub one_time: u32,
}

/// A signed prekey with its secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedPreKeyState {
    /// Its number.
    pub id: u32,
    /// The secret.
    #[serde(with = "text::secret")]
    pub secret: Secret<32>,
    /// When it was made, milliseconds since the Unix epoch.
    pub created: u64,
    /// When others stop using it, milliseconds since the Unix epoch.
    pub expires: u64,
    /// The signed structure, as it is uploaded.
    #[serde(with = "text::bytes")]
    pub signed: Vec<u8>,
    /// Whether the server has confirmed it.
    pub uploaded: bool,
}

/// A batch of one-time prekeys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchState {
    /// Its number.
    pub number: u32,
    /// When others stop using it, milliseconds since the Unix epoch.
    pub expires: u64,
    /// The batch with all its public keys, as it is uploaded.
    #[serde(with = "text::bytes")]
    pub signed: Vec<u8>,
    /// Whether the server has confirmed it.
    pub uploaded: bool,
    /// The keys.
    pub keys: Vec<OneTimeState>,
}

/// A one-time prekey: its secret, or the fact that it was used.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneTimeState {
    /// Its number.
    pub id: u32,
    /// The secret until a handshake consumes it.
    #[serde(with = "text::optional_secret")]
    pub secret: Option<Secret<32>>,
}

/// A handshake that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenHandshake {
    /// Its id.
    #[serde(with = "text::array")]
    pub handshake: [u8; 32],
    /// The signed prekey that it used.
    pub signed_prekey: u32,
}

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

impl OwnAccount {
    /// An account that is not published yet.
    #[must_use]
    pub fn new(
        origin: String,
        label: String,
        identity_seed: Secret<32>,
        record: Vec<u8>,
        devices: Vec<OwnDeviceState>,
    ) -> Self {
        Self {
            format: Format,
            origin,
            label,
            identity_seed,
            record,
            published: None,
            devices,
            unread: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// Takes a text in, to be shown once for all devices that receive it.
    pub fn take_text(&mut self, text: UnreadText) {
        if let Some(waiting) = self.unread.iter_mut().find(|waiting| waiting.key == text.key) {
            waiting.devices.extend_from_slice(&text.devices);
        } else if !self.shown.contains(&text.key) {
            self.unread.push(text);
        }
    }

    /// Remembers that all waiting texts were shown, and forgets their contents.
    pub fn mark_shown(&mut self) {
        self.shown.extend(self.unread.iter().map(|text| text.key));
        self.unread.clear();
        let excess = self.shown.len().saturating_sub(MAX_SHOWN);
        self.shown.drain(..excess);
    }

    /// The identity's signing key.
    #[must_use]
    pub fn identity(&self) -> SigningKey {
        SigningKey::from_seed(self.identity_seed.expose())
    }

    /// The public values of the device at `index`.
    #[must_use]
    pub fn party(&self, device: &OwnDeviceState) -> Party {
        Party {
            label: self.label.as_bytes().to_vec(),
            identity_key: self.identity().verifying_key(),
            device_id: device.id,
            signing_key: device.signing_key().verifying_key(),
            dh_key: device.dh_key().public_key(),
        }
    }
}

impl OwnDeviceState {
    /// A device without prekeys.
    #[must_use]
    pub fn new(id: u32, signing_seed: Secret<32>, dh_secret: Secret<32>) -> Self {
        Self {
            id,
            signing_seed,
            dh_secret,
            signed_prekeys: Vec::new(),
            batches: Vec::new(),
            counters: Counters { signed_prekey: 1, batch: 1, one_time: 1 },
            seen: Vec::new(),
            sessions: Vec::new(),
        }
    }

    /// The key that signs prekeys and requests.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(self.signing_seed.expose())
    }

    /// The X25519 identity key.
    #[must_use]
    pub fn dh_key(&self) -> DhSecretKey {
        DhSecretKey::from_bytes(self.dh_secret.expose())
    }

    /// The secrets in the form that the handshake takes them.
    #[must_use]
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets {
            state: self,
            signed: self
                .signed_prekeys
                .iter()
                .map(|key| (key.id, DhSecretKey::from_bytes(key.secret.expose())))
                .collect(),
            one_time: self
                .batches
                .iter()
                .flat_map(|batch| batch.keys.iter().map(|key| (batch.number, key)))
                .map(|(batch, key)| {
                    let secret = key.secret.as_ref().map(|secret| DhSecretKey::from_bytes(secret.expose()));
                    (OneTimeId { batch, id: key.id }, secret)
                })
                .collect(),
        }
    }

    /// Takes a first message's session in: the session and the handshake are remembered, the one-time secret is erased.
    /// Only storing the account makes it durable.
    pub fn absorb(&mut self, received: &Received, signed_prekey: u32) {
        if let Some(consumed) = received.consumed {
            let keys = self.batches.iter_mut().filter(|batch| batch.number == consumed.batch);
            for key in keys.flat_map(|batch| batch.keys.iter_mut()).filter(|key| key.id == consumed.id) {
                key.secret = None;
            }
        }
        self.seen.push(SeenHandshake { handshake: received.session.handshake.0, signed_prekey });
        self.sessions.push(StoredSession::from(&received.session));
    }

    /// Adds a signed prekey, whose number is [`Counters::signed_prekey`].
    pub fn add_signed_prekey(&mut self, key: SignedPreKeyState) {
        self.counters.signed_prekey = key.id.saturating_add(1);
        self.signed_prekeys.push(key);
    }

    /// Adds a batch, whose number is [`Counters::batch`] and whose keys start at [`Counters::one_time`].
    pub fn add_batch(&mut self, batch: BatchState) {
        self.counters.batch = batch.number.saturating_add(1);
        self.counters.one_time =
            batch.keys.last().map_or(self.counters.one_time, |key| key.id.saturating_add(1));
        self.batches.push(batch);
    }

    /// How many one-time prekeys are not used up, of those that have not expired at `now` (milliseconds since the Unix
    /// epoch).
    #[must_use]
    pub fn live_one_time(&self, now: u64) -> usize {
        self.batches
            .iter()
            .filter(|batch| batch.expires > now)
            .flat_map(|batch| &batch.keys)
            .filter(|key| key.secret.is_some())
            .count()
    }

    /// Erases signed prekeys that expired more than `retention` milliseconds before `now`, with the handshakes that used
    /// them, and the batches likewise. Messages that were delayed for longer can no longer be opened.
    pub fn erase_expired(&mut self, now: u64, retention: u64) {
        let kept = |expires: u64| expires.saturating_add(retention) > now;
        self.signed_prekeys.retain(|key| kept(key.expires));
        self.batches.retain(|batch| kept(batch.expires));
        let ids: Vec<u32> = self.signed_prekeys.iter().map(|key| key.id).collect();
        self.seen.retain(|seen| ids.contains(&seen.signed_prekey));
    }
}

/// The secrets of a device, decoded, with its memory of handshakes.
#[derive(Debug)]
pub struct Secrets<'a> {
    state: &'a OwnDeviceState,
    signed: Vec<(u32, DhSecretKey)>,
    one_time: Vec<(OneTimeId, Option<DhSecretKey>)>,
}

impl Memory for Secrets<'_> {
    fn has_seen(&self, handshake: &HandshakeId) -> bool {
        self.state.seen.iter().any(|seen| seen.handshake == handshake.0)
    }

    fn signed_prekey(&self, id: u32) -> Option<&DhSecretKey> {
        self.signed.iter().find(|(known, _)| *known == id).map(|(_, secret)| secret)
    }

    fn one_time_prekey(&self, id: &OneTimeId) -> OneTimeSecret<'_> {
        match self.one_time.iter().find(|(known, _)| known == id) {
            Some((_, Some(secret))) => OneTimeSecret::Live(secret),
            Some((_, None)) => OneTimeSecret::Consumed,
            None => OneTimeSecret::Unknown,
        }
    }
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

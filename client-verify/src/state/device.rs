//! A device of one's own: its keys, its prekeys, and the handshakes that it took part in.

use keyglass_crypto::{
    dh::{DhPublicKey, DhSecretKey},
    kem::KemSecretKey,
    secret::Secret,
    sign::SigningKey,
};
use serde::{Deserialize, Serialize};

use super::{
    kem::{KemBatchState, KemPreKeys, LastResortState},
    session::StoredSession,
    text,
};
use crate::x3dh::{HandshakeId, KemId, Memory, OneTimeId, OneTimeSecret, PreKeySecret, Received, Session};

/// The most handshakes without a one-time prekey that a device remembers.
pub const MAX_SEEN: usize = 4096;

/// The most sessions that a device keeps with one device of a peer: messages of that many handshakes may cross.
pub const MAX_SESSIONS_WITH_PEER: usize = 8;

/// The most sessions that a device keeps.
pub const MAX_SESSIONS: usize = 2048;

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
    /// Its ML-KEM prekeys. Homes from before PQXDH have none.
    #[serde(default)]
    pub kem: KemPreKeys,
    /// No batch below this is handed out any more, whatever the device still has of it: it has found that the server's idea of
    /// its pool and its own differ.
    #[serde(default)]
    pub min_floor: u32,
    /// When the device looks after its prekeys next, milliseconds since the Unix epoch.
    #[serde(default)]
    pub maintain_at: Option<u64>,
    /// Numbers that were given out, of prekeys that may be erased since: none is ever given out again.
    pub counters: Counters,
    /// The handshakes that were accepted without a one-time prekey. Each is kept as long as its signed prekey, without which
    /// the same message cannot be accepted again anyway. At most [`MAX_SEEN`]: see [`Self::make_room`]. A handshake with a
    /// one-time prekey is remembered by that key.
    pub seen: Vec<SeenHandshake>,
    /// The sessions, oldest first, bounded: see [`Self::keep_session`].
    pub sessions: Vec<StoredSession>,
}

/// The next numbers of a device's prekeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Of signed and last-resort prekeys.
    pub signed_prekey: u32,
    /// Of batches, of either type.
    pub batch: u32,
    /// Of one-time prekeys, of either type.
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
    /// The handshake that consumed it: its message may come again, and is no reuse.
    #[serde(default, with = "text::optional_array")]
    pub used_by: Option<[u8; 32]>,
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
            kem: KemPreKeys::default(),
            min_floor: 0,
            maintain_at: None,
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
                key.used_by = Some(received.session.handshake.0);
            }
        }
        if let Some(consumed) = received.consumed_kem {
            self.kem.consume(&consumed, &received.session.handshake);
        }
        if !received.used_one_time() {
            self.seen.push(SeenHandshake { handshake: received.session.handshake.0, signed_prekey });
        }
        self.keep_session(&received.session);
    }

    /// Keeps a session. With one device of a peer there are at most [`MAX_SESSIONS_WITH_PEER`], and [`MAX_SESSIONS`] in all:
    /// beyond either, the oldest goes with its keys. What came under it is not accepted again all the same, since handshakes
    /// are remembered apart from their sessions.
    pub fn keep_session(&mut self, session: &Session) {
        let session = StoredSession::from(session);
        let is_of_peer = |other: &StoredSession| {
            (&other.peer_label, other.peer_device) == (&session.peer_label, session.peer_device)
        };
        let with_peer = self.sessions.iter().filter(|other| is_of_peer(other)).count();
        if with_peer >= MAX_SESSIONS_WITH_PEER
            && let Some(oldest) = self.sessions.iter().position(is_of_peer)
        {
            self.sessions.remove(oldest);
        }
        self.sessions.push(session);
        let excess = self.sessions.len().saturating_sub(MAX_SESSIONS);
        self.sessions.drain(..excess);
    }

    /// Whether a message whose sender has the device key `peer` and used `ephemeral` was accepted, as far as its session is
    /// still kept. Nobody uses an ephemeral key twice on purpose, so that another such message that does not open is a copy that
    /// somebody altered.
    #[must_use]
    pub fn has_accepted(&self, peer: &DhPublicKey, ephemeral: &DhPublicKey) -> bool {
        let (peer, ephemeral) = (peer.to_bytes(), ephemeral.to_bytes());
        self.sessions.iter().any(|session| {
            !session.initiator && session.peer_dh_key == peer && session.ephemeral == ephemeral
        })
    }

    /// Whether one more handshake without a one-time prekey can be remembered. Where that is not so, the oldest signed prekey
    /// goes with the handshakes that used it, unless it is the newest: messages under it that come later are answered with a
    /// failure, and are not replays. While there is only the newest, nothing without a one-time prekey is accepted: see
    /// [`Self::is_memory_full`].
    pub fn make_room(&mut self) -> bool {
        while self.is_memory_full() && self.signed_prekeys.len() > 1 {
            self.signed_prekeys.remove(0);
            self.forget_seen();
        }
        !self.is_memory_full()
    }

    /// Whether no further handshake without a one-time prekey can be remembered. A new signed prekey then makes room.
    #[must_use]
    pub fn is_memory_full(&self) -> bool {
        self.seen.len() >= MAX_SEEN
    }

    /// Forgets the handshakes whose signed prekey is gone.
    fn forget_seen(&mut self) {
        let ids: Vec<u32> = self.signed_prekeys.iter().map(|key| key.id).collect();
        self.seen.retain(|seen| ids.contains(&seen.signed_prekey));
    }

    /// Adds a signed prekey, whose number is [`Counters::signed_prekey`].
    pub fn add_signed_prekey(&mut self, key: SignedPreKeyState) {
        self.counters.signed_prekey = key.id.saturating_add(1);
        self.signed_prekeys.push(key);
    }

    /// Adds a last-resort KEM prekey, whose number is [`Counters::signed_prekey`].
    pub fn add_last_resort(&mut self, key: LastResortState) {
        self.counters.signed_prekey = key.id.saturating_add(1);
        self.kem.last_resorts.push(key);
    }

    /// Adds a batch of KEM prekeys, whose number is [`Counters::batch`] and whose keys start at [`Counters::one_time`].
    pub fn add_kem_batch(&mut self, batch: KemBatchState) {
        self.counters.batch = batch.number.saturating_add(1);
        self.counters.one_time =
            batch.keys.last().map_or(self.counters.one_time, |key| key.id.saturating_add(1));
        self.kem.batches.push(batch);
    }

    /// The lowest batch of either type that the device still has: the floor of what it signs next.
    #[must_use]
    pub fn floor(&self) -> u32 {
        let oldest = self.batches.first().map(|batch| batch.number);
        let oldest_kem = self.kem.batches.first().map(|batch| batch.number);
        oldest.into_iter().chain(oldest_kem).min().unwrap_or(self.counters.batch).max(self.min_floor)
    }

    /// Adds a batch, whose number is [`Counters::batch`] and whose keys start at [`Counters::one_time`].
    pub fn add_batch(&mut self, batch: BatchState) {
        self.counters.batch = batch.number.saturating_add(1);
        self.counters.one_time =
            batch.keys.last().map_or(self.counters.one_time, |key| key.id.saturating_add(1));
        self.batches.push(batch);
    }

    /// How many one-time prekeys are not used up, of those that have not expired at `now` (milliseconds since the Unix
    /// epoch) and that others may still get.
    #[must_use]
    pub fn live_one_time(&self, now: u64) -> usize {
        self.batches
            .iter()
            .filter(|batch| batch.expires > now && batch.number >= self.min_floor)
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
        self.kem.erase(kept);
        self.forget_seen();
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
        let used_by = |key: &OneTimeState| key.used_by == Some(handshake.0);
        self.state.seen.iter().any(|seen| seen.handshake == handshake.0)
            || self.state.batches.iter().flat_map(|batch| &batch.keys).any(used_by)
            || self.state.kem.remembers(handshake)
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

    fn kem_prekey(&self, id: &KemId) -> PreKeySecret<KemSecretKey> {
        self.state.kem.secret(id)
    }
}

//! Receiving the initial message (X3DH and PQXDH, section 3.4), once for each handshake.

use keyglass_account::device::Suite;
use keyglass_crypto::{
    aead,
    dh::{DhError, DhSecretKey},
    kem::KemSecretKey,
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    agreement,
    initiate::{OwnDevice, SUITES},
    message::InitialMessage,
    session::{Role, Session, SessionKeys, UnmixedChainKey},
    transcript::{HandshakeId, KemId, OneTimeId, Transcript, handshake_id},
};
use crate::proven::ProvenDevice;

/// What a device knows about one of its one-time X25519 prekeys.
pub type OneTimeSecret<'a> = PreKeySecret<&'a DhSecretKey>;

/// What a device knows about one of its prekeys that handshakes use up, or that it erases at some time.
#[derive(Debug, Clone, Copy)]
pub enum PreKeySecret<S> {
    /// It can be used.
    Live(S),
    /// It was for one handshake, which used it up, and it was erased.
    Consumed,
    /// The device knows no such key: it lost its state, or there never was one.
    Unknown,
}

/// The secrets and the memory of the device that accepts.
pub trait Memory {
    /// Whether a handshake was accepted before.
    fn has_seen(&self, handshake: &HandshakeId) -> bool;
    /// The secret of a signed prekey that is still retained.
    fn signed_prekey(&self, id: u32) -> Option<&DhSecretKey>;
    /// The secret of a one-time X25519 prekey.
    fn one_time_prekey(&self, id: &OneTimeId) -> OneTimeSecret<'_>;
    /// The secret of an ML-KEM prekey, one-time or last-resort. A last-resort prekey is never [`PreKeySecret::Consumed`].
    fn kem_prekey(&self, id: &KemId) -> PreKeySecret<KemSecretKey>;
}

/// Why an initial message was not opened. Each calls for something else, so each is told apart.
///
/// No signature is checked here, and none can fail: initial messages have none. A replay is no error either, but
/// [`Accepted::Seen`]. That a device has lost its state shows as an unknown prekey whose number it has not given out yet,
/// which only its counters tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// The message names a suite that this device does not run, or its ML-KEM part is missing or out of place in that suite.
    #[error("suite {} is not one that this device runs", .0.0)]
    Suite(Suite),
    /// The proven device is not the one that the message claims to be from.
    #[error("the sender's keys are not those of the proven device")]
    SenderNotProven,
    /// The secret is not that of the device it is given for.
    #[error("the secret key is not that of the device")]
    WrongSecret,
    /// The signed prekey was never this device's, or its retention is over.
    #[error("signed prekey {0} is unknown or no longer retained")]
    SignedPreKeyUnknown(u32),
    /// The one-time prekey was never this device's, or its state was lost.
    #[error("one-time prekey {} of batch {} is unknown", .0.id, .0.batch)]
    OneTimePreKeyUnknown(OneTimeId),
    /// Another handshake used the one-time prekey. The server or a sender repeated it, or somebody altered its number in the
    /// message: which of them cannot be told, since only the erased secret would show whether the message is authentic.
    #[error("one-time prekey {} of batch {} was used by another handshake, or is not the one that the message was made with", .0.id, .0.batch)]
    OneTimePreKeyReused(OneTimeId),
    /// The ML-KEM prekey was never this device's, its retention is over, or its state was lost.
    #[error("{0} is unknown or no longer retained")]
    KemPreKeyUnknown(KemId),
    /// Another handshake used the one-time ML-KEM prekey: as [`Self::OneTimePreKeyReused`].
    #[error("one-time KEM prekey {} of batch {} was used by another handshake, or is not the one that the message was made with", .0.id, .0.batch)]
    KemPreKeyReused(OneTimeId),
    /// The ciphertext is not one of this handshake. An ML-KEM ciphertext that was made for another key shows here too.
    #[error("the message does not authenticate")]
    NotAuthentic,
    /// A key of the message gives a shared secret of zeros.
    #[error(transparent)]
    Dh(#[from] DhError),
}

/// What came of a message.
#[derive(Debug)]
pub enum Accepted {
    /// The first delivery.
    New(Box<Received>),
    /// This handshake was accepted before: nothing is to be done and nothing to be shown.
    Seen(HandshakeId),
}

/// The first message of a new session.
///
/// The caller stores `session`, remembers its handshake and erases `consumed` and `consumed_kem` in one durable step, and
/// only then shows `plaintext` or removes the message from the mailbox: the same message is then accepted exactly once
/// whatever fails.
#[derive(Debug)]
#[must_use]
pub struct Received {
    /// The session.
    pub session: Session,
    /// The one-time X25519 prekey that it used up.
    pub consumed: Option<OneTimeId>,
    /// The one-time ML-KEM prekey that it used up.
    pub consumed_kem: Option<OneTimeId>,
    /// What the sender wrote.
    pub plaintext: Zeroizing<Vec<u8>>,
}

impl Received {
    /// Whether the handshake used up a prekey of either type, so that its message cannot be accepted again. If not, it
    /// has to be remembered for as long as its signed prekey.
    #[must_use]
    pub fn used_one_time(&self) -> bool {
        self.consumed.is_some() || self.consumed_kem.is_some()
    }
}

/// The id of the handshake that `message` belongs to when `own` receives it. It needs no secret and proves nothing.
#[must_use]
pub fn handshake_of(own: OwnDevice<'_>, message: &InitialMessage) -> HandshakeId {
    handshake_id(message.claimed_sender(), own.party, &message.header.ephemeral, &message.header.prekeys)
}

/// Opens `message`, whose sender is `sender`.
///
/// # Errors
/// [`AcceptError`]; nothing has changed then.
pub fn accept(
    own: OwnDevice<'_>,
    sender: &ProvenDevice,
    memory: &impl Memory,
    message: &InitialMessage,
) -> Result<Accepted, AcceptError> {
    let header = &message.header;
    if own.dh_secret.public_key() != own.party.dh_key {
        return Err(AcceptError::WrongSecret);
    }
    let needs_kem = header.suite == Suite::PQXDH;
    if !SUITES.contains(&header.suite) || header.prekeys.kem.is_some() != needs_kem {
        return Err(AcceptError::Suite(header.suite));
    }
    if *sender.party() != header.sender {
        return Err(AcceptError::SenderNotProven);
    }
    let handshake = handshake_of(own, message);
    if memory.has_seen(&handshake) {
        return Ok(Accepted::Seen(handshake));
    }
    let signed = memory
        .signed_prekey(header.prekeys.signed)
        .ok_or(AcceptError::SignedPreKeyUnknown(header.prekeys.signed))?;
    let one_time = header.prekeys.one_time.map(|id| match memory.one_time_prekey(&id) {
        OneTimeSecret::Live(secret) => Ok(secret),
        OneTimeSecret::Consumed => Err(AcceptError::OneTimePreKeyReused(id)),
        OneTimeSecret::Unknown => Err(AcceptError::OneTimePreKeyUnknown(id)),
    });
    let one_time = one_time.transpose()?;
    let kem = header.prekeys.kem.map(|id| match (memory.kem_prekey(&id), id) {
        (PreKeySecret::Live(secret), _) => Ok(secret),
        (PreKeySecret::Consumed, KemId::OneTime(id)) => Err(AcceptError::KemPreKeyReused(id)),
        (PreKeySecret::Consumed | PreKeySecret::Unknown, id) => Err(AcceptError::KemPreKeyUnknown(id)),
    });
    let kem = kem.transpose()?;
    let kem = kem.as_ref().zip(header.kem_ciphertext.as_ref());
    let encapsulated = kem.map(|(secret, ciphertext)| secret.decapsulate(ciphertext));

    let transcript = Transcript {
        origin: sender.origin(),
        suite: header.suite,
        initiator: &header.sender,
        responder: own.party,
        ephemeral: header.ephemeral,
        prekeys: header.prekeys,
        signed_key: signed.public_key(),
        one_time_key: one_time.map(DhSecretKey::public_key),
        kem: kem.map(|(secret, ciphertext)| (secret.public_key(), ciphertext)),
    };
    let schedule = agreement::responder(
        own.dh_secret,
        signed,
        one_time,
        &header.sender.dh_key,
        &header.ephemeral,
        encapsulated.as_ref(),
    )?
    .derive(&transcript.info());
    let associated_data = transcript.associated_data();
    let plaintext = aead::open(
        &schedule.message_key,
        &schedule.message_nonce,
        &header.authenticated(&associated_data),
        &message.ciphertext,
    )
    .map_err(|_| AcceptError::NotAuthentic)?;
    let session = Session {
        handshake,
        role: Role::Responder,
        suite: header.suite,
        peer: header.sender.clone(),
        ephemeral: header.ephemeral,
        ratchet_key: transcript.signed_key,
        associated_data,
        keys: SessionKeys {
            root_key: schedule.root_key,
            initiator_chain: schedule.initiator_chain,
            responder_chain: UnmixedChainKey::new(schedule.responder_chain),
        },
    };
    let received = Received {
        session,
        consumed: header.prekeys.one_time,
        consumed_kem: header.prekeys.kem.and_then(|id| id.one_time()),
        plaintext: Zeroizing::new(plaintext),
    };
    Ok(Accepted::New(Box::new(received)))
}

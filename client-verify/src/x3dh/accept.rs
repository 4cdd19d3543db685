//! Receiving the initial message (X3DH section 3.4), once for each handshake.

use keyglass_account::device::Suite;
use keyglass_crypto::{
    aead,
    dh::{DhError, DhSecretKey},
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    agreement,
    initiate::{OwnDevice, SUITES},
    message::InitialMessage,
    session::{Role, Session, SessionKeys, UnmixedChainKey},
    transcript::{HandshakeId, OneTimeId, Transcript, handshake_id},
};
use crate::proven::ProvenDevice;

/// What a device knows about one of its one-time prekeys.
#[derive(Debug, Clone, Copy)]
pub enum OneTimeSecret<'a> {
    /// It was never used.
    Live(&'a DhSecretKey),
    /// A handshake used it up, and it was erased.
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
    /// The secret of a one-time prekey.
    fn one_time_prekey(&self, id: &OneTimeId) -> OneTimeSecret<'_>;
}

/// Why an initial message was not opened. Each calls for something else, so each is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// The message names a suite that this device does not run.
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
    /// Another handshake used the one-time prekey. The server or a sender repeated it; which of them cannot be told.
    #[error("one-time prekey {} of batch {} was used by another handshake", .0.id, .0.batch)]
    OneTimePreKeyReused(OneTimeId),
    /// The ciphertext is not one of this handshake.
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
/// The caller stores `session`, remembers its handshake and erases `consumed` in one durable step, and only then shows
/// `plaintext` or removes the message from the mailbox: the same message is then accepted exactly once whatever fails.
#[derive(Debug)]
#[must_use]
pub struct Received {
    /// The session.
    pub session: Session,
    /// The one-time prekey that it used up.
    pub consumed: Option<OneTimeId>,
    /// What the sender wrote.
    pub plaintext: Zeroizing<Vec<u8>>,
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
    if !SUITES.contains(&header.suite) {
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

    let transcript = Transcript {
        origin: sender.origin(),
        suite: header.suite,
        initiator: &header.sender,
        responder: own.party,
        ephemeral: header.ephemeral,
        prekeys: header.prekeys,
        signed_key: signed.public_key(),
        one_time_key: one_time.map(DhSecretKey::public_key),
    };
    let schedule =
        agreement::responder(own.dh_secret, signed, one_time, &header.sender.dh_key, &header.ephemeral)?
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
    let received =
        Received { session, consumed: header.prekeys.one_time, plaintext: Zeroizing::new(plaintext) };
    Ok(Accepted::New(Box::new(received)))
}

//! Sending the initial message (X3DH and PQXDH, section 3.3).

use keyglass_account::device::Suite;
use keyglass_crypto::{
    aead::{self, AeadError},
    dh::{DhError, DhSecretKey},
    secret::Secret,
};
use thiserror::Error;

use super::{
    agreement,
    message::{Header, InitialMessage, MAX_PLAINTEXT},
    session::{Role, Session, SessionKeys, UnmixedChainKey},
    transcript::{Party, Transcript, handshake_id},
};
use crate::proven::ProvenBundle;

/// The suites that this code runs.
pub const SUITES: [Suite; 2] = [Suite::X3DH, Suite::PQXDH];

/// A device of one's own, with its secret.
#[derive(Debug, Clone, Copy)]
pub struct OwnDevice<'a> {
    /// The device in public values.
    pub party: &'a Party,
    /// The secret half of `party.dh_key`.
    pub dh_secret: &'a DhSecretKey,
    /// The version of one's own label in which the device is proven.
    pub version: u32,
}

/// Bytes from a cryptographic source, for one call of [`initiate`] and for nothing else. Erased when dropped.
#[derive(Debug)]
pub struct HandshakeRandomness {
    /// The ephemeral X25519 key.
    pub ephemeral: Secret<32>,
    /// What ML-KEM encapsulates with; X3DH leaves it unused.
    pub encapsulation: Secret<32>,
}

/// Why no handshake was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InitiateError {
    /// The secret is not that of the device it is given for.
    #[error("the secret key is not that of the device")]
    WrongSecret,
    /// The plaintext does not fit an initial message.
    #[error("an initial message holds at most {MAX_PLAINTEXT} bytes")]
    TooLong,
    /// A key of the bundle gives a shared secret of zeros.
    #[error(transparent)]
    Dh(#[from] DhError),
    /// The cipher refused.
    #[error(transparent)]
    Aead(#[from] AeadError),
}

/// A handshake that was started.
#[derive(Debug)]
pub struct Initiated {
    /// The session, to be stored before the message leaves.
    pub session: Session,
    /// What to leave in the device's mailbox.
    pub message: InitialMessage,
}

/// Runs the suite of `bundle`, X3DH or PQXDH, with its device and encrypts `plaintext` to it.
///
/// Nothing in the message is signed by the initiator, so that it proves nothing to third parties.
///
/// # Errors
/// [`InitiateError`].
pub fn initiate(
    own: OwnDevice<'_>,
    bundle: ProvenBundle,
    randomness: HandshakeRandomness,
    plaintext: &[u8],
) -> Result<Initiated, InitiateError> {
    if own.dh_secret.public_key() != own.party.dh_key {
        return Err(InitiateError::WrongSecret);
    }
    if plaintext.len() > MAX_PLAINTEXT {
        return Err(InitiateError::TooLong);
    }
    let ephemeral = DhSecretKey::from_bytes(randomness.ephemeral.expose());
    let responder = bundle.device().party();
    let (signed_key, one_time_key) = (*bundle.signed_key(), bundle.one_time_key().copied());
    let (kem_ciphertext, encapsulated) =
        bundle.kem_key().map(|key| key.encapsulate(&randomness.encapsulation)).unzip();
    let header = Header {
        suite: bundle.suite(),
        sender_version: own.version,
        sender: own.party.clone(),
        ephemeral: ephemeral.public_key(),
        prekeys: bundle.prekeys(),
        kem_ciphertext,
    };
    let transcript = Transcript {
        origin: bundle.device().origin(),
        suite: header.suite,
        initiator: own.party,
        responder,
        ephemeral: header.ephemeral,
        prekeys: header.prekeys,
        signed_key,
        one_time_key,
        kem: bundle.kem_key().zip(header.kem_ciphertext.as_ref()),
    };
    let schedule = agreement::initiator(
        own.dh_secret,
        &ephemeral,
        &responder.dh_key,
        &signed_key,
        one_time_key.as_ref(),
        encapsulated.as_ref(),
    )?
    .derive(&transcript.info());
    let associated_data = transcript.associated_data();
    let ciphertext = aead::seal(
        &schedule.message_key,
        &schedule.message_nonce,
        &header.authenticated(&associated_data),
        plaintext,
    )?;
    let session = Session {
        handshake: handshake_id(own.party, responder, &header.ephemeral, &header.prekeys),
        role: Role::Initiator,
        suite: header.suite,
        peer: responder.clone(),
        ephemeral: header.ephemeral,
        ratchet_key: signed_key,
        associated_data,
        keys: SessionKeys {
            root_key: schedule.root_key,
            initiator_chain: schedule.initiator_chain,
            responder_chain: UnmixedChainKey::new(schedule.responder_chain),
        },
    };
    Ok(Initiated { session, message: InitialMessage { header, ciphertext } })
}

//! The X3DH and PQXDH key agreements (Signal, Revisions 1 and 3) over proven keys, and the first message under them.
//!
//! | Parameter of X3DH and PQXDH | Here |
//! |---|---|
//! | curve | X25519; keys that are not canonical or have small order and all-zero outputs are refused |
//! | hash | SHA-256 |
//! | pqkem, in PQXDH | ML-KEM-768; keys whose coefficients are not reduced are refused |
//! | info | in PQXDH the parameters' names; then the transcript: origin, suite, both parties whole, ephemeral key, all prekey ids and keys, and the ML-KEM ciphertext |
//! | signatures | Ed25519 keys of the device beside its X25519 key, so XEdDSA is not needed |
//! | AEAD | ChaCha20-Poly1305 under a key and nonce that the derivation gives for this one message |
//! | AD | both parties whole, and in PQXDH the ML-KEM prekey; for the first message also its header |
//!
//! Which of the two is run, the proven record of the responder's device decides: the greatest suite that it announces and
//! this code runs. A bundle without a key for that suite is refused; there is no way to the lesser suite.
//!
//! [`initiate`] takes a [`ProvenBundle`](crate::proven::ProvenBundle) and nothing else, so no handshake can start with a key
//! that the log did not prove. [`accept`] is idempotent by [`HandshakeId`].

mod accept;
mod agreement;
mod initiate;
mod message;
mod payload;
mod session;
mod transcript;

#[cfg(test)]
mod tests;

pub use accept::{
    AcceptError, Accepted, Memory, OneTimeSecret, PreKeySecret, Received, accept, handshake_of,
};
pub use initiate::{HandshakeRandomness, InitiateError, Initiated, OwnDevice, SUITES, initiate};
pub use message::{InitialMessage, MAX_MESSAGE, MAX_PLAINTEXT, MessageError};
pub use payload::{FirstMessage, MAX_CHECKPOINT, MAX_HEADS, MAX_TEXT, PayloadError};
pub use session::{Role, Session, SessionKeys, UnmixedChainKey};
pub use transcript::{HandshakeId, KemId, OneTimeId, Party, PreKeyIds};

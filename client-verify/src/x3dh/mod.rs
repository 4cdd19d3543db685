//! The X3DH key agreement (Signal, Revision 1) over proven keys, and the first message under it.
//!
//! | Parameter of X3DH | Here |
//! |---|---|
//! | curve | X25519; keys that are not canonical or have small order and all-zero outputs are refused |
//! | hash | SHA-256 |
//! | info | the transcript: origin, suite, both parties whole, ephemeral key, all prekey ids and keys |
//! | signatures | Ed25519 keys of the device beside its X25519 key, so XEdDSA is not needed |
//! | AEAD | ChaCha20-Poly1305 under a key and nonce that the derivation gives for this one message |
//! | AD | both parties whole; for the first message also its header |
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

pub use accept::{AcceptError, Accepted, Memory, OneTimeSecret, Received, accept, handshake_of};
pub use initiate::{InitiateError, Initiated, OwnDevice, SUITES, initiate};
pub use message::{InitialMessage, MAX_MESSAGE, MAX_PLAINTEXT, MessageError};
pub use payload::{FirstMessage, MAX_CHECKPOINT, MAX_HEADS, MAX_TEXT, PayloadError};
pub use session::{Role, Session, SessionKeys, UnmixedChainKey};
pub use transcript::{HandshakeId, OneTimeId, Party, PreKeyIds};

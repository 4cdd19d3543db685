//! ChaCha20-Poly1305 (RFC 8439). A key and nonce pair must never be used for two messages.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _,
    aead::{Aead as _, Payload},
};
use thiserror::Error;

use crate::secret::Secret;

/// Why nothing was sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AeadError {
    /// The plaintext is too long for one message (about 256 GiB).
    #[error("the plaintext is too long")]
    TooLong,
    /// The ciphertext, its associated data, the nonce or the key is not the one of sealing.
    #[error("the ciphertext does not authenticate")]
    NotAuthentic,
}

/// Encrypts `plaintext` and authenticates it with `associated`. The result is 16 bytes longer.
///
/// # Errors
/// [`AeadError::TooLong`].
pub fn seal(
    key: &Secret<32>,
    nonce: &[u8; 12],
    associated: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, AeadError> {
    ChaCha20Poly1305::new(key.expose().into())
        .encrypt(nonce.into(), Payload { msg: plaintext, aad: associated })
        .map_err(|_| AeadError::TooLong)
}

/// Decrypts what [`seal`] made.
///
/// # Errors
/// [`AeadError::NotAuthentic`].
pub fn open(
    key: &Secret<32>,
    nonce: &[u8; 12],
    associated: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, AeadError> {
    ChaCha20Poly1305::new(key.expose().into())
        .decrypt(nonce.into(), Payload { msg: sealed, aad: associated })
        .map_err(|_| AeadError::NotAuthentic)
}

//! ChaCha20-Poly1305 (RFC 8439): encryption that also shows whether anything was changed.
//!
//! A key and nonce pair must never be used for two messages: that would reveal both, and let anybody forge. Callers that
//! use each key for one message only can fix the nonce.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _,
    aead::{Aead as _, Payload},
};
use thiserror::Error;

use crate::secret::Secret;

/// Bytes that sealing adds to a message.
pub const TAG_LEN: usize = 16;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn opens_what_was_sealed_and_nothing_else(
            key: [u8; 32], nonce: [u8; 12], associated: Vec<u8>, plaintext: Vec<u8>, bit: prop::sample::Index
        ) {
            let key = Secret::new(key);
            let sealed = seal(&key, &nonce, &associated, &plaintext).unwrap();
            prop_assert_eq!(sealed.len(), plaintext.len() + TAG_LEN);
            prop_assert_eq!(open(&key, &nonce, &associated, &sealed), Ok(plaintext));

            // One bit of what goes into opening is flipped.
            let mut parts = [key.expose().to_vec(), nonce.to_vec(), associated, sealed];
            let bit = bit.index(8 * parts.iter().map(Vec::len).sum::<usize>());
            *parts.iter_mut().flatten().nth(bit / 8).unwrap() ^= 1 << (bit % 8);
            let [key, nonce, associated, sealed] = parts;
            let key = Secret::new(key.try_into().unwrap());
            let opened = open(&key, &nonce.try_into().unwrap(), &associated, &sealed);
            prop_assert_eq!(opened, Err(AeadError::NotAuthentic));
        }
    }

    #[test]
    fn what_is_shorter_than_a_tag_is_refused() {
        for length in 0..TAG_LEN {
            let opened = open(&Secret::new([0; 32]), &[0; 12], b"", &vec![0; length]);
            assert_eq!(opened, Err(AeadError::NotAuthentic));
        }
    }
}

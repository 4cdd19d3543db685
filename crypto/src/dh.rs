//! X25519 (RFC 7748). An exchange whose result is all zeros is refused.

use core::fmt;

use subtle::ConstantTimeEq;
use thiserror::Error;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::secret::Secret;

/// Why a key or an exchange was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DhError {
    /// The u-coordinate is 2^255 - 19 or more, or its top bit is set.
    #[error("the X25519 public key is not canonical")]
    NonCanonicalKey,
    /// The point has small order, so that the shared secret would be zero whatever the private key.
    #[error("the X25519 public key has small order")]
    SmallOrder,
}

/// An X25519 public key with a canonical encoding that is not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DhPublicKey([u8; 32]);

impl DhPublicKey {
    /// Decodes a u-coordinate strictly.
    ///
    /// # Errors
    /// [`DhError::NonCanonicalKey`] or [`DhError::SmallOrder`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, DhError> {
        if !is_canonical(bytes) {
            return Err(DhError::NonCanonicalKey);
        }
        // A clamped scalar is a multiple of the cofactor: it sends exactly the small-order points to zero.
        let probe = StaticSecret::from([0x40; 32]).diffie_hellman(&PublicKey::from(*bytes));
        if bool::from(probe.as_bytes().ct_eq(&[0; 32])) {
            return Err(DhError::SmallOrder);
        }
        Ok(Self(*bytes))
    }

    /// The key's encoding.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Debug for DhPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DhPublicKey({:02x?})", self.0)
    }
}

/// Whether the little-endian number is below 2^255 - 19.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    *high < 0x7f || (*high == 0x7f && (middle.iter().any(|&b| b != 0xff) || *low < 0xed))
}

/// An X25519 private key. Erased when dropped.
pub struct DhSecretKey(StaticSecret);

impl DhSecretKey {
    /// The key of 32 random bytes; clamping happens when it is used.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(StaticSecret::from(*bytes))
    }

    /// The bytes, for storing the key.
    #[must_use]
    pub fn to_bytes(&self) -> Secret<32> {
        Secret::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> DhPublicKey {
        DhPublicKey(PublicKey::from(&self.0).to_bytes())
    }

    /// The shared secret with `peer`.
    ///
    /// # Errors
    /// [`DhError::SmallOrder`] if it is all zeros.
    pub fn agree(&self, peer: &DhPublicKey) -> Result<Secret<32>, DhError> {
        let shared = self.0.diffie_hellman(&PublicKey::from(peer.0));
        if !shared.was_contributory() {
            return Err(DhError::SmallOrder);
        }
        Ok(Secret::new(shared.to_bytes()))
    }
}

impl fmt::Debug for DhSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DhSecretKey(..)")
    }
}

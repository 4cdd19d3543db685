//! Ed25519 (RFC 8032), verified strictly.
//!
//! RFC 8032 leaves verifiers some freedom, so that two of them can disagree on a signature. Here a signature counts only
//! if every reading of the RFC accepts it: key and `R` are canonical and not of small order, `S` is below the group
//! order, and the equation holds without the cofactor. Whoever made such a signature knew its message: no key is valid
//! for every message, and no signature can be turned into another.

use core::fmt;

use ed25519_dalek::Signer as _;
use thiserror::Error;

use crate::{point, secret::Secret};

/// Why a key or a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignError {
    /// The bytes are not the canonical encoding of a point.
    #[error("the public key is not a canonical point")]
    NonCanonicalKey,
    /// The point has small order: signatures under it prove nothing.
    #[error("the public key has small order")]
    SmallOrderKey,
    /// The signature is not one of this key over this message.
    #[error("the signature does not verify")]
    BadSignature,
}

/// An Ed25519 public key: canonical and not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Decodes the 32 bytes of RFC 8032 section 5.1.2.
    ///
    /// # Errors
    /// [`SignError::NonCanonicalKey`] or [`SignError::SmallOrderKey`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SignError> {
        if !point::is_canonical(bytes) {
            return Err(SignError::NonCanonicalKey);
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| SignError::NonCanonicalKey)?;
        if key.is_weak() {
            return Err(SignError::SmallOrderKey);
        }
        Ok(Self(key))
    }

    /// The key's encoding.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Verifies `signature` over the concatenation that the caller made into `message`.
    ///
    /// # Errors
    /// [`SignError::BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(message, &signature).map_err(|_| SignError::BadSignature)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({:02x?})", self.0.as_bytes())
    }
}

/// The 64 bytes of an Ed25519 signature, not yet known to verify.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signature(pub [u8; 64]);

/// An Ed25519 private key (a 32-byte seed). Erased when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a seed; the seed must come from a cryptographic source.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, for storing the key.
    #[must_use]
    pub fn to_seed(&self) -> Secret<32> {
        Secret::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs `message`, deterministically.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

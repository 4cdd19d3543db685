//! ML-DSA-44 signatures (FIPS 204), pure, with an empty context: verification only.
//!
//! The implementation behind it has not been audited: a caller must never let such a signature count where an
//! Ed25519 signature of the same party is refused.

use core::fmt;

use ml_dsa::{EncodedVerifyingKey, MlDsa44};

use crate::sign::SignError;

/// Bytes in an ML-DSA-44 public key.
pub const PUBLIC_KEY_LEN: usize = 1312;

/// Bytes in an ML-DSA-44 signature.
pub const SIGNATURE_LEN: usize = 2420;

/// An ML-DSA-44 public key. Every string of the right length is one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MlDsaVerifyingKey(Box<[u8; PUBLIC_KEY_LEN]>);

impl MlDsaVerifyingKey {
    /// Takes the encoding of FIPS 204, algorithm 22.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_LEN]) -> Self {
        Self(Box::new(*bytes))
    }

    /// The key's encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        &self.0
    }

    /// Verifies `signature` over `message` under the empty context.
    ///
    /// # Errors
    /// [`SignError::BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Result<(), SignError> {
        let encoded = EncodedVerifyingKey::<MlDsa44>::from(*self.0);
        let key = ml_dsa::VerifyingKey::<MlDsa44>::decode(&encoded);
        let signature = ml_dsa::Signature::<MlDsa44>::try_from(signature.as_slice())
            .map_err(|_| SignError::BadSignature)?;
        if key.verify_with_context(message, &[], &signature) { Ok(()) } else { Err(SignError::BadSignature) }
    }
}

impl fmt::Debug for MlDsaVerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = *self.0;
        write!(f, "MlDsaVerifyingKey({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}
